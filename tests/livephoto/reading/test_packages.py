"""Packages: .livp, a ZIP of still and video, and .pvt, a folder; hostile archives."""

import json
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from support import makers
from support import vendor_makers as vendors

from livemoments.errors import DamagedFileError, InputError, PairingError, UnsupportedFileError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.reading.packages import MAX_MEMBER, unpack
from livemoments.livephoto.writing.output import OutputChoice, choose_place


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("still_suffix", [".HEIC", ".JPG"])
@pytest.mark.parametrize("folder", ["", "IMG_0001/"])
def test_livp(tmp_path, method, still_suffix, folder):
    path = vendors.livp(
        tmp_path / "IMG_0001.livp", method=method, still_suffix=still_suffix, folder=folder
    )
    before = path.read_bytes()
    live = open_live_photo(path)
    assert live.kind == "livp"
    assert live.identifiers == {"still": makers.IDENTIFIER, "video": makers.IDENTIFIER}
    assert live.key_time_source == "still-image-time track"
    assert live.key_time_s == pytest.approx(0.4, abs=1e-3)
    assert live.notes == ("the clip has no sound",)
    assert live.name == "IMG_0001.livp"
    assert live.clip.path == live.still.path == path
    frame = live.frame(live.key_time_s).image
    assert np.abs(frame * 255 - makers.moving(makers.scene())[6]).mean() < 9
    assert live.still.pixels().shape == (288, 384, 3)
    facts = json.loads(json.dumps(live.to_dict()))
    assert facts["video"]["embedded_at"] is None and facts["still"]["file"] == str(path)
    # Nothing was written, next to it or into it.
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_livp_by_stem_and_folder(tmp_path):
    path = vendors.livp(tmp_path / "IMG_0001.livp")
    assert open_live_photo(tmp_path / "IMG_0001").still.path == path
    assert open_live_photo(tmp_path).still.path == path
    vendors.livp(tmp_path / "IMG_0002.livp")
    with pytest.raises(PairingError, match="2 Live Photos in this folder"):
        open_live_photo(tmp_path)


