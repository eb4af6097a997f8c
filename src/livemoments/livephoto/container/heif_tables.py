"""Read and write the tables of a HEIC's index: 'iloc', 'iinf' and 'iref'.

A HEIC's pictures and metadata are items (ISO/IEC 14496-12, 8.11): 'iinf' names them, 'iloc' says
where in the file their bytes lie, 'iref' what describes or belongs to what. Each table is one box's
payload here. The widths of numbers stay as the table's version has them.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.boxes import iter_boxes

MAX_EXTENTS = 10_000
IN_FILE, IN_INDEX = 0, 1  # construction methods: offsets count from the file's start, from 'idat'
HIDDEN = 1  # a flag of 'infe': no picture to be shown
XMP_MIME = b"application/rdf+xml"


@dataclass(frozen=True, kw_only=True)
class Extent:
    """A piece of an item: a length of 0 means up to the end."""

    index: int
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class ItemPlace:
    """A row of 'iloc'; its extents start where its construction method says."""

    id: int
    method: int
    reference: int
    extents: tuple[Extent, ...]


@dataclass(frozen=True, kw_only=True)
class PlaceTable:
    """A whole 'iloc', its bases added to the offsets."""

    version: int
    index_size: int
    places: tuple[ItemPlace, ...]


@dataclass(frozen=True, kw_only=True)
class ItemEntry:
    """A row of 'iinf'; content_type is the MIME type of a "mime" item, else empty."""

    id: int
    type: bytes
    content_type: bytes = b""


class Reference(NamedTuple):
    """From an item to another one: "cdsc" describes it, "auxl" belongs to it."""

    kind: bytes
    source: int
    target: int


@contextmanager
def whole_index() -> Iterator[None]:
    """Turn what reading or writing a broken table raises into one of our errors."""
    try:
        yield
    except (struct.error, IndexError, OverflowError) as error:
        raise DamagedFileError("the index of its pictures is cut short") from error


def box_bytes(kind: bytes, payload: bytes) -> bytes:
    """Return a box with this payload."""
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def read_iloc(data: bytes) -> PlaceTable:
    """Read where every item lies.

    Raises:
        DamagedFileError: It is cut short, or there are too many pieces.
    """
    stream = io.BytesIO(data[6:])

    def number(size: int) -> int:
        piece = stream.read(size)
        if len(piece) < size:
            raise IndexError
        return int.from_bytes(piece, "big")

    with whole_index():
        version = data[0]
        offset_size, length_size, base_size = data[4] >> 4, data[4] & 15, data[5] >> 4
        index_size = data[5] & 15 if version else 0
        name_size = 4 if version == 2 else 2
        places, budget = [], MAX_EXTENTS
        for _ in range(number(name_size)):
            name = number(name_size)
            method = number(2) & 15 if version else IN_FILE
            reference, base, pieces = number(2), number(base_size), number(2)
            budget -= pieces
            if budget < 0:
                raise DamagedFileError(f"the index of its pictures has above {MAX_EXTENTS} pieces")
            extents = []
            for _ in range(pieces):
                index, start = number(index_size), base + number(offset_size)
                extents.append(Extent(index=index, start=start, length=number(length_size)))
            places.append(
                ItemPlace(id=name, method=method, reference=reference, extents=tuple(extents))
            )
    return PlaceTable(version=version, index_size=index_size, places=tuple(places))


def iloc_bytes(table: PlaceTable, *, wide: bool) -> bytes:
    """Write a table with whole offsets and no bases; its length does not depend on the numbers.

    wide: offsets and lengths take eight bytes, not four.

    Raises:
        DamagedFileError: a number in it is too large.
    """
    size = 8 if wide else 4
    name_size = 4 if table.version == 2 else 2
    with whole_index():
        parts = [bytes([table.version, 0, 0, 0, size << 4 | size, table.index_size])]
        parts.append(len(table.places).to_bytes(name_size, "big"))
        for place in table.places:
            parts.append(place.id.to_bytes(name_size, "big"))
            parts.append(struct.pack(">H", place.method) if table.version else b"")
            parts.append(struct.pack(">HH", place.reference, len(place.extents)))
            for each in place.extents:
                parts.append(each.index.to_bytes(table.index_size, "big"))
                parts += [each.start.to_bytes(size, "big"), each.length.to_bytes(size, "big")]
    return b"".join(parts)


def read_iinf(data: bytes) -> Iterator[ItemEntry]:
    """Yield what every item is."""
    with whole_index():
        for name, row in _inner(data, 6 if data[0] == 0 else 8):
            if name != b"infe" or row[0] < 2:
                continue
            wide = row[0] >= 3
            (number,) = struct.unpack_from(">I" if wide else ">H", row, 4)
            at = 10 if wide else 8  # behind the number and the protection index
            kind = row[at : at + 4]
            words = row[at + 4 :].split(b"\0")
            mime = words[1] if kind == b"mime" and len(words) > 1 else b""
            yield ItemEntry(id=number, type=kind, content_type=mime)


def with_entries(data: bytes, entries: Sequence[ItemEntry]) -> bytes:
    """Add items to 'iinf', none of them a picture to be shown."""
    with whole_index():
        size = 2 if data[0] == 0 else 4
        rows = [box_bytes(*row) for row in _inner(data, 4 + size)]
        for each in entries:
            row = struct.pack(">IHH4s", 2 << 24 | HIDDEN, each.id, 0, each.type) + b"\0"
            row += each.content_type + b"\0" * bool(each.content_type)
            rows.append(box_bytes(b"infe", row))
        return data[:4] + len(rows).to_bytes(size, "big") + b"".join(rows)


def read_iref(data: bytes) -> Iterator[Reference]:
    """Yield what refers to what."""
    with whole_index():
        letter = "I" if data[0] else "H"
        size = struct.calcsize(letter)
        for kind, row in _inner(data, 4):
            (source,) = struct.unpack_from(">" + letter, row)
            (count,) = struct.unpack_from(">H", row, size)
            for target in struct.unpack_from(f">{count}{letter}", row, size + 2):
                yield Reference(kind=kind, source=source, target=target)


def with_references(data: bytes, references: Sequence[Reference]) -> bytes:
    """Add references to 'iref'."""
    with whole_index():
        letter = "I" if data[0] else "H"
        rows = [box_bytes(*row) for row in _inner(data, 4)]
        for each in references:
            row = struct.pack(f">{letter}H{letter}", each.source, 1, each.target)
            rows.append(box_bytes(each.kind, row))
        return data[:4] + b"".join(rows)


def _inner(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """Type and payload of the boxes in a table; the last may state no size, so none is copied."""
    for box in iter_boxes(io.BytesIO(data), start, len(data)):
        if not box.complete:
            raise IndexError
        yield box.type, data[box.payload : box.end]
