"""Small sets for tests of the benchmark."""

from pathlib import Path

import cv2
import numpy as np

from support.makers import encode_clip
from support.pictures import as_bytes, scene

HEIGHT, WIDTH = 48, 64  # of a truth


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write float RGB in [0, 1]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), as_bytes(picture)[..., ::-1])
    return path


def write_pairs(
    folder: Path,
    names: str = "abc",
    *,
    truths: bool = True,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> Path:
    """A set without a manifest: NAME/{frame,key,truth}.png, the frame of half the size."""
    height, width = size
    for seed, name in enumerate(names):
        whole = scene(height + 8, width + 8, seed=seed)
        truth, key = whole[4:-4, 4:-4], whole[4:-4, 6:-2]
        frame = cv2.resize(truth, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        write_png(folder / name / "frame.png", frame)
        write_png(folder / name / "key.png", key)
        if truths:
            write_png(folder / name / "truth.png", truth)
    return folder


def panning(count: int = 24, speed_px: float = 1.5, seed: int = 4) -> list[np.ndarray]:
    """Pictures of a camera that pans over a texture, uint8 128 x 160 x 3."""
    texture = cv2.GaussianBlur(scene(240, 300, seed=seed), (0, 0), 0.7)
    moves = (np.float32([[1, 0, -40 - speed_px * i], [0, 1, -20]]) for i in range(count))
    return [as_bytes(cv2.warpAffine(texture, move, (160, 128))) for move in moves]


def write_video(path: Path, pictures: list[np.ndarray] | None = None, seed: int = 4) -> Path:
    """A clip of 30 pictures a second, that pans unless told otherwise."""
    pictures = panning(seed=seed) if pictures is None else pictures
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = tuple(i / 30 for i in range(len(pictures)))
    path.write_bytes(encode_clip(pictures, times_s=times_s, container="mp4"))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
