"""Grade a picture by itself with NIQE (Mittal et al., IEEE SPL 2013), far from pristine or near.

Blocks of 96 x 96 pixels give 36 numbers each: the shape of the distribution of their pixels, each
less its surroundings' mean and by their deviation, and of the products of neighbours, on two
scales. NIQE is the distance of their mean and covariance from those of 125 pristine pictures.

The pristine model is the authors' own. It comes out of the package mmagic (Apache-2.0), fetched
with pip and checked. As in their release for MATLAB, grey is that of rgb2gray, the second scale is
imresize's, and a picture is cut to whole blocks at its right and bottom. Where a neighbourhood is
constant their release goes by the sign of what rounding leaves; here that is 0, so that the value
does not depend on the machine. Pictures with large constant areas differ from theirs for it.
"""

import math
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from livemoments.errors import InputError
from livemoments.files import reading
from livemoments.lab.fetch import Package, fetch_once
from livemoments.lab.metrics.metric import size

PACKAGE = Package(client="pip", name="mmagic", version="1.2.0")
SHA256 = {
    "mmagic/evaluation/metrics/niqe_pris_params.npz": (
        "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296"
    )
}
BLOCK_PX = 96
FEATURES = 36
WINDOW_PX, SIGMA_PX = 7, 7 / 6
GREY = (0.299, 0.587, 0.114)
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows and columns to the other of a product
ROUNDING = 1e-9  # of normalised pixels: a real difference leaves more
# MATLAB's bicubic at half size, with the kernel widened against aliasing: the same eight weights
# for every pixel.
HALVING = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256


@dataclass(frozen=True, kw_only=True)
class Pristine:
    """The features of pristine pictures."""

    mean: np.ndarray  # (36,)
    covariance: np.ndarray  # (36, 36)


def fetch_pristine(folder: Path) -> Path:
    """Fetch the authors' model into a folder, once (1.4 MB); return its path."""
    return fetch_once(PACKAGE, SHA256, folder / PACKAGE.key)[0]


def read_pristine(path: Path) -> Pristine:
    """Read what fetch_pristine fetched.

    Raises:
        MissingFileError: it is not there.
        DamagedFileError: it is something else.
    """
    with reading(path, "the pristine model of NIQE"):
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                mean, covariance = arrays["mu_pris_param"], arrays["cov_pris_param"]
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from error
        return Pristine(
            mean=mean.reshape(FEATURES), covariance=covariance.reshape(FEATURES, FEATURES)
        )


def niqe(picture: np.ndarray, pristine: Pristine) -> float:
    """Return NIQE of RGB H x W x 3 in [0, 1]; some 2 to 10, lower is better.

    Raises:
        InputError: it holds fewer than two blocks that are not flat.
    """
    found = block_features(picture)
    whole = found[~np.isnan(found).any(axis=1)]
    if len(whole) < 2:
        raise InputError(
            f"NIQE needs two blocks of {BLOCK_PX} x {BLOCK_PX} pixels that are not flat, "
            f"found {len(whole)} in {size(picture)}; give a larger picture"
        )
    # Flat blocks count for the mean, where they have a number, and not for the covariance: nanmean
    # and nancov of the authors' release.
    away = np.nanmean(found, axis=0) - pristine.mean
    covariance = (pristine.covariance + np.cov(whole, rowvar=False)) / 2
    return float(np.sqrt(away @ np.linalg.pinv(covariance) @ away))  # Eq. 10


def block_features(picture: np.ndarray) -> np.ndarray:
    """Return the features (blocks, 36) of RGB H x W x 3 in [0, 1]; NaN for flat blocks."""
    rows, columns = (side // BLOCK_PX for side in picture.shape[:2])
    if not rows * columns:
        raise InputError(
            f"NIQE needs sides of at least {BLOCK_PX} pixels, got {size(picture)}; "
            "give a larger picture"
        )
    inside = picture[: rows * BLOCK_PX, : columns * BLOCK_PX]
    grey = np.rint(inside.astype(np.float64) @ np.array(GREY) * 255)
    scales = [
        _scale_features(_blocks(_normalised(each), side))
        for each, side in ((grey, BLOCK_PX), (halved(grey), BLOCK_PX // 2))
    ]
    return np.concatenate(scales, axis=1)


def halved(grey: np.ndarray) -> np.ndarray:
    """Halve H x W, both even, as MATLAB's imresize(grey, 0.5): bicubic, against aliasing."""
    for axis in (0, 1):
        count = grey.shape[axis] // 2
        padding = [(3, 3) if each == axis else (0, 0) for each in (0, 1)]
        wide = np.moveaxis(np.pad(grey, padding, mode="symmetric"), axis, 0)
        terms = (w * wide[i : i + 2 * count : 2] for i, w in enumerate(HALVING))
        grey = np.moveaxis(np.sum(list(terms), axis=0), 0, axis)
    return np.ascontiguousarray(grey)


def _normalised(grey: np.ndarray) -> np.ndarray:
    """Apply Eq. 1: each pixel of H x W less the mean around it, by the deviation around it."""
    mean, square = (
        cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), SIGMA_PX, borderType=cv2.BORDER_REPLICATE)
        for values in (grey, grey * grey)
    )
    found = (grey - mean) / (np.sqrt(np.abs(square - mean * mean)) + 1)
    return np.where(np.abs(found) < ROUNDING, 0, found)


def _blocks(values: np.ndarray, side: int) -> np.ndarray:
    """Cut H x W into squares (blocks, side, side)."""
    rows, columns = (length // side for length in values.shape)
    grid = values.reshape(rows, side, columns, side).swapaxes(1, 2)
    return grid.reshape(rows * columns, side, side)


def _scale_features(blocks: np.ndarray) -> np.ndarray:
    """Return the features (n, 18) of blocks (n, side, side) on one scale."""
    shape, _, left, right = _fitted(blocks)
    found = [shape, (left + right) / 2]
    for move in NEIGHBOURS:
        found += _fitted(blocks * np.roll(blocks, move, axis=(1, 2)))
    return np.stack(found, axis=1)


def _fitted(blocks: np.ndarray) -> list[np.ndarray]:
    """Fit asymmetric generalised Gaussians to blocks, by moments (Eqs. 5 to 8).

    Returns shape, mean, and the scales to the left and to the right of 0, each (n,); flat blocks
    have the least shape, as in the authors' release, and NaN for the rest.
    """
    values = blocks.reshape(len(blocks), -1)
    squares = values * values
    with np.errstate(divide="ignore", invalid="ignore"):  # of flat blocks
        left, right = (
            np.sqrt(np.sum(squares, axis=1, where=side) / np.sum(side, axis=1))
            for side in (values < 0, values > 0)
        )
        ratio = left / right
        peaked = np.abs(values).mean(axis=1) ** 2 / squares.mean(axis=1)
        peaked = peaked * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
        shapes, expected, scale, lean = _shapes()
        after = np.clip(np.searchsorted(expected, peaked), 1, len(shapes) - 1)
        nearer = after - (peaked - expected[after - 1] <= expected[after] - peaked)
        best = np.where(np.isnan(peaked), 0, nearer)
        left, right = left * scale[best], right * scale[best]
        return [shapes[best], (right - left) * lean[best], left, right]


@cache
def _shapes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List shapes to try, with the moments' ratio, scale by deviation and mean by scale of each."""
    shapes = np.arange(0.2, 10.001, 0.001)
    one, two, three = (np.array([math.gamma(k / shape) for shape in shapes]) for k in (1, 2, 3))
    return shapes, two**2 / (one * three), np.sqrt(one / three), two / one
