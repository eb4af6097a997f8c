"""Give one picture the look (colour and tone) of another, and leave its detail."""

import cv2
import numpy as np

LEVELS = 5


def smooth_levels(picture: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Take the low frequencies after `levels` steps of the undecimated wavelet (a trous) transform.

    Each step filters with 1-2-1 in both directions, the taps 1, 2, 4 ... pixels apart, edges
    repeated. picture is float32 H x W [x C]; so is the result.
    """
    for level in range(levels):
        reach = 2**level
        kernel = np.zeros(2 * reach + 1, np.float32)
        kernel[[0, reach, 2 * reach]] = 0.25, 0.5, 0.25
        picture = cv2.sepFilter2D(picture, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return picture


def match_look(content: np.ndarray, style: np.ndarray, levels: int = LEVELS) -> np.ndarray:
    """Give content the low frequencies of style: the wavelet colour match of the official release.

    Both float32 H x W x 3 of one size and view. Linear in both, so that one transform of the
    difference is enough. Not clipped.
    """
    return content + smooth_levels(style - content, levels)
