"""Make the metadata of a restored moment from the key photo's, without what would be untrue.

Kept: place, camera, lens, exposure, authors, captions, maker notes. Moved: the dates, by the time
between the key photo and the moment. Set: orientation 1, sizes, software. Left out: thumbnails,
and whatever pairs the picture with a clip, a gain map or a depth map that it no longer has.

The GPS time stamp stays: EXIF defines it as the time of the position, which is still the phone's.
"""

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta

from livemoments.livephoto.container.iptc import moved_iptc
from livemoments.livephoto.metadata import exif as tags
from livemoments.livephoto.metadata.apple_note import MAKER_NOTE_START, without_fields
from livemoments.livephoto.metadata.exif import BrokenExif, ExifEditor, TableName
from livemoments.livephoto.metadata.xmp_edit import carry_xmp
from livemoments.livephoto.still.still import Still

EXIF_VERSION = 0x9000
PIXEL_WIDTH, PIXEL_HEIGHT = 0xA002, 0xA003
IMAGE_WIDTH, IMAGE_HEIGHT = 0x0100, 0x0101
IMAGE_UNIQUE_ID = 0xA420
XIAOMI_MOTION_PHOTO = 0x8897
# (table, date, its fractions of a second)
DATES: tuple[tuple[TableName, int, int], ...] = (
    ("main", tags.DATE_TIME, 0x9290),
    ("details", 0x9003, 0x9291),
    ("details", 0x9004, 0x9292),
)
DATE_FORMAT = "%Y:%m:%d %H:%M:%S"

# Content identifier, index in the clip, image and photo identifiers; HDR headroom and gain, which
# are about a gain map.
APPLE_PAIRING = {0x0011, 0x0017, 0x0015, 0x002B, 0x0021, 0x0030}


@dataclass(frozen=True, kw_only=True)
class CarriedMetadata:
    """Metadata ready to be written: EXIF as TIFF bytes, XMP as a packet or None, IPTC or None."""

    exif: bytes
    xmp: bytes | None
    iptc: bytes | None = None
    notes: tuple[str, ...] = ()


def carry_metadata(
    still: Still | None, *, width: int, height: int, time_shift_s: float, software: str
) -> CarriedMetadata:
    """Make the metadata of a picture restored from this still's Live Photo.

    Args:
        still: The key photo, or None for metadata that only names the software.
        width: Of the new picture, pixels.
        height: Of the new picture, pixels.
        time_shift_s: Moment minus key photo, seconds: how far the dates move.
        software: What goes in the software tag.
    """
    notes: list[str] = []
    exif, moved = None, {}
    if still is not None and still.exif:
        try:
            editor = ExifEditor(still.exif)
            moved = _move_dates(editor, time_shift_s, notes)
            exif = _finished(editor, width, height, software, notes)
        except BrokenExif as error:
            notes = [f"the key photo's EXIF is broken ({error}); a new one was made"]
    if exif is None:
        editor = _new_editor(still)
        moved = _move_dates(editor, time_shift_s, notes)
        exif = _finished(editor, width, height, software, notes)
    old_xmp = still.xmp if still else None
    xmp = carry_xmp(old_xmp, time_shift_s=time_shift_s, software=software, moved=moved)
    if old_xmp and xmp is None:
        notes.append("the key photo's XMP cannot be read; left out")
    iptc = moved_iptc(still.iptc, time_shift_s) if still and still.iptc else None
    return CarriedMetadata(exif=exif, xmp=xmp or None, iptc=iptc or None, notes=tuple(notes))


def _finished(
    editor: ExifEditor, width: int, height: int, software: str, notes: list[str]
) -> bytes:
    """Set all that a new picture's EXIF needs, dates apart, and return its bytes."""
    editor.put_number("main", tags.ORIENTATION, 1)
    editor.put_text("main", tags.SOFTWARE, software)
    if editor.get("details", EXIF_VERSION) is None:
        editor.put("details", EXIF_VERSION, 7, b"0232")
    editor.put_number("details", PIXEL_WIDTH, width)
    editor.put_number("details", PIXEL_HEIGHT, height)
    for tag, size in ((IMAGE_WIDTH, width), (IMAGE_HEIGHT, height)):
        if editor.get("main", tag) is not None:
            editor.put_number("main", tag, size)
    _unpair(editor, notes)
    return editor.to_bytes()


