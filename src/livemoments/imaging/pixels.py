"""Convert, reduce and enlarge pictures."""

import cv2
import numpy as np


def as_float(picture: np.ndarray) -> np.ndarray:
    """uint8 [0, 255] or float [0, 1] to float32 [0, 1]."""
    if picture.dtype == np.uint8:
        return picture.astype(np.float32) * np.float32(1 / 255)
    return picture.astype(np.float32, copy=False)


def resize_to_side(image: np.ndarray, side_px: int) -> np.ndarray:
    """The picture reduced so that its longer side is side_px; never enlarged."""
    ratio = side_px / max(image.shape[:2])
    if ratio >= 1:
        return image
    size = (max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """What as_kept gives, as uint8 H x W x 3."""
    return np.rint(picture * 255).astype(np.uint8)
