"""Measure fidelity to a known truth: PSNR and SSIM of luma, as papers on restoration state them.

Y is BT.601's, 16 to 235 of 255, and no border is cut off. PSNR has a peak of 1 and ends at 100 dB.
SSIM is that of Wang et al. (IEEE TIP 2004): an 11 x 11 Gaussian window of sigma 1.5, only where it
lies within the picture, the population's variances, K1 = 0.01, K2 = 0.03.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.errors import InputError

WINDOW_PX, SIGMA_PX = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
LUMA_WEIGHTS, BLACK = (65.481, 128.553, 24.966), 16  # of R, G and B in [0, 1], to Y in [16, 235]
LEAST_ERROR = 1e-10  # 100 dB


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The fidelity of a picture to the truth, on luma."""

    psnr_y: float  # dB
    ssim_y: float  # at most 1


def scores(picture: np.ndarray, truth: np.ndarray) -> Scores:
    """Measure PSNR and SSIM on Y of two pictures of one size, RGB, uint8 or float in [0, 1].

    Rounded as they are printed: to 0.01 dB and to 0.0001.
    """
    return Scores(psnr_y=round(psnr_y(picture, truth), 2), ssim_y=round(ssim_y(picture, truth), 4))


def psnr_y(picture: np.ndarray, truth: np.ndarray) -> float:
    """Measure PSNR on Y, dB, of two pictures RGB H x W x 3, uint8 or float in [0, 1]."""
    _check_sizes(picture, truth)
    error = float(np.mean((luma(picture) - luma(truth)) ** 2))
    return 10 * float(np.log10(1 / max(error, LEAST_ERROR)))


def ssim_y(picture: np.ndarray, truth: np.ndarray) -> float:
    """Measure structural similarity on Y, at most 1, of two pictures as for psnr_y.

    Raises:
        InputError: they differ in size, or a side is shorter than the window.
    """
    _check_sizes(picture, truth)
    if min(truth.shape[:2]) < WINDOW_PX:
        raise InputError(
            f"SSIM needs sides of at least {WINDOW_PX} pixels, got {_size(truth)}; "
            "compare larger pictures"
        )
    one, other = luma(picture), luma(truth)
    mean_1, mean_2 = _local_mean(one), _local_mean(other)
    var_1, var_2 = _local_mean(one**2) - mean_1**2, _local_mean(other**2) - mean_2**2
    together = _local_mean(one * other) - mean_1 * mean_2
    ratio = (2 * mean_1 * mean_2 + C1) * (2 * together + C2)
    return float(np.mean(ratio / ((mean_1**2 + mean_2**2 + C1) * (var_1 + var_2 + C2))))


def luma(picture: np.ndarray) -> np.ndarray:
    """Return BT.601 luma, float64 H x W in [16, 235] / 255, of RGB, uint8 or float in [0, 1]."""
    scale = 255.0 if picture.dtype == np.uint8 else 1.0
    return picture.astype(np.float64) / scale @ (np.array(LUMA_WEIGHTS) / 255) + BLACK / 255


def _local_mean(values: np.ndarray) -> np.ndarray:
    """Average under the window, H x W to (H - 10) x (W - 10): where all of it is inside."""
    inner = slice(WINDOW_PX // 2, -(WINDOW_PX // 2))
    return cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), SIGMA_PX)[inner, inner]


def _check_sizes(picture: np.ndarray, truth: np.ndarray) -> None:
    if picture.shape != truth.shape:
        raise InputError(
            f"the picture is {_size(picture)} pixels and the truth {_size(truth)}; "
            "bring them to one size first"
        )


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
