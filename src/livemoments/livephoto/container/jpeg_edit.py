"""Replace a JPEG's metadata while its picture stays as it is, byte for byte.

EXIF and XMP are two of the segments before the picture's data; only these change. Behind the
picture's end other whole pictures may follow, named by XMP's container (a gain map) or by the
multi-picture index (MPF). They move with the picture, and MPF gets their new places.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.extended_xmp import EXTENSION_NAME, names_extension
from livemoments.livephoto.container.jpeg_parts import (
    APP0,
    APP1,
    APP2,
    MOST_PAYLOAD,
    SOS,
    START,
    XMP_NAME,
    picture_end,
    segment_bytes,
    segments,
)
from livemoments.livephoto.container.mpf import MPF_NAME, TIFF_AT, further_pictures, moved_index
from livemoments.livephoto.metadata.xmp import ContainerItem

EXIF_NAME = b"Exif\0\0"
HONOR_NAME = b"LivePhoto\0"  # of a segment that promises a clip in this file


@dataclass(frozen=True, kw_only=True)
class JpegParts:
    """A JPEG: its segments up to the picture's data, marker and length included, then the rest."""

    segments: tuple[bytes, ...]
    picture: bytes  # from the first SOS to EOI

    def to_bytes(self) -> bytes:
        """Return the whole picture."""
        return START + b"".join(self.segments) + self.picture


@dataclass(frozen=True, kw_only=True)
class AttachedPicture:
    """A whole JPEG behind the picture's end; item is what XMP's container calls it, if it does."""

    start: int
    data: bytes
    item: ContainerItem | None = None


def split_jpeg(data: bytes) -> JpegParts:
    """Take the first picture of a JPEG file apart; what follows its end is left out.

    Raises:
        DamagedFileError: It has no whole picture.
    """
    stream = io.BytesIO(data)
    end, found = picture_end(stream, len(data)), list(segments(stream))
    start = found[-1].end if found else 2
    picture = b"\xff" + data[start : end or 0].lstrip(b"\xff")  # there may be fill bytes
    if picture[1:2] != bytes([SOS]):
        raise DamagedFileError("the JPEG has no whole picture")
    return JpegParts(segments=tuple(data[s.start : s.end] for s in found), picture=picture)


def with_metadata(
    parts: JpegParts,
    *,
    exif: bytes | None,
    xmp: bytes | None,
    extension: Sequence[bytes] | None = None,
) -> JpegParts:
    """Put this EXIF and this XMP (None: none) into a JPEG, in the places of its own.

    exif is TIFF bytes of at most JPEG_EXIF_ROOM (still/encode.py), xmp a packet of at most
    JPEG_XMP_ROOM. extension is the segments of the packet's extension; None: those that are there.
    An extension that the packet does not name goes.
    """
    segments = [each for each in parts.segments if not each.startswith(HONOR_NAME, 4)]
    if exif != _joined(segments, EXIF_NAME):
        start = 1 if segments and segments[0][1:2] == bytes([APP0]) else 0
        segments = _put(segments, EXIF_NAME, exif, start)
    if xmp != _joined(segments, XMP_NAME):
        names = [index for index, each in enumerate(segments) if _is(each, EXIF_NAME)]
        segments = _put(segments, XMP_NAME, xmp, names[-1] + 1 if names else 0)
    if extension is not None or not names_extension(xmp):
        segments = [each for each in segments if not _is(each, EXTENSION_NAME)]
    if extension is not None and names_extension(xmp):
        at = next(index for index, each in enumerate(segments) if _is(each, XMP_NAME)) + 1
        segments[at:at] = extension
    return replace(parts, segments=tuple(segments))


def attached_pictures(data: bytes, items: Sequence[ContainerItem]) -> tuple[AttachedPicture, ...]:
    """Return the whole pictures behind a JPEG's own, as its container and its MPF name them."""
    end = picture_end(io.BytesIO(data), len(data)) or len(data)
    named: dict[int, tuple[int, ContainerItem | None]] = {}
    at = end + (items[0].padding if items else 0)
    for each in items[1:]:
        if each.mime == "image/jpeg" and each.length > 0:
            named[at] = (each.length, each)
        at += max(0, each.length)
    for start, size in further_pictures(list(segments(io.BytesIO(data)))):
        named.setdefault(start, (size, None))
    found = []
    for start in sorted(named):
        size, item = named[start]
        picture = data[start : start + size]
        if start < end or picture_end(io.BytesIO(picture), len(picture)) is None:
            continue
        found.append(AttachedPicture(start=start, data=picture, item=item))
        end = start + size
    return tuple(found)


def with_index(parts: JpegParts, old: JpegParts, attached: Sequence[AttachedPicture]) -> JpegParts:
    """Give a JPEG an MPF index that is true of the pictures which will follow it.

    An index that names other pictures too is left out. parts is the JPEG, but for its index, as it
    will be; old as it was; attached the pictures behind it in order, with their old starts.
    """
    index = next((n for n, each in enumerate(parts.segments) if _is(each, MPF_NAME)), None)
    if index is None:
        return parts
    edited = list(parts.segments)
    old_header = _offset_of(old.segments)
    header = _offset_of(parts.segments)
    new_start, places = len(parts.to_bytes()), {}
    for each in attached:
        places[each.start - old_header] = new_start - header
        new_start += len(each.data)
    moved = moved_index(edited[index], places, len(parts.to_bytes()))
    edited[index : index + 1] = [moved] if moved is not None else []
    return replace(parts, segments=tuple(edited))


def _put(old: list[bytes], name: bytes, payload: bytes | None, start: int) -> list[bytes]:
    """Replace all segments of a name by one, where the first was, or else at `start`."""
    places = [index for index, each in enumerate(old) if _is(each, name)]
    segments = [each for each in old if not _is(each, name)]
    if payload is not None:
        if len(name) + len(payload) > MOST_PAYLOAD:
            raise DamagedFileError(f"{len(payload)} bytes of metadata do not fit in a JPEG")
        segments.insert(places[0] if places else start, segment_bytes(APP1, name + payload))
    return segments


def _is(segment: bytes, name: bytes) -> bool:
    marker = APP2 if name == MPF_NAME else APP1
    return segment[1:2] == bytes([marker]) and segment.startswith(name, 4)


def _joined(parts: Sequence[bytes], name: bytes) -> bytes | None:
    """Join the payloads of all segments of a name; return None where there is none."""
    found = [each[4 + len(name) :] for each in parts if _is(each, name)]
    return b"".join(found) if found else None


def _offset_of(parts: Sequence[bytes]) -> int:
    """Return where in the file the TIFF of the MPF index begins."""
    at = 2
    for each in parts:
        if _is(each, MPF_NAME):
            return at + TIFF_AT
        at += len(each)
    return at
