"""Join the XMP that does not fit in one segment of a JPEG, and split it again.

The main packet names its extension by 32 hexadecimal letters. Segments of the extension hold
those, u32 the extension's length, u32 where in it the segment's bytes belong, and the bytes (XMP
specification, part 3, 1.1.3.1). Programs that write XMP anew move what is long, and with it words
about a clip, into the extension.
"""

import hashlib
import re
import struct
from collections.abc import Iterable

from livemoments.livephoto.container.jpeg_parts import APP1, MOST_PAYLOAD, Segment, segment_bytes

EXTENSION_NAME = b"http://ns.adobe.com/xmp/extension/\0"
NAME = 32  # letters
HEAD = len(EXTENSION_NAME) + NAME + 8
MAX_EXTENSION = 16 * 1024 * 1024  # more is a depth map, not words
NAMED = re.compile(rb"HasExtendedXMP\s*(?:=\s*[\"']|>)\s*([0-9A-Fa-f]{32})")
STATEMENT = re.compile(
    rb"\s[\w-]+:HasExtendedXMP\s*=\s*[\"'][^\"'<>]*[\"']"
    rb"|<([\w-]+):HasExtendedXMP\b[^<>]*>[^<]*</\1:HasExtendedXMP\s*>"
)


def extension_of(parts: Iterable[Segment], xmp: bytes | None) -> bytes | None:
    """Return the extension that a JPEG's main packet names; None where it is not all there."""
    name = _name(xmp)
    if name is None:
        return None
    pieces: dict[int, bytes] = {}
    whole = 0
    for part in parts:
        if part.marker != APP1 or not part.payload.startswith(EXTENSION_NAME):
            continue
        head = part.payload[len(EXTENSION_NAME) : HEAD]
        if len(head) < NAME + 8 or head[:NAME].upper() != name:
            continue
        length, at = struct.unpack(">II", head[NAME:])
        whole = whole or length
        if length != whole or length > MAX_EXTENSION:
            return None
        pieces[at] = part.payload[HEAD:]
    joined = b""
    for at in sorted(pieces):
        if at != len(joined):
            return None
        joined += pieces[at]
    return joined if joined and len(joined) == whole else None


def stored_extension(segments: Iterable[bytes]) -> bytes:
    """Join what segments (marker and length included) hold of any extension, whole or not."""
    found = [each[4 + HEAD :] for each in segments if each.startswith(EXTENSION_NAME, 4)]
    return b"".join(found)


def names_extension(xmp: bytes | None) -> bool:
    """Return whether a main packet says that there is an extension."""
    return _name(xmp) is not None


def extension_segments(packet: bytes, xmp: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return a main packet that names this extension, and the extension's segments."""
    name = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
    room = MOST_PAYLOAD - HEAD
    segments = []
    for at in range(0, len(packet), room):
        head = EXTENSION_NAME + name + struct.pack(">II", len(packet), at)
        segments.append(segment_bytes(APP1, head + packet[at : at + room]))
    old = _name(xmp)
    named = re.sub(re.escape(old), name, xmp, flags=re.IGNORECASE) if old else xmp
    return named, tuple(segments)


def without_extension(xmp: bytes) -> bytes:
    """Remove what names an extension from a main packet."""
    return STATEMENT.sub(b"", xmp)


def _name(xmp: bytes | None) -> bytes | None:
    found = NAMED.search(xmp) if xmp else None
    return found[1].upper() if found else None
