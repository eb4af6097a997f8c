"""Read and write the index of several pictures in one JPEG: MPF (CIPA DC-007).

An APP2 segment with a small TIFF, whose entries state per picture its attributes, its size, and
its offset from that TIFF's first byte. The offset of the first picture is 0.
"""

import struct
from collections.abc import Sequence

from livemoments.livephoto.container.jpeg_parts import APP2, Segment, segment_bytes

MPF_NAME = b"MPF\0"
VERSION, COUNT, ENTRIES = 0xB000, 0xB001, 0xB002
ENTRY = 16  # bytes
PRIMARY = 0x030000  # attribute of the picture that is shown
UNDEFINED, LONG = 7, 4
MAX_PICTURES = 64
TIFF_AT = 4 + len(MPF_NAME)  # in the segment


def further_pictures(parts: Sequence[Segment]) -> list[tuple[int, int]]:
    """First byte and size of the pictures that MPF lists behind the first; as stated."""
    for part in parts:
        if part.marker == APP2 and part.payload.startswith(MPF_NAME):
            tiff = part.payload[len(MPF_NAME) :]
            try:
                order, places = _entries(tiff)
            except struct.error:
                return []
            rows = [struct.unpack_from(order + "II", tiff, at + 4) for at in places]
            base = part.start + TIFF_AT
            return [
                (base + offset, size) for size, offset in rows[:MAX_PICTURES] if offset and size
            ]
    return []


def mpf_segment(picture_length: int, at: int, next_length: int) -> bytes:
    """Return the index of a picture and one right behind it, to be put into the first.

    The first has picture_length bytes without this segment, which goes to byte `at` of it; the
    second has next_length bytes.
    """
    entries_at = 8 + 2 + 3 * 12 + 4
    length = picture_length + TIFF_AT + entries_at + 2 * ENTRY
    offset = length - at - TIFF_AT  # from where the TIFF begins
    rows = [
        struct.pack(">HHI4s", VERSION, UNDEFINED, 4, b"0100"),
        struct.pack(">HHII", COUNT, LONG, 1, 2),
        struct.pack(">HHII", ENTRIES, UNDEFINED, 2 * ENTRY, entries_at),
    ]
    tiff = b"MM\0*" + struct.pack(">IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    tiff += struct.pack(">III4x", PRIMARY, length, 0)
    tiff += struct.pack(">III4x", 0, next_length, offset)
    return segment_bytes(APP2, MPF_NAME + tiff)


def moved_index(segment: bytes, places: dict[int, int], first_size: int) -> bytes | None:
    """Make an MPF segment true of pictures that moved; return None where it names others too.

    segment includes marker and length; places are new offsets by old ones; first_size is in bytes.
    """
    tiff = bytearray(segment[TIFF_AT:])
    try:
        order, entries = _entries(tiff)
    except struct.error:
        return None
    for at in entries:
        (offset,) = struct.unpack_from(order + "I", tiff, at + 8)
        if offset and offset not in places:
            return None
        if offset:
            struct.pack_into(order + "I", tiff, at + 8, places[offset])
        else:
            struct.pack_into(order + "I", tiff, at + 4, first_size)
    return segment[:TIFF_AT] + bytes(tiff) if places else None


def _entries(tiff: bytes | bytearray) -> tuple[str, range]:
    """Byte order, and where in the TIFF the entries of its pictures are.

    Raises:
        struct.error: It is cut short.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        raise struct.error("this is no TIFF")
    (table,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, table)
    for row in range(count):
        tag, _, size, at = struct.unpack_from(order + "HHII", tiff, table + 2 + 12 * row)
        if tag == ENTRIES and at + size <= len(tiff):
            return order, range(at, at + size - ENTRY + 1, ENTRY)
    return order, range(0)
