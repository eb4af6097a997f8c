"""Compare a result's grade with the key photo's: metric_re (LiveMoments, Eq. 7).

The key photo is what a restored frame should be as good as: a metric that grades a picture by
itself is taken of both, and what counts is their difference by the key photo's, 0 for as good. The
grades alone do not count, so one that a metric likes better than the key photo gains nothing.

NIQE is our own (niqe.py). The paper cites IL-NIQE's article for it and calls it NIQE; its other
metrics bear the names of pyiqa's, whose NIQE has the same model and the same grey as ours.
"""

from collections.abc import Callable

import numpy as np

from livemoments.errors import InputError
from livemoments.lab.metrics.metric import Score

Grade = Callable[[np.ndarray], float]  # of RGB H x W x 3 in [0, 1]


def relative(of_result: float, of_key_photo: float) -> float:
    """Return Eq. 7: |m(result) - m(key photo)| / m(key photo).

    Raises:
        InputError: the key photo's grade is 0 or below, where the share means nothing.
    """
    if not of_key_photo > 0:
        raise InputError(
            f"the key photo's grade is {of_key_photo:.3g}, and a share of it means nothing; "
            "leave this key photo out"
        )
    return abs(of_result - of_key_photo) / of_key_photo


def relative_metric(name: str, grade: Grade) -> Callable[[np.ndarray, np.ndarray], Score]:
    """Return Eq. 7 of a grade as a metric; its message has both grades."""

    def measure(result: np.ndarray, key_photo: np.ndarray) -> Score:
        of_result, of_key_photo = grade(result), grade(key_photo)
        return Score(
            value=relative(of_result, of_key_photo),
            message=f"{name} {of_result:.4f}, the key photo's {of_key_photo:.4f}",
        )

    return measure
