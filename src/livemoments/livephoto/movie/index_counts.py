"""Check the counts in a video's index against the file, before libavformat allocates by them.

libavformat takes memory for as many entries as a table states: a few changed bytes in a file of
some kilobytes then cost gigabytes. A box's own size is no such danger, as it is bounded by the
file's.
"""

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.boxes import Box, children_start, iter_boxes
from livemoments.livephoto.container.source import ByteStream

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"meta", b"ilst"}
CONTAINERS |= {b"moof", b"traf", b"mvex"}
# The fewest bytes of an entry; the count stands behind version and flags.
ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"stps": 4}
ENTRY_BYTES |= {b"elst": 12, b"keys": 8, b"dref": 12, b"stsd": 8}
MAX_DEPTH = 8
MAX_SAMPLES = 16_000_000  # of one size, which need no table: five minutes of PCM sound
MAX_RUN = 1_000_000  # samples in one piece of a fragmented video


def check_counts(stream: ByteStream, start: int, end: int, depth: int = 0) -> None:
    """Check every table of the boxes in bytes [start, end).

    Raises:
        DamagedFileError: A table states more entries than it can hold.
        UnsupportedFileError: The index is compressed, so it cannot be checked.
    """
    for box in iter_boxes(stream, start, end):
        if box.type in CONTAINERS and depth < MAX_DEPTH:
            check_counts(stream, children_start(stream, box), box.end, depth + 1)
        elif box.type == b"cmov":
            raise UnsupportedFileError("the video's index is compressed, which is not read")
        elif box.type in ENTRY_BYTES:
            _check(box, _number(stream, box, 4), ENTRY_BYTES[box.type], box.size - 8)
        elif box.type == b"stsz":
            count, of_one_size = _number(stream, box, 8), _number(stream, box, 4) > 0
            _check(box, count, *((1, MAX_SAMPLES) if of_one_size else (4, box.size - 12)))
        elif box.type == b"stz2":
            _check(box, _number(stream, box, 8), 1, 2 * (box.size - 12))
        elif box.type == b"trun":
            _check(box, _number(stream, box, 4), 1, MAX_RUN)


def _check(box: Box, count: int, entry_bytes: int, held: int) -> None:
    if count * entry_bytes > max(0, held):
        name = box.type.decode("latin-1")
        raise DamagedFileError(f"its table '{name}' states {count} entries, more than there can be")


def _number(stream: ByteStream, box: Box, offset: int) -> int:
    """Return the u32 at an offset of the payload; 0 where the box is too short for one."""
    if box.size < offset + 4:
        return 0
    stream.seek(box.payload + offset)
    return int.from_bytes(stream.read(4), "big")
