"""Where a JPEG picture ends: what follows may be a clip."""

import re
import struct

from livemoments.livephoto.source import ByteStream

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
WITHOUT_LENGTH = {0x01, SOI, EOI, *range(0xD0, 0xD8)}
# In entropy-coded data: not a stuffed 0xFF, not a fill byte, not a restart marker.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
CHUNK = 1 << 16
MAX_SEGMENTS = 10_000


def picture_end(stream: ByteStream, length: int) -> int | None:
    """Return the position after a JPEG's end marker, or None where there is no whole JPEG.

    Segments are skipped by their lengths, so a thumbnail's own end marker is not mistaken for
    the picture's.
    """
    stream.seek(0)
    if stream.read(2) != b"\xff\xd8":
        return None
    at = 2
    for _ in range(MAX_SEGMENTS):
        stream.seek(at)
        header = stream.read(4)
        if len(header) < 2 or header[0] != 0xFF:
            return None
        marker = header[1]
        if marker == EOI:
            return at + 2
        if marker in WITHOUT_LENGTH or marker == 0xFF:
            at += 1 if marker == 0xFF else 2
            continue
        if len(header) < 4:
            return None
        at += 2 + struct.unpack(">H", header[2:])[0]
        if marker == SOS:
            found = _next_marker(stream, at, length)
            if found is None:
                return None
            at = found
    return None


def _next_marker(stream: ByteStream, at: int, length: int) -> int | None:
    """Skip entropy-coded data: the next 0xFF not followed by 0x00 or a restart marker."""
    while at < length:
        stream.seek(at)
        chunk = stream.read(CHUNK + 1)
        found = NEXT_MARKER.search(chunk)
        if found is not None:
            return at + found.start()
        if len(chunk) <= CHUNK:
            return None
        at += CHUNK
    return None