def test_livp_with_any_name_and_prefix(tmp_path):
    """An archive is known by its content; what stands before it, a ZIP reader passes over."""
    path = vendors.livp(tmp_path / "a.zip", method=zipfile.ZIP_STORED)
    assert open_live_photo(path).kind == "livp"
    data = path.read_bytes()
    path.write_bytes(b"PK\x03\x04 other" + data)
    assert open_live_photo(path).kind == "livp"
    path.write_bytes(data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"made by a cloud" * 100
    assert open_live_photo(path).kind == "livp"


def test_livp_of_a_vivo_pair(tmp_path):
    halves = vendors.vivo_pair(tmp_path / "parts")
    live = open_live_photo(vendors.livp(tmp_path / "a.livp", halves=halves))
    assert live.kind == "livp" and live.key_time_source == "vivo frame number"
    assert live.identifiers == {"still": vendors.VIVO_ID, "video": vendors.VIVO_ID}


def test_livp_without_identifiers(tmp_path):
    """The package says that they belong together; the track's time may be believed."""
    path = vendors.livp(tmp_path / "a.livp", identifier=None, video_identifier=None)
    live = open_live_photo(path)
    assert live.key_time_source == "still-image-time track" and live.identifiers == {}
    assert live.notes == ("the clip has no sound",)


def test_livp_of_two_live_photos_halves(tmp_path):
    path = vendors.livp(tmp_path / "a.livp", video_identifier=makers.OTHER_IDENTIFIER)
    live = open_live_photo(path)
    assert live.kind == "livp" and live.key_time_source == "matched"
    assert "name different Live Photos; paired by the livp package all the same" in live.notes[0]


def test_livp_with_more_in_it(tmp_path):
    path = vendors.livp(tmp_path / "a.livp", extra={"0.txt": b"hello", "1.MOV": b"no video"})
    with pytest.raises(UnsupportedFileError, match="a.livp: .mov in this archive is not a video"):
        open_live_photo(path)
    still = vendors.still_bytes("Apple")
    path = vendors.livp(tmp_path / "b.livp", extra={"0.jpg": still})
    assert any("holds 2 stills and 1 videos" in note for note in open_live_photo(path).notes)


@pytest.mark.parametrize("name", ["../../evil.JPG", "/etc/evil.JPG", "C:\\evil.JPG", "a\0b.JPG"])
def test_names_in_an_archive_are_never_paths(tmp_path, name):
    place = tmp_path / "in" / "deep"
    place.mkdir(parents=True)
    still, video = makers.apple_pair(tmp_path / "parts")
    entries = {name: still.read_bytes(), "../../../evil.MOV": video.read_bytes()}
    path = place / "a.livp"
    with zipfile.ZipFile(path, "w") as archive:
        for each, data in entries.items():
            info = zipfile.ZipInfo("x")
            info.filename = each  # as it is: the constructor would make it harmless
            archive.writestr(info, data)
    before = sorted(tmp_path.rglob("*"))
    live = open_live_photo(path)
    assert live.kind == "livp" and live.still.path == path
    live.still.pixels()
    live.frame(live.key_time_s)
    assert sorted(tmp_path.rglob("*")) == before


# --- hostile archives -----------------------------------------------------------------------


def patched(data: bytes, field: int, value: int, form: str = "<I", entry: int = -1) -> bytes:
    """The archive with a field of one directory entry changed."""
    starts = [at for at in range(len(data)) if data.startswith(b"PK\x01\x02", at)]
    out = bytearray(data)
    struct.pack_into(form, out, starts[entry] + field, value)
    return bytes(out)


def stored(tmp_path) -> bytes:
    path = vendors.livp(tmp_path / "whole.livp", method=zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.mark.parametrize(
    ("field", "value", "form", "error", "match"),
    [
        (8, 1, "<H", UnsupportedFileError, "encrypted or packed oddly"),
        (10, 12, "<H", UnsupportedFileError, "encrypted or packed oddly"),
        (10, 8, "<H", DamagedFileError, "truncated or damaged"),
        (16, 0, "<I", DamagedFileError, "Bad CRC"),
        (20, 10, "<I", UnsupportedFileError, "no half of a Live Photo"),
        (24, 10, "<I", DamagedFileError, "Bad CRC"),
        (24, MAX_MEMBER + 1, "<I", UnsupportedFileError, "no half of a Live Photo"),
        (24, 0xFFFFFFFF, "<I", UnsupportedFileError, "no half of a Live Photo"),
        (42, 0xFFFFFFFF, "<I", DamagedFileError, "truncated or damaged"),
        (42, 1, "<I", DamagedFileError, "Bad magic number"),
        (28, 0, "<H", DamagedFileError, "truncated or damaged"),
    ],
)
def test_a_directory_that_lies(tmp_path, field, value, form, error, match):
    path = tmp_path / "a.livp"
    path.write_bytes(patched(stored(tmp_path), field, value, form))
    with pytest.raises(error, match=f"a.livp: .*({match})"):
        open_live_photo(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.livp"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.JPG", bytes(100_000_000))
        archive.writestr("a.MOV", bytes(100_000_000))
    begin = time.process_time()
    with pytest.raises(UnsupportedFileError, match="unpacks from .* to 100000000 bytes"):
        open_live_photo(path)
    assert time.process_time() - begin < 0.2


def test_a_bomb_that_states_a_small_size(tmp_path):
    """The stated size bounds what is unpacked, whatever the data would come to."""
    path = tmp_path / "a.livp"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.JPG", bytes(100_000_000))
        archive.writestr("a.MOV", b"-")
    data = patched(path.read_bytes(), 24, 5000, entry=0)
    data = patched(data, 16, zlib.crc32(bytes(5000)), entry=0)
    path.write_bytes(data)
    begin = time.process_time()
    with pytest.raises(UnsupportedFileError, match="is not a still"):
        unpack(path)
    assert time.process_time() - begin < 0.2


def test_very_many_members(tmp_path):
    path = tmp_path / "a.livp"
    entry = b"PK\x01\x02" + bytes(42)
    for count in (5000, 200_000):
        directory = entry * count
        end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 4, 0)
        path.write_bytes(b"PK\x03\x04" + directory + end)
        begin = time.process_time()
        with pytest.raises(InputError, match="a.livp: "):
            open_live_photo(path)
        assert time.process_time() - begin < 0.5


def test_other_archives(tmp_path):
    path = tmp_path / "a.livp"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<a/>")
    with pytest.raises(UnsupportedFileError, match="an archive without a still and a video"):
        open_live_photo(path)
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DamagedFileError, match="a.livp: the archive is truncated or damaged"):
        open_live_photo(path)
    path.write_bytes(b"Rar!\x1a\x07\0 or another")
    with pytest.raises(UnsupportedFileError, match="a.livp: neither a picture nor a video"):
        open_live_photo(path)


