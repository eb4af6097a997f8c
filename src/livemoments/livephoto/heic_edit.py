"""A HEIC's EXIF and XMP replaced while every picture in it stays as it is, byte for byte.

A HEIC's pictures and metadata are items (ISO/IEC 14496-12, 8.11): 'iinf' names them, 'iloc' says
where in the file their bytes lie, 'iref' what describes what. Metadata that got no longer is
written where it was; what grew goes into an 'mdat' of its own at the end, and its old place is
blanked. As 'meta' grows by that, whatever lies behind it moves, and 'iloc' is written anew.
"""

import io
import struct
from dataclasses import dataclass, field, replace

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.boxes import Box, iter_boxes
from livemoments.livephoto.heif_items import HeifItem, HeifItems, item_bytes, read_items

EXIF_HEAD = b"\0\0\0\6Exif\0\0"  # of the item: how far TIFF is away, then a name
XMP_MIME = b"application/rdf+xml"
MOST_METADATA = 16 * 1024 * 1024
HIDDEN = 1  # flag of an item that is no picture to show
IN_FILE = 0  # construction method: offsets count from the file's start


@dataclass(frozen=True, kw_only=True)
class HeicMetadata:
    """What a HEIC says of its primary picture: EXIF as TIFF bytes and an XMP packet, or None."""

    exif: bytes | None
    xmp: bytes | None


@dataclass(frozen=True, kw_only=True)
class _Extent:
    index: int
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class _Location:
    """Where an item lies; `start` counts as its method says, from 0 in `added` for new bytes."""

    id: int
    method: int
    reference: int
    extents: tuple[_Extent, ...]
    added: bool = False


@dataclass(eq=False)
class _Heic:
    """A HEIC while it is edited."""

    data: bytearray
    boxes: list[Box]
    meta: Box
    items: HeifItems
    primary: int
    added: bytearray = field(default_factory=bytearray)
    moved: dict[int, _Location] = field(default_factory=dict)
    described: list[tuple[int, bytes]] = field(default_factory=list)  # new items: number, type

    def children(self) -> list[tuple[bytes, bytes]]:
        """Type and payload of the boxes in 'meta'."""
        found = iter_boxes(io.BytesIO(self.data), self.meta.payload + 4, self.meta.end)
        return [(box.type, bytes(self.data[box.payload : box.end])) for box in found]

    def about_primary(self, kind: bytes) -> HeifItem | None:
        """The item of this kind that describes the primary picture; or the only one, if EXIF."""
        for item in self.items.describing(self.primary):
            if item.type == kind and (kind != b"mime" or item.content_type == XMP_MIME):
                return item
        others = [item for item in self.items.items.values() if item.type == kind]
        return others[0] if kind == b"Exif" and len(others) == 1 else None


def heic_metadata(data: bytes) -> HeicMetadata:
    """Read the metadata of a HEIC's primary picture, as the file has it.

    Raises:
        DamagedFileError: Its tables are broken.
    """
    heic = _read(data)
    exif, xmp = heic.about_primary(b"Exif"), heic.about_primary(b"mime")
    stream = io.BytesIO(data)
    tiff = None
    if exif is not None:
        stored = item_bytes(stream, exif, MOST_METADATA)
        tiff = stored[len(_exif_head(stored)) :]
    packet = item_bytes(stream, xmp, MOST_METADATA) if xmp is not None else None
    return HeicMetadata(exif=tiff, xmp=packet)


def heic_with_metadata(data: bytes, *, exif: bytes | None, xmp: bytes | None) -> bytes:
    """The HEIC with this EXIF and XMP for its primary picture; None leaves what there is.

    Raises:
        DamagedFileError: Its tables are broken.
        UnsupportedFileError: It is built so that nothing in it can be moved safely.
    """
    heic = _read(data)
    try:
        if exif is not None:
            item = heic.about_primary(b"Exif")
            old = item_bytes(io.BytesIO(data), item, MOST_METADATA) if item else b""
            _place(heic, item, b"Exif", _exif_head(old) + exif)
        if xmp is not None:
            _place(heic, heic.about_primary(b"mime"), b"mime", xmp)
        return _written(heic) if heic.moved else bytes(heic.data)
    except (struct.error, IndexError) as error:
        raise DamagedFileError("the index of its pictures is cut short") from error


