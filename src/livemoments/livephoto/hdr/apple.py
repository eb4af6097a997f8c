"""Read and write the headroom of Apple's gain maps in the maker note: fields 33 and 48."""

import struct
from fractions import Fraction

from livemoments.livephoto.hdr.gain_map import headroom_of_maker_note, maker_note_of_headroom
from livemoments.livephoto.metadata.apple_note import (
    EMPTY_NOTE,
    note_fields,
    note_order,
    with_field,
)
from livemoments.livephoto.metadata.exif import MAKER_NOTE, UNDEFINED, BrokenExif, ExifEditor

APPLE_AUXILIARY = "urn:com:apple:photo:2020:aux:hdrgainmap"
HDR_HEADROOM, HDR_GAIN = 33, 48
SIGNED_RATIONAL = 10
MOST_DENOMINATOR = 1_000_000


def noted_headroom(exif: bytes | None) -> float | None:
    """Read the headroom in a still's EXIF, or None where it states none."""
    try:
        note = ExifEditor(exif).get("details", MAKER_NOTE) or b""
        fields = {each.tag: each for each in note_fields(note)}
        numbers = []
        for tag in (HDR_HEADROOM, HDR_GAIN):
            if fields[tag].kind != SIGNED_RATIONAL:
                return None
            over, under = struct.unpack_from(note_order(note) + "ii", note, fields[tag].value)
            numbers.append(over / under)
        return headroom_of_maker_note(*numbers)
    except (BrokenExif, struct.error, LookupError, ArithmeticError):
        return None


def exif_with_headroom(exif: bytes, headroom: float) -> bytes:
    """Put a headroom into the Apple maker note of EXIF; another maker's note stays as it is.

    Args:
        exif: TIFF bytes, without the 'Exif' prefix.
        headroom: From 1 to 8.
    """
    try:
        editor = ExifEditor(exif)
        note = editor.get("details", MAKER_NOTE) or EMPTY_NOTE
        editor.put("details", MAKER_NOTE, UNDEFINED, note_with_headroom(note, headroom))
        return editor.to_bytes()
    except (BrokenExif, struct.error):
        return exif


def note_with_headroom(note: bytes, headroom: float) -> bytes:
    """Put fields 33 and 48 into an Apple maker note; every other field keeps its bytes.

    Raises:
        struct.error: It is no Apple maker note, or cut short.
    """
    for tag, number in zip((HDR_HEADROOM, HDR_GAIN), maker_note_of_headroom(headroom), strict=True):
        exact = Fraction(number).limit_denominator(MOST_DENOMINATOR)
        value = struct.pack(note_order(note) + "ii", exact.numerator, exact.denominator)
        note = with_field(note, tag, SIGNED_RATIONAL, value)
    return note
