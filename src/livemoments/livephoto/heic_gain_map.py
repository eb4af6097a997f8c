"""A gain map put into a HEIC as iPhones store theirs, which libheif reads but cannot write.

The map is encoded as a HEIC of its own; its one item then moves over as an auxiliary picture of the
other file's: hidden, with Apple's name in 'auxC', with XMP that says how bright its white is. The
tables are written anew, what they point at stays as it is (ISO/IEC 23008-12 and 14496-12).
"""

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from livemoments.errors import DamagedFileError, InputError, OutputError, UnsupportedFileError
from livemoments.livephoto.apple_hdr import APPLE_AUXILIARY
from livemoments.livephoto.boxes import Box, find_box, iter_boxes
from livemoments.livephoto.gain_map import GainMap, apple_values
from livemoments.livephoto.hdr_xmp import apple_packet
from livemoments.livephoto.heif_items import MAX_INDEX, HeifItem, item_bytes, read_items

BOX_HEADER = 8
HIDDEN = 1  # a flag of 'infe': not a picture to be shown
FAST = {"preset": "ultrafast"}  # libheif's own preset takes minutes for hardly fewer bytes
MIME_XMP = b"application/rdf+xml"


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """A HEIC taken apart: its bytes, where 'meta' is, and the payloads of the tables in it."""

    data: bytes
    meta: Box
    tables: dict[bytes, bytes]
    items: dict[int, HeifItem]

    @property
    def primary(self) -> int:
        """The number of the picture that is shown."""
        return struct.unpack_from(">H", self.tables[b"pitm"], 4)[0]


def with_apple_gain_map(heic: bytes, gain_map: GainMap, quality: int) -> bytes:
    """A HEIC with a gain map in Apple's way.

    Args:
        heic: A file of one picture, as libheif writes it.
        gain_map: Of the picture's view; see apple_values.
        quality: 1 to 100, of libheif.

    Raises:
        OutputError: The map cannot be said by Apple's formula, or not be encoded.
    """
    values = apple_values(gain_map)
    if values is None:
        raise OutputError("the gain map cannot be put into a HEIC: Apple's formula cannot say it")
    import pillow_heif

    pillow_heif.register_heif_opener()
    stream = io.BytesIO()
    try:
        codes = np.rint(values * 255).astype(np.uint8)
        Image.fromarray(codes).save(stream, format="HEIF", quality=quality, enc_params=FAST)
        packet = apple_packet(2.0**gain_map.capacity_max)
        return with_auxiliary(heic, stream.getvalue(), name=APPLE_AUXILIARY, xmp=packet)
    except (OSError, ValueError, RuntimeError, struct.error, LookupError, InputError) as error:
        raise OutputError(f"the gain map cannot be put into a HEIC: {error}") from error


def with_auxiliary(heic: bytes, auxiliary: bytes, *, name: str, xmp: bytes) -> bytes:
    """A HEIC to whose picture another HEIC's picture belongs as an auxiliary one.

    Args:
        heic: A file of one picture, as libheif writes it.
        auxiliary: Another, of a single item.
        name: What kind of auxiliary picture it is.
        xmp: Metadata of the auxiliary picture.

    Raises:
        DamagedFileError: One of them is broken.
        UnsupportedFileError: One of them is of a layout that libheif does not write.
    """
    whole, other = _parts(heic), _parts(auxiliary)
    added = max(whole.items) + 1
    picture = item_bytes(io.BytesIO(auxiliary), other.items[other.primary], len(auxiliary))
    tables = dict(whole.tables)
    tables[b"iinf"] = _longer(
        tables[b"iinf"],
        4,
        _infe(added, b"hvc1" + b"\0", HIDDEN) + _infe(added + 1, b"mime\0" + MIME_XMP + b"\0", 0),
        2,
    )
    references = _box(b"auxl", struct.pack(">HHH", added, 1, whole.primary))
    references += _box(b"cdsc", struct.pack(">HHH", added + 1, 1, added))
    tables[b"iref"] = tables.get(b"iref", bytes(4)) + references
    tables[b"iprp"] = _properties(whole, other, added, name)
    return _laid_out(whole, tables, {added: picture, added + 1: xmp})


