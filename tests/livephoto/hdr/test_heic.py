"""Apple's gain map in a HEIC: its new tables lead libheif and exiftool to both pictures."""

import io
import json
import shutil
import subprocess

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from support import gain_maps, makers

from livemoments.errors import DamagedFileError, OutputError, UnsupportedFileError
from livemoments.livephoto.container.heif_items import item_bytes, read_items
from livemoments.livephoto.hdr.apple import APPLE_AUXILIARY, noted_headroom
from livemoments.livephoto.hdr.heic import with_apple_gain_map, with_auxiliary
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still import read_still
from livemoments.livephoto.writing.picture import write_picture


def heic(picture, **options):
    pillow_heif.register_heif_opener()
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "HEIF", quality=80, **options)
    return stream.getvalue()


@pytest.mark.parametrize("size", [(96, 64), (97, 65), (130, 34)])
def test_written_and_read(tmp_path, size):
    width, height = size
    gain_map = gain_maps.apple_map(4.0, width=-(-width // 2), height=-(-height // 2))
    path = tmp_path / "x.heic"
    written = write_picture(gain_maps.picture(width, height), path, software="x", gain_map=gain_map)
    assert written.notes == ()
    still = read_still(path)
    found = read_gain_map(still)
    assert found.reason is None
    assert found.gain_map.values.shape == gain_map.values.shape
    assert np.abs(found.gain_map.stops() - gain_map.stops()).mean() < 0.02
    assert noted_headroom(still.exif) == pytest.approx(4, rel=1e-4)


def test_the_sdr_picture_and_its_metadata_are_the_same(tmp_path):
    plain = gain_maps.written(tmp_path / "plain.heic", None)
    hdr = gain_maps.written(tmp_path / "hdr.heic", gain_maps.apple_map())
    with Image.open(plain) as first, Image.open(hdr) as second:
        assert (np.asarray(first) == np.asarray(second)).all()
        assert second.info["aux"].keys() == {APPLE_AUXILIARY}
        assert second.getexif()[0x0131] == gain_maps.SOFTWARE
    assert pillow_heif.open_heif(hdr).info["primary"] and len(pillow_heif.open_heif(hdr)) == 1


def test_every_item_keeps_its_bytes():
    first = heic(
        makers.scene(96, 64), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", xmp=b"<x>kept</x>"
    )
    second = heic(gain_maps.apple_codes())
    both = with_auxiliary(first, second, name=APPLE_AUXILIARY, xmp=b"<x>its own</x>")
    before, after = (read_items(io.BytesIO(data), len(data)) for data in (first, both))
    for number, item in before.items.items():
        same = after.items[number]
        assert item_bytes(io.BytesIO(both), same, 10**6) == item_bytes(
            io.BytesIO(first), item, 10**6
        )
    added = max(before.items) + 1
    assert (b"auxl", added, 1) in after.references
    described = [item_bytes(io.BytesIO(both), item, 99) for item in after.describing(added)]
    assert described == [b"<x>its own</x>"]


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is absent")
def test_exiftool_agrees(tmp_path):
    path = gain_maps.written(tmp_path / "x.heic", gain_maps.apple_map(4.0))
    run = subprocess.run(
        ["exiftool", "-j", "-n", "-a", "-validate", "-all", str(path)], capture_output=True
    )
    facts = json.loads(run.stdout)[0]
    assert facts["AuxiliaryImageType"] == APPLE_AUXILIARY
    assert facts["HDRGainMapHeadroom"] == 4 and facts["HDRGainMapVersion"] == 131072
    assert facts["HDRHeadroom"] == 1
    assert (facts["ImageWidth"], facts["ImageHeight"]) == (96, 64)
    assert "Error" not in facts and "Warning" not in facts


def test_what_apples_formula_cannot_say_is_left_out(tmp_path):
    written = write_picture(
        gain_maps.picture(), tmp_path / "x.heic", software="x", gain_map=gain_maps.colour_map()
    )
    assert written.notes == ("the HDR gain map was left out: write a .jpg to keep it",)
    with pytest.raises(OutputError, match="Apple's formula"):
        with_apple_gain_map(heic(makers.scene(64, 64)), gain_maps.colour_map(), 75)


def test_a_file_of_another_layout_is_refused():
    good = heic(makers.scene(64, 64))
    with pytest.raises(DamagedFileError, match="no index"):
        with_auxiliary(good[:28], good, name="x", xmp=b"")
    pitm = good.index(b"pitm") + 4
    with pytest.raises(UnsupportedFileError, match="later version"):
        with_auxiliary(good[:pitm] + b"\1" + good[pitm + 1 :], good, name="x", xmp=b"")


def test_a_map_of_another_kind_is_said(tmp_path):
    """A tmap without Apple's auxiliary picture, as other makers write."""
    path = gain_maps.written(tmp_path / "x.heic", gain_maps.apple_map())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"aux:hdrgainmap", b"aux:hdrgainxxx"))
    assert read_gain_map(read_still(path)).gain_map is None
    path.write_bytes(
        data.replace(b"aux:hdrgainmap", b"aux:hdrgainxxx").replace(b"mime\0", b"tmap\0")
    )
    assert "another kind than Apple's" in read_gain_map(read_still(path)).reason


def test_a_map_without_its_words_is_refused(tmp_path):
    path = gain_maps.written(tmp_path / "x.heic", gain_maps.apple_map())
    data = path.read_bytes()
    path.write_bytes(data.replace(b"HDRGainMapVersion", b"HDRGainMapVorsion"))
    assert read_gain_map(read_still(path)).reason == (
        "its gain map states no version; Apple's always do"
    )
    path.write_bytes(data.replace(b"HDRGainMapHeadroom", b"HDRGainMapHoadroom"))
    assert read_gain_map(read_still(path)).gain_map.max_stops[0] == pytest.approx(2, abs=1e-4)
