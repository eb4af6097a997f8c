"""Read the fields of Apple's maker note, put fields in without harm to the others, take them out.

A note: "Apple iOS" and a zero byte, u16 1, "MM" or "II", u16 count, 12-byte fields as in TIFF,
u32 offset of a next table, values. Offsets count from the note's first byte.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass

from livemoments.livephoto.metadata.exif import ASCII, KIND_SIZES, MAKER_NOTE, UNDEFINED, ExifEditor

MAX_IDENTIFIER = 128

MAKER_NOTE_START = b"Apple iOS\0"
EMPTY_NOTE = MAKER_NOTE_START + b"\0\1MM" + bytes(6)
TAG_CONTENT_IDENTIFIER = 0x0011
HEAD = 16  # bytes before the fields
FIELD = 12
LINK = 4  # bytes after them


@dataclass(frozen=True, kw_only=True)
class NoteField:
    """One field of a maker note: tag, type, number of values, and its last four bytes."""

    tag: int
    kind: int
    count: int
    value: int

    @property
    def size(self) -> int:
        """Bytes of its value; up to 4 they are in the field itself."""
        return KIND_SIZES.get(self.kind, 1) * self.count


def new_note(identifier: str) -> bytes:
    """Return the smallest note that names a Live Photo."""
    return with_identifier(EMPTY_NOTE, identifier)


def is_apple_note(note: bytes) -> bool:
    """Return whether a maker note is Apple's, and its table of fields whole."""
    try:
        note_fields(note)
    except struct.error:
        return False
    return True


def note_order(note: bytes) -> str:
    """Return the note's byte order, as struct writes it."""
    return "<" if note[12:14] == b"II" else ">"


def note_fields(note: bytes) -> list[NoteField]:
    """Return the fields of an Apple maker note.

    Raises:
        struct.error: It is none, or cut short.
    """
    if not note.startswith(MAKER_NOTE_START) or note[12:14] not in (b"MM", b"II"):
        raise struct.error("this is no Apple maker note")
    order = note_order(note)
    (count,) = struct.unpack_from(order + "H", note, 14)
    rows = [struct.unpack_from(order + "HHII", note, HEAD + FIELD * i) for i in range(count)]
    return [NoteField(tag=tag, kind=kind, count=n, value=value) for tag, kind, n, value in rows]


def with_identifier(note: bytes, identifier: str) -> bytes:
    """Put this content identifier into a note; see with_field."""
    text = identifier.encode("ascii", "replace") + b"\0"
    return with_field(note, TAG_CONTENT_IDENTIFIER, ASCII, text)


def with_field(note: bytes, tag: int, kind: int, value: bytes) -> bytes:
    """Put a field of more than four bytes into a note; every other field keeps its own.

    The value takes the place of one as long, or of a gap, else it goes to the end. Where the table
    of fields has no room to grow, the values move, and the offsets that point at them too.

    Raises:
        struct.error: It is no Apple maker note, or cut short.
    """
    fields = note_fields(note)
    for each in fields:
        end = each.value + each.size
        if (each.tag, each.kind, each.size) == (tag, kind, len(value)) and end <= len(note):
            return note[: each.value] + value + note[end:]
    others = [each for each in fields if each.tag != tag]
    old_end = HEAD + FIELD * len(fields) + LINK
    new_end = HEAD + FIELD * (len(others) + 1) + LINK
    stored = [each for each in others if each.size > 4 and each.value >= old_end]
    first = min((each.value for each in stored), default=len(note))
    if any(note[old_end:first]):  # something that no field names
        first = old_end
    shift = max(0, new_end - first)
    body = bytearray(first + shift) + note[first:]
    taken = [(each.value + shift, each.value + shift + each.size) for each in stored]
    start = _gap(body, new_end, taken, len(value))
    body[start : start + len(value)] = value
    rows = [
        (each.tag, each.kind, each.count, each.value + shift * (each in stored)) for each in others
    ]
    rows.append((tag, kind, len(value) // KIND_SIZES[kind], start))
    order = note_order(note)
    table = b"".join(struct.pack(order + "HHII", *row) for row in sorted(rows))
    link = note[old_end - LINK : old_end].ljust(LINK, b"\0")
    body[:new_end] = note[:14] + struct.pack(order + "H", len(rows)) + table + link
    return bytes(body)


def without_fields(note: bytes, tags: Collection[int]) -> bytes:
    """Take some fields out of a note, which stays as long as it was; no other value moves.

    Raises:
        struct.error: It is no Apple maker note, or cut short.
    """
    fields, edited = note_fields(note), bytearray(note)
    old_end = HEAD + FIELD * len(fields)
    rows = b""
    for index, each in enumerate(fields):
        if each.tag not in tags:
            rows += note[HEAD + FIELD * index : HEAD + FIELD * (index + 1)]
        elif each.size > 4 and old_end <= each.value <= len(note) - each.size:
            edited[each.value : each.value + each.size] = bytes(each.size)
    table = struct.pack(note_order(note) + "H", len(rows) // FIELD) + rows
    table += note[old_end : old_end + LINK]
    end = min(old_end + LINK, len(note))
    edited[HEAD - 2 : end] = table.ljust(end - HEAD + 2, b"\0")
    return bytes(edited)


def _gap(body: bytearray, start: int, taken: list[tuple[int, int]], size: int) -> int:
    """Return where so many bytes fit: a run of zeros between values, or the end."""
    at = start
    for begin, end in [*sorted(taken), (len(body), len(body))]:
        if begin - at >= size and not any(body[at:begin]):
            return at
        at = max(at, end)
    return len(body)


def exif_with_identifier(exif: bytes, identifier: str) -> tuple[bytes, tuple[str, ...]]:
    """EXIF whose maker note names a Live Photo, and notes.

    Another maker's note makes way for a new one: a still has only one.

    Args:
        exif: TIFF bytes, without the 'Exif' prefix.
        identifier: The content identifier.

    Raises:
        BrokenExif: The EXIF cannot be edited.
    """
    editor = ExifEditor(exif)
    note = editor.get("details", MAKER_NOTE)
    notes: tuple[str, ...] = ()
    try:
        edited = with_identifier(note, identifier) if note else new_note(identifier)
    except struct.error:
        edited = new_note(identifier)
        notes = ("another maker's note was replaced: a Live Photo has Apple's",)
    editor.put("details", MAKER_NOTE, UNDEFINED, edited)
    return editor.to_bytes(), notes


def maker_note_identifier(maker_note: bytes) -> str | None:
    """Return the content identifier in an Apple maker note, or None."""
    try:
        fields = note_fields(maker_note)
    except struct.error:
        return None
    for each in fields:
        if (each.tag, each.kind) == (TAG_CONTENT_IDENTIFIER, ASCII) and each.size > 4:
            text = maker_note[each.value : each.value + each.size].split(b"\0")[0]
            return _in_one_line(text.decode("ascii", "replace"))
    return None


def _in_one_line(identifier: str) -> str | None:
    """Return an identifier as messages and `info` may show it: a damaged one holds anything."""
    printable = "".join(letter for letter in identifier if letter.isprintable())
    return printable.strip()[:MAX_IDENTIFIER] or None
