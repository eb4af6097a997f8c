"""IPTC of a JPEG: read, carried into a restored JPEG with its dates moved, or its loss said."""

import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import makers

from livemoments.livephoto.container.iptc import (
    IPTC_RESOURCE,
    JPEG_IPTC_ROOM,
    data_sets,
    iptc_of,
    iptc_segment,
    moved_iptc,
)
from livemoments.livephoto.container.jpeg_parts import APP13, segment_bytes, with_segment
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.convert import convert_file
from livemoments.livephoto.writing.picture import write_picture


def as_iptc(*sets):
    return b"".join(bytes([0x1C, *s[:2]]) + struct.pack(">H", len(s[2])) + s[2] for s in sets)


AUTHOR = (2, 80, b"Ann")
SETS = (
    (1, 90, b"\x1b%G"), AUTHOR, (2, 25, b"cat"), (2, 25, b"stone"), (2, 55, b"20260131"),
    (2, 60, b"235959+0100"), (2, 120, "Kätzchen".encode()),
)  # fmt: skip


@pytest.fixture
def photo(tmp_path):
    """A JPEG of a pair with IPTC, and other resources of Photoshop's beside it."""
    still, _ = makers.apple_pair(tmp_path / "in")
    data = still.read_bytes()
    digest = b"8BIM" + struct.pack(">H2xI", 0x0425, 16) + bytes(16)
    segment = iptc_segment(as_iptc(*SETS))
    still.write_bytes(with_segment(data, segment_bytes(APP13, segment[4:] + digest)))
    return still


def test_read(photo):
    assert data_sets(read_still(photo).iptc) == list(SETS)


def test_carried_into_a_jpeg_with_its_dates_moved(tmp_path, photo):
    still = read_still(photo)
    out = tmp_path / "a.jpg"
    written = write_picture(still.pixels(), out, still=still, software="x", time_shift_s=1.4)
    assert written.notes == ()
    expected = [(2, 55, b"20260201"), (2, 60, b"000000+0100")]
    kept = [each for each in SETS if each[1] not in (55, 60)]
    assert sorted(data_sets(read_still(out).iptc)) == sorted([*kept, *expected])
    with Image.open(out) as picture:  # the digest of the old bytes is not carried
        assert list(picture.info["photoshop"]) == [IPTC_RESOURCE]


@pytest.mark.parametrize("suffix", [".png", ".heic"])
def test_its_loss_is_said(tmp_path, photo, suffix):
    still = read_still(photo)
    written = write_picture(still.pixels(), tmp_path / f"a{suffix}", still=still, software="x")
    assert [note for note in written.notes if "IPTC was left out" in note]


def test_too_much_for_a_segment(tmp_path, photo):
    still = read_still(photo)
    most = as_iptc(*[(2, 25, bytes(30_000))] * 2)
    object.__setattr__(still, "iptc", most + as_iptc((2, 25, bytes(9_000))))
    written = write_picture(still.pixels(), tmp_path / "a.jpg", still=still, software="x")
    assert "do not fit in a JPEG" in written.notes[0]
    assert len(iptc_segment(bytes(JPEG_IPTC_ROOM))) <= 65_537


def test_a_conversion_keeps_it_as_it_is(tmp_path, photo):
    done = convert_file(photo, tmp_path / "b.jpg", to="google")
    assert read_still(done.path).iptc == read_still(photo).iptc


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_exiftool_reads_it(tmp_path, photo):
    still = read_still(photo)
    out = tmp_path / "a.jpg"
    write_picture(still.pixels(), out, still=still, software="x", time_shift_s=-1)
    command = ["exiftool", "-s", "-IPTC:all", "-warning", str(out)]
    text = subprocess.run(command, capture_output=True, text=True).stdout
    for line in ("By-line : Ann", "Keywords : cat, stone", "Caption-Abstract : Kätzchen",
                 "DateCreated : 2026:01:31", "TimeCreated : 23:59:58+01:00"):  # fmt: skip
        assert line in " ".join(text.split())
    assert "Warning" not in text


@pytest.mark.parametrize(
    "sets",
    [
        [AUTHOR],
        [(2, 55, b"20260131")],
        [(2, 55, b"00000000"), (2, 60, b"000000")],
        [(2, 55, b"x"), (2, 60, b"\xff")],
        [(2, 55, b"99991231"), (2, 60, b"235959")],
    ],
)
def test_dates_that_cannot_move_stay(sets):
    assert moved_iptc(as_iptc(*sets), 2.0) == as_iptc(*sets)


@given(st.binary(max_size=60), st.floats(-1e6, 1e6))
def test_any_bytes_are_survived(data, shift_s):
    assert data_sets(moved_iptc(b"\x1c" + data, shift_s)) is not None
    assert iptc_of({IPTC_RESOURCE: data}) in (None, data)
