"""Measure FLIP and SSIMULACRA2, full-reference metrics that packages bring whole.

FLIP (Andersson et al., HPG 2020), flip-evaluator (BSD-3): the mean of its map of errors that an eye
sees which switches between two pictures, 0 to 1, 0 for the same; for low dynamic range, 67 pixels
per degree of sight. The two pictures may change places.

SSIMULACRA2 (Sneyers, 2022), ssimulacra2 (BSD-3): 100 for the same, 90 and more where no difference
is seen, below 0 very bad. The second picture is the truth; they may not change places. It
compares six scales, and fewer where a side is shorter than 256 pixels: values of so small pictures
do not compare with others. The package is Python's, not libjxl's tool: its values may differ.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from livemoments.errors import InputError
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.metrics.metric import need_package, size

Measure = Callable[[np.ndarray, np.ndarray], float]
SMALLEST_SIDE_PX = 8  # SSIMULACRA2 looks at nothing below, and gives 100


def flip() -> Measure:
    """Return FLIP as a metric of a result and a truth, RGB H x W x 3 in [0, 1].

    Raises:
        MissingExtraError: flip-evaluator is not installed.
    """
    package = need_package("flip_evaluator", "flip-evaluator", "FLIP")

    def measure(result: np.ndarray, truth: np.ndarray) -> float:
        _, mean, _ = package.evaluate(truth, result, "LDR", applyMagma=False)
        return float(mean)

    return measure


def ssimulacra2() -> Measure:
    """Return SSIMULACRA2 as a metric, likewise; it takes some 0.5 GB a megapixel.

    Raises:
        MissingExtraError: ssimulacra2 is not installed.
    """
    package = need_package("ssimulacra2", "ssimulacra2", "SSIMULACRA2")

    def measure(result: np.ndarray, truth: np.ndarray) -> float:
        if min(truth.shape[:2]) < SMALLEST_SIDE_PX:
            raise InputError(
                f"SSIMULACRA2 needs sides of at least {SMALLEST_SIDE_PX} pixels, "
                f"got {size(truth)}; compare larger pictures"
            )
        return float(package.compute_ssimulacra2(_file(truth), _file(result)))

    return measure


def _file(picture: np.ndarray) -> io.BytesIO:
    """Write a picture as a file in memory: the package reads nothing else."""
    file = io.BytesIO()
    Image.fromarray(as_bytes(picture)).save(file, "PPM")
    file.seek(0)
    return file
