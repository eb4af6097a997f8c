"""Walk the directories of a TIFF, as raw photos use it, and write small ones.

Layout (TIFF 6.0): "II" or "MM", u16 42, u32 offset of the first directory. A directory is a u16
count, 12-byte fields {u16 tag, u16 kind, u32 count, value or u32 offset}, u32 offset of the next.
Olympus and Panasonic write marks of their own in the place of 42. No offset is trusted: what lies
outside the file, or is met twice, is passed over.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from livemoments.livephoto.container.source import ByteStream
from livemoments.livephoto.metadata.exif import KIND_SIZES

MAGIC = (b"II*\0", b"MM\0*", b"IIRO", b"IIRS", b"MMOR", b"IIU\0")
SUB_DIRECTORIES, DETAILS, GPS = 0x014A, 0x8769, 0x8825
MAX_DIRECTORIES = 64
MAX_FIELDS = 512
MAX_VALUE = 1 << 20  # bytes of one value that are read
NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I"}


@dataclass(frozen=True, kw_only=True)
class TiffField:
    """One field: its type, number of values, and where they lie in the stream."""

    kind: int
    count: int
    at: int

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return KIND_SIZES.get(self.kind, 1) * self.count


class Directory:
    """The fields of one directory, whose values are read when they are asked for."""

    def __init__(self, stream: ByteStream, order: str, fields: Mapping[int, TiffField]) -> None:
        """Take the stream, its byte order as struct writes it, and the fields by tag."""
        self._stream, self.order, self.fields = stream, order, fields

    def value(self, tag: int) -> bytes:
        """Return a field's bytes in the file's byte order; empty where it is absent or broken."""
        found = self.fields.get(tag)
        if found is None or found.size > MAX_VALUE:
            return b""
        self._stream.seek(found.at)
        data = self._stream.read(found.size)
        return data if len(data) == found.size else b""

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return a field's whole numbers; none where it is absent or holds something else."""
        found, data = self.fields.get(tag), self.value(tag)
        if found is None or not data or found.kind not in NUMBERS:
            return ()
        return struct.unpack(f"{self.order}{found.count}{NUMBERS[found.kind]}", data)

    def number(self, tag: int) -> int:
        """Return a field's first whole number; 0 where it has none."""
        return next(iter(self.numbers(tag)), 0)


def read_directories(stream: ByteStream, length: int) -> list[Directory]:
    """Return the directories of a TIFF of so many bytes: the first, those it names, the next ones.

    Those of EXIF and GPS are not among them; see directory_at. Empty where it is no TIFF.
    """
    stream.seek(0)
    head = stream.read(8)
    if len(head) < 8 or head[:4] not in MAGIC:
        return []
    order = "<" if head[:2] == b"II" else ">"
    waiting: list[int] = [struct.unpack_from(order + "I", head, 4)[0]]
    seen: set[int] = set()
    found: list[Directory] = []
    while waiting and len(found) < MAX_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or not 8 <= at < length:
            continue
        seen.add(at)
        directory, following = _read(stream, order, at)
        found.append(directory)
        waiting += [*directory.numbers(SUB_DIRECTORIES)[:MAX_DIRECTORIES], following]
    return found


def directory_at(stream: ByteStream, parent: Directory, tag: int) -> Directory | None:
    """Return the directory that a field of another one points at, such as EXIF's; or None."""
    at = parent.number(tag)
    return _read(stream, parent.order, at)[0] if at >= 8 else None


def _read(stream: ByteStream, order: str, at: int) -> tuple[Directory, int]:
    """Read the directory at a byte, and where the next one is (0: there is none)."""
    stream.seek(at)
    head = stream.read(2)
    count = struct.unpack(order + "H", head)[0] if len(head) == 2 else 0
    if count > MAX_FIELDS:
        return Directory(stream, order, {}), 0
    rows = stream.read(12 * count)
    link = stream.read(4)
    fields: dict[int, TiffField] = {}
    for index in range(len(rows) // 12):
        tag, kind, number, value = struct.unpack_from(order + "HHII", rows, 12 * index)
        field = TiffField(kind=kind, count=number, at=value)
        if field.size <= 4:
            field = TiffField(kind=kind, count=number, at=at + 2 + 12 * index + 8)
        fields.setdefault(tag, field)
    following = struct.unpack(order + "I", link)[0] if len(link) == 4 else 0
    return Directory(stream, order, fields), following


def tiff_bytes(
    order: str, main: Mapping[int, tuple[int, bytes]], **below: Mapping[int, tuple[int, bytes]]
) -> bytes:
    """Return a small TIFF of these fields, each a type and the bytes of its value.

    Args:
        order: "<" or ">", in which the values already are.
        main: The fields of the first directory, by tag.
        below: Directories that it points at: `details` (EXIF) and `gps`.
    """
    pointers = {"details": DETAILS, "gps": GPS}
    fields = dict(main)
    for name in below:
        fields[pointers[name]] = (4, bytes(4))
    at, tables = 8, []
    for name, table in (("main", fields), *below.items()):
        if name != "main":
            fields[pointers[name]] = (4, struct.pack(order + "I", at))
        tables.append((at, table))
        at += 6 + 12 * len(table) + sum(_room(value) for _, value in table.values())
    head = b"II*\0" if order == "<" else b"MM\0*"
    laid_out = [_laid_out(order, start, table) for start, table in tables]
    return head + struct.pack(order + "I", 8) + b"".join(laid_out)


def _room(value: bytes) -> int:
    """Return how many bytes a value takes behind its table: it starts at an even one."""
    return len(value) + len(value) % 2 if len(value) > 4 else 0


def _laid_out(order: str, at: int, fields: Mapping[int, tuple[int, bytes]]) -> bytes:
    rows, values = struct.pack(order + "H", len(fields)), b""
    start = at + 6 + 12 * len(fields)
    for tag in sorted(fields):
        kind, value = fields[tag]
        stored = value.ljust(4, b"\0")
        if len(value) > 4:
            stored = struct.pack(order + "I", start + len(values))
            values += value.ljust(_room(value), b"\0")
        rows += struct.pack(order + "HHI", tag, kind, len(value) // KIND_SIZES.get(kind, 1))
        rows += stored
    return rows + bytes(4) + values
