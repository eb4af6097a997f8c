"""The parts of a JPEG before its pixels, and the index of several pictures in one file (MPF).

A segment is 0xFF, a marker, u16 length of itself and what follows. MPF (CIPA DC-007) is an APP2
segment with a small TIFF: per picture attributes, size, and offset from that TIFF's first byte.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from livemoments.livephoto.jpeg import MAX_SEGMENTS, SOS, WITHOUT_LENGTH
from livemoments.livephoto.source import ByteStream

APP0, APP1, APP2, APP13 = 0xE0, 0xE1, 0xE2, 0xED
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
MPF_NAME = b"MPF\0"
MPF_VERSION, MPF_COUNT, MPF_ENTRIES = 0xB000, 0xB001, 0xB002
MPF_ENTRY = 16  # bytes
MPF_PRIMARY = 0x030000  # attribute of the picture that is shown
UNDEFINED, LONG = 7, 4
MAX_PICTURES = 64


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment: its marker, its first byte in the stream, and what is behind its length."""

    marker: int
    start: int
    payload: bytes

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.start + 4 + len(self.payload)


def segments(stream: ByteStream, start: int = 0) -> Iterator[Segment]:
    """Yield the segments of the JPEG at a byte, up to its pixels; stop at the first broken one."""
    stream.seek(start)
    if stream.read(2) != b"\xff\xd8":
        return
    at = start + 2
    for _ in range(MAX_SEGMENTS):
        stream.seek(at)
        header = stream.read(4)
        if len(header) < 4 or header[0] != 0xFF or header[1] == SOS:
            return
        if header[1] in WITHOUT_LENGTH or header[1] == 0xFF:
            at += 1 if header[1] == 0xFF else 2
            continue
        length = int.from_bytes(header[2:], "big") - 2
        payload = stream.read(length) if length >= 0 else b""
        if length < 0 or len(payload) < length:
            return
        yield Segment(marker=header[1], start=at, payload=payload)
        at += 4 + length


def named(parts: list[Segment], marker: int, name: bytes) -> bytes | None:
    """What is behind the name in the first segment that has it; or None."""
    for part in parts:
        if part.marker == marker and part.payload.startswith(name):
            return part.payload[len(name) :]
    return None


def segment_bytes(marker: int, payload: bytes) -> bytes:
    """A segment; its payload is at most 65,533 bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segment(picture: bytes, segment: bytes) -> bytes:
    """A JPEG with a segment behind its EXIF and XMP."""
    at = behind_metadata(picture)
    return picture[:at] + segment + picture[at:]


def behind_metadata(picture: bytes) -> int:
    """Where a JPEG's first segments, JFIF, EXIF and XMP, end."""
    at = 2
    for part in segments(io.BytesIO(picture)):
        if part.marker not in (APP0, APP1):
            break
        at = part.end
    return at


def further_pictures(parts: list[Segment]) -> list[tuple[int, int]]:
    """First byte and size of the pictures that MPF lists behind the first; as stated."""
    for part in parts:
        if part.marker == APP2 and part.payload.startswith(MPF_NAME):
            base = part.start + 4 + len(MPF_NAME)
            try:
                entries = _entries(part.payload[len(MPF_NAME) :])
            except struct.error:
                return []
            return [(base + offset, size) for offset, size in entries if offset > 0 < size]
    return []


def _entries(tiff: bytes) -> list[tuple[int, int]]:
    """(offset, size) of each picture."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return []
    (table,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, table)
    for index in range(count):
        tag, _, size, at = struct.unpack_from(order + "HHII", tiff, table + 2 + 12 * index)
        if tag == MPF_ENTRIES:
            rows = range(min(size // MPF_ENTRY, MAX_PICTURES))
            entries = [struct.unpack_from(order + "4xII", tiff, at + MPF_ENTRY * i) for i in rows]
            return [(offset, length) for length, offset in entries]
    return []


def mpf_segment(picture_length: int, at: int, next_length: int) -> bytes:
    """The index of a picture and one right behind it, to be put into the first.

    Args:
        picture_length: Bytes of the first without this segment.
        at: Where in it this segment goes.
        next_length: Bytes of the second.
    """
    entries_at = 8 + 2 + 3 * 12 + 4
    length = picture_length + 4 + len(MPF_NAME) + entries_at + 2 * MPF_ENTRY
    offset = length - at - 4 - len(MPF_NAME)  # from where the TIFF begins
    rows = [
        struct.pack(">HHI4s", MPF_VERSION, UNDEFINED, 4, b"0100"),
        struct.pack(">HHII", MPF_COUNT, LONG, 1, 2),
        struct.pack(">HHII", MPF_ENTRIES, UNDEFINED, 2 * MPF_ENTRY, entries_at),
    ]
    tiff = b"MM\0*" + struct.pack(">IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    tiff += struct.pack(">III4x", MPF_PRIMARY, length, 0)  # the first one's offset is always 0
    tiff += struct.pack(">III4x", 0, next_length, offset)
    return segment_bytes(APP2, MPF_NAME + tiff)
