"""People on a stage, for tests of the clip pipeline: where each is in a frame, and who they are."""

import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemoments.faces.crops import cut
from livemoments.faces.detect import Found
from livemoments.faces.face import Placement
from livemoments.faces.pose import Pose
from livemoments.faces.references import Reference
from livemoments.jobs.polish import polish as polishing
from support import faces, makers
from support.faces import face_at, mean_shares, placement
from support.tiny.faces import FakeFaces

WIDTH, HEIGHT, SIDE = 256, 192, 64
MINE, OTHER = 40, 250  # blue of two people's squares: 0.82 apart

FPS = 25
SIDE_PX = 60.0


def identity_of(name: str) -> np.ndarray:
    """The numbers of a person: 0.8 from anybody else's whose name begins with another letter."""
    return 0.57 * np.eye(128)[ord(name[0])]


class Stage:
    """Of each person a function from frame to place (x, y) or None; finder and embedder, too.

    The picture's first pixel says which frame it is; faces are blurred noise.
    """

    def __init__(self, count: int, side_px: float = SIDE_PX, **people) -> None:
        self.count, self.side_px, self.people = count, side_px, people
        self.opened = 0  # how often the clip was read
        grain = np.random.default_rng(0).random((100, 360, 3), np.float32)
        self._grain = (cv2.GaussianBlur(grain, (0, 0), 1.5) * 255).astype(np.uint8)

    def frames(self):
        self.opened += 1
        for index in range(self.count):
            yield index / FPS, self.picture(index)

    def picture(self, index: int) -> np.ndarray:
        picture = np.roll(self._grain, index, axis=1)
        picture[0, 0] = index % 256, index // 256, 0
        return picture

    def places(self, picture: np.ndarray) -> dict[str, Placement]:
        index = int(picture[0, 0, 0]) + 256 * int(picture[0, 0, 1])
        return {
            name: placement(*at, self.side_px)
            for name, path in self.people.items()
            if (at := path(index)) is not None
        }

    def find(self, picture):
        faces = tuple(face_at(at) for at in self.places(picture).values())
        return Found(faces=faces, skipped=(), smallest_px=20)

    def find_near(self, picture, expected):
        faces = [face for face in self.find(picture).faces if face.box.shared(expected) >= 0.3]
        return max(faces, key=lambda face: face.box.shared(expected), default=None)

    def of_picture(self, picture, at):
        places = self.places(picture)
        return identity_of(min(places, key=lambda name: abs(places[name].x - at.x)))


def still(x: float, y: float = 50.0):
    """Somebody who is always there."""
    return lambda index: (x, y)


def reference(name: str, of: str | None = None, **changes) -> Reference:
    """A photograph; of says whom it shows, else its name does."""
    grey = np.full((64, 64, 3), 40 + 20 * (ord(name[-1]) % 10), np.uint8)
    given = {
        "name": name, "face": grey, "height_px": 200,
        "landmarks": mean_shares(), "identity": identity_of(of or name), "sharpness": 0.9,
        "pose": Pose(yaw=0, pitch=0, roll=0),
    }  # fmt: skip
    return Reference(**{**given, **changes})


def canonical(picture: np.ndarray, at: Placement, size_px: int = 32) -> np.ndarray:
    return cut(picture, at, size_px).astype(np.float32) / 255


def put_stand_ins(monkeypatch):
    """dlib sees red squares; the model brings them half way to the reference."""
    models, model = faces.FakeModels(), FakeFaces()
    monkeypatch.setattr(polishing, "FaceModels", lambda: models)
    monkeypatch.setattr(polishing, "load_faces", lambda folder, threads: model)
    return model


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    return put_stand_ins(monkeypatch)


def photograph(path, blue=MINE):
    return makers.save_still(path, makers.enlarged(with_face(blue)))


@cache
def movie():
    """The clip of the pair: encoded once for all tests."""
    clip = makers.encode_clip(frames(), sound=True)
    keys = {"com.apple.quicktime.content.identifier": makers.IDENTIFIER}
    return makers.with_still_time(makers.with_keys(clip, keys), 0.4)


@pytest.fixture
def pair(tmp_path):
    return make_pair(tmp_path / "in")


def make_pair(folder):
    """An Apple pair of someone: the still's path."""
    folder.mkdir()
    (folder / "IMG_1.MOV").write_bytes(movie())
    still = with_face()
    still[64 : 64 + SIDE, 90 : 90 + SIDE, 2] += 20
    exif = makers.make_exif(makers.IDENTIFIER)
    return makers.save_still(folder / "IMG_1.JPG", makers.enlarged(still), exif=exif)


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in Path(folder).iterdir()}


def with_face(blue=MINE, left=90, side=SIDE, height=HEIGHT, width=WIDTH):
    picture = background(height, width)
    picture[64 : 64 + side, left : left + side] = (255, 0, blue)
    return picture


def frames(blue=MINE):
    return [with_face(blue, 90 + index) for index in range(len(makers.TIMES_S))]


def background(height=HEIGHT, width=WIDTH):
    """Texture without red: nothing in it is a face to the stand-in."""
    picture = makers.scene(width, height)
    picture[..., 0] //= 4
    picture[: height // 6, : width // 4] = picture[-height // 6 :, : width // 4] = (20, 90, 60)
    return picture
