"""Edit EXIF in place: no value moves.

Many maker notes hold offsets that count from the start of EXIF; a writer that lays EXIF out anew
breaks them. Here values of the same length are replaced where they are, longer ones go to the
end, and a table goes to the end only when it grows.

Layout (TIFF 6.0): "II" or "MM", u16 42, u32 offset of the main table. A table is a u16 count,
12-byte fields {u16 tag, u16 kind, u32 count, value or u32 offset}, u32 offset of the next table.
The main table's next one describes the thumbnail.
"""

import struct
from dataclasses import dataclass, field
from typing import Literal

TableName = Literal["main", "details"]

ORIENTATION, SOFTWARE, DATE_TIME = 0x0112, 0x0131, 0x0132
MAKE, MODEL = 0x010F, 0x0110
DETAILS_POINTER = 0x8769
MAKER_NOTE, USER_COMMENT = 0x927C, 0x9286
THUMBNAIL_START, THUMBNAIL_LENGTH = 0x0201, 0x0202

ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
KIND_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


class BrokenExif(ValueError):
    """The bytes are not EXIF, or its tables cannot be followed. Internal to this room."""


@dataclass
class _Field:
    kind: int
    count: int
    value: bytes  # the field's own 4 bytes: the value, or where it is


@dataclass
class _Table:
    offset: int | None  # None: not in the file yet
    room: int = 0  # fields it had, so many fit
    fields: dict[int, _Field] = field(default_factory=dict)


