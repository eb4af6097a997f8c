"""Check Samsung's trailer (SEF) against its rules.

The reader in reading/samsung.py passes over what is broken; here everything broken is reported.
"""

import struct
from dataclasses import dataclass

from livemoments.livephoto.checking.findings import Finding
from livemoments.livephoto.container.source import ByteStream, Source
from livemoments.livephoto.reading.samsung import MAX_ENTRIES, MOTION_PHOTO_DATA

WHOLE = "the trailer's directory is whole, from SEFH to SEFT"
PACKED = "the trailer's blocks lie one behind the other, up to the directory"
HEADERS = "every block's header agrees with the directory"
CLIP = "the MotionPhoto_Data block is the clip, or says where it is"
BOXED = "a HEIC's trailer fills a box 'sefd'"


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A directory's entry, and where its block lies in the file."""

    type: int
    start: int
    end: int


def check_trailer(photo: Source, clip: Source | None) -> list[Finding]:
    """Hold the rules of the trailer against a file.

    Args:
        photo: The whole file.
        clip: Where its clip lies, or None where none was found.
    """
    with photo.open() as stream:
        stream.seek(max(0, photo.length - 8))
        tail = stream.read(8)
        if len(tail) < 8 or tail[4:] != b"SEFT":
            return [Finding(rule=WHOLE, passed=None, found="no trailer of Samsung's")]
        head = photo.length - 8 - struct.unpack("<I", tail[:4])[0]
        entries = _entries(stream, head, photo.length - 8)
        if entries is None:
            return [Finding(rule=WHOLE, passed=False, found=f"no whole SEFH at byte {head}")]
        return [
            Finding(rule=WHOLE, passed=True, found=f"{len(entries)} blocks"),
            _packed(entries, head),
            _headers(stream, entries),
            _clip_block(stream, entries, clip),
            _boxed(stream, photo, entries),
        ]


def _entries(stream: ByteStream, head: int, end: int) -> list[_Entry] | None:
    """Return the directory's entries; None where it is none, or its size does not fit its count."""
    if head < 0:
        return None
    stream.seek(head)
    directory = stream.read(min(end - head, 12 + 12 * MAX_ENTRIES))
    if len(directory) < 12 or directory[:4] != b"SEFH":
        return None
    count = struct.unpack_from("<I", directory, 8)[0]
    if 12 + 12 * count != end - head or len(directory) < end - head:
        return None
    entries = []
    for index in range(count):
        _, kind, back, size = struct.unpack_from("<HHII", directory, 12 + 12 * index)
        entries.append(_Entry(type=kind, start=head - back, end=head - back + size))
    return entries


def _packed(entries: list[_Entry], head: int) -> Finding:
    in_order = sorted(entries, key=lambda entry: entry.start)
    expected = [entry.start for entry in in_order[1:]] + [head]
    for entry, start in zip(in_order, expected, strict=True):
        if entry.end != start or entry.start < 0:
            found = f"block {entry.type:#06x} ends at byte {entry.end}, the next begins at {start}"
            return Finding(rule=PACKED, passed=False, found=found)
    first = in_order[0].start if in_order else head
    return Finding(rule=PACKED, passed=True, found=f"bytes {first} to {head}")


def _headers(stream: ByteStream, entries: list[_Entry]) -> Finding:
    names = []
    for entry in entries:
        header = _read(stream, entry.start, 8)
        if len(header) == 8:
            zero, kind, length = struct.unpack("<HHI", header)
            name = _read(stream, entry.start + 8, min(length, 256))
            if (zero, kind) == (0, entry.type) and 8 + length <= entry.end - entry.start:
                names.append(name.decode("ascii", "replace"))
                continue
        found = f"block {entry.type:#06x} at byte {entry.start} begins {header.hex(' ')}"
        return Finding(rule=HEADERS, passed=False, found=found)
    return Finding(rule=HEADERS, passed=True, found=", ".join(names))


def _clip_block(stream: ByteStream, entries: list[_Entry], clip: Source | None) -> Finding:
    entry = next((each for each in entries if each.type == MOTION_PHOTO_DATA), None)
    if entry is None or clip is None:
        found = "no such block" if entry is None else "no clip in the file"
        return Finding(rule=CLIP, passed=False, found=found)
    header = _read(stream, entry.start, 8)
    start = entry.start + 8 + (struct.unpack("<I", header[4:])[0] if len(header) == 8 else 0)
    length = entry.end - start
    data = _read(stream, start, 12) if length == 12 else b""
    if data[:3] == b"mpv":
        start, length = struct.unpack(">II", data[4:])
    return Finding(
        rule=CLIP,
        passed=(start, length) == (clip.start, clip.length),
        found=f"{length} bytes at {start}; the clip has {clip.length} at {clip.start}",
    )


def _boxed(stream: ByteStream, photo: Source, entries: list[_Entry]) -> Finding:
    if _read(stream, 4, 4) != b"ftyp":
        return Finding(rule=BOXED, passed=None, found="a JPEG")
    first = min((entry.start for entry in entries), default=photo.length)
    header = _read(stream, first - 8, 8)
    if header[4:] != b"sefd":
        return Finding(rule=BOXED, passed=False, found=f"no such box before byte {first}")
    size = struct.unpack(">I", header[:4])[0]
    return Finding(
        rule=BOXED,
        passed=first - 8 + size == photo.length,
        found=f"{size} bytes at {first - 8}, the file has {photo.length}",
    )


def _read(stream: ByteStream, at: int, size: int) -> bytes:
    if at < 0:
        return b""
    stream.seek(at)
    return stream.read(size)
