"""List the items of a HEIC file (ISO/IEC 23008-12): where each lies, and what refers to it.

Decoders hand out pictures; the XMP that belongs to an auxiliary picture has to be looked up here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.boxes import Box, find_box, iter_boxes, read_payload
from livemoments.livephoto.container.heif_tables import (
    IN_FILE,
    IN_INDEX,
    ItemPlace,
    Reference,
    read_iinf,
    read_iloc,
    read_iref,
)
from livemoments.livephoto.container.source import ByteStream

MAX_INDEX = 4 * 1024 * 1024  # bytes of one table: a phone's have some kilobytes


@dataclass(frozen=True, kw_only=True)
class HeifItem:
    """One item."""

    id: int  # its number
    type: bytes  # four letters: "hvc1", "grid", "Exif", "mime", "tmap", ..
    content_type: bytes = b""  # MIME type of a "mime" item; else empty
    # First byte in the file, and length, of each of its pieces.
    extents: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeifItems:
    """The items of a file by number, and its references."""

    items: dict[int, HeifItem]
    references: tuple[Reference, ...] = ()

    def describing(self, item_id: int) -> Iterator[HeifItem]:
        """Yield the items of metadata about an item: its XMP, for one."""
        for each in self.references:
            if each.kind == b"cdsc" and each.target == item_id and each.source in self.items:
                yield self.items[each.source]


def read_items(stream: ByteStream, length: int) -> HeifItems:
    """Read the tables of a file of so many bytes.

    Raises:
        DamagedFileError: There is no index, or it is broken.
    """
    meta = find_box(stream, 0, length, "meta")
    if meta is None:
        raise DamagedFileError("it has no index of its pictures")
    tables = {box.type: box for box in iter_boxes(stream, meta.payload + 4, meta.end)}
    if b"iloc" not in tables:
        raise DamagedFileError("the index of its pictures has no 'iloc'")
    inner = tables.get(b"idat")
    idat = (inner.payload, inner.end) if inner else (0, 0)
    extents: dict[int, list[tuple[int, int]]] = {}
    for place in read_iloc(_payload(stream, tables[b"iloc"])).places:
        extents.setdefault(place.id, []).extend(_in_file(place, idat, length))
    items = {}
    if b"iinf" in tables:
        for each in read_iinf(_payload(stream, tables[b"iinf"])):
            pieces = tuple(extents.get(each.id, ()))
            items[each.id] = HeifItem(
                id=each.id, type=each.type, content_type=each.content_type, extents=pieces
            )
    references = read_iref(_payload(stream, tables[b"iref"])) if b"iref" in tables else ()
    return HeifItems(items=items, references=tuple(references))


def item_bytes(stream: ByteStream, item: HeifItem, limit: int) -> bytes:
    """Return an item's bytes.

    Raises:
        DamagedFileError: They are not all there, or more than limit.
    """
    if not item.extents or sum(length for _, length in item.extents) > limit:
        raise DamagedFileError(f"item {item.id} is missing or too large")
    pieces = []
    for start, length in item.extents:
        stream.seek(start)
        pieces.append(stream.read(length))
        if len(pieces[-1]) < length:
            raise DamagedFileError(f"item {item.id} is cut short")
    return b"".join(pieces)


def _payload(stream: ByteStream, box: Box) -> bytes:
    return read_payload(stream, box, MAX_INDEX)


def _in_file(place: ItemPlace, idat: tuple[int, int], length: int) -> Iterator[tuple[int, int]]:
    """Yield first byte in the file, and length, of the pieces that are in it."""
    if place.method not in (IN_FILE, IN_INDEX):
        return
    base, end = (0, length) if place.method == IN_FILE else idat
    for each in place.extents:
        start = base + each.start
        if start + each.length <= end:
            yield start, each.length or end - start
