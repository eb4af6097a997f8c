"""Is a photograph sharp at its own size? Measured by octave, and how far to reduce it until it is.

A truth that is soft teaches a network to be soft, so sharpness counts for more than the number of
photographs. A picture's Laplacian pyramid splits it into octaves. In a sharp picture the top octave
carries about as much as the next: their ratio is near 1 for fine texture and near 0.7 for lone
edges. Blur, enlargement and heavy compression empty the top octave first.
"""

from dataclasses import dataclass

import cv2
import numpy as np

TILE_PX = 64
SMALLER_SIDE_PX = (700, 1600)  # of a prepared photograph: less is too little to crop from
STEP = 1.15  # from one reduction tried to the next
CLEARLY_SHARP = 0.85  # texture: no further reduction can help
SHARP_ENOUGH = 0.72  # edges alone


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """What the top octave of a picture carries, over the most detailed tenth of its tiles."""

    ratio: float  # its strength over that of the next octave; about 0.7 to 1.5 where sharp
    detail: float  # its strength, root mean square in grey levels of 255
    share: float  # 0 to 1: the share of all tiles where it is 2 grey levels or more


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A picture made smaller until it is sharp."""

    image: np.ndarray  # uint8 H x W x 3
    reduction: float  # 2.0 halves both sides
    sharpness: Sharpness


def measure_sharpness(image: np.ndarray) -> Sharpness:
    """The sharpness of a uint8 BGR picture H x W x 3, at least 128 px on each side."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    height, width = (side // TILE_PX * TILE_PX for side in grey.shape)
    grey = np.ascontiguousarray(grey[:height, :width])
    half = cv2.pyrDown(grey)
    quarter = cv2.pyrDown(half)
    top = _tile_energy(grey - cv2.pyrUp(half, dstsize=(width, height)), TILE_PX)
    lower = cv2.pyrUp(quarter, dstsize=(width // 2, height // 2))
    below = _tile_energy(half - lower, TILE_PX // 2)
    # Ranked by the octave below, so that noise, which fills the top one, does not choose the tiles.
    detailed = np.argsort(below, kind="stable")[-max(4, len(below) // 10) :]
    return Sharpness(
        ratio=float(np.sqrt(top[detailed].sum() / max(below[detailed].sum(), 1e-6))),
        detail=float(np.sqrt(top[detailed].mean())),
        share=float((top >= 4.0).mean()),
    )


def reduce(image: np.ndarray, reduction: float) -> np.ndarray:
    """The picture with both sides divided by reduction, by averaging areas."""
    if reduction == 1.0:
        return image
    height, width = image.shape[:2]
    size = (round(width / reduction), round(height / reduction))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def reduce_until_sharp(image: np.ndarray, at_least: float = 1.0) -> Reduced | None:
    """Reduce a uint8 BGR picture no further than sharpness asks; None where it never gets sharp.

    at_least is the reduction to begin with. The smaller side ends inside SMALLER_SIDE_PX.
    """
    smaller_side = min(image.shape[:2])
    reduction = round(max(at_least, smaller_side / SMALLER_SIDE_PX[1]), 3)
    tried: list[Reduced] = []
    while smaller_side / reduction >= SMALLER_SIDE_PX[0] - 0.5:
        smaller = reduce(image, reduction)
        found = measure_sharpness(smaller)
        tried.append(Reduced(image=smaller, reduction=reduction, sharpness=found))
        if found.ratio >= CLEARLY_SHARP and found.detail >= 6:
            break
        reduction = round(reduction * STEP, 3)
    if not tried:
        return None
    best = max(each.sharpness.ratio for each in tried)
    chosen = next(each for each in tried if each.sharpness.ratio >= 0.97 * best)
    found = chosen.sharpness
    return chosen if found.ratio >= SHARP_ENOUGH and found.detail >= 5 else None


def compression_reduction(quantisation: float | None) -> float:
    """How far a JPEG must at least be reduced for its compression not to show.

    quantisation is the mean of its luma table: 1 is the finest, 6 about quality 95, 11 quality 90,
    23 quality 80. None stands for a lossless picture.
    """
    if quantisation is None or quantisation <= 8:
        return 1.0
    if quantisation <= 12:
        return 1.4
    if quantisation <= 18:
        return 1.75
    return 2.0 if quantisation <= 35 else 2.5


def _tile_energy(octave: np.ndarray, tile: int) -> np.ndarray:
    """Mean square of each tile of one octave, in rows from the top left."""
    rows, columns = octave.shape[0] // tile, octave.shape[1] // tile
    tiles = octave.reshape(rows, tile, columns, tile).astype(np.float64)
    return (tiles**2).mean(axis=(1, 3)).ravel()
