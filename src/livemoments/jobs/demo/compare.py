"""Draw the demo's verdict: crops of what was made next to the known truth."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from livemoments.imaging.fidelity import luma
from livemoments.imaging.pixels import as_bytes, resize

LABELS = ("the frame", "restored", "the truth", "key photo")
CROP_WIDTH, CROP_HEIGHT = 400, 300
GAP, LABEL_HEIGHT, TEXT_SIZE = 8, 30, 18
PAPER, INK = (24, 24, 26), (236, 236, 236)


def before_after(
    frame: np.ndarray, restored: np.ndarray, truth: np.ndarray, key: np.ndarray
) -> np.ndarray:
    """Draw crops at 100 % side by side: two of most detail, and where the result is farthest off.

    Returns uint8 RGB.

    Args:
        frame: The clip's frame, RGB of any size; enlarged here (bicubic) to the truth's.
        restored: What was made of it, the truth's size.
        truth: What it should be.
        key: The key photo; shown at the same place, which after a camera motion is not the same
            part of the scene.
    """
    height, width = truth.shape[:2]
    pictures = [*(fit(picture, height, width) for picture in (frame, restored)), truth, key]
    pictures = [each if each.dtype == np.uint8 else as_bytes(each) for each in pictures]
    crop_w, crop_h = min(CROP_WIDTH, width), min(CROP_HEIGHT, height)
    true_luma = luma(pictures[2])
    detail = (true_luma - cv2.GaussianBlur(true_luma, (0, 0), 2)) ** 2
    corners = _highest(detail, crop_w, crop_h, count=2)
    corners += _highest((true_luma - luma(pictures[1])) ** 2, crop_w, crop_h, count=1)
    sheet = Image.new(
        "RGB",
        (GAP + len(LABELS) * (crop_w + GAP), LABEL_HEIGHT + len(corners) * (crop_h + GAP)),
        PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(TEXT_SIZE)
    for column, (label, picture) in enumerate(zip(LABELS, pictures, strict=True)):
        left = GAP + column * (crop_w + GAP)
        draw.text((left, (LABEL_HEIGHT - TEXT_SIZE) // 2 - 2), label, fill=INK, font=font)
        for row, (y, x) in enumerate(corners):
            y, x = min(y, picture.shape[0] - crop_h), min(x, picture.shape[1] - crop_w)
            crop = Image.fromarray(picture[max(y, 0) : y + crop_h, max(x, 0) : x + crop_w])
            sheet.paste(crop, (left, LABEL_HEIGHT + row * (crop_h + GAP)))
    return np.asarray(sheet)


def fit(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture, bicubic where it grows, averaged where it shrinks; within its range."""
    resized = resize(picture, height, width)
    return resized if resized.dtype == np.uint8 else np.clip(resized, 0, 1)


def _highest(values: np.ndarray, width: int, height: int, *, count: int) -> list[tuple[int, int]]:
    """Find top left corners of up to `count` crops of the highest sums that do not overlap."""
    sums = cv2.integral(values)
    total = sums[height:, width:] - sums[:-height, width:]
    total = total - sums[height:, :-width] + sums[:-height, :-width]
    corners: list[tuple[int, int]] = []
    for _crop in range(count):
        y, x = (int(place) for place in np.unravel_index(np.argmax(total), total.shape))
        if total[y, x] == -np.inf:  # no room for another
            break
        corners.append((y, x))
        total[max(y - height, 0) : y + height, max(x - width, 0) : x + width] = -np.inf
    return corners
