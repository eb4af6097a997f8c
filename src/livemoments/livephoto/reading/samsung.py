"""Read Samsung's trailer (SEF): a directory at the very end of the file that names its blocks.

Block: {u16 0, u16 type, u32 name length, name, data}, little-endian. Directory: 'SEFH', u32
version, u32 count, count x {u16 0, u16 type, u32 offset backwards from 'SEFH', u32 size}, then
u32 length of the directory and 'SEFT'.
"""

import struct
from dataclasses import dataclass

from livemoments.livephoto.container.source import Source

MOTION_PHOTO_DATA = 0x0A30
MAX_ENTRIES = 256


@dataclass(frozen=True, kw_only=True)
class SefBlock:
    """One block of the trailer: its type, its name, and where its data lies in the file."""

    type: int
    name: str
    start: int
    length: int


def read_trailer(source: Source) -> tuple[SefBlock, ...]:
    """Return the blocks of a file's SEF trailer; none where there is no trailer."""
    if source.length < 20:
        return ()
    with source.open() as stream:
        stream.seek(source.length - 8)
        size, end = struct.unpack("<I4s", stream.read(8))
        head = source.length - 8 - size
        if end != b"SEFT" or size < 12 or head < 0:
            return ()
        stream.seek(head)
        directory = stream.read(min(size, 12 + 12 * MAX_ENTRIES))
        if directory[:4] != b"SEFH":
            return ()
        count = min(struct.unpack_from("<I", directory, 8)[0], (len(directory) - 12) // 12)
        blocks = []
        for index in range(count):
            _, kind, back, length = struct.unpack_from("<HHII", directory, 12 + 12 * index)
            start = head - back
            if start < 0 or length < 8 or start + length > head:
                continue
            stream.seek(start)
            _, _, name_length = struct.unpack("<HHI", stream.read(8))
            if name_length > min(64, length - 8):
                continue
            name = stream.read(name_length).decode("ascii", "replace")
            data = start + 8 + name_length
            blocks.append(SefBlock(type=kind, name=name, start=data, length=start + length - data))
        return tuple(blocks)


def motion_photo_block(blocks: tuple[SefBlock, ...]) -> SefBlock | None:
    """Return the block that holds the clip, or None."""
    return next((block for block in blocks if block.type == MOTION_PHOTO_DATA), None)
