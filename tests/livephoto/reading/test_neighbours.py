"""Halves that are there are found, whatever they are called; and no stranger is taken for one."""

import os
import shutil
import time
import unicodedata
from pathlib import Path

import pytest
from support import makers, vendor_makers

from livemoments.errors import MissingFileError, PairingError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading import identifiers, neighbours, pairing
from livemoments.livephoto.reading.identifiers import (
    glimpsed_identifier,
    still_identifier,
    video_identifier,
)
from livemoments.livephoto.reading.pairing import find_still, find_video
from livemoments.livephoto.still.still import read_still

NFC, NFD = (unicodedata.normalize(form, "Café_ÄÖ") for form in ("NFC", "NFD"))
# What a still and its clip are called, without an identifier in either.
PAIRS = {
    "google takeout": ("PXL_1.MP.jpg", "PXL_1.MP"),
    "google takeout, older": ("MVIMG_1.jpg", "MVIMG_1.MV"),
    "a motion suffix twice": ("PXL_1.MP.jpg", "PXL_1.MP.mp4"),
    "suffix behind suffix": ("IMG_1.HEIC", "IMG_1.HEIC.MP4"),
    "suffix behind suffix, jpg": ("IMG_1.JPG", "IMG_1.JPG.MOV"),
    "suffix behind another still's": ("IMG_1.JPG", "IMG_1.HEIC.MOV"),
    "accents": (f"{NFC}.JPG", f"{NFD}.MOV"),
    "accents, the other way": (f"{NFD}.JPG", f"{NFC}.MOV"),
    "case": ("IMG_É.JPG", "img_é.mov"),
    "a video under a still's suffix": ("IMG_1.JPG", "IMG_1.HEIC"),
    "a still under a video's suffix": ("IMG_1.MP4", "IMG_1.MOV"),
    "downloader": ("IMG_1.HEIC", "IMG_1_HEVC.MOV"),
}
STRANGERS = [
    ("IMG_1.HEIC", "IMG_10.MOV"),
    ("IMG_1.JPG", "IMG_2.MOV"),
    ("IMG_1.JPG", "IMG_1_4.MOV"),
    ("IMG_1.JPG", "IMG_1 2.MOV"),
    ("IMG_1.JPG", "IMG_10.JPG"),
    ("IMG_1.MOV.JPG", "IMG_1.MOV"),  # a poster of the video
    ("IMG_1_3.JPG", "IMG_1.MOV"),
    ("Cafe.JPG", "Café.MOV"),
]


MADE: dict[str | None, tuple[Path, Path]] = {}


def halves(folder: Path, still: str, video: str, *, identifier: str | None = None) -> None:
    """Put a still and a clip into a folder under any names."""
    photo, clip = made(identifier)
    folder.mkdir(exist_ok=True)
    shutil.copy(photo, folder / still)
    shutil.copy(clip, folder / video)


@pytest.fixture(scope="module", autouse=True)
def made_once(tmp_path_factory):
    for identifier in (None, makers.IDENTIFIER, makers.OTHER_IDENTIFIER):
        place = tmp_path_factory.mktemp("made")
        MADE[identifier] = makers.apple_pair(
            place, identifier=identifier, video_identifier=identifier
        )


def made(identifier: str | None) -> tuple[Path, Path]:
    return MADE[identifier]


@pytest.mark.parametrize("names", PAIRS.values(), ids=PAIRS)
def test_both_halves_find_each_other_by_name(tmp_path, names):
    halves(tmp_path, *names)
    for given in names:
        live = open_live_photo(tmp_path / given)
        assert (live.still.path.name, live.clip.path.name) == names
        assert live.kind == "pair-by-name"


@pytest.mark.parametrize("names", STRANGERS, ids=" ".join)
def test_a_stranger_is_not_taken(tmp_path, names):
    halves(tmp_path, *names)
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(tmp_path / names[0])
    with pytest.raises(PairingError, match="no still next to it"):
        open_live_photo(tmp_path / names[1])


@pytest.mark.parametrize("names", PAIRS.values(), ids=PAIRS)
def test_a_name_never_beats_a_differing_identifier(tmp_path, names):
    halves(tmp_path, names[0], "unused", identifier=makers.IDENTIFIER)
    shutil.copy(made(makers.OTHER_IDENTIFIER)[1], tmp_path / names[1])
    for given in names:
        with pytest.raises(PairingError, match="halves of different Live Photos"):
            open_live_photo(tmp_path / given)