def test_a_damaged_half_is_named_by_the_archive(tmp_path):
    still, video = makers.apple_pair(tmp_path / "parts")
    video.write_bytes(video.read_bytes()[:5000])
    path = vendors.livp(tmp_path / "a.livp", halves=(still, video))
    with pytest.raises(DamagedFileError, match="a.livp: the video has no complete index"):
        open_live_photo(path)
    data = makers.apple_pair(tmp_path / "other")[1].read_bytes()
    video.write_bytes(data)
    still.write_bytes(still.read_bytes()[:300])
    path = vendors.livp(tmp_path / "b.livp", halves=(still, video))
    with pytest.raises(DamagedFileError, match="b.livp: the picture is truncated or damaged"):
        open_live_photo(path)


# --- .pvt -----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["folder", "still", "video", "stem"])
@pytest.mark.parametrize("suffix", [".pvt", ".PVT"])
def test_pvt(tmp_path, given, suffix):
    folder = vendors.pvt(tmp_path / f"IMG_0001{suffix}")
    still, video = folder / "IMG_0001.JPG", folder / "IMG_0001.MOV"
    path = {"folder": folder, "still": still, "video": video, "stem": folder / "IMG_0001"}[given]
    live = open_live_photo(path)
    assert live.kind == "pvt"
    assert (live.still.path, live.clip.path) == (still, video)
    assert live.key_time_source == "still-image-time track"
    assert live.notes == ("the clip has no sound",)


def test_pvt_from_within(tmp_path, monkeypatch):
    monkeypatch.chdir(vendors.pvt(tmp_path / "IMG_0001.pvt"))
    assert open_live_photo("IMG_0001.JPG").kind == "pvt"
    assert open_live_photo(".").kind == "pvt"


def test_pvt_without_its_plist(tmp_path):
    live = open_live_photo(vendors.pvt(tmp_path / "a.pvt", plist=False))
    assert live.kind == "pvt" and "the package has no metadata.plist" in live.notes[0]


def test_pvt_that_lost_a_half(tmp_path):
    folder = vendors.pvt(tmp_path / "a.pvt")
    (folder / "IMG_0001.MOV").unlink()
    with pytest.raises(PairingError, match="no Live Photo in this folder"):
        open_live_photo(folder)


def test_pictures_go_beside_a_package(tmp_path):
    folder = vendors.pvt(tmp_path / "IMG_0001.pvt")
    place = choose_place(OutputChoice(), open_live_photo(folder), 0.5)
    assert place.path == tmp_path / "IMG_0001-0.500s.jpg"
    path = vendors.livp(tmp_path / "a.livp")
    place = choose_place(OutputChoice(), open_live_photo(path), 0.5)
    assert place.path == tmp_path / "a-0.500s.jpg"
