"""Real Live Photos in each form: what exiftool, a demuxer and our own rules say of the results."""

import functools
import shutil

import numpy as np
import pytest
from support import movies
from support.converted import coded_still, rules_broken, tags
from support.motion_photos import clip_bytes, packets
from support.tools import exiftool

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.container.heic_metadata import auxiliary_kinds
from livemoments.livephoto.writing.convert import convert_file

pytestmark = pytest.mark.real

NAMES = [
    "iphone15plus-asakusa", "iphone15pro-acorn", "iphone15pro-magnolia", "iphone15pro-mural",
    "iphone17pro-cosplay-reexport", "iphone6s-ferriswheel", "iphone6s-train", "pixel3axl-keyboard",
    "samsung-s22-room", "samsung-s22plus-dark", "samsung-s22ultra-rabbit", "unknown-cat",
]  # fmt: skip
FORMS = ("apple", "google", "samsung")
# A Samsung whose key photo was taken 57 ms after its clip's end: Apple's form has no such time.
PAST_THE_END = "samsung-s22ultra-rabbit"
DEFAULT = {"iphone15pro-acorn", "iphone6s-train", "samsung-s22-room"}

# What exiftool may say otherwise of a converted still, and why.
ALLOWED = {
    # Apple's identifier: fresh, gone, or in a note that was not there before
    "MediaGroupUUID", "ContentIdentifier",
    # a note parked as DNG's private data while Apple's takes its place
    "DNGPrivateData",
    # words about the clip, and about where it lies
    "MotionPhoto", "MotionPhotoVersion", "MotionPhotoPresentationTimestampUs", "XMPToolkit",
    "DirectoryItemMime", "DirectoryItemSemantic", "DirectoryItemLength", "DirectoryItemPadding",
}  # fmt: skip
GROUPS = ("IFD0", "IFD1", "ExifIFD", "GPS", "Apple", "ICC-header", "ICC_Profile", "Google")


def sample(samples, name):
    """What open_live_photo needs to open it."""
    files = sorted(path for path in (samples / name).iterdir() if path.is_file())
    return (files[0], files[1]) if name == "unknown-cat" else (files[0], None)


@functools.lru_cache(1)
def opened(path, video):
    return open_live_photo(path, video)


def key_time_error_ms(name, to, before, after):
    late = name == PAST_THE_END and to == "apple"
    expected = before.clip.duration_s - 1 / 600 if late else before.key_time_s
    return abs(after.key_time_s - expected) * 1000


def assert_exiftool_agrees(path, live, done, to):
    """What exiftool reads of the source it reads of the result; new are what names the form."""
    before, facts = exiftool(path), exiftool(done.path)
    kept = [fact for fact in before if fact[0] in GROUPS or fact[0].startswith("XMP-")]
    kept = [fact for fact in kept if fact[1] not in ALLOWED]
    assert [fact for fact in kept if fact not in facts] == [], to
    assert [fact for fact in facts if fact[1] == "Error"] == []
    values = {tag: value for _, tag, value in facts}
    if to == "apple":
        assert done.identifier in (values.get("ContentIdentifier"), values.get("MediaGroupUUID"))
        movie = exiftool(done.movie, "-ee")
        assert ("Keys", "ContentIdentifier", done.identifier) in movie
        assert [fact[2] for fact in movie if fact[1] == "StillImageTime"] == ["-1"]
    else:
        assert not {"ContentIdentifier", "MediaGroupUUID"} & set(values)
        stamp = int(values["MotionPhotoPresentationTimestampUs"])
        assert stamp == round(live.key_time_s * 1e6)


def some(names):
    """One sample of each maker by default, the others with --slow."""
    slow = pytest.mark.slow
    return [name if name in DEFAULT else pytest.param(name, marks=slow) for name in names]


@pytest.mark.parametrize("name", some(NAMES))
def test_each_form_of_each_sample(tmp_path, samples, name):
    path, video = sample(samples, name)
    live, still = opened(path, video), None
    for to in FORMS:
        (tmp_path / to).mkdir()
        done = convert_file(path, tmp_path / to, to=to, video=video)
        again = open_live_photo(done.path)
        assert done.still_copied and rules_broken(done) == []
        assert check_file(done.path).passed
        assert key_time_error_ms(name, to, live, again) <= 1
        old, new = clip_bytes(live.clip.source), clip_bytes(again.clip.source)
        assert packets(new) == packets(old)
        still = coded_still(path) if still is None else still
        assert coded_still(done.path) == still
        if path.suffix.lower() == ".heic":
            assert auxiliary_kinds(done.path.read_bytes()) == auxiliary_kinds(path.read_bytes())
        if shutil.which("exiftool"):
            assert_exiftool_agrees(path, live, done, to)
        if done.movie is not None and video is None and live.clip.path != path:
            movies.assert_same_media(live.clip.path, done.movie)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iphone15pro-mural", "iphone6s-train"])
def test_pixels_are_equal(tmp_path, samples, name):
    path, video = sample(samples, name)
    before = opened(path, video).still.thumbnail(4096)
    for to in FORMS[:2]:
        done = convert_file(path, tmp_path / f"{to}{path.suffix}", to=to)
        assert np.array_equal(open_live_photo(done.path).still.thumbnail(4096), before)


@pytest.mark.parametrize("name", some(NAMES))
def test_there_and_back(tmp_path, samples, name):
    way = ("google", "apple") if name.startswith("iphone") else ("apple", "google")
    path, video = sample(samples, name)
    live = opened(path, video)
    there = convert_file(path, tmp_path / f"there{path.suffix}", to=way[0], video=video)
    back = convert_file(there.path, tmp_path / f"back{path.suffix}", to=way[1])
    again = open_live_photo(back.path)
    assert packets(clip_bytes(again.clip.source)) == packets(clip_bytes(live.clip.source))
    assert key_time_error_ms(name, "apple", live, again) <= 1
    if live.still.exif is not None:
        assert tags(back.path) == tags(path)
    assert rules_broken(back) == []


@pytest.mark.parametrize("name", NAMES[:-1])
def test_the_phones_own_files_pass(samples, name):
    found = check_file(samples / name)
    assert found.passed
    quirks = [each for each in found.findings if each.result == "quirk"]
    expected = {"iphone6s-ferriswheel": 1, "samsung-s22-room": 3, "samsung-s22plus-dark": 1}
    expected["samsung-s22ultra-rabbit"] = 3
    assert len(quirks) == expected.get(name, 0)
    assert all(each.quirk for each in quirks)
