"""Degrade by Real-ESRGAN's two rounds (Wang et al., ICCVW 2021), at several strengths.

Each round blurs, resizes, adds noise and compresses; a sinc filter, before or after the last
compression, makes ringing. Sigmas and noise are of pixel values of 0 to 255, lengths in pixels.
"""

from dataclasses import dataclass
from math import pi

import cv2
import numpy as np

from livemoments.lab.training.data.codec import SIDE_PX, small_size, through_jpeg

Range = tuple[float, float]
SIZES = tuple(range(7, 22, 2))  # of kernels
RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
SHAPES = ("gaussian", "generalised", "plateau")
SHAPE_SHARES = (0.70, 0.15, 0.15)  # of the kernels that are no sinc filter
# Shares of each shape's kernels that are round: the same sigma both ways.
ROUND = {"gaussian": 0.45 / 0.70, "generalised": 0.12 / 0.15, "plateau": 0.12 / 0.15}
SINC_SHARE = 0.1


@dataclass(frozen=True)
class Round:
    """The ranges of one round."""

    blur_share: float
    blur_sigma: Range
    generalised: Range  # exponents of the generalised Gaussians
    plateau: Range  # exponents of the plateaus
    resize_shares: tuple[float, float, float]  # up, down, no resizing
    resize: Range
    noise: Range  # Gaussian, standard deviation
    poisson: Range
    quality: Range  # of JPEG


@dataclass(frozen=True, kw_only=True)
class Strength:
    """A preset: two rounds, and the size of the result."""

    first: Round
    second: Round
    grey_noise_share: float = 0.4
    gaussian_share: float = 0.5  # else Poisson
    final_sinc_share: float = 0.8
    scale: float = 2.0  # truth side / result side: Live Photos' clips, not the x4 of the papers


FIRST, SECOND = (0.2, 0.7, 0.1), (0.3, 0.4, 0.3)  # shares of resizing in the two rounds
SEESR = Strength(
    first=Round(1.0, (0.2, 3), (0.5, 4), (1, 2), FIRST, (0.15, 1.5), (1, 30), (0.05, 3), (30, 95)),
    second=Round(
        0.8, (0.2, 1.5), (0.5, 4), (1, 2), SECOND, (0.3, 1.2), (1, 25), (0.05, 2.5), (30, 95)
    ),
)
STABLESR = Strength(
    first=Round(
        1.0, (0.2, 1.5), (0.5, 2), (1, 1.5), FIRST, (0.3, 1.5), (1, 15), (0.05, 2), (60, 95)
    ),
    second=Round(
        0.5, (0.2, 1), (0.5, 2), (1, 1.5), SECOND, (0.6, 1.2), (1, 12), (0.05, 1), (60, 100)
    ),
)
MODERATE = Strength(
    first=Round(
        1.0, (0.2, 0.8), (0.5, 2), (1, 1.5), FIRST, (0.6, 1.25), (1, 8), (0.05, 1), (78, 97)
    ),
    second=Round(
        0.25, (0.2, 0.6), (0.5, 2), (1, 1.5), SECOND, (0.8, 1.1), (1, 6), (0.05, 0.5), (78, 100)
    ),
    final_sinc_share=0.4,
)
STRENGTHS = {"stablesr": STABLESR, "stablesr-moderate": MODERATE, "seesr": SEESR}


