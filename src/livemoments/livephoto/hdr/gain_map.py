"""Describe a gain map: how much brighter than SDR each place may be shown, in stops.

The convention of Ultra HDR 1.1 and ISO 21496-1, into which Apple's maps are turned:

    stops = min + (max - min) * value ^ (1 / gamma)                        value in [0, 1]
    HDR   = (SDR + offset_sdr) * 2 ^ (weight * stops) - offset_hdr         linear light, SDR white 1
    weight = (log2 display - capacity_min) / (capacity_max - capacity_min)   clipped to [0, 1]

developer.android.com/media/platform/hdr-image-format
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from livemoments.errors import DamagedFileError

RGB = tuple[float, float, float]
MOST_STOPS = 16.0  # libultrahdr's own range is -14.3 to 15.6
MOST_GAMMA = 16.0
MAX_HEADROOM = 8.0  # of Apple's maps: three stops, as their maker note's formula has it


@dataclass(frozen=True, kw_only=True)
class GainMap:
    """A gain map, upright, as large or smaller than its picture, whose whole view it covers."""

    values: np.ndarray  # float32 h x w, or h x w x 3 for red, green and blue; in [0, 1]
    min_stops: RGB  # of each channel, at value 0
    max_stops: RGB  # at value 1
    gamma: RGB = (1.0, 1.0, 1.0)  # the exponent that values were stored with
    offset_sdr: RGB = (0.0, 0.0, 0.0)  # added to the linear SDR picture before the gain
    offset_hdr: RGB = (0.0, 0.0, 0.0)  # subtracted after it
    capacity_min: float = 0.0  # log2 of a display's white over SDR white, to apply any gain
    capacity_max: float  # likewise, to apply all of it

    @property
    def height(self) -> int:
        """Rows of values."""
        return self.values.shape[0]

    @property
    def width(self) -> int:
        """Columns of values."""
        return self.values.shape[1]

    @property
    def channels_equal(self) -> bool:
        """Whether red, green and blue have the same numbers, though perhaps other values."""
        channels = (self.min_stops, self.max_stops, self.gamma, self.offset_sdr, self.offset_hdr)
        return all(len(set(each)) == 1 for each in channels)

    def stops(self) -> np.ndarray:
        """Return the gain of every place, float32 like values, in stops."""
        low, high, gamma = map(self._channels, (self.min_stops, self.max_stops, self.gamma))
        return low + (high - low) * self.values ** (1 / gamma)

    def with_stops(self, stops: np.ndarray) -> "GainMap":
        """Return a map with other gains, of any size, clipped to what this one can express."""
        low, high, gamma = map(self._channels, (self.min_stops, self.max_stops, self.gamma))
        share = (stops - low) / np.maximum(high - low, np.float32(1e-6))
        values = np.clip(share, 0, 1).astype(np.float32) ** gamma
        return replace(self, values=values)

    def _channels(self, numbers: RGB) -> np.ndarray:
        return np.array(numbers if self.values.ndim == 3 else numbers[0], np.float32)


def check_gain_map(gain_map: GainMap) -> GainMap:
    """Return a gain map read from a file, once its numbers are sound.

    Raises:
        DamagedFileError: They are not.
    """
    channels = zip(gain_map.min_stops, gain_map.max_stops, gain_map.gamma, strict=True)
    for low, high, gamma in channels:
        if not -MOST_STOPS <= low <= high <= MOST_STOPS:
            raise DamagedFileError(f"its gain map goes from {low:.3g} to {high:.3g} stops")
        if not 0 < gamma <= MOST_GAMMA:
            raise DamagedFileError(f"its gain map has gamma {gamma:.3g}")
    for offset in (*gain_map.offset_sdr, *gain_map.offset_hdr):
        if not 0 <= offset <= 1:
            raise DamagedFileError(f"its gain map has an offset of {offset:.3g}")
    low, high = gain_map.capacity_min, gain_map.capacity_max
    if not 0 <= low < high <= MOST_STOPS:
        raise DamagedFileError(f"its gain map is for displays of {low:.3g} to {high:.3g} stops")
    return gain_map


def from_apple(values: np.ndarray, headroom: float) -> GainMap:
    """Turn Apple's map into this convention.

    Apple: HDR = SDR * (1 + (headroom - 1) * gain), where gain is the stored value through Rec.709's
    curve undone (developer.apple.com, "Applying Apple HDR effect to your photos"). With offsets 0
    that is 2 ^ stops with stops = log2(1 + (headroom - 1) * gain), from 0 to log2(headroom).

    Args:
        values: float32 h x w in [0, 1], as stored.
        headroom: Above 1: the brightest white, as a multiple of SDR white.
    """
    most = math.log2(headroom)
    stops = np.log2(1 + np.float32(headroom - 1) * rec709_to_linear(values))
    return GainMap(
        values=np.clip(stops / np.float32(most), 0, 1).astype(np.float32),
        min_stops=(0.0, 0.0, 0.0),
        max_stops=(most, most, most),
        capacity_max=most,
    )


def apple_values(gain_map: GainMap) -> np.ndarray | None:
    """Invert from_apple: float32 h x w; None where Apple's formula cannot express the map."""
    most = gain_map.max_stops[0]
    from_sdr = (gain_map.min_stops, gain_map.offset_sdr, gain_map.offset_hdr)
    if gain_map.values.ndim == 3 or not gain_map.channels_equal or any(map(any, from_sdr)):
        return None
    if gain_map.capacity_min != 0 or abs(gain_map.capacity_max - most) > 1e-3:
        return None
    if not 0 < most <= math.log2(MAX_HEADROOM):
        return None
    return linear_to_rec709((np.exp2(gain_map.stops()) - 1) / np.float32(2.0**most - 1))


def rec709_to_linear(values: np.ndarray) -> np.ndarray:
    """Undo Rec.709's curve; float32 in [0, 1]."""
    high = ((values + np.float32(0.099)) / np.float32(1.099)) ** np.float32(1 / 0.45)
    return np.where(values < 0.081, values / np.float32(4.5), high).astype(np.float32)


def linear_to_rec709(linear: np.ndarray) -> np.ndarray:
    """Apply Rec.709's curve; float32 in [0, 1]."""
    high = np.float32(1.099) * np.maximum(linear, 0) ** np.float32(0.45) - np.float32(0.099)
    encoded = np.where(linear < 0.018, linear * np.float32(4.5), high)
    return np.clip(encoded, 0, 1).astype(np.float32)


def headroom_of_maker_note(headroom: float, gain: float) -> float:
    """Compute Apple's headroom from the maker note's fields 33 and 48, as Apple's page does."""
    if headroom < 1:
        stops = -20.0 * gain + 1.8 if gain <= 0.01 else -0.101 * gain + 1.601
    else:
        stops = -70.0 * gain + 3.0 if gain <= 0.01 else -0.303 * gain + 2.303
    return 2.0 ** max(stops, 0.0)


def maker_note_of_headroom(headroom: float) -> tuple[float, float]:
    """Compute fields 33 and 48 for a headroom from 1 to 8: inverts headroom_of_maker_note."""
    stops = math.log2(headroom)
    return (1.0, (3.0 - stops) / 70.0) if stops >= 2.3 else (1.0, (2.303 - stops) / 0.303)
