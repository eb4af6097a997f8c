"""Measure how a picture looks, in numbers: noise, sharpness by frequency, blocks, halos.

Each number is measured in chosen places of one picture, so that two pictures of one scene can be
compared there. Lengths are in the picture's own pixels, frequencies in cycles per pixel (0.5 is the
finest). Luma is BT.601's of gamma-coded RGB.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from livemoments.imaging.pixels import grey

BLOCK_PX = 8  # of JPEG; the blocks of H.264 and HEVC begin where these do
FLAT_PX = 16  # side of the places that are flat or not
FLAT_SHARE = 0.25  # of them, the flattest: where noise is measured
UNCLIPPED = (0.03, 0.97)  # mean luma within which noise is not cut off
PATCH_PX = 64  # of the spectrum
PATCH_TRUSTED = 0.9  # share of a patch that must be among the chosen places
BASE_BAND = (0.02, 0.1)  # what the other bands are relative to
BANDS = {"low band": (0.1, 0.25), "mid band": (0.25, 0.4), "high band": (0.4, 0.5)}
STRONG_SHARE = 0.01  # of the pixels, those with the strongest gradient: where halos are looked for
MOST_EDGES = 20_000  # of them; OpenCV reads no more than 32,766 profiles at once
NEAR_PX, FAR_PX = (1, 4), (5, 7)  # of an edge: where it overshoots, and its level
EDGE_HEIGHT = 0.04  # of luma; lower ones are texture


class Statistic(NamedTuple):
    """What one of the numbers is called and means."""

    name: str
    unit: str
    meaning: str

    @property
    def title(self) -> str:
        """The name with its unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


