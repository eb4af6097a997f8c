"""Walk the parts of a JPEG without decoding it: its segments, and where the picture ends.

What stands before the picture's data is a run of segments {0xFF, marker, u16 length of itself and
what follows, payload}. Behind the end other pictures or a clip may follow.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from livemoments.livephoto.container.source import ByteStream

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
APP0, APP1, APP2, APP13 = 0xE0, 0xE1, 0xE2, 0xED
FILL = 0xFF
WITHOUT_LENGTH = {0x01, SOI, *range(0xD0, 0xD8)}
START = bytes([0xFF, SOI])
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
MOST_PAYLOAD = 65_533
# In entropy-coded data: not a stuffed 0xFF, not a fill byte, not a restart marker.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
CHUNK = 1 << 16
MAX_SEGMENTS = 10_000


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
    for marker, at, length in _markers(stream, start):
        if marker in (SOS, EOI):
            return
        stream.seek(at + 4)
        payload = stream.read(length - 2)
        if len(payload) < length - 2:
            return
        yield Segment(marker=marker, start=at, payload=payload)


def picture_end(stream: ByteStream, length: int) -> int | None:
    """Return the position after a JPEG's end marker; None where no whole one is in so many bytes.

    Segments are skipped by their lengths, so a thumbnail's own end marker is not mistaken for
    the picture's.
    """
    for marker, at, _ in _markers(stream, 0):
        if marker == EOI:
            return at + 2 if at + 2 <= length else None
        if at > length:
            break
    return None


def named(parts: Sequence[Segment], marker: int, name: bytes) -> bytes | None:
    """Return what is behind the name in the first segment that has it; or None."""
    for part in parts:
        if part.marker == marker and part.payload.startswith(name):
            return part.payload[len(name) :]
    return None


def segment_bytes(marker: int, payload: bytes) -> bytes:
    """Return a segment; its payload is at most MOST_PAYLOAD bytes."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_segment(picture: bytes, segment: bytes) -> bytes:
    """Put a segment into a JPEG, behind its EXIF and XMP."""
    at = behind_metadata(picture)
    return picture[:at] + segment + picture[at:]


def behind_metadata(picture: bytes) -> int:
    """Return where a JPEG's first segments, JFIF, EXIF and XMP, end."""
    at = len(START)
    for part in segments(io.BytesIO(picture)):
        if part.marker not in (APP0, APP1):
            break
        at = part.end
    return at


def _markers(stream: ByteStream, start: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, first byte and stated length of what a JPEG has, up to its end (length 0)."""
    stream.seek(start)
    if stream.read(2) != START:
        return
    at = start + 2
    for _ in range(MAX_SEGMENTS):
        stream.seek(at)
        header = stream.read(4)
        if len(header) < 2 or header[0] != 0xFF:
            return
        marker = header[1]
        if marker == EOI:
            yield marker, at, 0
            return
        if marker in WITHOUT_LENGTH or marker == FILL:
            at += 1 if marker == FILL else 2
            continue
        length = int.from_bytes(header[2:], "big")
        if len(header) < 4 or length < 2:
            return
        yield marker, at, length
        at += 2 + length
        if marker == SOS:
            at = _next_marker(stream, at)


def _next_marker(stream: ByteStream, at: int) -> int:
    """Skip entropy-coded data: to a 0xFF without 0x00 or a restart marker, or the end."""
    while True:
        stream.seek(at)
        chunk = stream.read(CHUNK + 1)
        found = NEXT_MARKER.search(chunk)
        if found is not None:
            return at + found.start()
        if len(chunk) <= CHUNK:
            return at + len(chunk)
        at += CHUNK
