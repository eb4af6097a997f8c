"""Read vivo's private tail: which photo and clip belong together, and which frame the photo is.

Tail: 'vivo', JSON, u32 length of the JSON, 'cameralbum!', u32 19 + length of the identifier,
identifier, FF FF FF FF and a signature of 11 bytes. It ends a JPEG, or a 'uuid' box of the type
'vivoMediaExtInfo' behind an MP4. Phones up to the X200 write two files whose tails hold the same
identifier; later ones write one file. Two signatures are about, which differ in the last byte.
"""

import json
from dataclasses import dataclass
from typing import Any

from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.source import ByteStream, Source

SIGNATURES = tuple(
    bytes.fromhex("ffffffff1b2a39485766758493a2") + last for last in (b"\xb1", b"\xb3")
)
MARKER = b"cameralbum!"
USER_TYPE = b"vivoMediaExtInfo"
MAX_TAIL = 1 << 20
MAX_IDENTIFIER = 128
# What vivo's gallery writes into every single file; it tells none apart.
NO_IDENTIFIER = "motionphoto"

IDENTIFIER = "com.android.camera.livephoto"
FRAME = "com.android.camera.imageTime"
COVER_MS = "com.vivo.gallery.livePhoto.newCoverTime"
# The whole numbers believed: frames and milliseconds of a clip of some hours.
MOST = 100_000_000


@dataclass(frozen=True, kw_only=True)
class VivoTail:
    """What a tail says; of a photo usually the identifier alone."""

    identifier: str | None  # what photo and clip share, or None
    # Number of the clip's frame that was the key photo when it was taken, from 0.
    frame: int | None = None
    # Time of the key photo that was chosen later in the gallery, milliseconds of the clip; None
    # where it never was changed.
    cover_ms: int | None = None


def photo_tail(source: Source) -> VivoTail | None:
    """Read the tail at the end of a photo, or return None where there is none."""
    with source.open() as stream:
        return _tail(stream, 0, source.length)


def video_tail(source: Source) -> VivoTail | None:
    """Read the tail of a clip: in its last 'vivoMediaExtInfo' box, or bare at the end."""
    found = None
    with source.open() as stream:
        for box in iter_boxes(stream, 0, source.length):
            if box.type == b"uuid" and box.size > len(USER_TYPE):
                stream.seek(box.payload)
                if stream.read(len(USER_TYPE)) == USER_TYPE:
                    found = _tail(stream, box.payload + len(USER_TYPE), box.end) or found
        return found or _tail(stream, 0, source.length)


def _tail(stream: ByteStream, start: int, end: int) -> VivoTail | None:
    """Read the tail that ends bytes [start, end) of a stream."""
    start = max(start, end - MAX_TAIL)
    stream.seek(max(start, end - len(SIGNATURES[0])))
    if stream.read(len(SIGNATURES[0])) not in SIGNATURES:
        return None
    stream.seek(start)
    data = stream.read(end - start)
    values = _json_object(data)
    identifier = values.get(IDENTIFIER)
    if not isinstance(identifier, str) or not _usable(identifier):
        identifier = _closing_identifier(data)
    if identifier is None and not values:
        return None
    if identifier is not None and identifier.startswith(NO_IDENTIFIER):
        identifier = None
    return VivoTail(
        identifier=identifier,
        frame=_count(values.get(FRAME)),
        cover_ms=_count(values.get(COVER_MS)),
    )


def _json_object(data: bytes) -> dict[str, Any]:
    """Read the JSON object behind the last 'vivo{'; empty where there is none that can be read."""
    start = data.rfind(b'vivo{"')
    if start < 0:
        return {}
    text = data[start + 4 :].decode("utf-8", "replace")
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _closing_identifier(data: bytes) -> str | None:
    """Return the identifier behind the marker, by its length and up to the signature."""
    at = data.rfind(MARKER) + len(MARKER)
    if at < len(MARKER):
        return None
    length = int.from_bytes(data[at : at + 4], "big") - 19
    if not 0 < length <= MAX_IDENTIFIER or at + 4 + length + len(SIGNATURES[0]) != len(data):
        return None
    text = data[at + 4 : at + 4 + length].decode("ascii", "replace")
    return text if _usable(text) else None


def _usable(identifier: str) -> bool:
    return 0 < len(identifier) <= MAX_IDENTIFIER and identifier.isprintable()


def _count(value: object) -> int | None:
    """Return a whole number that can count frames or milliseconds, or None."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
        return None
    return value
