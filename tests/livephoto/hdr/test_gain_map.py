"""Gain maps: their conventions, their numbers in files, and reading them."""

import io
import math
import struct

import numpy as np
import pytest
from PIL import Image
from support import gain_maps, makers

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.hdr.apple import exif_with_headroom, note_with_headroom, noted_headroom
from livemoments.livephoto.hdr.gain_map import (
    GainMap,
    apple_values,
    check_gain_map,
    from_apple,
    headroom_of_maker_note,
    linear_to_rec709,
    maker_note_of_headroom,
    rec709_to_linear,
)
from livemoments.livephoto.hdr.iso import iso_metadata, read_iso_metadata
from livemoments.livephoto.hdr.xmp import hdrgm_packet, read_hdrgm
from livemoments.livephoto.metadata.apple_note import note_fields
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still

CODES = np.arange(256, dtype=np.float32).reshape(16, 16) / 255
ROWS = ("min_stops", "max_stops", "gamma", "offset_sdr", "offset_hdr")


def quantised(gain_map):
    return GainMap(**{**vars(gain_map), "values": np.rint(gain_map.values * 255) / np.float32(255)})


# --- laws -----------------------------------------------------------------------------------


@pytest.mark.parametrize("headroom", [1.2, 2.675, 4.0, 6.9, 8.0])
def test_apples_formula_holds_in_our_convention(headroom):
    sdr = np.random.default_rng(0).random((16, 16, 3), dtype=np.float32)
    apple = sdr * (1 + (headroom - 1) * rec709_to_linear(CODES))[..., None]
    gain_map = from_apple(CODES, headroom)
    ours = gain_maps.apply_gain_map(sdr, gain_map, math.log2(headroom))
    np.testing.assert_allclose(ours, apple, rtol=2e-6)
    # Stored in 8 bits: half a step of log2(headroom) / 255 stops.
    stored = gain_maps.apply_gain_map(sdr, quantised(gain_map), 8.0)
    step = 2 ** (0.5 * math.log2(headroom) / 255) - 1
    assert np.abs(stored / np.maximum(apple, 1e-6) - 1).max() < 1.02 * step


def test_a_display_without_headroom_shows_the_sdr_picture():
    sdr = np.random.default_rng(1).random((32, 48, 3), dtype=np.float32)
    np.testing.assert_allclose(
        gain_maps.apply_gain_map(sdr, gain_maps.apple_map(), 0.0), sdr, atol=1e-6
    )
    half = gain_maps.apply_gain_map(sdr, gain_maps.apple_map(4.0), 1.0)
    full = gain_maps.apply_gain_map(sdr, gain_maps.apple_map(4.0), 2.0)
    np.testing.assert_allclose(half**2, full * sdr, rtol=1e-5)  # half the stops


def test_the_worked_example_of_the_format():
    """One place by hand: (0.25 + 1/64) * 2 ** (-0.5 + 2.5 * 0.5 ** 2) - 1/64, gamma 0.5."""
    one = (1.0, 1.0, 1.0)
    gain_map = GainMap(
        values=np.full((1, 1), 0.5, np.float32),
        min_stops=(-0.5,) * 3,
        max_stops=(2.0,) * 3,
        gamma=(0.5,) * 3,
        offset_sdr=(1 / 64,) * 3,
        offset_hdr=(1 / 64,) * 3,
        capacity_max=2.0,
    )
    shown = gain_maps.apply_gain_map(np.full((1, 1, 3), 0.25, np.float32), gain_map, 2.0)
    np.testing.assert_allclose(shown[0, 0], np.array(one) * (0.265625 * 2**0.125 - 0.015625))


def test_stops_and_values_are_inverse():
    for gain_map in (gain_maps.apple_map(), gain_maps.colour_map()):
        again = gain_map.with_stops(gain_map.stops())
        np.testing.assert_allclose(again.values, gain_map.values, atol=2e-6)
    low = gain_maps.apple_map().with_stops(np.full((2, 2), -3, np.float32))
    assert low.values.max() == 0


def test_apples_curve_and_map_there_and_back():
    np.testing.assert_allclose(linear_to_rec709(rec709_to_linear(CODES)), CODES, atol=1e-4)
    np.testing.assert_allclose(apple_values(from_apple(CODES, 3.0)), CODES, atol=2e-4)
    assert apple_values(gain_maps.colour_map()) is None
    assert apple_values(from_apple(CODES, 9.0)) is None


