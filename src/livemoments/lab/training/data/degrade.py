"""Degrade a sharp view as a phone's video pipeline does, by random but repeatable parameters.

docs/training.md describes the presets. `live-photo` is ours: one round, in a phone's order. The
others are two rounds of Real-ESRGAN. Frame and key frame share one draw (paper, section 3.4.1).
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from livemoments.align.flow import pixel_grid, sample
from livemoments.errors import ConfigError
from livemoments.lab.training.data import realesrgan
from livemoments.lab.training.data.codec import compress_clip, compress_jpeg, small_size

BLUR_VIEWS = 9  # of which the motion blur is the mean
PAST = 2  # pictures before the frame, for the denoiser and the codec


class Degrader(Protocol):
    """One draw of a preset's parameters."""

    def __call__(
        self, truth: np.ndarray, velocity: np.ndarray | None = None, *, moving: bool = True
    ) -> np.ndarray:
        """Make the clip's picture of a truth: float32 RGB H x W x 3 in [0, 1] -> h x w x 3.

        h and w are even, about H and W over the preset's scale. velocity (H x W x 2, px) says which
        way things move, and how fast relative to each other; without it all move the same way.
        moving is False for the key frame, a still moment: no motion blur. The same draw gives the
        same picture.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """A phone's video. Lengths are in pixels of the truth unless they say 'small'."""

    scale: float  # truth side / clip side
    blur_px: float  # optics and reduction, sigma
    motion_px: float  # mean length of the frame's motion blur, 0 for none
    motion_angle: float  # radians, where no velocity is given
    drift_px: float  # mean motion from one picture of the clip to the next
    noise: float  # standard deviation of sensor noise in the small picture, of 1
    temporal: float  # share of the past in the denoised picture, 0 for none
    denoise: float  # range sigma of the edge-preserving denoiser, 0 for none, of 1
    sharpen: float  # amount of the halo-making unsharp mask, 0 for none
    codec: str  # "h264", "hevc", "jpeg" or "none"
    bits_per_pixel: float  # of the video's predicted pictures
    quality: int  # of JPEG
    seed: int  # of the noise

    def __call__(
        self, truth: np.ndarray, velocity: np.ndarray | None = None, *, moving: bool = True
    ) -> np.ndarray:
        """See `Degrader`."""
        per_length = self._per_length(truth.shape[:2], velocity)
        x = truth
        if moving and self.motion_px:
            x = motion_blurred(x, per_length * np.float32(self.motion_px))
        x = cv2.GaussianBlur(x, (0, 0), self.blur_px)
        h, w = small_size(truth.shape[:2], self.scale)
        x = cv2.resize(x, (w, h), interpolation=cv2.INTER_AREA)
        drift = cv2.resize(per_length, (w, h), interpolation=cv2.INTER_AREA)
        drift = drift * np.float32(self.drift_px / self.scale)
        clip = self._seen(x, drift, np.random.default_rng([self.seed, int(moving)]))
        if self.codec in ("h264", "hevc"):
            small, _ = compress_clip(clip, self.codec, self.bits_per_pixel)
        elif self.codec == "jpeg":
            small = compress_jpeg(clip[-1], self.quality)
        else:
            small = clip[-1]
        return np.ascontiguousarray(small, np.float32) / 255

    def _per_length(self, shape: tuple[int, int], velocity: np.ndarray | None) -> np.ndarray:
        """Return the motion, of mean length 1 and nowhere over 3: float32 H x W x 2."""
        if velocity is not None:
            lengths = np.hypot(velocity[..., 0], velocity[..., 1])
            if lengths.mean() > 0.05:
                capped = np.minimum(1, 3 * lengths.mean() / (lengths + 1e-6))[..., None]
                return (velocity * capped / lengths.mean()).astype(np.float32)
        one = np.array([np.cos(self.motion_angle), np.sin(self.motion_angle)], np.float32)
        return np.broadcast_to(one, (*shape, 2)).copy()

    def _seen(
        self, still: np.ndarray, drift: np.ndarray, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Make the last pictures of the small clip for the encoder, uint8; the frame last."""
        h, w = still.shape[:2]
        grid, clip = pixel_grid(h, w), []
        before: np.ndarray | None = None
        # More noise in the dark parts after the tone curve; a third of it common to the channels.
        strength = self.noise * (1.3 - 0.6 * still.mean(-1, keepdims=True))
        past = PAST if self.temporal or self.codec in ("h264", "hevc") else 0
        for back in range(past, -1, -1):
            x = sample(still, grid + drift * back, cv2.INTER_LINEAR) if back else still
            noise = rng.standard_normal(x.shape, np.float32)
            noise = noise + 0.6 * rng.standard_normal((h, w, 1), np.float32)
            x = np.clip(x + strength * noise, 0, 1).astype(np.float32)
            if before is not None and self.temporal:
                x = _mix(x, sample(before, grid - drift, cv2.INTER_LINEAR), self.temporal)
            before = x
            if self.denoise:
                x = cv2.bilateralFilter(x, 5, self.denoise, 3)
            if self.sharpen:
                x = x + self.sharpen * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
            clip.append(np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8))
        return clip


def draw_live_photo(rng: np.random.Generator, scale: float | None = None) -> Degradation:
    """Draw parameters like those of real Live Photos' clips; scale where it is not to be drawn."""
    if scale is None:
        scale = rng.uniform(1.8, 2.4) if rng.random() < 0.45 else rng.uniform(1.5, 4.2)
    motion_px = rng.uniform(1, 3.2 * scale) if rng.random() < 0.4 else 0.0
    return Degradation(
        scale=scale,
        # In proportion to the scale: small pictures of different phones are about equally soft.
        blur_px=scale * rng.uniform(0.15, 0.8),
        motion_px=motion_px,
        motion_angle=rng.uniform(0, np.pi),
        # A shutter is open for part of the time between two pictures.
        drift_px=motion_px / rng.uniform(0.25, 0.9) if motion_px else rng.uniform(0, 2) * scale,
        noise=rng.uniform(0, 5) / 255,
        temporal=rng.uniform(0.2, 0.7) if rng.random() < 0.4 else 0.0,
        denoise=rng.uniform(5, 25) / 255 if rng.random() < 0.5 else 0.0,
        sharpen=rng.uniform(0.1, 0.9) if rng.random() < 0.4 else 0.0,
        codec=str(rng.choice(["h264", "hevc", "jpeg", "none"], p=[0.4, 0.2, 0.3, 0.1])),
        bits_per_pixel=float(np.exp(rng.uniform(np.log(0.07), np.log(0.5)))),
        quality=int(rng.integers(40, 91)),
        seed=int(rng.integers(1 << 30)),
    )


PRESETS = ("live-photo", "live-photo-x2", "stablesr", "stablesr-moderate", "seesr")


def draw_degradation(rng: np.random.Generator, preset: str = "live-photo") -> Degrader:
    """Draw the parameters of a preset of `PRESETS`; ConfigError for another name."""
    check_preset(preset)
    if preset in realesrgan.STRENGTHS:
        return realesrgan.draw_two_rounds(realesrgan.STRENGTHS[preset], rng)
    return draw_live_photo(rng, scale=2.0 if preset == "live-photo-x2" else None)


def check_preset(preset: str) -> None:
    """Raise ConfigError for a name that is not in `PRESETS`."""
    if preset not in PRESETS:
        raise ConfigError(f"degradation {preset!r}: no such preset; there are {', '.join(PRESETS)}")


def motion_blurred(image: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Average an image (H x W x 3) along each pixel's path (H x W x 2, px), centred on it."""
    total = np.zeros_like(image)
    grid = pixel_grid(*image.shape[:2])
    for share in np.linspace(-0.5, 0.5, BLUR_VIEWS, dtype=np.float32):
        total += sample(image, grid + share * path, cv2.INTER_LINEAR)
    return total / BLUR_VIEWS


def _mix(now: np.ndarray, past: np.ndarray, share: float) -> np.ndarray:
    """Mix in the past where it looks similar, as a phone's denoiser over time does."""
    difference = cv2.GaussianBlur(np.abs(now - past).mean(-1), (0, 0), 1.0)[..., None]
    weight = np.exp(-np.square(difference / 0.06)) * np.float32(share)
    return (now + weight * (past - now)).astype(np.float32)