@pytest.mark.parametrize("suffix", [".MOV", ".JPG", ".MP"])
def test_the_identifier_finds_what_names_hide(tmp_path, suffix):
    halves(tmp_path, "A.JPG", f"quite other{suffix}", identifier=makers.IDENTIFIER)
    halves(tmp_path, "B.JPG", "A.MOV", identifier=makers.OTHER_IDENTIFIER)
    assert open_live_photo(tmp_path / "A.JPG").clip.path.stem == "quite other"
    assert open_live_photo(tmp_path / f"quite other{suffix}").still.path.name == "A.JPG"


def test_a_stem_in_another_form_or_case(tmp_path):
    halves(tmp_path, f"{NFD}.JPG", f"{NFD}.MOV")
    for name in (NFC, NFD, NFC.upper(), f"{NFC}.jpg"):
        assert open_live_photo(tmp_path / name).still.path.name == f"{NFD}.JPG"
    with pytest.raises(MissingFileError):
        open_live_photo(tmp_path / "Cafe_AO")


@pytest.mark.parametrize("name", ["IMG_1.JPG", "cover.jpg"])
@pytest.mark.parametrize("given", ["still", "video"])
def test_a_links_target_has_the_other_half(tmp_path, name, given):
    halves(tmp_path / "all", "IMG_1.JPG", "IMG_1.MOV")
    (tmp_path / "picked").mkdir()
    target = "IMG_1.JPG" if given == "still" else "IMG_1.MOV"
    link = tmp_path / "picked" / Path(name).with_suffix(Path(target).suffix).name
    link.symlink_to(Path("..") / "all" / target)
    live = open_live_photo(link)
    other = live.clip.path if given == "still" else live.still.path
    assert other.parent == tmp_path.resolve() / "all" and live.kind == "pair-by-name"


def test_a_half_next_to_the_link_comes_first(tmp_path):
    halves(tmp_path / "all", "IMG_1.JPG", "IMG_1.MOV")
    halves(tmp_path / "picked", "unused", "cover.MOV")
    (tmp_path / "picked" / "cover.jpg").symlink_to(tmp_path / "all" / "IMG_1.JPG")
    assert open_live_photo(tmp_path / "picked" / "cover.jpg").clip.path.name == "cover.MOV"


def test_links_that_lead_nowhere_are_no_candidates(tmp_path):
    halves(tmp_path, "IMG_1.JPG", "unused")
    (tmp_path / "IMG_1.MOV").symlink_to("gone.mov")
    (tmp_path / "IMG_1.MP4").symlink_to("IMG_1.MP4")
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(tmp_path / "IMG_1.JPG")
    (tmp_path / "unused").rename(tmp_path / "IMG_1_HEVC.MOV")
    assert open_live_photo(tmp_path / "IMG_1.JPG").clip.path.name == "IMG_1_HEVC.MOV"


@pytest.mark.parametrize("stand_in", [".{}.icloud", "{}.icloud"])
def test_what_is_in_icloud_is_named(tmp_path, stand_in):
    halves(tmp_path, "IMG_1.JPG", "IMG_2.MOV", identifier=makers.IDENTIFIER)
    (tmp_path / "IMG_2.MOV").unlink()
    for name in ("IMG_1.MOV", "IMG_3.HEIC", "IMG_30.MOV"):
        (tmp_path / stand_in.format(name)).write_bytes(b"bplist00\xd3" + bytes(80))
    with pytest.raises(PairingError) as caught:
        open_live_photo(tmp_path / "IMG_1.JPG")
    message = "IMG_1.JPG: its video is IMG_1.MOV, but it is in iCloud and not on this computer"
    assert str(caught.value) == f"{message}; download it first"
    named = ["IMG_3.HEIC", "IMG_3", stand_in.format("IMG_3.HEIC")]
    for name in named:
        with pytest.raises(MissingFileError, match="in iCloud .* download it first"):
            open_live_photo(tmp_path / name)
    with pytest.raises(MissingFileError, match="no such file"):
        open_live_photo(tmp_path / "IMG_9.HEIC")
    shutil.copy(made(makers.IDENTIFIER)[1], tmp_path / "IMG_4.MOV")
    assert open_live_photo(tmp_path / "IMG_1.JPG").clip.path.name == "IMG_4.MOV"


def test_only_the_halves_own_placeholder_is_named(tmp_path):
    halves(tmp_path, "IMG_1.JPG", "unused")
    (tmp_path / ".IMG_10.MOV.icloud").write_bytes(b"bplist00")
    (tmp_path / ".IMG_1.HEIC.icloud").write_bytes(b"bplist00")
    with pytest.raises(PairingError, match="no video next to it"):
        open_live_photo(tmp_path / "IMG_1.JPG")


