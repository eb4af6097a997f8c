"""Small raw photos, made byte by byte: a thumbnail, a sensor's picture, and previews."""

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from support import makers

RAW_SIZE = (384, 288)
SHORT, LONG, ASCII, BYTE, UNDEFINED = 3, 4, 2, 1, 7
SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, UNDEFINED: 1}


def jpeg(picture: np.ndarray, size: tuple[int, int] | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(picture)
    image = image.resize(size) if size else image
    image.save(file, "JPEG", quality=95, subsampling=0, **options)
    return file.getvalue()


class Tiff:
    """A TIFF whose directories are added one by one; each value goes before its directory."""

    def __init__(self, magic: bytes = b"II*\0") -> None:
        self.data = bytearray(magic + bytes(4) + bytes(8))

    def put(self, value: bytes) -> int:
        at = len(self.data)
        self.data += value + bytes(len(value) % 2)
        return at

    def directory(self, fields: dict[int, tuple[int, bytes]]) -> int:
        rows = b""
        for tag, (kind, value) in sorted(fields.items()):
            stored = (
                value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", self.put(value))
            )
            rows += struct.pack("<HHI", tag, kind, len(value) // SIZES[kind]) + stored
        return self.put(struct.pack("<H", len(fields)) + rows + bytes(4))

    def finish(self, first: int) -> bytes:
        struct.pack_into("<I", self.data, 4, first)
        return bytes(self.data)


def short(*values: int) -> tuple[int, bytes]:
    return SHORT, struct.pack(f"<{len(values)}H", *values)


def long(*values: int) -> tuple[int, bytes]:
    return LONG, struct.pack(f"<{len(values)}I", *values)


def dng(
    path: Path,
    *,
    preview: bytes | None = None,
    preview_size: tuple[int, int] = RAW_SIZE,
    identifier: str | None = makers.IDENTIFIER,
    orientation: int = 1,
    version: bool = True,
    note: bytes | None = None,
    colour: int | None = None,
) -> Path:
    """Write a DNG: a thumbnail that Pillow can read first, then the raw picture, then a preview."""
    tiff = Tiff()
    thumbnail = makers.scene(48, 36, seed=9)  # a wrong picture, were it taken for the photo
    described = {0x0100: short(48), 0x0101: short(36), 0x0102: short(8, 8, 8), 0x0103: short(1)}
    described |= {0x0106: short(2), 0x0111: long(tiff.put(thumbnail.tobytes())), 0x0115: short(3)}
    described |= {0x0116: short(36), 0x0117: long(thumbnail.nbytes), 0x00FE: long(1)}
    sensor = tiff.put(b"\xff\xd8\xff\xc3" + bytes(2000))
    raw = {0x00FE: long(0), 0x0100: short(RAW_SIZE[0]), 0x0101: short(RAW_SIZE[1])}
    raw |= {0x0103: short(7), 0x0106: short(34892), 0x0111: long(sensor), 0x0117: long(2004)}
    below = [tiff.directory(raw)]
    if preview is not None:
        width, height = preview_size
        shown = {0x00FE: long(1), 0x0100: short(width), 0x0101: short(height), 0x0103: short(7)}
        shown |= {0x0106: short(6), 0x0111: long(tiff.put(preview)), 0x0117: long(len(preview))}
        if colour is not None:
            shown[0xC71A] = long(colour)
        below.append(tiff.directory(shown))
    details = {0x9003: (ASCII, b"2024:05:06 07:08:09\0"), 0x9011: (ASCII, b"+02:00\0")}
    if identifier or note:
        details[0x927C] = (UNDEFINED, note or makers.maker_note(identifier or ""))
    gps = tiff.directory({0x0001: (ASCII, b"N\0")})
    main = described | {0x010F: (ASCII, b"Apple\0"), 0x0110: (ASCII, b"iPhone 99\0")}
    main |= {
        0x0112: short(orientation),
        0x014A: long(*below),
        0x8769: long(tiff.directory(details)),
    }
    main |= {0x8825: long(gps)}
    if version:
        main[0xC612] = (BYTE, bytes([1, 6, 0, 0]))
    path.write_bytes(tiff.finish(tiff.directory(main)))
    return path
