"""Walk the boxes of ISO base media files (MOV, MP4, HEIC), trusting no stated length.

A box is u32 size, four letters, payload. Size 1 means that a u64 size follows, size 0 that the
box runs to the end of what holds it. Nothing here reads a payload unless asked to, and every
walk is bounded by the bytes of the parent and by a number of boxes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from livemoments.errors import DamagedFileError
from livemoments.livephoto.container.source import ByteStream

MAX_BOXES = 4096
MAX_PAYLOAD = 32 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Box:
    """One box: its type and where it lies in the stream, in bytes."""

    type: bytes  # four letters
    start: int  # first byte of the header
    payload: int  # first byte after the header
    end: int  # one past the last byte, never beyond the parent
    complete: bool = True  # false where the declared size runs past the parent's end

    @property
    def size(self) -> int:
        """Payload size in bytes."""
        return self.end - self.payload


def iter_boxes(stream: ByteStream, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes in bytes [start, end) of a stream; stop at the first impossible size."""
    at = start
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        stream.seek(at)
        header = stream.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        payload = at + 8
        if size == 1:
            if len(header) < 16:
                return
            size, payload = struct.unpack(">Q", header[8:])[0], at + 16
        elif size == 0:
            size = end - at
        if size < payload - at:
            return
        yield Box(
            type=kind, start=at, payload=payload, end=min(at + size, end), complete=at + size <= end
        )
        at += size


def find_box(stream: ByteStream, start: int, end: int, path: str) -> Box | None:
    """Find the first box at a path such as 'moov/meta/keys' in bytes [start, end), or None."""
    kind, _, rest = path.partition("/")
    for box in iter_boxes(stream, start, end):
        if box.type == kind.encode("latin-1"):
            if not rest:
                return box
            found = find_box(stream, children_start(stream, box), box.end, rest)
            if found is not None:
                return found
    return None


def children_start(stream: ByteStream, box: Box) -> int:
    """Return where a box's children begin.

    'meta' is a full box (4 bytes of version and flags) in MP4 and HEIC, and a plain box in
    QuickTime: its first child's name tells which.
    """
    if box.type != b"meta":
        return box.payload
    stream.seek(box.payload + 4)
    return box.payload if stream.read(4) in (b"hdlr", b"keys", b"ilst") else box.payload + 4


def read_payload(stream: ByteStream, box: Box, limit: int = MAX_PAYLOAD) -> bytes:
    """Return a box's payload.

    Raises:
        DamagedFileError: The box is cut short, or larger than limit bytes.
    """
    if box.size > limit:
        name = box.type.decode("latin-1")
        raise DamagedFileError(f"box '{name}' has {box.size} bytes, at most {limit} expected")
    stream.seek(box.payload)
    data = stream.read(box.size)
    if len(data) < box.size or not box.complete:
        name = box.type.decode("latin-1")
        raise DamagedFileError(f"box '{name}' is cut short")
    return data


def media_end(stream: ByteStream, start: int, end: int) -> int:
    """Return where the last media box from start ends: before a vendor's trailer, if any."""
    known = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"udta"}
    known |= {b"meta", b"uuid", b"styp", b"sidx", b"pdin", b"emsg"}
    # A box of another name may stand between them, as readers of the format pass over it.
    return max(
        (box.end for box in iter_boxes(stream, start, end) if box.type in known), default=start
    )
