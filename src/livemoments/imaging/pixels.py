"""Convert, reduce and enlarge pictures.

Pictures are RGB, H x W x 3: uint8, or float32 in [0, 1]. Planes are H x W.
"""

import cv2
import numpy as np


def as_float(picture: np.ndarray) -> np.ndarray:
    """Convert uint8 [0, 255] or float [0, 1] to float32 [0, 1]."""
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) * np.float32(1 / 255)
    return picture.astype(np.float32, copy=False)


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Convert float [0, 1] to uint8: cut to the range, and rounded. uint8 stays as it is."""
    if picture.dtype == np.uint8:
        return picture
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def grey(picture: np.ndarray) -> np.ndarray:
    """Return the luma H x W of a picture, of its own type and range (weights of BT.601).

    Luma stays as it is.
    """
    if picture.ndim == 2:
        return picture
    if picture.dtype != np.uint8:
        picture = picture.astype(np.float32, copy=False)
    return cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or plane: by area where it gets smaller, bicubic (not cut) otherwise."""
    smaller = height < picture.shape[0] or width < picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=how)


def fit_side(picture: np.ndarray, side_px: float) -> np.ndarray:
    """Reduce a picture or plane by area so that its longer side is side_px; never enlarge it."""
    ratio = side_px / max(picture.shape[:2])
    return reduce(picture, ratio) if ratio < 1 else picture


def reduce(picture: np.ndarray, ratio: float) -> np.ndarray:
    """Reduce a picture or plane by area to `ratio` of its sides, at least one pixel each."""
    height, width = (max(1, round(side * ratio)) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def enlarge(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a float picture in [0, 1] to height x width, bicubic, and cut it to the range."""
    enlarged = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(enlarged, 0, 1, out=enlarged)


def fit_size(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a picture to height x width, float32 cut to [0, 1].

    By area where neither side grows, else bicubic; a picture of that size stays as it is.
    """
    picture = as_float(picture)
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = picture.shape[0] >= height and picture.shape[1] >= width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, (width, height), interpolation=how), 0, 1)
