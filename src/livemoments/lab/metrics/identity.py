"""Measure whether a face is still the same person's, in a result and in the truth.

dlib finds and recognises the faces (livemoments.faces): the Euclidean distance of 128 numbers of
each, below 0.6 for pictures of one person, as the network's author states (99.4 % on LFW).

Of the truth's faces, the largest counts that the result shows in the same place. Where there is
none, there is no distance: a face that the restoration broke so far that it is not found is not in
the mean, so look at how many there were.
"""

from collections.abc import Sequence

import numpy as np

from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import Face
from livemoments.faces.identity import SAME_PERSON, Embedder, apart
from livemoments.faces.models import FaceModels
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.metrics.metric import Score

SAME_PLACE = 0.5  # of both faces' area that they share
SMALLEST_PX = 40


class FaceIdentity:
    """A metric: the distance of a result's and a truth's face."""

    def __init__(self, models: FaceModels | None = None) -> None:
        """Take dlib's models; None for those of the installed package.

        Raises:
            MissingExtraError: dlib or its models are not installed.
        """
        models = models or FaceModels()
        self._finder = FaceFinder(models, SMALLEST_PX)
        self._embedder = Embedder(models)

    def __call__(self, result: np.ndarray, truth: np.ndarray) -> Score:
        """Compare two pictures of one size, RGB H x W x 3 in [0, 1]; 0 for the same."""
        one, other = as_bytes(result), as_bytes(truth)
        found, expected = (self._finder.find(picture).faces for picture in (one, other))
        pair = largest_match(found, expected)
        if pair is None:
            return Score(value=None, message=_nothing(len(found), len(expected)))
        away = apart(
            self._embedder.of_picture(one, pair[0].placement),
            self._embedder.of_picture(other, pair[1].placement),
        )
        same = "the same person" if away < SAME_PERSON else "another person"
        return Score(value=away, message=f"{same}, by a face of {pair[1].box.height} pixels")


def largest_match(found: Sequence[Face], expected: Sequence[Face]) -> tuple[Face, Face] | None:
    """Return the largest expected face that was found in its place, as (found, expected)."""
    for face in sorted(expected, key=lambda face: face.box.area, reverse=True):
        nearest = max(found, key=lambda other: other.box.shared(face.box), default=None)
        if nearest and nearest.box.shared(face.box) >= SAME_PLACE:
            return nearest, face
    return None


def _nothing(found: int, expected: int) -> str:
    if not expected:
        return "no face found in the truth"
    return f"no face found in the same place: {found} in the result, {expected} in the truth"