def auxiliary_kinds(data: bytes) -> tuple[str, ...]:
    """URNs of a HEIC's auxiliary pictures: HDR gain map, depth, mattes."""
    found, stream = [], io.BytesIO(data)
    for meta in [box for box in iter_boxes(stream, 0, len(data)) if box.type == b"meta"]:
        for place in (b"iprp", b"ipco"):
            start = meta.payload + (4 if meta.type == b"meta" else 0)
            inner = [b for b in iter_boxes(stream, start, meta.end) if b.type == place]
            if not inner:
                break
            meta = inner[0]
        for box in iter_boxes(stream, meta.payload, meta.end):
            if box.type == b"auxC":
                urn = data[box.payload + 4 : box.end].split(b"\0")[0]
                found.append(urn.decode("ascii", "replace"))
    return tuple(dict.fromkeys(found))


def _read(data: bytes) -> _Heic:
    stream = io.BytesIO(data)
    boxes = list(iter_boxes(stream, 0, len(data)))
    meta = next((box for box in boxes if box.type == b"meta"), None)
    if meta is None or not all(box.complete for box in boxes):
        raise DamagedFileError("it is cut short" if meta else "it has no index of its pictures")
    items = read_items(stream, len(data))
    named = [b for b in iter_boxes(stream, meta.payload + 4, meta.end) if b.type == b"pitm"]
    primary = int.from_bytes(data[named[0].payload + 4 : named[0].end], "big") if named else 0
    return _Heic(data=bytearray(data), boxes=boxes, meta=meta, items=items, primary=primary)


def _exif_head(stored: bytes) -> bytes:
    """What stands before TIFF in an EXIF item: u32 its distance, then so many bytes."""
    end = 4 + int.from_bytes(stored[:4], "big")
    return stored[:end] if stored[end : end + 4] in (b"II*\0", b"MM\0*") else EXIF_HEAD


def _place(heic: _Heic, item: HeifItem | None, kind: bytes, payload: bytes) -> None:
    """Store an item's new bytes: where the old ones were if they fit, else at the end."""
    number = item.id if item else max(heic.items.items, default=0) + 1 + len(heic.described)
    alone = item is not None and len(item.extents) == 1 and not _shared(heic, item)
    if item is not None and alone:
        start, length = item.extents[0]
        heic.data[start : start + length] = payload[:length].ljust(length, b"\0")
        if len(payload) == length:
            return
        if len(payload) < length:
            kept = _location(heic, number)
            extent = replace(kept.extents[0], length=len(payload))
            heic.moved[number] = replace(kept, extents=(extent,))
            return
        heic.data[start : start + length] = bytes(length)
    if item is None:
        heic.described.append((number, kind))
    extent = _Extent(index=0, start=len(heic.added), length=len(payload))
    heic.added += payload
    heic.moved[number] = _Location(
        id=number, method=IN_FILE, reference=0, extents=(extent,), added=True
    )


def _shared(heic: _Heic, item: HeifItem) -> bool:
    """Whether another item has bytes of this one."""
    start, length = item.extents[0]
    return any(
        other.id != item.id and low < start + length and start < low + size
        for other in heic.items.items.values()
        for low, size in other.extents
    )


def _written(heic: _Heic) -> bytes:
    """The file with its tables anew."""
    children = heic.children()
    kinds = [kind for kind, _ in children]
    locations, version, index_size = _locations(children[kinds.index(b"iloc")][1])
    known = {each.id for each in locations}
    locations = [heic.moved.get(each.id, each) for each in locations]
    locations += [each for number, each in heic.moved.items() if number not in known]
    tables = {b"iinf": _iinf, b"iref": _iref}
    if heic.described and b"iref" not in kinds:
        children.append((b"iref", bytes(4)))
    if heic.described:
        children = [
            (kind, tables[kind](heic, payload)) if kind in tables else (kind, payload)
            for kind, payload in children
        ]
    wide = len(heic.data) + len(heic.added) > 0x7FFF_FFFF
    # The table's length does not depend on the numbers in it, so one guess places everything.
    blank = _iloc(locations, version, index_size, wide)
    grown = len(_meta(heic, children, blank)) - (heic.meta.end - heic.meta.start)
    placed = [_at_new_place(heic, each, grown) for each in locations]
    meta = _meta(heic, children, _iloc(placed, version, index_size, wide))
    parts = [
        meta if box is heic.meta else bytes(heic.data[box.start : box.end]) for box in heic.boxes
    ]
    last = heic.boxes[-1]
    if heic.data[last.start : last.start + 4] == bytes(4):  # "to the end of the file": no more
        parts[-1] = struct.pack(">I", len(parts[-1])) + parts[-1][4:]
    if heic.added:
        parts.append(struct.pack(">I4s", 8 + len(heic.added), b"mdat") + heic.added)
    return b"".join(parts)


