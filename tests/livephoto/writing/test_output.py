"""A restored moment written back: a new Live Photo of the source's kind, or of another."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support import makers
from support.motion_photos import clip_bytes, packets
from typer.testing import CliRunner

from livemoments import cli
from livemoments.errors import ConfigError, OutputError
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.apple import check_apple
from livemoments.livephoto.checking.findings import broken
from livemoments.livephoto.checking.motion_photo import check_motion_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.writing.output import OutputChoice, choose_place, write_moment
from livemoments.livephoto.writing.place import format_of_source
from livemoments.restoration.moment import RestoredMoment
from livemoments.restoration.report import Report

MOMENT_S = 0.25
SOURCES = {
    "apple": lambda folder: makers.apple_pair(folder)[0],
    "google": lambda folder: makers.google_jpeg(folder / "PXL_1.MP.jpg"),
    "google heic": lambda folder: makers.google_heic(folder / "PXL_1.MP.heic"),
    "samsung": lambda folder: makers.samsung_jpeg(folder / "20260101.jpg"),
    "samsung heic": lambda folder: makers.samsung_heic(folder / "20260101.heic"),
    "microvideo": lambda folder: makers.micro_video_jpeg(folder / "MVIMG_1.jpg"),
}


@pytest.fixture(params=SOURCES)
def source(request, tmp_path):
    """A Live Photo of every kind: what it is, and its path."""
    folder = tmp_path / "source"
    folder.mkdir()
    return request.param.split()[0], SOURCES[request.param](folder)


def moment_of(live):
    """What restore would give: a picture of the still's size, other than the still."""
    picture = np.full((live.still.height, live.still.width, 3), 0.5, np.float32)
    picture[: live.still.height // 2] = 0.2
    report = Report(
        model="compact", width=live.still.width, height=live.still.height, reference_used=True,
        reason=None, share_from_reference=0.9, look="frame", look_reason=None, hdr=False,
        hdr_reason=None, faces=None, faces_reason=None, registration="", agreement=1.0,
        registration_error_px=None, steps=1,
        seed=0, seconds={},
    )  # fmt: skip
    return RestoredMoment(image=picture, report=report, time_s=MOMENT_S)


def write(live, choice):
    place = choose_place(choice, live, MOMENT_S)
    moment = moment_of(live)
    return write_moment(moment.image, place, choice, live, MOMENT_S, gain_map=moment.gain_map)


def assert_obeys(written):
    if written.format == "apple":
        assert not broken(check_apple(written.path, written.movie))
    else:
        assert not broken(check_motion_photo(written.path))


def test_the_new_live_photo_is_of_the_sources_kind(source):
    kind, path = source
    before = {each: each.read_bytes() for each in path.parent.iterdir()}
    live = open_live_photo(path)
    written = write(live, OutputChoice(live=True))
    assert (written.format, format_of_source(live)) == (kind, kind)
    assert written.path.parent == path.parent and written.path.suffix == path.suffix
    assert_obeys(written)
    new = open_live_photo(written.path)
    assert new.key_time_s == pytest.approx(MOMENT_S, abs=1e-3)
    assert packets(clip_bytes(new.clip.source)) == packets(clip_bytes(live.clip.source))
    np.testing.assert_allclose(new.still.pixels().mean((0, 1)), 255 * 0.35, atol=2)
    assert all(each.read_bytes() == data for each, data in before.items())


@pytest.mark.parametrize("kind", ["apple", "google", "samsung", "microvideo"])
def test_any_kind_becomes_any_other(source, kind, tmp_path):
    live = open_live_photo(source[1])
    out = tmp_path / "new.jpg"
    written = write(live, OutputChoice(path=out, live=True, format=kind))
    assert (written.path, written.format) == (out, kind)
    assert_obeys(written)
    new = open_live_photo(out)
    assert new.key_time_s == pytest.approx(MOMENT_S, abs=1e-3)
    assert bool(read_trailer(Source.whole(written.path))) == (kind == "samsung")
    seen = [pack[0] for pack in (packets(clip_bytes(each.clip.source)) for each in (live, new))]
    assert [packet[-1] for packet in seen[0]] == [packet[-1] for packet in seen[1]]


def test_a_new_identifier_on_both_halves(tmp_path):
    live = open_live_photo(makers.apple_pair(tmp_path)[0])
    new = open_live_photo(write(live, OutputChoice(live=True)).path)
    assert set(new.identifiers) == {"still", "video"}
    assert new.identifiers["still"] == new.identifiers["video"] != live.identifiers["still"]


def test_files_are_named_so_that_galleries_know_them(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    live = open_live_photo(makers.google_jpeg(folder / "a.jpg"))
    names = {
        kind: choose_place(OutputChoice(live=True, format=kind), live, 0.5).path.name
        for kind in ("apple", "google", "samsung", "microvideo")
    }
    assert names == {
        "apple": "a-0.500s.jpg", "google": "a-0.500s.MP.jpg", "samsung": "a-0.500s.jpg",
        "microvideo": "MVIMG_a-0.500s.jpg",
    }  # fmt: skip
    into = choose_place(OutputChoice(path=tmp_path, live=True), live, 0.5)
    assert into.path == tmp_path / "a-0.500s.MP.jpg"


def test_refused_before_any_work(tmp_path):
    live = open_live_photo(makers.apple_pair(tmp_path)[0])
    for choice, message in (
        (OutputChoice(path=tmp_path / "a.png", live=True), "HEIC or a JPEG"),
        (OutputChoice(path=tmp_path / "a.png", live=True, format="google"), "JPEG or HEIC"),
        (OutputChoice(path=tmp_path / "a.heic", live=True, format="microvideo"), "end it in .jpg"),
        (OutputChoice(path=live.still.path, live=True, overwrite=True), "this is an input"),
        (OutputChoice(path=live.still.path.with_suffix(".JPEG"), live=True, overwrite=True),
         "this is an input"),
    ):  # fmt: skip
        with pytest.raises(OutputError, match=message):
            choose_place(choice, live, 0.2)


@pytest.mark.parametrize("facts", [{"format": "apple"}, {"live": True, "format": "x"}])
def test_choices_that_cannot_be(facts):
    with pytest.raises(ConfigError):
        OutputChoice(**facts)


def test_a_kind_that_no_phone_makes_becomes_googles(tmp_path):
    live = open_live_photo(makers.google_jpeg(tmp_path / "a.jpg"))
    assert format_of_source(replace(live, kind="huawei")) == "google"


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_the_command_writes_a_live_photo(tmp_path):
    still, movie = makers.apple_pair(tmp_path / "pair")
    out = tmp_path / "IMG_2.HEIC"
    result = run("restore", still, "--at", 0.1, "-o", out, "--live", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["movie"], facts["kind"]) == (str(tmp_path / "IMG_2.MOV"), "apple")
    new = open_live_photo(out)
    assert new.kind == "apple-pair" and new.key_time_s == pytest.approx(0.1, abs=1e-3)
    result = run("restore", still, "--at", 0.1, "-o", tmp_path / "b.jpg", "--to", "google")
    assert result.exit_code == 0 and "a Motion Photo with its clip (google)" in result.stdout
    assert open_live_photo(tmp_path / "b.jpg").kind == "google-motion-photo"


def test_the_command_refuses_what_cannot_be(tmp_path):
    still, _ = makers.apple_pair(tmp_path / "pair")
    for extra, message in (
        (("--to", "nokia"), "format must be one of"),
        (("--live", "-o", tmp_path / "a.png"), "HEIC or a JPEG"),
        (("--look", "sepia"), "look must be one of"),
    ):
        result = run("restore", still, "--at", 0.1, *extra)
        assert result.exit_code == 1 and message in result.stderr
        assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == sorted(
            each.name for each in (tmp_path / "pair").iterdir()
        )