def test_the_headroom_of_four_real_phones_maker_notes():
    """Fields 33 and 48 of iPhone 15 photos, and what iOS 18 wrote in their XMP."""
    for gain, headroom in (
        (0.003041189164, 6.902454),
        (2.915139437, 2.675215),
        (2.721779107, 2.786103),
        (1.825880766, 3.362963),
    ):
        assert headroom_of_maker_note(1.00999999, gain) == pytest.approx(headroom, rel=2e-4)
    assert headroom_of_maker_note(0.5, 0.005) == pytest.approx(2**1.7)
    assert headroom_of_maker_note(0.5, 1.0) == pytest.approx(2**1.5)
    assert headroom_of_maker_note(1.0, 50.0) == 1


@pytest.mark.parametrize("headroom", [1.0, 1.5, 4.9, 4.93, 5.5, 8.0])
def test_a_maker_note_states_a_headroom(headroom):
    assert headroom_of_maker_note(*maker_note_of_headroom(headroom)) == pytest.approx(headroom)
    note = makers.maker_note(makers.IDENTIFIER)
    for _ in range(2):  # the second time the fields are there
        note = note_with_headroom(note, headroom)
        assert makers.IDENTIFIER.encode() in note
        assert [each.tag for each in note_fields(note)] == [17, 33, 48]
    exif = makers.make_exif(identifier=makers.IDENTIFIER)
    exif = exif.tobytes() if hasattr(exif, "tobytes") else exif
    exif = exif_with_headroom(exif.removeprefix(b"Exif\0\0"), headroom)
    assert noted_headroom(exif) == pytest.approx(headroom, rel=1e-5)


# --- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [gain_maps.apple_map, gain_maps.colour_map])
def test_numbers_survive_iso_and_xmp(make):
    gain_map = make()
    for numbers in (read_iso_metadata(iso_metadata(gain_map)), read_hdrgm(hdrgm_packet(gain_map))):
        for name in ROWS:
            assert getattr(numbers, name) == pytest.approx(getattr(gain_map, name), abs=1e-5)
        assert numbers.capacity_min == pytest.approx(gain_map.capacity_min)
        assert numbers.capacity_max == pytest.approx(gain_map.capacity_max, abs=1e-5)


def test_iso_metadata_byte_by_byte():
    """Version 0.0, base colours, headrooms 0/1 and 2/1, then min, max, gamma, offsets."""
    gain_map = gain_maps.apple_map(4.0)
    assert iso_metadata(gain_map).hex(" ", 4) == (
        "00 00000040 00000000 00000001 00000002 00000001 00000000 00000001 00000002 00000001 "
        "00000001 00000001 00000000 00000001 00000000 00000001"
    )


def test_iso_metadata_with_one_denominator():
    data = bytes.fromhex("0000 0000 48" + "00000064 00000000 000000c8")
    data += bytes.fromhex("ffffffce 000000c8 00000064 00000000 00000001")
    numbers = read_iso_metadata(data)
    assert (numbers.min_stops[2], numbers.max_stops[0], numbers.offset_hdr[1]) == (-0.5, 2, 0.01)


def test_iso_metadata_that_is_not_read():
    good = iso_metadata(gain_maps.apple_map())
    with pytest.raises(UnsupportedFileError, match="version 1"):
        read_iso_metadata(b"\0\1" + good[2:])
    with pytest.raises(UnsupportedFileError, match="from HDR to SDR"):
        read_iso_metadata(good[:4] + b"\x44" + good[5:])
    with pytest.raises(DamagedFileError, match="broken"):
        read_iso_metadata(good[:-1])
    with pytest.raises(DamagedFileError, match="broken"):
        read_iso_metadata(good[:9] + bytes(4) + good[13:])  # over zero


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_stops": (20.0,) * 3}, "20 stops"),
        ({"min_stops": (float("nan"),) * 3}, "nan"),
        ({"min_stops": (3.0,) * 3}, "from 3 to 2"),
        ({"gamma": (0.0,) * 3}, "gamma 0"),
        ({"offset_hdr": (0.0, 0.0, -1.0)}, "offset of -1"),
        ({"capacity_max": 0.0}, "displays of 0 to 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(change, message):
    with pytest.raises(DamagedFileError, match=message):
        check_gain_map(GainMap(**{**vars(gain_maps.apple_map(4.0)), **change}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'GainMapMax="2"', b'GainMapMax="two"', "GainMapMax is no number"),
        (b'hdrgm:GainMapMax="2"', b"", "states no GainMapMax"),
        (b'IsHDR="False"', b'IsHDR="True"', "from HDR to SDR"),
    ],
)
def test_words_that_cannot_be_are_refused(old, new, message):
    packet = hdrgm_packet(gain_maps.apple_map(4.0))
    assert old in packet
    with pytest.raises((DamagedFileError, UnsupportedFileError), match=message):
        read_hdrgm(packet.replace(old, new))


def test_a_packet_of_something_else_is_no_gain_map():
    assert read_hdrgm(None) is None
    assert read_hdrgm(b"<x>not hdr</x>") is None
    assert read_hdrgm(b"not xml") is None


