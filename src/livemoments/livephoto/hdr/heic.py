"""Put a gain map into a HEIC as iPhones store theirs, which libheif reads but cannot write.

The map is encoded as a HEIC of its own; its one item then moves over as an auxiliary picture of the
other file's: hidden, with Apple's name in 'auxC', with XMP that says how bright its white is. The
tables are written anew, what they point at stays as it is (ISO/IEC 23008-12 and 14496-12).
"""

import io
import struct
from collections.abc import Iterator

from PIL import Image

from livemoments.errors import DamagedFileError, InputError, OutputError, UnsupportedFileError
from livemoments.imaging.pixels import as_bytes
from livemoments.livephoto.container.boxes import iter_boxes
from livemoments.livephoto.container.heic_edit import HeicEditor
from livemoments.livephoto.container.heif_items import item_bytes
from livemoments.livephoto.container.heif_tables import box_bytes
from livemoments.livephoto.hdr.apple import APPLE_AUXILIARY
from livemoments.livephoto.hdr.gain_map import GainMap, apple_values
from livemoments.livephoto.hdr.xmp import apple_packet

FAST = {"preset": "ultrafast"}  # libheif's own preset takes minutes for hardly fewer bytes
MOST_PROPERTIES = 127  # that short numbers in 'ipma' can name


def with_apple_gain_map(heic: bytes, gain_map: GainMap, quality: int) -> bytes:
    """Add a gain map to a HEIC in Apple's way.

    Args:
        heic: A file of one picture, as libheif writes it.
        gain_map: Of the picture's view; see apple_values.
        quality: 1 to 100, of libheif.

    Raises:
        OutputError: Apple's formula cannot express the map, or it cannot be encoded.
    """
    values = apple_values(gain_map)
    if values is None:
        raise OutputError("the gain map cannot be put into a HEIC: Apple's formula cannot say it")
    import pillow_heif

    stream = io.BytesIO()
    try:
        picture = pillow_heif.from_pillow(Image.fromarray(as_bytes(values)))
        picture.save(stream, quality=quality, enc_params=FAST)
        packet = apple_packet(2.0**gain_map.capacity_max)
        return with_auxiliary(heic, stream.getvalue(), name=APPLE_AUXILIARY, xmp=packet)
    except (OSError, ValueError, RuntimeError, struct.error, LookupError, InputError) as error:
        raise OutputError(f"the gain map cannot be put into a HEIC: {error}") from error


def with_auxiliary(heic: bytes, auxiliary: bytes, *, name: str, xmp: bytes) -> bytes:
    """Add another HEIC's picture to a HEIC, as an auxiliary one of its picture.

    Args:
        heic: A file of one picture, as libheif writes it.
        auxiliary: Another, of a single item.
        name: What kind of auxiliary picture it is.
        xmp: Metadata of the auxiliary picture.

    Raises:
        DamagedFileError: One of them is broken.
        UnsupportedFileError: One of them is of a layout that libheif does not write.
    """
    whole, other = HeicEditor(heic), HeicEditor(auxiliary)
    own, added_properties = _properties(whole), _properties(other)
    if other.primary not in other.items.items:
        raise DamagedFileError("it has no picture")
    picture = other.items.items[other.primary]
    coded = item_bytes(io.BytesIO(auxiliary), picture, len(auxiliary))
    added = whole.add(picture.type, coded, link=b"auxl", target=whole.primary)
    whole.add(b"mime", xmp, link=b"cdsc", target=added)
    links = _links_of(added_properties[b"ipma"], other.primary)
    properties, table = own[b"ipco"] + added_properties[b"ipco"], own[b"ipma"]
    properties += box_bytes(b"auxC", bytes(4) + name.encode() + b"\0")
    before, last = _count(own[b"ipco"]), _count(properties)
    if last > MOST_PROPERTIES:
        raise UnsupportedFileError("it has too many properties")
    moved = bytes((link & 128) | ((link & 127) + before) for link in links) + bytes([last])
    (count,) = struct.unpack_from(">I", table, 4)
    table = table[:4] + struct.pack(">I", count + 1) + table[8:]
    table += struct.pack(">HB", added, len(moved)) + moved
    whole.put_table(b"iprp", box_bytes(b"ipco", properties) + box_bytes(b"ipma", table))
    return whole.to_bytes()


def _properties(heic: HeicEditor) -> dict[bytes, bytes]:
    """Return the payloads of 'ipco', which lists properties, and 'ipma', their owners."""
    found = dict(_inner(heic.table(b"iprp") or b""))
    if not {b"ipco", b"ipma"} <= found.keys():
        raise DamagedFileError("its picture has no properties")
    # Of a version with numbers of other widths.
    if found[b"ipma"][:4] != bytes(4) or (heic.table(b"pitm") or b"\0")[0]:
        raise UnsupportedFileError("its index is of a later version")
    return found


def _inner(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and payload of the boxes in a payload."""
    for box in iter_boxes(io.BytesIO(data), 0, len(data)):
        yield box.type, data[box.payload : box.end]


def _count(properties: bytes) -> int:
    return sum(1 for _ in _inner(properties))


def _links_of(links: bytes, item: int) -> bytes:
    """Return the numbers of an item's properties, each with its flag, from 'ipma'."""
    at = 8
    for _ in range(struct.unpack_from(">I", links, 4)[0]):
        number, count = struct.unpack_from(">HB", links, at)
        if number == item:
            return links[at + 3 : at + 3 + count]
        at += 3 + count
    raise DamagedFileError("its picture has no properties")
