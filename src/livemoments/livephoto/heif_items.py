"""The items of a HEIC file (ISO/IEC 23008-12): what there is, where it lies, what refers to it.

Decoders hand out pictures; the XMP that belongs to an auxiliary picture has to be looked up here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from livemoments.errors import DamagedFileError
from livemoments.livephoto.boxes import Box, find_box, iter_boxes, read_payload
from livemoments.livephoto.source import ByteStream

MAX_INDEX = 4 * 1024 * 1024  # bytes of one table: a phone's have some kilobytes
MAX_EXTENTS = 10_000


@dataclass(frozen=True, kw_only=True)
class HeifItem:
    """One item.

    Attributes:
        id: Its number.
        type: Four letters: "hvc1", "grid", "Exif", "mime", "tmap", ...
        content_type: MIME type of a "mime" item; else empty.
        extents: First byte in the file, and length, of each of its pieces.
    """

    id: int
    type: bytes
    content_type: bytes = b""
    extents: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HeifItems:
    """The items of a file by number, and its references as (kind, from, to)."""

    items: dict[int, HeifItem]
    references: tuple[tuple[bytes, int, int], ...] = ()

    def describing(self, item_id: int) -> Iterator[HeifItem]:
        """Yield the items of metadata about an item: its XMP, for one."""
        for kind, source, target in self.references:
            if kind == b"cdsc" and target == item_id and source in self.items:
                yield self.items[source]


def read_items(stream: ByteStream, length: int) -> HeifItems:
    """Read the tables of a file of so many bytes.

    Raises:
        DamagedFileError: There is no index, or it is broken.
    """
    meta = find_box(stream, 0, length, "meta")
    if meta is None:
        raise DamagedFileError("it has no index of its pictures")
    tables = {box.type: box for box in iter_boxes(stream, meta.payload + 4, meta.end)}
    try:
        data_box = tables.get(b"idat")
        idat = (data_box.payload, data_box.end) if data_box else (0, 0)
        extents = _locations(_table(stream, tables, b"iloc"), idat, length)
        kinds = _kinds(stream, tables.get(b"iinf"))
        references = tuple(_references(stream, tables.get(b"iref")))
    except (struct.error, IndexError) as error:
        raise DamagedFileError("the index of its pictures is cut short") from error
    items = {
        number: HeifItem(
            id=number, type=kind, content_type=content, extents=tuple(extents.get(number, ()))
        )
        for number, (kind, content) in kinds.items()
    }
    return HeifItems(items=items, references=references)


def item_bytes(stream: ByteStream, item: HeifItem, limit: int) -> bytes:
    """An item's bytes.

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


def _table(stream: ByteStream, tables: dict[bytes, Box], name: bytes) -> bytes:
    if name not in tables:
        raise DamagedFileError(f"the index of its pictures has no '{name.decode()}'")
    return read_payload(stream, tables[name], MAX_INDEX)


def _kinds(stream: ByteStream, box: Box | None) -> dict[int, tuple[bytes, bytes]]:
    """Type and MIME type of every item, from 'iinf'."""
    found: dict[int, tuple[bytes, bytes]] = {}
    if box is None:
        return found
    stream.seek(box.payload)
    first = box.payload + (6 if stream.read(1) == b"\0" else 8)
    for entry in iter_boxes(stream, first, box.end):
        data = read_payload(stream, entry, MAX_INDEX)
        if entry.type != b"infe" or data[0] < 2:
            continue
        wide = data[0] >= 3
        (number,) = struct.unpack_from(">I" if wide else ">H", data, 4)
        at = 10 if wide else 8  # behind the number and the protection index
        kind = data[at : at + 4]
        words = data[at + 4 :].split(b"\0")
        found[number] = (kind, words[1] if kind == b"mime" and len(words) > 1 else b"")
    return found


def _locations(data: bytes, idat: tuple[int, int], length: int) -> dict[int, list[tuple[int, int]]]:
    """The pieces of every item, from 'iloc' (ISO/IEC 14496-12, 8.11.3)."""
    version = data[0]
    offset_size, length_size = data[4] >> 4, data[4] & 15
    base_size, index_size = data[5] >> 4, (data[5] & 15 if version in (1, 2) else 0)
    wide = version == 2
    (count,) = struct.unpack_from(">I" if wide else ">H", data, 6)
    at = 10 if wide else 8
    found: dict[int, list[tuple[int, int]]] = {}
    budget = MAX_EXTENTS
    for _ in range(count):
        (number,) = struct.unpack_from(">I" if wide else ">H", data, at)
        at += 4 if wide else 2
        method = data[at + 1] & 15 if version in (1, 2) else 0
        at += 4 if version in (1, 2) else 2
        base = _uint(data, at, base_size)
        (pieces,) = struct.unpack_from(">H", data, at + base_size)
        at += base_size + 2
        budget -= pieces
        if budget < 0:
            raise DamagedFileError(f"the index of its pictures has above {MAX_EXTENTS} pieces")
        for _ in range(pieces):
            start = base + _uint(data, at + index_size, offset_size)
            size = _uint(data, at + index_size + offset_size, length_size)
            at += index_size + offset_size + length_size
            start, end = (start, length) if method == 0 else (idat[0] + start, idat[1])
            if method < 2 and start + size <= end:
                found.setdefault(number, []).append((start, size or end - start))
    return found


def _references(stream: ByteStream, box: Box | None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, from, to), from 'iref'."""
    if box is None:
        return
    stream.seek(box.payload)
    letter = "H" if stream.read(1) == b"\0" else "I"
    size = struct.calcsize(">" + letter)
    for entry in iter_boxes(stream, box.payload + 4, box.end):
        data = read_payload(stream, entry, MAX_INDEX)
        (source,) = struct.unpack_from(">" + letter, data)
        (count,) = struct.unpack_from(">H", data, size)
        for target in struct.unpack_from(f">{count}{letter}", data, size + 2):
            yield entry.type, source, target


def _uint(data: bytes, at: int, size: int) -> int:
    """An unsigned number of 0, 4 or 8 bytes."""
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big")
