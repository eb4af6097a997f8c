"""Make a photo and a tile to measure with, where the user gives none."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from livemoments.align.flow import pixel_grid
from livemoments.errors import ConfigError
from livemoments.imaging.pixels import as_bytes, reduce
from livemoments.jobs.demo.clip import encode_mp4
from livemoments.livephoto.writing.motion_photo_xmp import packet_of_jpeg_and_clip
from livemoments.models.tile import TileInput
from livemoments.progress import Progress

STILL_SIZE = (4032, 3024)  # width, height: what most phones take
CLIP_SIZE = (1920, 1440)
CLIP_FRAMES = 30
CLIP_FPS = 30
KEY_FRAME = 15
PICKED_FRAME = 26  # 0.37 s after the key photo


def still_size(megapixels: float) -> tuple[int, int]:
    """Return width and height, even and 4 : 3, of a still of so many megapixels.

    Raises:
        ConfigError: it would be too small to measure by, or larger than any phone's.
    """
    if not 1 <= megapixels <= 200:
        raise ConfigError(f"megapixels must be from 1 to 200, got {megapixels:g}")
    height = 2 * round((megapixels * 1e6 * 3 / 4) ** 0.5 / 2)
    return 2 * round(height * 4 / 3 / 2), height


def make_motion_photo(
    path: Path, progress: Progress | None = None, *, still_size: tuple[int, int] | None = None
) -> Path:
    """Write a Motion Photo: detail at all scales, seen by a slowly moving camera.

    Its still has 12 megapixels, or still_size (width, height). It is nothing to look at, but costs
    what a phone's picture costs.
    """
    width, height = still_size or STILL_SIZE
    scene = _scene(width + 400, height + 300)
    small = reduce(scene, CLIP_SIZE[0] / width)
    views = []
    for index in range(CLIP_FRAMES):
        views.append(_view(small, index, CLIP_SIZE))
        if progress:
            progress("making a photo", index + 1, CLIP_FRAMES)
    clip = encode_mp4(iter(views), [index / CLIP_FPS for index in range(CLIP_FRAMES)])
    xmp = packet_of_jpeg_and_clip(len(clip), KEY_FRAME * 1_000_000 // CLIP_FPS)
    still = Image.fromarray(_view(scene, KEY_FRAME, (width, height)))
    with path.open("wb") as photo:
        still.save(photo, "JPEG", quality=95, xmp=xmp)
        photo.write(clip)
    return path


def make_tile(size_px: int) -> TileInput:
    """Make a tile whose key photo lies a few pixels aside."""
    frame = np.random.default_rng(1).random((size_px, size_px, 3), np.float32)
    return TileInput(
        frame=frame,
        reference=np.roll(frame, (3, 5), (0, 1)),
        positions=pixel_grid(size_px, size_px) + np.array([5, 3], np.float32),
        confidence=np.ones((size_px, size_px), np.float32),
    )


def _scene(width: int, height: int) -> np.ndarray:
    """Make a picture uint8 height x width x 3 with detail at every scale, and some hard edges."""
    rng = np.random.default_rng(0)
    scene = np.zeros((height, width), np.float32)
    for octave in range(10):
        rough = rng.standard_normal((-(-height >> octave) + 1, -(-width >> octave) + 1), np.float32)
        # At every scale about as much as in photographs, where amplitude falls with frequency.
        scene += 2.0 ** (0.5 * octave) * cv2.resize(rough, (width, height))
    scene /= 5 * scene.std()
    scene += 0.12 * np.sign(cv2.GaussianBlur(scene, (0, 0), 4))  # as of leaves against the sky
    tint = rng.uniform(0.7, 1.0, (12, 16, 3)).astype(np.float32)
    return as_bytes((0.6 + scene)[..., None] * cv2.resize(tint, (width, height)))


def _view(scene: np.ndarray, index: int, size: tuple[int, int]) -> np.ndarray:
    """Return what the camera sees in a frame: the scene, panned and turned more each time."""
    width, height = size
    late = index - KEY_FRAME
    centre = scene.shape[1] / 2, scene.shape[0] / 2
    turn = cv2.getRotationMatrix2D(centre, 0.05 * late, 1.0)
    turn[:, 2] += width / 2 - centre[0] - width * 0.001 * late, height / 2 - centre[1]
    return cv2.warpAffine(scene, turn, size, borderMode=cv2.BORDER_REFLECT)