class ExifEditor:
    """EXIF bytes (TIFF, without the 'Exif' prefix) whose fields can be read and replaced.

    Tables "main" and "details" (the Exif sub-table) can be edited; GPS and all else stays.
    """

    def __init__(self, exif: bytes | None, *, keep_thumbnail: bool = False) -> None:
        """Follow the tables; None starts an empty one.

        Args:
            exif: The bytes.
            keep_thumbnail: Whether the thumbnail stays: else it is taken for an old picture's.

        Raises:
            BrokenExif: The header or a table is broken.
        """
        self._data = bytearray(exif or b"MM\0*\0\0\0\x08\0\0\0\0\0\0")
        if len(self._data) < 14 or self._data[:4] not in (b"II*\0", b"MM\0*"):
            raise BrokenExif("it has no TIFF header")
        self._order = "<" if self._data[:1] == b"I" else ">"
        self._wanted: dict[tuple[TableName, int], bytes] = {}
        main = self._table(self._long(4))
        self._tables: dict[TableName, _Table] = {"main": main, "details": _Table(None)}
        pointer = main.fields.get(DETAILS_POINTER)
        if pointer is not None:
            self._tables["details"] = self._table(self._unpack("I", pointer.value))
        self._link = bytes(4)  # behind the main table: where the thumbnail's table is
        if keep_thumbnail:
            at = (main.offset or 0) + 2 + 12 * main.room
            self._link = bytes(self._data[at : at + 4]).ljust(4, b"\0")
        else:
            self._drop_thumbnail(main)

    def get(self, table: TableName, tag: int) -> bytes | None:
        """Return a field's bytes, or None where it is absent or lies outside the data."""
        found = self._tables[table].fields.get(tag)
        if found is None:
            return None
        size = KIND_SIZES.get(found.kind, 0) * found.count
        if size <= 4:
            return found.value[:size]
        start = self._unpack("I", found.value)
        return bytes(self._data[start : start + size]) if start + size <= len(self._data) else None

    def get_text(self, table: TableName, tag: int) -> str | None:
        """Return an ASCII field up to its first zero byte, or None."""
        found = self._tables[table].fields.get(tag)
        value = self.get(table, tag)
        if value is None or found is None or found.kind != ASCII:
            return None
        return value.split(b"\0")[0].decode("utf-8", "replace")

    def put(self, table: TableName, tag: int, kind: int, value: bytes) -> None:
        """Set a field; a value as long as the present one takes its place.

        Args:
            table: "main" or "details".
            tag: Number of the field.
            kind: TIFF type of the value.
            value: The bytes, in this file's byte order (see number()).
        """
        count = len(value) // KIND_SIZES[kind]
        present = self.get(table, tag)
        if len(value) <= 4:
            stored = value.ljust(4, b"\0")
        elif present is not None and len(present) == len(value):
            stored = self._tables[table].fields[tag].value
            start = self._unpack("I", stored)
            self._data[start : start + len(value)] = value
        else:
            stored = struct.pack(self._order + "I", self._append(value))
        self._tables[table].fields[tag] = _Field(kind, count, stored)
        self._wanted[table, tag] = value

    def put_text(self, table: TableName, tag: int, text: str) -> None:
        """Set an ASCII field; letters beyond ASCII are kept as UTF-8, as phones do."""
        self.put(table, tag, ASCII, text.encode("utf-8", "replace") + b"\0")

    def put_number(self, table: TableName, tag: int, number: int) -> None:
        """Set a field to one number: SHORT where it fits, else LONG."""
        kind, letter = (SHORT, "H") if number < 0x10000 else (LONG, "I")
        self.put(table, tag, kind, struct.pack(self._order + letter, number))

    def remove(self, table: TableName, tag: int) -> None:
        """Remove a field, if there is one."""
        self._tables[table].fields.pop(tag, None)
        self._wanted.pop((table, tag), None)

    def rename(self, table: TableName, old: int, new: int) -> None:
        """Put a field, which there is, under another number; its value stays where it is."""
        fields = self._tables[table].fields
        fields[new] = fields.pop(old)
        self._wanted.pop((table, old), None)

    def to_bytes(self) -> bytes:
        """Return the edited EXIF.

        Raises:
            BrokenExif: Parts of the EXIF overlap, so that edits destroyed each other.
        """
        details = self._tables["details"]
        if details.fields or details.offset is not None:
            start = self._write_table(details)
            pointer = struct.pack(self._order + "I", start)
            self._tables["main"].fields[DETAILS_POINTER] = _Field(LONG, 1, pointer)
        main_start = self._write_table(self._tables["main"], self._link)
        struct.pack_into(self._order + "I", self._data, 4, main_start)
        edited = bytes(self._data)
        again = ExifEditor(edited, keep_thumbnail=any(self._link))
        for (table, tag), value in self._wanted.items():
            if again.get(table, tag) != value:
                raise BrokenExif("its parts overlap")
        return edited

    def _table(self, offset: int) -> _Table:
        if offset < 8 or offset + 2 > len(self._data):
            raise BrokenExif(f"a table lies at byte {offset} of {len(self._data)}")
        count = struct.unpack_from(self._order + "H", self._data, offset)[0]
        if offset + 2 + 12 * count > len(self._data):
            raise BrokenExif(f"a table of {count} fields runs past the end")
        table = _Table(offset, count)
        for at in range(offset + 2, offset + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(self._order + "HHI", self._data, at)
            table.fields.setdefault(tag, _Field(kind, number, bytes(self._data[at + 8 : at + 12])))
        return table

    def _write_table(self, table: _Table, link: bytes | None = None) -> int:
        """Write a table where it was, or at the end where it grew; returns its offset.

        Args:
            table: The table.
            link: Where the next one is; None leaves what is there, which may be a value.
        """
        records = b"".join(
            struct.pack(self._order + "HHI", tag, entry.kind, entry.count) + entry.value
            for tag, entry in sorted(table.fields.items())
        )
        packed = struct.pack(self._order + "H", len(table.fields)) + records
        if table.offset is None or len(table.fields) > table.room:
            packed += link or bytes(4)
            table.offset, table.room = self._append(packed), len(table.fields)
            return table.offset
        # Careless writers leave out a sub-table's link to the next: then values follow here.
        if link is not None or len(table.fields) < table.room:
            packed += link or bytes(4)
        self._data[table.offset : table.offset + len(packed)] = packed
        return table.offset

    def _drop_thumbnail(self, main: _Table) -> None:
        """Blank the thumbnail and cut it off where it is the last thing."""
        link = (main.offset or 0) + 2 + 12 * main.room
        if link + 4 > len(self._data) or not 8 <= self._long(link) <= len(self._data) - 2:
            return
        try:
            fields = self._table(self._long(link)).fields
        except BrokenExif:
            return
        if THUMBNAIL_START not in fields or THUMBNAIL_LENGTH not in fields:
            return
        start = self._unpack("I", fields[THUMBNAIL_START].value)
        length = self._unpack("I", fields[THUMBNAIL_LENGTH].value)
        # Only what really is a picture: a wrong offset must not blank something else.
        if self._data[start : start + 2] != b"\xff\xd8":
            return
        end = min(start + length, len(self._data))
        self._data[start:end] = bytes(end - start)
        if not any(self._data[end:]):
            del self._data[start:]

    def _append(self, value: bytes) -> int:
        self._data += bytes(len(self._data) % 2)  # offsets are even
        start = len(self._data)
        self._data += value
        return start

    def _long(self, at: int) -> int:
        return struct.unpack_from(self._order + "I", self._data, at)[0]

    def _unpack(self, letter: str, value: bytes) -> int:
        return struct.unpack(self._order + letter, value)[0]
