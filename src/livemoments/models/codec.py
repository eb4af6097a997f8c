"""Encode pictures for the compact model without loss: pixels unshuffled by 4, in numpy."""

import numpy as np

FOLD = 4


def encode(image: np.ndarray) -> np.ndarray:
    """Turn (B, 3, H, W) into (B, 48, H/4, W/4), channel order as torch's pixel_unshuffle."""
    b, c, h, w = image.shape
    cells = image.reshape(b, c, h // FOLD, FOLD, w // FOLD, FOLD)
    return np.ascontiguousarray(cells.transpose(0, 1, 3, 5, 2, 4)).reshape(
        b, c * FOLD * FOLD, h // FOLD, w // FOLD
    )


def decode(latent: np.ndarray) -> np.ndarray:
    """Undo `encode`."""
    b, c, h, w = latent.shape
    cells = latent.reshape(b, c // FOLD**2, FOLD, FOLD, h, w).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(cells).reshape(b, c // FOLD**2, h * FOLD, w * FOLD)