STATISTICS = (
    Statistic("noise", "1/255", "robust sigma of the finest diagonal Haar band in flat places"),
    Statistic("low band", "dB", "luma energy at 0.1-0.25 cycles/px, relative to 0.02-0.1"),
    Statistic("mid band", "dB", "luma energy at 0.25-0.4 cycles/px, relative to 0.02-0.1"),
    Statistic("high band", "dB", "luma energy at 0.4-0.5 cycles/px, relative to 0.02-0.1"),
    Statistic("slope", "", "exponent with which luma power falls with frequency"),
    Statistic("blockiness", "", "mean step across 8-px block borders over that elsewhere; 1: none"),
    Statistic("halo", "", "overshoot next to the strongest edges, relative to their height"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Appearance:
    """What was measured of one picture."""

    values: dict[str, float]  # by the names of `STATISTICS`
    spectrum: np.ndarray  # mean luma power of `frequencies()`, float64, arbitrary units


def measure_appearance(picture: np.ndarray, places: np.ndarray) -> Appearance:
    """Measure every statistic of a float32 RGB picture H x W x 3 in [0, 1] in places (bool H x W).

    Sides must be 64 px or more. A statistic with too few places is measured in the whole picture.
    """
    luma = grey(picture)
    spectrum = mean_spectrum(luma, places)
    values = {
        "noise": 255 * noise_sigma(luma, places),
        **band_energies(spectrum),
        "slope": spectral_slope(spectrum),
        "blockiness": blockiness(luma, places),
        "halo": halo(luma, places),
    }
    return Appearance(values=values, spectrum=spectrum)


def noise_sigma(luma: np.ndarray, places: np.ndarray) -> float:
    """Measure the deviation of white noise in the flattest quarter of the places, luma in [0, 1].

    The median absolute value of the finest diagonal Haar coefficients over 0.6745 (Donoho and
    Johnstone, Biometrika 81, 1994). Flat is what has little gradient after a blur, so that the
    noise itself does not choose.
    """
    height, width = (side // FLAT_PX * FLAT_PX for side in luma.shape)
    luma, places = luma[:height, :width], places[:height, :width]
    level = _block_means(luma)
    usable = _block_means(places.astype(np.float32)) == 1
    unclipped = usable & (level > UNCLIPPED[0]) & (level < UNCLIPPED[1])
    usable = unclipped if unclipped.any() else usable if usable.any() else np.ones_like(usable)
    slope = _block_means(_gradient(cv2.GaussianBlur(luma, (0, 0), 2.0))[0])
    flat = usable & (slope <= np.quantile(slope[usable], FLAT_SHARE))
    diagonal = (
        luma[::2, ::2] - luma[::2, 1::2] - luma[1::2, ::2] + luma[1::2, 1::2]
    ) / 2  # of unit norm: white noise keeps its sigma
    of_block = flat.repeat(FLAT_PX // 2, 0).repeat(FLAT_PX // 2, 1)
    return float(np.median(np.abs(diagonal[of_block])) / 0.6745)


def frequencies() -> np.ndarray:
    """Return the frequencies of a spectrum, cycles per pixel: 1/64, 2/64 ... 1/2."""
    return np.arange(1, PATCH_PX // 2 + 1) / PATCH_PX


def mean_spectrum(luma: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Power by frequency, averaged over all directions and over patches within the places.

    Welch's method (1967) in two dimensions: patches of 64 px that overlap by half, under a Hann
    window, without their mean. float64 of 32 values, see `frequencies`.
    """
    patches, chosen = (
        np.lib.stride_tricks.sliding_window_view(plane, (PATCH_PX, PATCH_PX))[
            :: PATCH_PX // 2, :: PATCH_PX // 2
        ].reshape(-1, PATCH_PX, PATCH_PX)
        for plane in (luma.astype(np.float64), places)
    )
    shares = chosen.mean((1, 2))
    patches = patches[shares >= min(PATCH_TRUSTED, float(shares.max()))]
    window = np.outer(*[np.hanning(PATCH_PX + 1)[:-1]] * 2)
    window /= window.sum()
    means = (patches * window).sum((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2((patches - means) * window)) ** 2).mean(0)
    rings, counts = _rings()
    return np.bincount(rings.ravel(), power.ravel())[1 : PATCH_PX // 2 + 1] / counts


def band_energies(spectrum: np.ndarray) -> dict[str, float]:
    """Return the energy of each of BANDS, dB relative to that of 0.02 to 0.1 cycles per pixel."""
    energy = spectrum * _rings()[1]
    f = frequencies()

    def within(band: tuple[float, float]) -> float:
        return float(energy[(f > band[0]) & (f <= band[1])].sum()) + 1e-15

    base = within(BASE_BAND)
    return {name: 10 * float(np.log10(within(band) / base)) for name, band in BANDS.items()}


def spectral_slope(spectrum: np.ndarray) -> float:
    """Fit the exponent of power ~ frequency^slope from 0.02 up, every octave with the same weight.

    About -2 for photographs (Field, JOSA A 4, 1987), less where blur has emptied the top.
    """
    f = frequencies()
    counted = f > BASE_BAND[0]
    x, y = np.log10(f[counted]), np.log10(spectrum[counted] + 1e-15)
    return float(np.polyfit(x, y, 1, w=np.sqrt(1 / f[counted]))[0])


def blockiness(luma: np.ndarray, places: np.ndarray) -> float:
    """Mean absolute step across the borders of 8-px blocks over that elsewhere; 1 for no blocks.

    After Wang, Sheikh and Bovik (ICIP 2002). Where the blocks begin is not known: the largest ratio
    of the 8 phases counts, of rows and of columns apart; their mean is returned.
    """
    ratios = []
    for values, chosen in ((luma, places), (luma.T, places.T)):
        both = chosen[:, 1:] & chosen[:, :-1]
        if not both.any():
            both = np.ones_like(both)
        steps = (np.abs(np.diff(values, axis=1)) * both).sum(0, dtype=np.float64)
        counts = both.sum(0)
        phase = np.arange(len(steps)) % BLOCK_PX
        by_phase, of_phase = np.bincount(phase, steps), np.bincount(phase, counts)
        rest = (steps.sum() - by_phase) / np.maximum(counts.sum() - of_phase, 1)
        ratios.append(float(((by_phase / np.maximum(of_phase, 1) + 1e-6) / (rest + 1e-6)).max()))
    return float(np.mean(ratios))


def halo(luma: np.ndarray, places: np.ndarray) -> float:
    """Measure how far luma overshoots next to its strongest edges, relative to their height.

    Of the 1 % strongest gradients the profile across the edge is read: what lies 5 to 7 px off is
    its level, the extremes 1 to 4 px off overshoot it or do not. Mean of both sides, in [0, 1];
    texture next to an edge counts too, so it is above 0 for any photograph.
    """
    strength, along_x, along_y = _gradient(luma)
    inner = np.zeros_like(places)
    rim = FAR_PX[1] + 1
    inner[rim:-rim, rim:-rim] = True
    inner = inner & places if (inner & places).any() else inner
    y, x = np.nonzero(inner)
    count = min(max(round(STRONG_SHARE * len(y)), 1), MOST_EDGES)
    strongest = np.argpartition(strength[y, x], -count)[-count:]
    y, x = y[strongest], x[strongest]
    norm = np.maximum(strength[y, x], 1e-9)
    at = np.arange(-FAR_PX[1], FAR_PX[1] + 1, dtype=np.float32)
    profile = cv2.remap(
        luma,
        (x[:, None] + at * (along_x[y, x] / norm)[:, None]).astype(np.float32),
        (y[:, None] + at * (along_y[y, x] / norm)[:, None]).astype(np.float32),
        cv2.INTER_LINEAR,
    )  # N x 15, uphill
    middle = FAR_PX[1]
    high = profile[:, middle + FAR_PX[0] :].mean(1)
    low = profile[:, : middle - FAR_PX[0] + 1].mean(1)
    above = profile[:, middle + NEAR_PX[0] : middle + NEAR_PX[1] + 1].max(1) - high
    below = low - profile[:, middle - NEAR_PX[1] : middle - NEAR_PX[0] + 1].min(1)
    real = high - low > EDGE_HEIGHT
    if not real.any():
        return 0.0
    over = np.stack([above, below])[:, real] / (high - low)[real]
    return float(np.clip(over, 0, 1).mean())


def match_tone(picture: np.ndarray, model: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Give a picture the brightness and contrast of a model of the same view, RGB in [0, 1].

    One gain and one offset for all pixels: the mean and the standard deviation of the local means
    of luma (Gaussian, 4 px) become the model's, in places (bool, of the model's size). The picture
    may be denser than the model; what is finer than the local means has no part in it.
    """
    size = model.shape[1::-1]
    own = cv2.GaussianBlur(
        cv2.resize(grey(picture), size, interpolation=cv2.INTER_AREA), (0, 0), 4.0
    )[places]
    wanted = cv2.GaussianBlur(grey(model), (0, 0), 4.0)[places]
    # A plain place has no contrast to match.
    gain = float(np.clip((wanted.std() + 1e-3) / (own.std() + 1e-3), 0.25, 4))
    matched = (picture - own.mean()) * gain + wanted.mean()
    return np.clip(matched, 0, 1).astype(np.float32)


def _gradient(luma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradient's length, x and y, per pixel: each float32 H x W."""
    x, y = (cv2.Scharr(luma, cv2.CV_32F, *d) / 32 for d in ((1, 0), (0, 1)))
    return np.hypot(x, y), x, y


def _block_means(values: np.ndarray) -> np.ndarray:
    """Means of blocks of 16 px; the sides are multiples of that."""
    rows, columns = (side // FLAT_PX for side in values.shape)
    return values.reshape(rows, FLAT_PX, columns, FLAT_PX).mean((1, 3))


def _rings() -> tuple[np.ndarray, np.ndarray]:
    """Return the whole-numbered radius of each bin of a patch's transform, and their counts."""
    k = np.fft.fftfreq(PATCH_PX, 1 / PATCH_PX)
    radius = np.rint(np.hypot(k[:, None], k[None])).astype(int)
    return radius, np.bincount(radius.ravel())[1 : PATCH_PX // 2 + 1]
