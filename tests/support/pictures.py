"""Pictures for tests: textured, made of numbers alone, and what cameras do to them."""

from pathlib import Path

import cv2
import numpy as np


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Discs of every size over each other: edges at all scales. float32 RGB in [0, 1]."""
    rng = np.random.default_rng(seed)
    image = np.full((2 * height, 2 * width, 3), 128, np.uint8)
    for radius in np.geomspace(max(height, width) * 0.6, 2.5, 1500):
        centre = (int(rng.integers(2 * width)), int(rng.integers(2 * height)))
        cv2.circle(image, centre, int(radius), rng.integers(0, 256, 3).tolist(), -1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def noise_picture(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """Independent uniform values, float32 H x W x C in [0, 1)."""
    return np.random.default_rng(seed).random((height, width, channels), np.float32)


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft blobs some 16 px wide, without edges: a picture that can be interpolated exactly."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 16 + 3, width // 16 + 3, 3), np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def as_bytes(image: np.ndarray) -> np.ndarray:
    """float RGB in [0, 1] as uint8."""
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


def write_photographs(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """0.png, 1.png, ... of these (height, width) in a folder, as training finds photographs."""
    for i, (height, width) in enumerate(sizes):
        cv2.imwrite(str(folder / f"{i}.png"), as_bytes(scene(height, width, seed=i))[..., ::-1])
    return folder


def view(image: np.ndarray, homography: np.ndarray, height: int, width: int) -> np.ndarray:
    """What a camera sees whose pixels the homography maps to the image's; with little aliasing."""
    over = 3
    from_fine = np.asarray(homography) @ np.array(
        [[1 / over, 0, 0.5 / over - 0.5], [0, 1 / over, 0.5 / over - 0.5], [0, 0, 1]]
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    fine = cv2.warpPerspective(
        image,
        from_fine,
        (over * width, over * height),
        flags=flags,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.clip(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), 0, 1)


def spoil(
    image: np.ndarray, *, blur_px: float = 0.6, noise: float = 0.015, gamma: float = 1.0,
    gain: float = 1.0, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """Blur, another tone, and noise; float32 of the same size, rounded to 8 bits."""
    out = (
        gain * cv2.GaussianBlur(image, (0, 0), blur_px) ** gamma if blur_px else gain * image**gamma
    )
    out = out + noise * np.random.default_rng(seed).standard_normal(image.shape, np.float32)
    return as_bytes(out).astype(np.float32) / 255


def corners(height: int, width: int) -> np.ndarray:
    """The outermost pixels' centres, 1 x 4 x 2."""
    x, y = width - 1, height - 1
    return np.array([[[0, 0], [x, 0], [x, y], [0, y]]], np.float64)


def corner_error(found: np.ndarray, true: np.ndarray, height: int, width: int) -> float:
    """How far apart two homographies bring the corners of a view at most, in target pixels."""
    points = corners(height, width)
    gap = cv2.perspectiveTransform(
        points, np.asarray(found, np.float64)
    ) - cv2.perspectiveTransform(points, np.asarray(true, np.float64))
    return float(np.linalg.norm(gap, axis=-1).max())


def psnr(first: np.ndarray, second: np.ndarray, border: int = 0) -> float:
    """Peak signal to noise of two pictures in [0, 1], dB, without so many pixels at the border."""
    inner = (slice(border, first.shape[0] - border), slice(border, first.shape[1] - border))
    return float(
        -10 * np.log10(np.mean(np.square(np.float64(first[inner]) - second[inner])) + 1e-12)
    )


def assert_same_scene(first, second) -> None:
    """Two training scenes are the same; what was estimated of them, to rounding."""
    for name, value in vars(first).items():
        tolerance = 1e-3 if name in ("flow", "confidence") else 0
        np.testing.assert_allclose(
            value, getattr(second, name), rtol=tolerance, atol=tolerance, err_msg=name
        )