def test_a_glimpse_sees_what_reading_sees(tmp_path, monkeypatch):
    files = [*made(makers.IDENTIFIER), *made(None)]
    heic = {"exif": makers.make_exif(makers.IDENTIFIER)}
    files.append(makers.save_still(tmp_path / "a.heic", makers.scene(), **heic))
    files.append(makers.save_still(tmp_path / "a.webp", makers.scene(), **heic))
    files.extend(vendor_makers.vivo_pair(tmp_path / "vivo"))
    for path in files:
        half = Source.whole(path).kind
        source = Source.whole(path)
        read = still_identifier(read_still(path)) if half == "still" else video_identifier(source)
        assert glimpsed_identifier(path, half) == read
        assert glimpsed_identifier(path, "video" if half == "still" else "still") is None
    assert glimpsed_identifier(tmp_path / "a.heic", "still") == makers.IDENTIFIER
    monkeypatch.setattr(identifiers, "NOTE_WITHIN", 64)  # as if the note lay behind the picture
    assert glimpsed_identifier(tmp_path / "a.heic", "still") == makers.IDENTIFIER
    for path in (tmp_path / "none", tmp_path):
        assert glimpsed_identifier(path, "still") is None


@pytest.fixture
def many(tmp_path):
    """A folder of 10,000 stills and videos, none of which belongs to IMG_1.JPG or IMG_1.MOV."""
    photo, clip = made(makers.OTHER_IDENTIFIER)
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(5000):
        os.link(photo, folder / f"a{index:04}.JPG")
        os.link(clip, folder / f"a{index:04}.MOV")
    halves(folder, "IMG_1.JPG", "z.MOV", identifier=makers.IDENTIFIER)
    return folder


@pytest.mark.slow
def test_one_of_ten_thousand_is_found_in_time(many):
    began_s = time.process_time()
    assert find_video(read_still(many / "IMG_1.JPG")).video.path.name == "z.MOV"
    assert find_still(Source.whole(many / "z.MOV")).still.path.name == "IMG_1.JPG"
    (many / "z.MOV").unlink()
    with pytest.raises(PairingError, match="no video next to it"):
        find_video(read_still(many / "IMG_1.JPG"))
    with pytest.raises(PairingError, match="more than 8 Live Photos"):
        open_live_photo(many)
    assert time.process_time() - began_s < 9  # three seconds each


def test_a_limit_is_named(tmp_path, monkeypatch):
    photo, clip = made(makers.OTHER_IDENTIFIER)
    halves(tmp_path, "IMG_1.JPG", "a0.MOV", identifier=makers.IDENTIFIER)
    for index in range(1, 9):
        os.link(clip, tmp_path / f"a{index}.MOV")
    (tmp_path / "a0.MOV").unlink()
    monkeypatch.setattr(pairing, "SURE_FILES", 5)
    monkeypatch.setattr(pairing, "MOST_S", -1.0)
    with pytest.raises(PairingError, match="only 5 of the 8 files there were looked at, so give"):
        open_live_photo(tmp_path / "IMG_1.JPG")
    monkeypatch.setattr(pairing, "MOST_S", 60.0)
    with pytest.raises(PairingError, match="in the same folder$"):
        open_live_photo(tmp_path / "IMG_1.JPG")


def test_a_folder_of_many_stills_names_its_limit(tmp_path, monkeypatch):
    photo, _ = made(None)
    for index in range(12):
        os.link(photo, tmp_path / f"a{index:02}.JPG")
    monkeypatch.setattr(pairing, "SURE_STILLS", 3)
    monkeypatch.setattr(pairing, "MOST_S", -1.0)
    with pytest.raises(PairingError, match="no Live Photo among the first 3 of 12 stills"):
        open_live_photo(tmp_path)


def test_a_folder_is_listed_once_for_all_its_stills(tmp_path, monkeypatch):
    listed = []
    real = neighbours._names
    monkeypatch.setattr(neighbours, "_names", lambda path: listed.append(path) or real(path))
    halves(tmp_path, "A.JPG", "B.MOV", identifier=makers.IDENTIFIER)
    for index in range(5):
        os.link(made(None)[0], tmp_path / f"c{index}.JPG")
    assert open_live_photo(tmp_path).still.path.name == "A.JPG"
    assert len(listed) == 2  # the folder's own search, and the one for its still that was found
