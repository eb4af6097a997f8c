"""The identifier goes into a maker note; every other byte of the note stays right."""

import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from support import makers, rounds

from livemoments.livephoto.metadata.apple_note import (
    exif_with_identifier,
    maker_note_identifier,
    new_note,
    note_fields,
    with_identifier,
)
from livemoments.livephoto.metadata.exif import MAKER_NOTE, BrokenExif, ExifEditor
from livemoments.livephoto.still.moment_metadata import unpaired_apple_note
from livemoments.livephoto.still.still import read_still

NEW = makers.OTHER_IDENTIFIER


def note_of(fields, *, order=">", gap=b""):
    """A note as Apple lays it out: fields, a link, then their values."""
    mark = b"MM" if order == ">" else b"II"
    head = b"Apple iOS\0\0\x01" + mark + struct.pack(order + "H", len(fields))
    records, values = b"", gap
    at = len(head) + 12 * len(fields) + 4
    for tag, kind, value in fields:
        if len(value) <= 4:
            records += struct.pack(order + "HHI", tag, kind, 1) + value.ljust(4, b"\0")
        else:
            size = {2: 1, 7: 1, 10: 8}[kind]
            offset = at + len(values)
            records += struct.pack(order + "HHII", tag, kind, len(value) // size, offset)
            values += value
    return head + records + bytes(4) + values


def values_of(note):
    """Every field's bytes but the identifier's."""
    found = {}
    for field in note_fields(note):
        inline = struct.pack(">I" if note[12:14] == b"MM" else "<I", field.value)
        end = field.value + field.size
        found[field.tag] = note[field.value : end] if field.size > 4 else inline
    found.pop(0x11, None)
    return found


OTHERS = [(0x1, 9, b"\0\0\0\x0f"), (0x3, 7, b"bplist00" * 9), (0x8, 10, bytes(range(24)))]
UUID = (0x11, 2, makers.IDENTIFIER.encode() + b"\0")
LATER = [(0x20, 2, b"a request\0"), (0x40, 7, b"more than that")]


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize(
    "fields",
    [
        [*OTHERS, UUID, *LATER],
        [*OTHERS, *LATER],
        OTHERS,
        [UUID],
        [],
        [*OTHERS, (0x11, 2, b"short\0"), *LATER],
        [*OTHERS, (0x11, 2, b"x" * 60 + b"\0"), *LATER],
        [(0x40, 7, b"more than that")],
    ],
)
def test_the_identifier_is_in_and_all_else_as_it_was(fields, order):
    note = note_of(fields, order=order)
    edited = with_identifier(note, NEW)
    assert maker_note_identifier(edited) == NEW
    assert values_of(edited) == values_of(note)
    tags = [field.tag for field in note_fields(edited)]
    assert tags == sorted({tag for tag, _, _ in fields} | {0x11})
    assert edited[:14] == note[:14]
    # Once more changes nothing but the text.
    again = with_identifier(edited, makers.IDENTIFIER)
    assert len(again) == len(edited) and values_of(again) == values_of(note)


def test_one_as_long_is_replaced_in_place():
    note = note_of([*OTHERS, UUID, *LATER])
    edited = with_identifier(note, NEW)
    assert edited == note.replace(makers.IDENTIFIER.encode(), NEW.encode())


def test_a_note_that_lost_its_identifier_takes_one_without_growing():
    note = note_of([*OTHERS, UUID, *LATER])
    edited = with_identifier(unpaired_apple_note(note), NEW)
    assert len(edited) == len(note)
    assert edited == note.replace(makers.IDENTIFIER.encode(), NEW.encode())


def test_bytes_that_no_field_names_are_kept():
    note = note_of([*OTHERS, *LATER], gap=b"what is this")
    edited = with_identifier(note, NEW)
    assert b"what is this" in edited and values_of(edited) == values_of(note)


def test_the_smallest_note_is_the_known_one():
    assert new_note(NEW) == makers.maker_note(NEW)[: 14 + 2 + 12] + bytes(4) + NEW.encode() + b"\0"
    assert maker_note_identifier(new_note(NEW)) == NEW


@pytest.mark.parametrize("note", [b"", b"Nikon\0" + bytes(50), b"Apple iOS\0\0\1MM\xff\xff"])
def test_what_is_no_note(note):
    with pytest.raises(struct.error):
        with_identifier(note, NEW)


def test_random_damage_is_refused_or_survived():
    note = np.frombuffer(note_of([*OTHERS, UUID, *LATER]), np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(rounds(500, 150)):
        damaged = note.copy()
        damaged[rng.integers(10, len(note), 4)] = rng.integers(0, 256, 4)
        try:
            edited = with_identifier(damaged.tobytes(), NEW)
        except struct.error:
            continue
        assert maker_note_identifier(edited) == NEW or len(note_fields(edited)) > 0


# --- in EXIF --------------------------------------------------------------------------------


def test_an_exif_with_a_note():
    exif = makers.make_exif(makers.IDENTIFIER).removeprefix(b"Exif\0\0")
    edited, notes = exif_with_identifier(exif, NEW)
    assert notes == ()
    assert len(edited) == len(exif)
    note = ExifEditor(edited).get("details", MAKER_NOTE)
    assert note == makers.maker_note(NEW)
    # Nothing else differs but the field's type, which Pillow gets wrong.
    differing = [i for i, (a, b) in enumerate(zip(exif, edited, strict=True)) if a != b]
    start = edited.index(b"Apple iOS")
    assert len([i for i in differing if not start <= i < start + len(note)]) == 1


def test_an_exif_without_one():
    exif = makers.make_exif(None).removeprefix(b"Exif\0\0")
    edited, notes = exif_with_identifier(exif, NEW)
    assert notes == ()
    assert maker_note_identifier(ExifEditor(edited).get("details", MAKER_NOTE)) == NEW
    assert ExifEditor(edited).get_text("main", 0x0110) == "iPhone 99"


def test_another_makers_note_makes_way():
    editor = ExifEditor(makers.make_exif(None).removeprefix(b"Exif\0\0"))
    editor.put("details", MAKER_NOTE, 7, b"HDRP" + bytes(90))
    edited, notes = exif_with_identifier(editor.to_bytes(), NEW)
    assert "another maker's note was replaced" in notes[0]
    assert maker_note_identifier(ExifEditor(edited).get("details", MAKER_NOTE)) == NEW


def test_an_exif_that_is_none():
    with pytest.raises(BrokenExif):
        exif_with_identifier(b"nonsense", NEW)


@pytest.mark.real
def test_the_notes_of_real_phones(tmp_path, samples):
    seen = 0
    for path in sorted(samples.glob("iphone*/*")):
        if path.suffix.lower() not in (".heic", ".jpg", ".jpeg"):
            continue
        note = ExifEditor(read_still(path).exif).get("details", MAKER_NOTE)
        bare = unpaired_apple_note(note)
        edited = with_identifier(bare, NEW)
        assert maker_note_identifier(edited) == NEW
        assert values_of(edited) == values_of(bare)
        assert len(edited) == len(note)
        seen += 1
    assert seen >= 7


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@pytest.mark.parametrize("had", [None, makers.IDENTIFIER])
def test_exiftool_reads_it(tmp_path, had):
    exif, _ = exif_with_identifier(makers.make_exif(had).removeprefix(b"Exif\0\0"), NEW)
    path = makers.save_still(tmp_path / "a.jpg", makers.scene(), exif=b"Exif\0\0" + exif)
    command = ["exiftool", "-j", "-G1", "-validate", "-warning", "-Apple:all", path]
    facts = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]
    assert NEW in facts.values()
    assert "Missing" in facts.get("ExifTool:Warning", "Missing")
