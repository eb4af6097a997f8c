"""The headroom of Apple's gain maps, as the still's maker note states it: fields 33 and 48."""

import struct
from fractions import Fraction

from livemoments.livephoto.apple import MAKER_NOTE_START
from livemoments.livephoto.apple_note import FIELD, HEAD, LINK, UNDEFINED, note_fields
from livemoments.livephoto.exif import MAKER_NOTE, BrokenExif, ExifEditor
from livemoments.livephoto.gain_map import headroom_of_maker_note, maker_note_of_headroom

APPLE_AUXILIARY = "urn:com:apple:photo:2020:aux:hdrgainmap"
HDR_HEADROOM, HDR_GAIN = 33, 48
SIGNED_RATIONAL = 10
MOST_DENOMINATOR = 1_000_000


def noted_headroom(exif: bytes | None) -> float | None:
    """The headroom in a still's EXIF, or None where it states none."""
    try:
        note = ExifEditor(exif).get("details", MAKER_NOTE) or b""
        fields = {each.tag: each for each in note_fields(note)}
        numbers = []
        for tag in (HDR_HEADROOM, HDR_GAIN):
            if fields[tag].kind != SIGNED_RATIONAL:
                return None
            over, under = struct.unpack_from(_order(note) + "ii", note, fields[tag].value)
            numbers.append(over / under)
        return headroom_of_maker_note(*numbers)
    except (BrokenExif, struct.error, LookupError, ArithmeticError):
        return None


def exif_with_headroom(exif: bytes, headroom: float) -> bytes:
    """EXIF whose Apple maker note states a headroom; another maker's note stays as it is.

    Args:
        exif: TIFF bytes, without the 'Exif' prefix.
        headroom: From 1 to 8.
    """
    try:
        editor = ExifEditor(exif)
        note = editor.get("details", MAKER_NOTE) or MAKER_NOTE_START + b"\0\1MM" + bytes(6)
        editor.put("details", MAKER_NOTE, UNDEFINED, note_with_headroom(note, headroom))
        return editor.to_bytes()
    except (BrokenExif, struct.error):
        return exif


def note_with_headroom(note: bytes, headroom: float) -> bytes:
    """An Apple maker note with fields 33 and 48; values move, and the offsets that name them too.

    Raises:
        struct.error: It is no Apple maker note, or cut short.
    """
    order = _order(note)
    fields = note_fields(note)
    others = [each for each in fields if each.tag not in (HDR_HEADROOM, HDR_GAIN)]
    old_end = HEAD + FIELD * len(fields) + LINK
    shift = FIELD * (len(others) + 2 - len(fields))
    values = note[old_end:] + bytes(len(note[old_end:]) % 2)
    rows = [
        (each.tag, each.kind, each.count, each.value + shift * (each.size > 4)) for each in others
    ]
    for tag, number in zip((HDR_HEADROOM, HDR_GAIN), maker_note_of_headroom(headroom), strict=True):
        rows.append((tag, SIGNED_RATIONAL, 1, old_end + shift + len(values)))
        exact = Fraction(number).limit_denominator(MOST_DENOMINATOR)
        values += struct.pack(order + "ii", exact.numerator, exact.denominator)
    table = b"".join(struct.pack(order + "HHII", *row) for row in sorted(rows))
    link = note[old_end - LINK : old_end].ljust(LINK, b"\0")
    return note[:14] + struct.pack(order + "H", len(rows)) + table + link + values


def _order(note: bytes) -> str:
    return "<" if note[12:14] == b"II" else ">"
