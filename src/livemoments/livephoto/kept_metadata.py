"""What changes in the metadata of a key photo that stays the same but gets another container.

Place, dates, camera, lens, authors, orientation, maker notes, thumbnail: all stay. What goes is
what names the Live Photo that it was half of, and makers' words about a clip in this very file.

A Live Photo needs Apple's maker note, and EXIF has room for one. Another maker's note then stays
byte for byte where it is, under the tag that DNG made for makers' data, and becomes the maker note
again when the photo leaves Apple's form.
"""

import struct
from collections.abc import Callable

from livemoments.livephoto.apple_note import (
    UNDEFINED,
    is_apple_note,
    new_note,
    note_fields,
    with_identifier,
    without_identifier,
)
from livemoments.livephoto.carry import EXIF_VERSION, XIAOMI_MOTION_PHOTO
from livemoments.livephoto.exif import (
    DETAILS_POINTER,
    MAKER_NOTE,
    USER_COMMENT,
    BrokenExif,
    ExifEditor,
)
from livemoments.livephoto.write import JPEG_EXIF_ROOM, without_maker_note

DNG_PRIVATE_DATA = 0xC634
FIELD = 12


def exif_named(exif: bytes | None, identifier: str) -> tuple[bytes, tuple[str, ...]]:
    """EXIF whose maker note names a Live Photo, all else as it was, and notes.

    Args:
        exif: The key photo's, as TIFF bytes, or None.
        identifier: The content identifier.
    """
    try:
        if exif:
            return _edited(_with_parked_note(exif), lambda e: _name(e, identifier)), ()
        return _new(identifier), ()
    except (BrokenExif, struct.error) as error:
        note = f"the key photo's EXIF is broken ({error}); a new one has the identifier alone"
        return _new(identifier), (note,)


def exif_named_in_jpeg(exif: bytes | None, identifier: str) -> tuple[bytes, tuple[str, ...]]:
    """As exif_named, short enough for a JPEG: first the thumbnail gives way, then maker notes."""
    named, notes = exif_named(exif, identifier)
    if exif is None or len(named) <= JPEG_EXIF_ROOM:
        return named, notes
    named, notes = exif_named(ExifEditor(exif).to_bytes(), identifier)  # which drops it
    if len(named) <= JPEG_EXIF_ROOM:
        return named, ("the EXIF's thumbnail was left out: it does not fit in a JPEG any more",)
    named, notes = exif_named(without_maker_note(exif), identifier)
    return named, ("the maker note was left out: it does not fit in a JPEG any more",)


def exif_unnamed(exif: bytes | None) -> bytes | None:
    """EXIF that names no Live Photo of Apple's, all else as it was; broken EXIF stays so."""
    if exif is None:
        return None
    try:
        editor = ExifEditor(exif)
        note = editor.get("details", MAKER_NOTE)
        named = note is not None and is_apple_note(note)
        if not named and not _speaks_of_clip(editor):
            return exif
        return _with_note_back(_edited(exif, _unname))
    except (BrokenExif, struct.error):
        return exif


def _edited(exif: bytes, edit: Callable[[ExifEditor], None]) -> bytes:
    """EXIF after an edit; the thumbnail, which ExifEditor takes for an old picture's, stays."""
    at = _thumbnail_link(exif)
    link = exif[at : at + 4]
    editor = ExifEditor(exif[:at] + bytes(len(link)) + exif[at + 4 :])
    edit(editor)
    edited = editor.to_bytes()
    at = _thumbnail_link(edited)
    return edited[:at] + link.ljust(4, b"\0") + edited[at + 4 :]


def _thumbnail_link(exif: bytes) -> int:
    """Where the main table says where the thumbnail's table is."""
    order = _order(exif)
    (main,) = struct.unpack_from(order + "I", exif, 4)
    return main + 2 + FIELD * struct.unpack_from(order + "H", exif, main)[0]


def _new(identifier: str) -> bytes:
    """EXIF with an identifier alone."""
    editor = ExifEditor(None)
    editor.put("details", EXIF_VERSION, UNDEFINED, b"0232")
    editor.put("details", MAKER_NOTE, UNDEFINED, new_note(identifier))
    return editor.to_bytes()


def _name(editor: ExifEditor, identifier: str) -> None:
    note = editor.get("details", MAKER_NOTE)
    good = note is not None and is_apple_note(note)
    edited = with_identifier(note, identifier) if note and good else new_note(identifier)
    editor.put("details", MAKER_NOTE, UNDEFINED, edited)
    _silence(editor)


def _unname(editor: ExifEditor) -> None:
    note = editor.get("details", MAKER_NOTE)
    if note is not None and is_apple_note(note):
        note = without_identifier(note)
        if note_fields(note):
            editor.put("details", MAKER_NOTE, UNDEFINED, note)
        else:
            editor.put("details", MAKER_NOTE, UNDEFINED, bytes(len(note)))  # none of it is left
            editor.remove("details", MAKER_NOTE)
    _silence(editor)


def _speaks_of_clip(editor: ExifEditor) -> bool:
    xiaomi = [editor.get(table, XIAOMI_MOTION_PHOTO) for table in ("main", "details")]
    return any(each is not None for each in xiaomi) or _is_oplus(editor)


def _silence(editor: ExifEditor) -> None:
    """Remove Xiaomi's tag and OPPO's flags: their galleries read a clip of their form into them."""
    editor.remove("main", XIAOMI_MOTION_PHOTO)
    editor.remove("details", XIAOMI_MOTION_PHOTO)
    if _is_oplus(editor):
        editor.remove("details", USER_COMMENT)


def _is_oplus(editor: ExifEditor) -> bool:
    return b"plus_" in (editor.get("details", USER_COMMENT) or b"")[:16]


def _with_parked_note(exif: bytes) -> bytes:
    """EXIF whose maker note, where it is not Apple's, has DNG's tag instead."""
    editor = ExifEditor(exif)
    note = editor.get("details", MAKER_NOTE)
    if note is None or is_apple_note(note) or editor.get("details", DNG_PRIVATE_DATA) is not None:
        return exif
    return _retagged(exif, MAKER_NOTE, DNG_PRIVATE_DATA)


def _with_note_back(exif: bytes) -> bytes:
    """EXIF whose parked maker note is one again, if the place is free."""
    editor = ExifEditor(exif)
    if editor.get("details", MAKER_NOTE) is not None:
        return exif
    if editor.get("details", DNG_PRIVATE_DATA) is None:
        return exif
    return _edited(_retagged(exif, DNG_PRIVATE_DATA, MAKER_NOTE), lambda _: None)  # in order again


def _retagged(exif: bytes, old: int, new: int) -> bytes:
    """EXIF with another tag on a field of its details; no value moves."""
    order, edited = _order(exif), bytearray(exif)

    def rows(table: int) -> dict[int, int]:
        """Where each field of a table is, by its tag."""
        (count,) = struct.unpack_from(order + "H", exif, table)
        places = [table + 2 + FIELD * row for row in range(count)]
        return {struct.unpack_from(order + "H", exif, at)[0]: at for at in reversed(places)}

    main = rows(struct.unpack_from(order + "I", exif, 4)[0])
    details = rows(struct.unpack_from(order + "I", exif, main[DETAILS_POINTER] + 8)[0])
    struct.pack_into(order + "H", edited, details[old], new)
    return bytes(edited)


def _order(exif: bytes) -> str:
    return "<" if exif[:1] == b"I" else ">"
