"""EXIF of a key photo in another container: only what names the old form goes."""

import io
import struct

import pytest
from PIL import ExifTags, Image
from support import makers, vendor_makers

from livemoments.livephoto.metadata.apple_note import (
    TAG_CONTENT_IDENTIFIER,
    is_apple_note,
    maker_note_identifier,
    new_note,
    note_fields,
    without_fields,
)
from livemoments.livephoto.metadata.exif import MAKER_NOTE, USER_COMMENT, ExifEditor
from livemoments.livephoto.still.copied_metadata import (
    DNG_PRIVATE_DATA,
    exif_named,
    exif_named_in_jpeg,
    exif_unnamed,
)
from livemoments.livephoto.still.encode import JPEG_EXIF_ROOM

NEW = makers.OTHER_IDENTIFIER
OTHER_NOTE = b"HDRP\x02 a note of Google's, of some length"


def exif_with(note=None, thumbnail=None, **main):
    exif = Image.Exif()
    exif.load(makers.make_exif(None, make="Google"))
    for tag, value in main.items():
        exif[int(tag[1:], 16)] = value
    if note:
        exif.get_ifd(0x8769)[MAKER_NOTE] = note
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    return with_thumbnail(data, thumbnail) if thumbnail else data


def with_thumbnail(exif, size):
    """EXIF with a second table that has a thumbnail, as cameras write it."""
    picture = io.BytesIO()
    Image.new("RGB", (32, 24)).save(picture, "JPEG")
    jpeg = picture.getvalue().ljust(size, b"\0")
    order = "<" if exif[:1] == b"I" else ">"
    main = struct.unpack_from(order + "I", exif, 4)[0]
    link = main + 2 + 12 * struct.unpack_from(order + "H", exif, main)[0]
    table = struct.pack(order + "H", 2)
    table += struct.pack(order + "HHII", 0x0201, 4, 1, len(exif) + 30)
    table += struct.pack(order + "HHII", 0x0202, 4, 1, len(jpeg)) + bytes(4)
    return exif[:link] + struct.pack(order + "I", len(exif)) + exif[link + 4 :] + table + jpeg


def facts(exif):
    """Every tag by table, the maker note apart."""
    tree = Image.Exif()
    tree.load(exif)
    details = dict(tree.get_ifd(0x8769))
    note = details.pop(MAKER_NOTE, None)
    main = {tag: value for tag, value in tree.items() if tag != 0x8769}
    return main, details, dict(tree.get_ifd(0x8825)), note


def thumbnail_of(exif):
    tree = Image.Exif()
    tree.load(exif)
    table = tree.get_ifd(ExifTags.IFD.IFD1)
    return exif[table[0x0201] : table[0x0201] + table[0x0202]]


def test_a_name_comes_and_goes():
    exif = exif_with(makers.maker_note(makers.IDENTIFIER))
    named, notes = exif_named(exif, NEW)
    assert notes == () and maker_note_identifier(facts(named)[3]) == NEW
    assert facts(named)[:3] == facts(exif)[:3]
    assert makers.IDENTIFIER.encode() not in named
    unnamed = exif_unnamed(named)
    assert facts(unnamed)[3] is None and NEW.encode() not in unnamed
    assert facts(unnamed)[:3] == facts(exif)[:3]


def test_the_thumbnail_stays():
    exif = exif_with(thumbnail=900)
    before = thumbnail_of(exif)
    assert len(before) == 900 and before.startswith(b"\xff\xd8")
    named, _ = exif_named(exif, NEW)
    assert thumbnail_of(named) == before == thumbnail_of(exif_unnamed(named))


def test_another_makers_note_is_parked_and_comes_back():
    exif = exif_with(OTHER_NOTE, thumbnail=300)
    named, notes = exif_named(exif, NEW)
    assert notes == ()
    editor = ExifEditor(named)
    assert editor.get("details", DNG_PRIVATE_DATA) == OTHER_NOTE
    assert named.index(OTHER_NOTE) == exif.index(OTHER_NOTE)  # what counts from there stays right
    again = exif_unnamed(named)
    assert facts(again) == facts(exif)
    assert again.index(OTHER_NOTE) == exif.index(OTHER_NOTE)


def test_without_exif_there_is_just_enough_for_the_name():
    exif, notes = exif_named(None, NEW)
    assert notes == () and maker_note_identifier(facts(exif)[3]) == NEW
    assert exif_unnamed(None) is None


def test_broken_exif_makes_way_for_a_name_alone():
    exif, notes = exif_named(b"MM\0*\0\0\xff\xff" + bytes(10), NEW)
    assert "EXIF is broken" in notes[0] and NEW.encode() in exif
    assert exif_unnamed(b"MM\0*\0\0\xff\xff" + bytes(10)) == b"MM\0*\0\0\xff\xff" + bytes(10)


def test_what_names_nothing_stays_byte_for_byte():
    exif = exif_with(OTHER_NOTE, thumbnail=300)
    assert exif_unnamed(exif) == exif


def test_other_makers_words_about_a_clip_go(tmp_path):
    for make in (vendor_makers.xiaomi_jpeg, vendor_makers.oppo_jpeg):
        with Image.open(make(tmp_path / f"{make.__name__}.jpg")) as image:
            exif = image.info["exif"].removeprefix(b"Exif\0\0")
        for edited in (exif_named(exif, NEW)[0], exif_unnamed(exif)):
            main, details, _, _ = facts(edited)
            assert 0x8897 not in main and 0x8897 not in details
            assert b"plus_" not in bytes(details.get(USER_COMMENT, b""))


def test_what_is_too_long_for_a_jpeg_loses_its_thumbnail_first():
    exif = exif_with(makers.maker_note(NEW), thumbnail=JPEG_EXIF_ROOM)
    short, notes = exif_named_in_jpeg(exif, NEW)
    assert "thumbnail was left out" in notes[0] and len(short) < 2000 and NEW.encode() in short
    assert exif_named_in_jpeg(short, NEW) == (short, ())
    short, notes = exif_named_in_jpeg(exif_with(bytes(JPEG_EXIF_ROOM)), NEW)
    assert "maker note was left out" in notes[0] and len(short) < 2000 and NEW.encode() in short


@pytest.mark.parametrize("note", [new_note(NEW), makers.maker_note(NEW)])
def test_a_note_without_a_name(note):
    edited = without_fields(note, {TAG_CONTENT_IDENTIFIER})
    assert len(edited) == len(note) and note_fields(edited) == []
    assert NEW.encode() not in edited and maker_note_identifier(edited) is None
    assert is_apple_note(edited) and not is_apple_note(OTHER_NOTE)
