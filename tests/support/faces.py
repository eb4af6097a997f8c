"""Stand-ins for faces and for dlib: a face is a square of pure red, and its blue says whose."""

import threading
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from livemoments.faces.face import BOX_MIDDLE, BOX_SIDE, TEMPLATE, Box, Face, Placement


def mean_shares() -> np.ndarray:
    """68 landmarks of a plain face in shares of the canonical square; symmetric."""
    points = np.zeros((68, 2))
    around = np.linspace(np.pi, 0, 17)
    points[:17] = np.column_stack([0.5 + 0.24 * np.cos(around), 0.5 + 0.4 * np.sin(around)])
    points[17:22] = np.column_stack([np.linspace(0.31, 0.45, 5), [0.42, 0.4, 0.39, 0.4, 0.41]])
    points[22:27] = (points[17:22] * (-1, 1) + (1, 0))[::-1]
    points[27:55] = TEMPLATE
    mouth = np.linspace(0, np.pi, 7)[1:-1]
    low = [0.5 + 0.1 * np.cos(mouth), 0.74 + 0.06 * np.sin(mouth)]
    points[55:60] = np.column_stack(low)
    points[60:68] = np.column_stack([np.linspace(0.42, 0.58, 8), np.full(8, 0.74)])
    return points


def face_at(placement: Placement, score: float = 1.0) -> Face:
    return Face(box=placement.box, landmarks=placement.to_picture(mean_shares()), score=score)


def placement(x: float, y: float, side_px: float = 100.0, roll: float = 0.0) -> Placement:
    return Placement(x=x, y=y, side_px=side_px, roll=roll)


def tremble(placements: list[Placement]) -> float:
    """Measure how placements of consecutive frames tremble, in thousandths of the face's side.

    It is the root mean square distance of the canonical square's corners from the middle between
    the frames before and after: even motion counts as none.
    """
    if len(placements) < 3:
        return 0.0
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
    corners = np.array([placement.to_picture(square) for placement in placements])
    off = corners[1:-1] - (corners[:-2] + corners[2:]) / 2
    side = np.mean([placement.side_px for placement in placements])
    return float(1000 * np.sqrt((off**2).sum(axis=2).mean()) / side)


def box(left: int, top: int, side: int) -> Box:
    return Box(left=left, top=top, right=left + side, bottom=top + side)


def picture_of(*places: Box, blue: int = 0, height: int = 120, width: int = 160) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for place in places:
        picture[place.top : place.bottom, place.left : place.right] = (255, 0, blue)
    return picture


class Rectangle:
    def __init__(self, *sides: int) -> None:
        self.sides = sides

    def left(self):
        return self.sides[0]

    def top(self):
        return self.sides[1]

    def right(self):
        return self.sides[2]

    def bottom(self):
        return self.sides[3]


class FakeModels:
    """What FaceModels has; everything that is red is a face."""

    def __init__(self) -> None:
        self.dlib = types.SimpleNamespace(rectangle=Rectangle)
        self.detector = types.SimpleNamespace(run=self._run)
        self.network = types.SimpleNamespace(compute_face_descriptor=self._describe)
        self.lock = threading.Lock()
        self.searched = []  # sizes of the pictures that were searched
        self.score = 1.0

    def _run(self, picture, doublings, lowest):
        self.searched.append(picture.shape[:2])
        red = (picture[..., 0] > 128) & (picture[..., 1] < 60)
        _, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
        found = [Rectangle(x, y, x + w - 1, y + h - 1) for x, y, w, h, _ in stats[1:]]
        if self.score < lowest:
            found = []
        return found, [self.score] * len(found), [0] * len(found)

    def outline(self, picture, rectangle):
        side = (rectangle.right() - rectangle.left()) / BOX_SIDE
        middle = np.array(
            [rectangle.left() + rectangle.right(), rectangle.top() + rectangle.bottom()]
        )
        corner = middle / 2 - np.array(BOX_MIDDLE) * side
        points = np.rint(mean_shares() * side + corner).astype(int)
        return types.SimpleNamespace(
            parts=lambda: [types.SimpleNamespace(x=x, y=y) for x, y in points.tolist()]
        )

    def _describe(self, chip):
        assert chip.shape == (150, 150, 3) and chip.flags.c_contiguous
        return [chip[50:100, 50:100, 2].mean() / 255] + [0.0] * 127


def portrait() -> np.ndarray:
    """A portrait that scikit-image brings (NASA, public domain), uint8."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return np.ascontiguousarray(data.astronaut()[:240, 110:350])


def dlibs_models():
    """dlib and its models, or skip."""
    for name in ("dlib", "face_recognition_models"):
        pytest.importorskip(name, reason="the extra 'faces' is not installed")
    from livemoments.faces.models import FaceModels

    return FaceModels()


def clips_folder() -> Path:
    """The real clips that lie next to the checkout, or skip; they are not part of the project."""
    from support.makers import samples_folder

    samples = samples_folder()
    folder = samples.parent / "clips" if samples else Path("/nowhere")
    if not folder.exists():
        pytest.skip("no real clips next to the sample files of phones")
    return folder
