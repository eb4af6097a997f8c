"""Whichever form a Live Photo has, its own rules are held against it; quirks are no failures."""

import pytest
from support import makers, vendor_makers

from livemoments.errors import InputError, MissingFileError, PairingError, UnsupportedFileError
from livemoments.livephoto.checking.check import (
    APPLE,
    MICRO_VIDEO,
    MOTION_PHOTO,
    SAMSUNG,
    check_file,
)
from livemoments.livephoto.checking.findings import Finding, broken, failed, with_quirk
from livemoments.livephoto.writing.convert import convert_file


def failures(found):
    return {finding.rule for finding in failed(found.findings)}


@pytest.fixture
def good(tmp_path):
    """A whole Apple pair of our own."""
    photo, _ = makers.apple_pair(tmp_path / "in", sound=True)
    done = convert_file(photo, tmp_path / "good.jpg", to="apple")
    return done.path, done.movie


@pytest.mark.parametrize(
    ("to", "form"),
    [("google", MOTION_PHOTO), ("samsung", SAMSUNG), ("microvideo", MICRO_VIDEO), ("apple", APPLE)],
)
def test_every_form_we_write(tmp_path, to, form):
    photo, _ = makers.apple_pair(tmp_path / "in", sound=True)
    done = convert_file(photo, tmp_path / "MVIMG_1.jpg", to=to)
    found = check_file(done.path)
    assert (found.form, found.passed) == (form, True)
    assert found.files == tuple(path for path in (done.path, done.movie) if path)
    assert failures(found) == set() == {each.rule for each in broken(found.findings)}


def test_either_half_the_stem_the_folder_and_both_by_hand(tmp_path, good):
    still, movie = good
    (tmp_path / "in" / "IMG_0001.JPG").unlink()
    for path in (still, movie, still.with_suffix(""), tmp_path):
        found = check_file(path)
        assert (found.files, found.form, found.passed) == ((still, movie), APPLE, True)
    assert check_file(still, movie).passed


def test_packages(tmp_path, good):
    found = check_file(vendor_makers.livp(tmp_path / "a.livp", halves=good))
    assert found.passed and found.form == f"{APPLE} in an archive"
    folder = tmp_path / "a.pvt"
    folder.mkdir()
    for half in good:
        (folder / half.name).write_bytes(half.read_bytes())
    assert failures(check_file(folder)) == {"a '.pvt' package has its metadata.plist"}
    (folder / "metadata.plist").write_bytes(vendor_makers.PLIST)
    assert check_file(folder).passed


def test_halves_that_are_no_live_photo(tmp_path):
    photo, video = makers.apple_pair(tmp_path, identifier=None, video_identifier=None)
    for found in (check_file(photo), check_file(photo, video)):
        assert not found.passed and "both name the same Live Photo" in failures(found)
    photo, video = makers.apple_pair(tmp_path / "b", video_identifier=makers.OTHER_IDENTIFIER)
    assert "both name the same Live Photo" in failures(check_file(photo, video))
    with pytest.raises(PairingError, match="different Live Photos"):
        check_file(photo)


def test_a_clip_that_was_lost(tmp_path):
    path = makers.google_jpeg(tmp_path / "a.MP.jpg", clip=b"")
    found = check_file(path)
    assert not found.passed and found.form == MOTION_PHOTO
    assert "the file holds a picture and a clip" in failures(found)


@pytest.mark.parametrize("suffix", [".jpg", ".heic"])
def test_what_samsungs_phones_do_is_a_quirk_on_samsungs_files_alone(tmp_path, suffix):
    make = makers.samsung_jpeg if suffix == ".jpg" else makers.samsung_heic
    found = check_file(make(tmp_path / f"a{suffix}"))
    quirks = {each.rule for each in found.findings if each.result == "quirk"}
    assert "Length leads from the end of the file to the clip" in quirks
    assert not quirks & failures(found)
    assert "broken as phones do" in found.summary
    clip = makers.motion_clip()
    wrong = makers.google_jpeg(tmp_path / "b.MP.jpg", xmp=makers.google_xmp(length=len(clip) - 4))
    found = check_file(wrong)
    assert "Length leads from the end of the file to the clip" in failures(found)


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (lambda folder: vendor_makers.huawei_photo(folder / "h.jpg"), "photo of Huawei's"),
        (lambda folder: vendor_makers.honor_jpeg(folder / "h.jpg"), "photo of Honor's"),
        (lambda folder: vendor_makers.vivo_pair(folder)[0], "pair of vivo's"),
        (lambda folder: vendor_makers.vivo_pair(folder)[1], "pair of vivo's"),
    ],
)
def test_forms_without_published_rules_are_told(tmp_path, make, form):
    found = check_file(make(tmp_path))
    assert found.form == form and found.findings[0].result == "not applicable"


def test_what_cannot_be_read_at_all_is_an_error(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in")
    (tmp_path / "text.jpg").write_text("hello")
    for path, movie, kind in (
        (tmp_path / "nothing.jpg", None, MissingFileError),
        (tmp_path / "text.jpg", None, UnsupportedFileError),
        (photo, tmp_path / "nothing.mov", MissingFileError),
        (photo, photo, UnsupportedFileError),
        (video, video, UnsupportedFileError),
        (makers.save_still(tmp_path / "alone.jpg", makers.scene()), None, PairingError),
        (tmp_path, None, PairingError),
    ):
        with pytest.raises(kind):
            check_file(path, movie)


def test_a_damaged_half_is_a_finding_or_an_error(tmp_path, good):
    still, movie = good
    data = movie.read_bytes()
    for keep in range(8, len(data), len(data) // 9):
        movie.write_bytes(data[:keep])
        try:
            assert not check_file(still, movie).passed
        except InputError:
            pass


def test_results_in_words_and_for_machines(good):
    found = check_file(*good)
    facts, lines = found.to_dict(), found.lines()
    assert facts["passed"] is True and len(facts["rules"]) == len(found.findings)
    assert {each["result"] for each in facts["rules"]} == {"pass", "not applicable"}
    assert lines[-1] == found.summary and "0 broken" in lines[-1]
    assert all(line.startswith(("pass ", "-    ")) for line in lines[:-1])


def test_a_quirk_excuses_a_broken_rule_alone():
    rules = [Finding(rule="r", passed=passed, found="") for passed in (True, False, None)]
    excused = [with_quirk(each, "why") for each in rules]
    assert [each.result for each in excused] == ["pass", "quirk", "not applicable"]
    assert [each.result for each in rules] == ["pass", "fail", "not applicable"]
    assert failed(excused) == [] and broken(excused) == [excused[1]]