def _meta(heic: _Heic, children: list[tuple[bytes, bytes]], iloc: bytes) -> bytes:
    head = bytes(heic.data[heic.meta.payload : heic.meta.payload + 4])
    held = head + b"".join(
        struct.pack(">I4s", 8 + len(payload), kind) + payload
        for kind, payload in [(k, iloc if k == b"iloc" else p) for k, p in children]
    )
    return struct.pack(">I4s", 8 + len(held), b"meta") + held


def _at_new_place(heic: _Heic, location: _Location, grown: int) -> _Location:
    """An item's place in the file when 'meta' has grown by so many bytes."""
    if location.method != IN_FILE or location.reference:
        return location
    end = heic.boxes[-1].end + grown + 8
    extents = []
    for each in location.extents:
        start = each.start + (end if location.added else 0)
        if not location.added and start >= heic.meta.end:
            start += grown
        elif not location.added and start >= heic.meta.start:
            raise UnsupportedFileError("a picture lies within the index of its pictures")
        if not each.length:
            raise UnsupportedFileError("a picture of no stated length")
        extents.append(replace(each, start=start))
    if grown and any(box.type == b"moov" for box in heic.boxes):
        raise UnsupportedFileError("it holds a sequence of pictures too")
    return replace(location, extents=tuple(extents))


def _location(heic: _Heic, number: int) -> _Location:
    payload = next(payload for kind, payload in heic.children() if kind == b"iloc")
    return next(each for each in _locations(payload)[0] if each.id == number)


def _locations(data: bytes) -> tuple[list[_Location], int, int]:
    """Every row of 'iloc' as it is, its version, and the size of its extents' indices."""
    version = data[0]
    sizes = (data[4] >> 4, data[4] & 15, data[5] >> 4, data[5] & 15 if version else 0)
    offset_size, length_size, base_size, index_size = sizes
    stream = io.BytesIO(data[6:])

    def number(size: int) -> int:
        piece = stream.read(size)
        if len(piece) < size:
            raise IndexError
        return int.from_bytes(piece, "big")

    found = []
    for _ in range(number(4 if version == 2 else 2)):
        name = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else IN_FILE
        reference, base = number(2), number(base_size)
        extents = []
        for _ in range(number(2)):
            index, start = number(index_size), base + number(offset_size)
            extents.append(_Extent(index=index, start=start, length=number(length_size)))
        found.append(_Location(id=name, method=method, reference=reference, extents=tuple(extents)))
    return found, version, index_size


def _iloc(locations: list[_Location], version: int, index_size: int, wide: bool) -> bytes:
    """The table, with whole offsets and no bases."""
    size = 8 if wide else 4
    name = 4 if version == 2 else 2
    parts = [bytes([version, 0, 0, 0, size << 4 | size, index_size])]
    parts.append(len(locations).to_bytes(name, "big"))
    for each in locations:
        parts.append(each.id.to_bytes(name, "big"))
        parts.append(struct.pack(">H", each.method) if version else b"")
        parts.append(struct.pack(">HH", each.reference, len(each.extents)))
        for extent in each.extents:
            parts.append(extent.index.to_bytes(index_size, "big"))
            parts += [extent.start.to_bytes(size, "big"), extent.length.to_bytes(size, "big")]
    return b"".join(parts)


def _iinf(heic: _Heic, payload: bytes) -> bytes:
    """The list of items with the new ones."""
    size = 2 if payload[0] == 0 else 4
    count = int.from_bytes(payload[4 : 4 + size], "big") + len(heic.described)
    entries = b""
    for number, kind in heic.described:
        named = struct.pack(">HH4s", number, 0, kind) + b"\0"
        named += XMP_MIME + b"\0" if kind == b"mime" else b""
        entries += struct.pack(">I4sBBH", 12 + len(named), b"infe", 2, 0, HIDDEN) + named
    return payload[:4] + count.to_bytes(size, "big") + payload[4 + size :] + entries


def _iref(heic: _Heic, payload: bytes) -> bytes:
    """The references, with those of the new items to the picture that they describe."""
    letter = "I" if payload[0] else "H"
    for number, _ in heic.described:
        held = struct.pack(f">{letter}H{letter}", number, 1, heic.primary)
        payload += struct.pack(">I4s", 8 + len(held), b"cdsc") + held
    return payload