def _new_editor(still: Still | None) -> ExifEditor:
    """Start an EXIF with what is known of a still that has none, or a broken one."""
    editor = ExifEditor(None)
    if still is None:
        return editor
    for tag, text in ((tags.MAKE, still.make), (tags.MODEL, still.model)):
        if text:
            editor.put_text("main", tag, text)
    if still.taken is not None:
        editor.put_text("details", 0x9003, still.taken.strftime(DATE_FORMAT))
        if still.taken.microsecond:
            editor.put_text("details", 0x9291, f"{still.taken.microsecond:06d}")
        if still.taken.tzinfo is not None:
            editor.put_text("details", 0x9011, still.taken.isoformat()[-6:])
    return editor


def _move_dates(editor: ExifEditor, time_shift_s: float, notes: list[str]) -> dict[str, str]:
    """Move every date that can be read; offsets from UTC stay as they are.

    Returns:
        Each old date and the new one with its fraction, both as XMP writes them.
    """
    if time_shift_s == 0:
        return {}
    done = {}
    # All are read before one is written: careful writers let equal texts share their bytes.
    read = [(editor.get_text(table, tag), editor.get_text("details", sub))
            for table, tag, sub in DATES]  # fmt: skip
    # Phones write one date three times, but not always its fraction.
    fractions = {date: fraction for date, fraction in read if fraction}
    for (table, tag, sub), (date, fraction) in zip(DATES, read, strict=True):
        if not date or not any(letter in "123456789" for letter in date):
            continue
        try:
            new, new_fraction = moved_date(date, fraction or fractions.get(date), time_shift_s)
        except (ValueError, OverflowError):
            notes.append(f"the date {date!r} cannot be read; kept as it is")
            continue
        editor.put_text(table, tag, new)
        if new_fraction:
            editor.put_text("details", sub, new_fraction)
        done[_as_iso(date)] = _as_iso(new) + (f".{new_fraction}" if new_fraction else "")
    return done


def _as_iso(date: str) -> str:
    """Return "2026:01:31 12:00:00" as "2026-01-31T12:00:00"."""
    return date.strip().replace(":", "-", 2).replace(" ", "T")


def moved_date(date: str, fraction: str | None, shift_s: float) -> tuple[str, str]:
    """Move an EXIF date and its decimal fraction of a second.

    Returns:
        The date, and the fraction with at least the digits it had, three where the shift brings
        one in; empty where neither has one.

    Raises:
        ValueError: The date is not one.
    """
    moment = datetime.strptime(date.strip(), DATE_FORMAT)
    digits = (fraction or "").strip()
    digits = digits if digits.isdecimal() and digits.isascii() else ""
    moment += timedelta(microseconds=int(digits[:6].ljust(6, "0")))
    width = min(6, max(len(digits), 3)) if digits or shift_s % 1 else 0
    # Rounded to the last digit written, so that the date and its fraction agree.
    unit = 10 ** (6 - width)
    shift_us = round((moment.microsecond + shift_s * 1e6) / unit) * unit
    moment = moment.replace(microsecond=0) + timedelta(microseconds=shift_us)
    return moment.strftime(DATE_FORMAT).rjust(19, "0"), f"{moment.microsecond:06d}"[:width]


def _unpair(editor: ExifEditor, notes: list[str]) -> None:
    """Remove what says that a clip belongs to this picture, or that it is the still itself."""
    editor.remove("main", XIAOMI_MOTION_PHOTO)
    editor.remove("details", XIAOMI_MOTION_PHOTO)
    editor.remove("details", IMAGE_UNIQUE_ID)
    comment = editor.get("details", tags.USER_COMMENT) or b""
    if b"plus_" in comment[:16]:  # OPPO's "oplus_<flags>": its gallery reads a clip into it
        editor.remove("details", tags.USER_COMMENT)
    note = editor.get("details", tags.MAKER_NOTE)
    if note is None or not note.startswith(MAKER_NOTE_START):
        return
    try:
        editor.put("details", tags.MAKER_NOTE, 7, unpaired_apple_note(note))
    except struct.error:
        editor.remove("details", tags.MAKER_NOTE)
        notes.append("the key photo's maker note is broken; left out")


def unpaired_apple_note(note: bytes) -> bytes:
    """Remove from an Apple maker note what binds it to a clip or gain map; its length stays.

    Raises:
        struct.error: The note is cut short.
    """
    return without_fields(note, APPLE_PAIRING)
