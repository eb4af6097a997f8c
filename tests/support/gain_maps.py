"""Gain maps and files with them, for tests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from livemoments.livephoto.container.jpeg_parts import XMP_NAME, segment_bytes, segments
from livemoments.livephoto.container.mpf import mpf_segment
from livemoments.livephoto.hdr.apple import note_with_headroom
from livemoments.livephoto.hdr.gain_map import GainMap, from_apple
from livemoments.livephoto.hdr.xmp import apple_packet
from livemoments.livephoto.writing.picture import write_picture
from support import makers

SOFTWARE = "livemoments test"
WIDTH, HEIGHT = 96, 64


def apple_codes(width: int = WIDTH // 2, height: int = HEIGHT // 2) -> np.ndarray:
    """A smooth map as Apple stores it, uint8, different in every corner."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.rint(40 + 90 * x + 110 * y).astype(np.uint8)


def apple_map(headroom: float = 4.0, **size: int) -> GainMap:
    return from_apple(apple_codes(**size).astype(np.float32) / 255, headroom)


def colour_map() -> GainMap:
    """A map with three channels of three conventions."""
    y, x = np.mgrid[0:1:32j, 0:1:48j]
    return GainMap(
        values=np.stack([x, y, (x + y) / 2], -1).astype(np.float32),
        min_stops=(-0.5, 0.0, 0.25),
        max_stops=(2.0, 2.5, 3.0),
        gamma=(1.0, 0.5, 2.0),
        offset_sdr=(0.015625, 0.015625, 0.0),
        offset_hdr=(0.015625, 0.0, 0.015625),
        capacity_min=0.25,
        capacity_max=3.0,
    )


def picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return makers.scene(width, height).astype(np.float32) / 255


def written(path: Path, gain_map: GainMap | None, **options: object) -> Path:
    write_picture(picture(), path, software=SOFTWARE, gain_map=gain_map, **options)
    return path


def apple_jpeg(
    path: Path, *, orientation: int = 1, headroom: float = 4.0, xmp: bytes | None = None
):
    """A JPEG as iPhones write them: MPF, and behind the picture Apple's map with its words."""
    note = note_with_headroom(b"Apple iOS\0\0\1MM" + bytes(6), headroom)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x927C] = note
    stream = io.BytesIO()
    Image.fromarray(makers.scene(WIDTH, HEIGHT)).save(stream, "JPEG", exif=exif.tobytes())
    first = stream.getvalue()
    stream = io.BytesIO()
    Image.fromarray(apple_codes()).save(stream, "JPEG", quality=98)
    words = apple_packet(headroom).replace(b"HDRGainMapHeadroom", b"HDRGainMapOther")
    second = b"\xff\xd8" + segment_bytes(0xE1, XMP_NAME + words) + stream.getvalue()[2:]
    at = next(segments(io.BytesIO(first))).end
    first = first[:at] + mpf_segment(len(first), at, len(second)) + first[at:]
    path.write_bytes(first + second)
    return path


def scan(jpeg: bytes) -> bytes:
    """A JPEG from its first table on: what no metadata changes."""
    tables = [part.start for part in segments(io.BytesIO(jpeg)) if part.marker == 0xDB]
    return jpeg[tables[0] : jpeg.index(b"\xff\xd9", tables[0]) + 2]


def apply_gain_map(sdr: np.ndarray, gain_map: GainMap, display_stops: float) -> np.ndarray:
    """The HDR picture that a display shows; linear float32 RGB H x W x 3, SDR white 1, like sdr.

    display_stops is log2 of how much brighter than SDR white the display can be.
    """
    span = gain_map.capacity_max - gain_map.capacity_min
    weight = np.float32(np.clip((display_stops - gain_map.capacity_min) / span, 0, 1))
    stops = gain_map.stops()
    stops = stops if stops.ndim == 3 else stops[..., None]
    offset_sdr, offset_hdr = (
        np.array(offset, np.float32) for offset in (gain_map.offset_sdr, gain_map.offset_hdr)
    )
    return (sdr + offset_sdr) * np.exp2(weight * stops) - offset_hdr