@dataclass(frozen=True, kw_only=True)
class TwoRounds:
    """One draw: everything else follows from the seed. A `degrade.Degrader`."""

    strength: Strength
    seed: int

    def __call__(
        self, truth: np.ndarray, velocity: np.ndarray | None = None, *, moving: bool = True
    ) -> np.ndarray:
        """See `degrade.Degrader`; velocity and moving play no part in this pipeline."""
        rng = np.random.default_rng(self.seed)
        size = list(small_size(truth.shape[1::-1], self.strength.scale))  # width, height
        x = self._round(truth, self.strength.first, rng, None)
        x = through_jpeg(x, round(rng.uniform(*self.strength.first.quality)))
        x = self._round(x, self.strength.second, rng, np.array(size))
        if rng.random() < 0.5:
            x = self._finish(x, size, rng)
            return through_jpeg(x, round(rng.uniform(*self.strength.second.quality)))
        x = through_jpeg(x, round(rng.uniform(*self.strength.second.quality)))
        x = self._finish(x, size, rng)
        return np.rint(np.clip(x, 0, 1) * 255).astype(np.float32) / 255

    def _round(
        self, x: np.ndarray, ranges: Round, rng: np.random.Generator, size: np.ndarray | None
    ) -> np.ndarray:
        """Blur, resize (relative to x, or to size: width, height) and noise."""
        if rng.random() < ranges.blur_share:
            x = cv2.filter2D(x, -1, draw_kernel(ranges, rng))
        up, down, _ = ranges.resize_shares
        which = rng.random()
        factor = 1.0
        if which < up:
            factor = rng.uniform(1, ranges.resize[1])
        elif which < up + down:
            factor = rng.uniform(ranges.resize[0], 1)
        base = np.array(x.shape[1::-1]) if size is None else size
        w, h = (max(SIDE_PX, int(n * factor)) for n in base)
        x = cv2.resize(x, (w, h), interpolation=int(rng.choice(RESIZERS)))
        return self._noisy(np.clip(x, 0, 1), ranges, rng)

    def _noisy(self, x: np.ndarray, ranges: Round, rng: np.random.Generator) -> np.ndarray:
        """Add Gaussian or Poisson noise, grey or coloured."""
        grey = rng.random() < self.strength.grey_noise_share
        if rng.random() < self.strength.gaussian_share:
            shape = (*x.shape[:2], 1) if grey else x.shape
            x = x + rng.uniform(*ranges.noise) / 255 * rng.standard_normal(shape, np.float32)
        else:
            light = x.mean(-1, keepdims=True) if grey else x
            photons = 2.0 ** np.ceil(np.log2(len(np.unique(np.rint(light * 255)))))
            noise = rng.poisson(light * photons).astype(np.float32) / photons - light
            x = x + rng.uniform(*ranges.poisson) * noise
        return np.clip(x, 0, 1).astype(np.float32)

    def _finish(self, x: np.ndarray, size: list[int], rng: np.random.Generator) -> np.ndarray:
        """Bring a picture to the final size, and make it ring."""
        x = cv2.resize(x, size, interpolation=int(rng.choice(RESIZERS)))
        if rng.random() < self.strength.final_sinc_share:
            x = cv2.filter2D(x, -1, sinc_kernel(int(rng.choice(SIZES)), rng.uniform(pi / 3, pi)))
        return np.clip(x, 0, 1)


def draw_two_rounds(strength: Strength, rng: np.random.Generator) -> TwoRounds:
    """Draw the parameters of a preset."""
    return TwoRounds(strength=strength, seed=int(rng.integers(1 << 30)))


def draw_kernel(ranges: Round, rng: np.random.Generator) -> np.ndarray:
    """Draw a blur kernel (k x k, sums to 1): sinc, or a round or stretched bump of `SHAPES`."""
    size = int(rng.choice(SIZES))
    if rng.random() < SINC_SHARE:
        return sinc_kernel(size, rng.uniform(pi / 3 if size < 13 else pi / 5, pi))
    shape = str(rng.choice(SHAPES, p=SHAPE_SHARES))
    sigma = rng.uniform(*ranges.blur_sigma)
    across, angle = sigma, 0.0
    if rng.random() > ROUND[shape]:
        across, angle = rng.uniform(*ranges.blur_sigma), rng.uniform(-pi, pi)
    power = {"gaussian": (1.0, 1.0), "generalised": ranges.generalised, "plateau": ranges.plateau}
    return bump_kernel(shape, size, (sigma, across), angle, rng.uniform(*power[shape]))


def bump_kernel(
    shape: str, size: int, sigmas: tuple[float, float], angle: float, power: float
) -> np.ndarray:
    """Make exp(-q^p / 2), or 1 / (1 + q^p) for a plateau, q the squared distance in sigmas."""
    at = np.arange(size, dtype=np.float64) - size // 2
    x, y = np.meshgrid(at, at)
    along = (np.cos(angle) * x + np.sin(angle) * y) / sigmas[0]
    across = (np.cos(angle) * y - np.sin(angle) * x) / sigmas[1]
    q = (along**2 + across**2) ** power
    kernel = 1 / (1 + q) if shape == "plateau" else np.exp(-q / 2)
    return (kernel / kernel.sum()).astype(np.float32)


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """Make a circular low-pass (size x size, sums to 1) of a cutoff frequency in rad/px."""
    at = np.arange(size, dtype=np.float64) - size // 2
    radius = np.hypot(*np.meshgrid(at, at))
    kernel = np.full_like(radius, cutoff**2 / (4 * pi))  # the limit in the middle
    far = radius > 0
    kernel[far] = cutoff * bessel_j1(cutoff * radius[far]) / (2 * pi * radius[far])
    return (kernel / kernel.sum()).astype(np.float32)


def bessel_j1(x: np.ndarray) -> np.ndarray:
    """Evaluate the Bessel function J1 by its integral: 1/pi int_0^pi cos(t - x sin t) dt."""
    t = (np.arange(256) + 0.5) * (pi / 256)  # the midpoint rule is exact here up to rounding
    return np.cos(t - np.asarray(x)[..., None] * np.sin(t)).mean(-1)
