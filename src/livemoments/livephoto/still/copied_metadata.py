"""Change the metadata of a key photo that stays the same but gets another container.

Place, dates, camera, lens, authors, orientation, maker notes, thumbnail: all stay. What goes is
what names the Live Photo that it was half of, and makers' words about a clip in this very file.

A Live Photo needs Apple's maker note, and EXIF has room for one. Another maker's note then stays
byte for byte where it is, under the tag that DNG made for makers' data, and becomes the maker note
again when the photo leaves Apple's form.
"""

import struct

from livemoments.livephoto.metadata.apple_note import (
    TAG_CONTENT_IDENTIFIER,
    is_apple_note,
    new_note,
    note_fields,
    with_identifier,
    without_fields,
)
from livemoments.livephoto.metadata.exif import (
    MAKER_NOTE,
    UNDEFINED,
    USER_COMMENT,
    BrokenExif,
    ExifEditor,
)
from livemoments.livephoto.still.encode import JPEG_EXIF_ROOM, without_maker_note
from livemoments.livephoto.still.moment_metadata import EXIF_VERSION, XIAOMI_MOTION_PHOTO

DNG_PRIVATE_DATA = 0xC634


def exif_named(exif: bytes | None, identifier: str) -> tuple[bytes, tuple[str, ...]]:
    """Name a Live Photo in the maker note of EXIF, all else as it was; returns notes too.

    Args:
        exif: The key photo's, as TIFF bytes, or None.
        identifier: The content identifier.
    """
    try:
        if not exif:
            return _new(identifier), ()
        editor = ExifEditor(exif, keep_thumbnail=True)
        _park_note(editor)
        _name(editor, identifier)
        return editor.to_bytes(), ()
    except (BrokenExif, struct.error) as error:
        note = f"the key photo's EXIF is broken ({error}); a new one has the identifier alone"
        return _new(identifier), (note,)


def exif_named_in_jpeg(exif: bytes | None, identifier: str) -> tuple[bytes, tuple[str, ...]]:
    """Do what exif_named does, but fit a JPEG: first the thumbnail goes, then the maker note."""
    named, notes = exif_named(exif, identifier)
    if exif is None or len(named) <= JPEG_EXIF_ROOM:
        return named, notes
    named, notes = exif_named(ExifEditor(exif).to_bytes(), identifier)  # which drops it
    if len(named) <= JPEG_EXIF_ROOM:
        return named, ("the EXIF's thumbnail was left out: it does not fit in a JPEG any more",)
    named, notes = exif_named(without_maker_note(exif), identifier)
    return named, ("the maker note was left out: it does not fit in a JPEG any more",)


def exif_unnamed(exif: bytes | None) -> bytes | None:
    """Remove what names Apple's Live Photo from EXIF, all else as it was; broken EXIF stays so."""
    if exif is None:
        return None
    try:
        editor = ExifEditor(exif, keep_thumbnail=True)
        note = editor.get("details", MAKER_NOTE)
        named = note is not None and is_apple_note(note)
        if not named and not _speaks_of_clip(editor):
            return exif
        _unname(editor)
        _unpark_note(editor)
        return editor.to_bytes()
    except (BrokenExif, struct.error):
        return exif


def _new(identifier: str) -> bytes:
    """Return EXIF with an identifier alone."""
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
        note = without_fields(note, {TAG_CONTENT_IDENTIFIER})
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


def _park_note(editor: ExifEditor) -> None:
    """Give a maker note that is not Apple's DNG's tag instead, if that is free."""
    note = editor.get("details", MAKER_NOTE)
    if note is None or is_apple_note(note) or editor.get("details", DNG_PRIVATE_DATA) is not None:
        return
    editor.rename("details", MAKER_NOTE, DNG_PRIVATE_DATA)


def _unpark_note(editor: ExifEditor) -> None:
    """Make a parked maker note one again, if the place is free."""
    if editor.get("details", MAKER_NOTE) is not None:
        return
    if editor.get("details", DNG_PRIVATE_DATA) is not None:
        editor.rename("details", DNG_PRIVATE_DATA, MAKER_NOTE)