# --- reading --------------------------------------------------------------------------------


def test_an_apple_jpeg_with_its_headroom_in_the_maker_note(tmp_path):
    found = read_gain_map(read_still(gain_maps.apple_jpeg(tmp_path / "x.jpg")))
    assert found.reason is None
    assert found.gain_map.max_stops[0] == pytest.approx(2, abs=1e-4)
    difference = found.gain_map.stops() - gain_maps.apple_map(4.0).stops()
    assert np.abs(difference).mean() < 0.01


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_map_is_turned_as_its_picture_is(tmp_path, orientation):
    still = read_still(gain_maps.apple_jpeg(tmp_path / "x.jpg", orientation=orientation))
    found = read_gain_map(still).gain_map
    assert (found.width * 2, found.height * 2) == (still.width, still.height)
    turned = Image.fromarray(gain_maps.apple_codes())
    turned.getexif()[0x0112] = orientation
    from PIL import ImageOps

    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(np.float32) / 255
    np.testing.assert_allclose(found.stops(), from_apple(expected, 4.0).stops(), atol=0.05)


def test_a_still_without_a_map_has_none_and_no_reason(tmp_path):
    for name in ("x.jpg", "x.png", "x.heic"):
        found = read_gain_map(read_still(gain_maps.written(tmp_path / name, None)))
        assert (found.gain_map, found.reason) == (None, None)


def test_a_map_of_another_shape_is_refused(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map(width=32, height=48))
    found = read_gain_map(read_still(path))
    assert found.gain_map is None
    assert found.reason == (
        "its gain map is 32 x 48 pixels, the picture 96 x 64: they do not fit together"
    )


def test_a_map_that_says_nothing_of_its_white_is_refused(tmp_path):
    path = gain_maps.apple_jpeg(tmp_path / "x.jpg")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Apple iOS\0", b"Apple xxx\0"))
    assert read_gain_map(read_still(path)).reason == (
        "nothing says how bright its gain map's white is"
    )


def test_a_headroom_beyond_apples_is_refused(tmp_path):
    path = gain_maps.apple_jpeg(tmp_path / "x.jpg", headroom=8.0)
    assert read_gain_map(read_still(path)).gain_map.max_stops[0] == pytest.approx(3, abs=1e-3)
    data = path.read_bytes()
    last = data.index(struct.pack(">iiii", 1, 1, 0, 1)) + 8  # field 48
    path.write_bytes(data[:last] + struct.pack(">ii", -1, 10) + data[last + 8 :])
    assert "1.02e+03 times as bright" in read_gain_map(read_still(path)).reason
    path.write_bytes(data[:last] + struct.pack(">ii", -(2**31), 1) + data[last + 8 :])
    assert "how bright" in read_gain_map(read_still(path)).reason


def test_a_map_that_brightens_nothing_is_none(tmp_path):
    found = read_gain_map(read_still(gain_maps.apple_jpeg(tmp_path / "x.jpg", headroom=1.0)))
    assert (found.gain_map, found.reason) == (None, None)


def test_each_way_to_the_map_leads_to_it_alone(tmp_path):
    """MPF gone, the directory gone, both: it still is right behind the picture's end."""
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map())
    data = path.read_bytes()
    for gone in ((b"MPF\0",), (b"container/",), (b"MPF\0", b"container/")):
        changed = data
        for name in gone:
            changed = changed.replace(name, name.swapcase())
        path.write_bytes(changed)
        assert read_gain_map(read_still(path)).gain_map is not None, gone


def test_broken_iso_numbers_give_way_to_xmps(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map(4.0))
    data = path.read_bytes()
    numbers = iso_metadata(gain_maps.apple_map(4.0))
    path.write_bytes(data.replace(numbers, numbers[:9] + bytes(4) + numbers[13:]))
    assert read_gain_map(read_still(path)).gain_map.capacity_max == 2
    path.write_bytes(data.replace(numbers, b"\0\7" + numbers[2:]))
    assert "version 7" in read_gain_map(read_still(path)).reason


def test_a_promised_map_that_is_not_there_is_said(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map())
    data = path.read_bytes()
    end = data.index(b"\xff\xd9\xff\xd8") + 2
    path.write_bytes(data[:end])
    assert read_gain_map(read_still(path)).reason == "its gain map is not where the file says"


def test_reading_does_not_touch_the_stream_of_another(tmp_path):
    path = gain_maps.written(tmp_path / "x.jpg", gain_maps.apple_map())
    from_memory = read_still(path, data=path.read_bytes())
    assert read_gain_map(from_memory).gain_map is not None
    assert Image.open(io.BytesIO(path.read_bytes())).size == (96, 64)