def _laid_out(whole: _Parts, tables: dict[bytes, bytes], added: dict[int, bytes]) -> bytes:
    """The file with other tables, and the bytes of added items behind all else."""
    meta, old_end = whole.meta, whole.meta.end
    shift = 0
    for _ in range(2):  # the first time for the length of the tables, which all places depend on
        extents = {
            number: tuple((at + (shift if at >= old_end else 0), size) for at, size in item.extents)
            for number, item in whole.items.items()
        }
        at = len(whole.data) + shift + BOX_HEADER
        for number, data in added.items():
            extents[number] = ((at, len(data)),)
            at += len(data)
        new = _meta({**tables, b"iloc": _iloc(extents)})
        shift = len(new) - (old_end - meta.start)
    behind = _box(b"mdat", b"".join(added.values()))
    return whole.data[: meta.start] + new + whole.data[old_end:] + behind


def _parts(data: bytes) -> _Parts:
    stream = io.BytesIO(data)
    meta = find_box(stream, 0, len(data), "meta")
    if meta is None:
        raise DamagedFileError("it has no index of its pictures")
    boxes = list(iter_boxes(stream, meta.payload + 4, meta.end))
    tables = {box.type: data[box.payload : box.end] for box in boxes}
    if len(tables) != len(boxes) or b"idat" in tables or meta.size > MAX_INDEX:
        raise UnsupportedFileError("its index is not as libheif writes it")
    if any(tables[name][0] for name in (b"iinf", b"pitm")) or tables.get(b"iref", b"\0")[0]:
        raise UnsupportedFileError("its index is of a later version")
    return _Parts(data=data, meta=meta, tables=tables, items=read_items(stream, len(data)).items)


def _properties(whole: _Parts, other: _Parts, added: int, name: str) -> bytes:
    """The first file's 'iprp' with the second one's, for the added item."""
    (own, own_links), (theirs, links) = _split(whole), _split(other)
    count = sum(1 for _ in iter_boxes(io.BytesIO(own), 0, len(own)))
    found = _links_of(links, other.primary)
    extra = _box(b"auxC", bytes(4) + name.encode() + b"\0")
    extra_at = count + 1 + sum(1 for _ in iter_boxes(io.BytesIO(theirs), 0, len(theirs)))
    if extra_at > 127:
        raise UnsupportedFileError("it has too many properties")
    moved = bytes((link & 128) | ((link & 127) + count) for link in found) + bytes([extra_at])
    entry = struct.pack(">HB", added, len(moved)) + moved
    return _box(b"ipco", own + theirs + extra) + _box(b"ipma", _longer(own_links, 4, entry, 1, "I"))


def _split(parts: _Parts) -> tuple[bytes, bytes]:
    """The payloads of 'ipco' and 'ipma'."""
    data = parts.tables[b"iprp"]
    boxes = {
        box.type: data[box.payload : box.end] for box in iter_boxes(io.BytesIO(data), 0, len(data))
    }
    if boxes[b"ipma"][:4] != bytes(4):
        raise UnsupportedFileError("its index is of a later version")
    return boxes[b"ipco"], boxes[b"ipma"]


def _links_of(links: bytes, item: int) -> bytes:
    """The numbers of an item's properties, each with its flag, from 'ipma'."""
    at = 8
    for _ in range(struct.unpack_from(">I", links, 4)[0]):
        number, count = struct.unpack_from(">HB", links, at)
        if number == item:
            return links[at + 3 : at + 3 + count]
        at += 3 + count
    raise DamagedFileError("its picture has no properties")


def _longer(table: bytes, at: int, entries: bytes, more: int, letter: str = "H") -> bytes:
    """A table with more entries, whose count is at a byte."""
    (count,) = struct.unpack_from(">" + letter, table, at)
    rest = table[at + struct.calcsize(letter) :]
    return table[:at] + struct.pack(">" + letter, count + more) + rest + entries


def _infe(number: int, kind: bytes, flags: int) -> bytes:
    """An entry of 'iinf': version 2, no protection."""
    return _box(b"infe", struct.pack(">IHH", 2 << 24 | flags, number, 0) + kind)


def _iloc(extents: dict[int, tuple[tuple[int, int], ...]]) -> bytes:
    """Version 0: offsets in the file and lengths, of four bytes each."""
    table = struct.pack(">IBBH", 0, 0x44, 0, len(extents))
    for number, pieces in sorted(extents.items()):
        table += struct.pack(">HHH", number, 0, len(pieces))
        table += b"".join(struct.pack(">II", *piece) for piece in pieces)
    return table


def _meta(tables: dict[bytes, bytes]) -> bytes:
    return _box(b"meta", bytes(4) + b"".join(_box(kind, data) for kind, data in tables.items()))


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload) + 8, kind) + payload
