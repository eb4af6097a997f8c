"""People on a stage, for tests of the clip pipeline: where each is in a frame, and who they are."""

import cv2
import numpy as np
from faces import face_at, mean_shares, placement

from livemoments.faces.crops import cut
from livemoments.faces.detect import Found
from livemoments.faces.face import Placement
from livemoments.faces.pose import Pose
from livemoments.faces.references import Reference

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
        "name": name, "face": grey, "placement": placement(50, 50, 300), "height_px": 200,
        "landmarks": mean_shares(), "identity": identity_of(of or name), "sharpness": 0.9,
        "pose": Pose(yaw=0, pitch=0, roll=0),
    }  # fmt: skip
    return Reference(**{**given, **changes})


def canonical(picture: np.ndarray, at: Placement, size_px: int = 32) -> np.ndarray:
    return cut(picture, at, size_px).astype(np.float32) / 255
