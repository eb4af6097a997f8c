"""Read and write gain map metadata of ISO 21496-1: fractions in big-endian bytes.

u16 minimum version, u16 writer version, u8 flags; then, each a numerator and a denominator (or
numerators alone, with one common denominator before them): headroom of the base and of the
alternate picture in stops; for each channel least and most stops, gamma, base and alternate offset.
As libultrahdr reads and writes it (lib/src/gainmapmetadata.cpp).
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.hdr.gain_map import RGB, GainMap

NAMESPACE = b"urn:iso:std:iso:ts:21496:-1\0"  # of the JPEG segment
VERSION = struct.pack(">HH", 0, 0)  # all that the picture's own segment says
MULTI_CHANNEL, BASE_COLOURS, BACKWARD, COMMON_DENOMINATOR = 0x80, 0x40, 0x04, 0x08
MOST_DENOMINATOR = 1_000_000
SIGNED = "iiIii"  # of the numerators of a channel


@dataclass(frozen=True, kw_only=True)
class GainMapNumbers:
    """All of a gain map but its values, as GainMap names them."""

    min_stops: RGB
    max_stops: RGB
    gamma: RGB
    offset_sdr: RGB
    offset_hdr: RGB
    capacity_min: float
    capacity_max: float
    base_colours: bool = True  # whether the gain is meant for colours in the picture's own space


def iso_metadata(gain_map: GainMap) -> bytes:
    """Return the metadata of a gain map."""
    channels = 1 if gain_map.channels_equal else 3
    flags = BASE_COLOURS | (MULTI_CHANNEL if channels == 3 else 0)
    numbers = [_fraction(gain_map.capacity_min, "I"), _fraction(gain_map.capacity_max, "I")]
    for channel in range(channels):
        rows = (
            gain_map.min_stops,
            gain_map.max_stops,
            gain_map.gamma,
            gain_map.offset_sdr,
            gain_map.offset_hdr,
        )
        numbers += [_fraction(row[channel], sign) for row, sign in zip(rows, SIGNED, strict=True)]
    return VERSION + bytes([flags]) + b"".join(numbers)


def read_iso_metadata(data: bytes) -> GainMapNumbers:
    """Read the metadata; check_gain_map judges the numbers.

    Raises:
        DamagedFileError: It is cut short, or divides by zero.
        UnsupportedFileError: It is of a later version, or for a picture that itself is HDR.
    """
    try:
        version, _, flags = struct.unpack_from(">HHB", data)
        if version != 0:
            raise UnsupportedFileError(f"its gain map is of version {version}, which is not read")
        if flags & BACKWARD:
            raise UnsupportedFileError("its gain map leads from HDR to SDR, which is not read")
        common = bool(flags & COMMON_DENOMINATOR)
        signs = "II" + SIGNED * (3 if flags & MULTI_CHANNEL else 1)
        layout = ">I" + signs if common else ">" + "".join(sign + "I" for sign in signs)
        numbers = struct.unpack_from(layout, data, 5)
        over = [numbers[0]] * len(signs) if common else numbers[1::2]
        values = [n / d for n, d in zip(numbers[1:] if common else numbers[::2], over, strict=True)]
    except (struct.error, ZeroDivisionError) as error:
        raise DamagedFileError("the numbers of its gain map are broken") from error
    rows = [values[2 + i :: 5] * (1 if flags & MULTI_CHANNEL else 3) for i in range(5)]
    low, high, gamma, offset_sdr, offset_hdr = ((r[0], r[1], r[2]) for r in rows)
    return GainMapNumbers(
        min_stops=low,
        max_stops=high,
        gamma=gamma,
        offset_sdr=offset_sdr,
        offset_hdr=offset_hdr,
        capacity_min=values[0],
        capacity_max=values[1],
        base_colours=bool(flags & BASE_COLOURS),
    )


def _fraction(number: float, sign: str) -> bytes:
    exact = Fraction(number).limit_denominator(MOST_DENOMINATOR)
    return struct.pack(f">{sign}I", exact.numerator, exact.denominator)
