"""A restored moment becomes a new Apple Live Photo; the clip's media stay bit for bit."""

import errno
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import makers, movies, rounds
from support.written import write_live

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    InputError,
    MomentError,
    OutputError,
    UnsupportedFileError,
)
from livemoments.livephoto import open_live_photo
from livemoments.livephoto.checking.apple import check_apple
from livemoments.livephoto.checking.findings import broken
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.exif import MAKER_NOTE, ExifEditor
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.writing.apple import IDENTIFIER, plan_apple
from livemoments.livephoto.writing.apple_track import still_keys
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.place import check_place, movie_path

NEW = "5EED0000-1111-4222-8333-444455556666"
SOFTWARE = "livemoments 0.1: the moment at 0.250 s, restored"
PICKED_S = 0.25
TURN_RIGHT = (0, 1, -1, 0)
LIVE_KEYS = {
    "com.apple.quicktime.live-photo.auto": "1",
    "com.apple.quicktime.live-photo.vitality-score": "0.93",
    "com.apple.quicktime.content.identifier": makers.IDENTIFIER,
    "com.apple.quicktime.make": "Apple",
}


def restored(live, time_s=PICKED_S, factor=2):
    """Stands for a restored moment: the frame, enlarged, in the frame's view."""
    frame = live.frame(time_s).image
    return makers.enlarged((frame * 255).round().astype(np.uint8), factor)


def write(live, path, **options):
    options = {"time_s": PICKED_S, "software": SOFTWARE, "identifier": NEW, **options}
    image = options.pop("image", None)
    image = restored(live, options["time_s"]) if image is None else image
    return write_live(live, image, path, **options)


def hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture
def pair(tmp_path):
    folder = tmp_path / "in"
    return makers.apple_pair(folder, sound=True, transform=np.diag([1.1, 0.9, 1.0]))


# --- the round trip -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.HEIC", "a.heic", "a.jpg", "a.JPG", "a.jpeg"])
def test_it_opens_as_a_live_photo_at_the_picked_moment(tmp_path, pair, name):
    live, before = open_live_photo(pair[0]), hashes(tmp_path / "in")
    written = write(live, tmp_path / name)
    assert written.path == tmp_path / name
    assert written.movie == tmp_path / ("a.MOV" if name in ("a.HEIC", "a.JPG") else "a.mov")
    assert written.notes == ()
    assert written.size_bytes == sum(p.stat().st_size for p in (written.path, written.movie))
    again = open_live_photo(written.path)
    assert again.kind == "apple-pair"
    assert again.identifiers == {"still": NEW, "video": NEW}
    assert again.key_time_s == pytest.approx(PICKED_S, abs=1e-3) == written.key_time_s
    assert again.key_time_source == "still-image-time track"
    assert open_live_photo(written.movie).still.path == written.path
    assert broken(check_apple(written.path, written.movie)) == []
    movies.assert_same_media(pair[1], written.movie)
    assert hashes(tmp_path / "in") == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("display", [(1, 0, 0, 1), TURN_RIGHT, (-1, 0, 0, -1)])
def test_the_stored_transform_becomes_pure_scaling(tmp_path, display):
    frames = makers.moving(makers.scene())
    still = np.rot90(frames[6], -1) if display == TURN_RIGHT else frames[6]
    photo, _ = makers.apple_pair(
        tmp_path / "in", transform=np.array([[1.02, 0.01, 9], [0.01, 0.97, -5], [1e-4, 0, 1.0]]),
        display=display, still=makers.enlarged(np.ascontiguousarray(still)),
    )  # fmt: skip
    live = open_live_photo(photo)
    written = write(live, tmp_path / "a.jpg", image=restored(live, factor=3))
    again = open_live_photo(written.path)
    size = (again.still.width / again.clip.width, again.still.height / again.clip.height)
    assert size == (3, 3)
    scaling = np.array([[3.0, 0, 1.0], [0, 3.0, 1.0], [0, 0, 1]])  # pixel centres at whole numbers
    np.testing.assert_allclose(again.key_transform, scaling, atol=1e-9)


def test_the_restored_frame_lies_on_its_still(tmp_path, pair):
    """What Photos does with the transform: the frame at the still's time, laid on the still."""
    import cv2

    written = write(open_live_photo(pair[0]), tmp_path / "a.jpg")
    again = open_live_photo(written.path)
    still = again.still.pixels()
    frame = (again.frame(again.key_time_s).image * 255).astype(np.uint8)
    size = (still.shape[1], still.shape[0])
    laid = cv2.warpPerspective(frame, again.key_transform, size, flags=cv2.INTER_CUBIC)
    inner = (slice(10, -10), slice(10, -10))
    assert np.abs(laid[inner].astype(float) - still[inner]).mean() < 4


def test_a_clip_without_the_track_gets_one(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in", track=False, sound=True)
    live = open_live_photo(photo)
    written = write(live, tmp_path / "a.jpg")
    again = open_live_photo(written.path)
    assert again.key_time_s == pytest.approx(PICKED_S, abs=1e-3)
    assert again.key_transform is None
    assert broken(check_apple(written.path, written.movie)) == []
    old, new = movies.streams(video), movies.streams(written.movie)
    assert new[:-1] == old
    assert new[-1].codec == "data" and len(new[-1].packets) == 1
    track = movies.index(written.movie).all("trak")[-1]
    assert still_keys(track) == {1: "com.apple.quicktime.still-image-time"}
    assert [node.type for node in track.nodes] == [b"tkhd", b"edts", b"tref", b"mdia"]


def test_a_program_that_dropped_the_time_is_put_right(tmp_path):
    photo, _ = makers.apple_pair(tmp_path / "in", key_time_s=None)
    written = write(open_live_photo(photo), tmp_path / "a.jpg")
    again = open_live_photo(written.path)
    assert again.key_time_s == pytest.approx(PICKED_S, abs=1e-3)


def test_a_second_track_of_that_kind_goes(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in")
    video.write_bytes(makers.with_still_time(video.read_bytes(), 0.6))
    written = write(open_live_photo(photo), tmp_path / "a.jpg")
    assert broken(check_apple(written.path, written.movie)) == []


@pytest.mark.parametrize("order", ["last", "first"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_every_order_and_codec(tmp_path, codec, order):
    photo, video = makers.apple_pair(tmp_path / "in", codec=codec, full_range=codec == "libx264")
    if order == "first":
        video.write_bytes(makers.index_first(video.read_bytes()))
    written = write(open_live_photo(photo), tmp_path / "a.heic")
    assert broken(check_apple(written.path, written.movie)) == []
    movies.assert_same_media(video, written.movie)


@pytest.mark.parametrize("time_s", [0.0, 0.05, 0.7])
def test_first_and_last_moments(tmp_path, pair, time_s):
    written = write(open_live_photo(pair[0]), tmp_path / "a.jpg", time_s=time_s)
    again = open_live_photo(written.path)
    assert again.key_time_s == pytest.approx(time_s, abs=1e-3)
    assert again.key_time_source == "still-image-time track"
    assert broken(check_apple(written.path, written.movie)) == []


def test_every_other_key_of_the_clip_stays(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in", video_identifier=None)
    video.write_bytes(makers.with_keys(video.read_bytes(), LIVE_KEYS))
    written = write(open_live_photo(photo), tmp_path / "a.jpg")
    expected = {**LIVE_KEYS, "com.apple.quicktime.content.identifier": NEW}
    assert read_movie(Source.whole(written.movie)).metadata == expected


def test_a_fresh_identifier_each_time(tmp_path, pair):
    live = open_live_photo(pair[0])
    made = {write(live, tmp_path / f"{i}.jpg", identifier=None).identifier for i in range(3)}
    assert len(made) == 3 and all(IDENTIFIER.fullmatch(each) for each in made)
    assert makers.IDENTIFIER not in made


def test_the_same_input_gives_the_same_bytes(tmp_path, pair):
    live = open_live_photo(pair[0])
    first, second = (write(live, tmp_path / name) for name in ("a.jpg", "b.jpg"))
    assert first.movie.read_bytes() == second.movie.read_bytes()
    assert first.path.read_bytes() == second.path.read_bytes()


def test_what_was_written_can_be_written_again(tmp_path, pair):
    first = write(open_live_photo(pair[0]), tmp_path / "a.jpg")
    second = write(open_live_photo(first.path), tmp_path / "b.jpg", time_s=0.5)
    assert open_live_photo(second.path).key_time_s == pytest.approx(0.5, abs=1e-3)
    # The old sample is no longer the index's, but no media are lost.
    assert movies.media(first.movie)[0] in movies.media(second.movie)


# --- from other kinds -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["google", "google heic", "microvideo", "samsung", "mp4"])
def test_a_motion_photo_becomes_a_live_photo(tmp_path, kind):
    folder = tmp_path / "in"
    folder.mkdir()
    photo = {
        "google": lambda: makers.google_jpeg(folder / "a.jpg"),
        "google heic": lambda: makers.google_heic(folder / "a.heic"),
        "microvideo": lambda: makers.micro_video_jpeg(folder / "a.jpg"),
        "samsung": lambda: makers.samsung_jpeg(folder / "a.jpg"),
        "mp4": lambda: makers.apple_pair(
            folder, video_suffix=".mp4", container="mp4", track=False, video_identifier=None,
            identifier=None,
        )[0],
    }[kind]()  # fmt: skip
    live = open_live_photo(photo)
    written = write(live, tmp_path / "a.jpg")
    again = open_live_photo(written.path)
    assert again.kind == "apple-pair"
    assert again.key_time_s == pytest.approx(PICKED_S, abs=1e-3)
    assert again.still.model == live.still.model
    assert broken(check_apple(written.path, written.movie)) == []
    with live.clip.source.open() as stream:
        old = movies.streams(stream.read())
    assert movies.streams(written.movie)[: len(old)] == old
    assert movies.decoded(written.movie)


def test_a_key_time_past_the_clip_is_brought_back(tmp_path):
    photo = makers.samsung_jpeg(tmp_path / "in.jpg", timestamp_us=900_000)
    live = open_live_photo(photo)
    assert live.key_time_s == pytest.approx(0.9)
    written = write(live, tmp_path / "a.jpg", time_s=0.9)
    assert written.key_time_s <= live.clip.duration_s
    assert any("past the clip's end" in note for note in written.notes)
    assert broken(check_apple(written.path, written.movie)) == []


def test_a_still_without_any_metadata(tmp_path):
    photo, _ = makers.apple_pair(
        tmp_path / "in", video_identifier=None, track=False, still_options={"exif": None}
    )
    live = open_live_photo(photo)
    assert live.still.exif is None
    written = write(live, tmp_path / "a.jpg")
    assert open_live_photo(written.path).kind == "apple-pair"
    assert broken(check_apple(written.path, written.movie)) == []


def test_another_makers_note_is_replaced_and_noted(tmp_path):
    photo, _ = makers.apple_pair(tmp_path / "in")
    live = open_live_photo(photo)
    editor = ExifEditor(makers.make_exif(None).removeprefix(b"Exif\0\0"))
    editor.put("details", MAKER_NOTE, 7, b"SAMSUNG" + bytes(80))
    live = replace(live, still=replace(live.still, exif=editor.to_bytes()))
    written = write(live, tmp_path / "a.jpg")
    assert any("another maker's note" in note for note in written.notes)
    assert open_live_photo(written.path).identifiers["still"] == NEW


def test_a_note_too_large_for_a_jpeg_leaves_the_identifier(tmp_path, pair):
    live = open_live_photo(pair[0])
    editor = ExifEditor(live.still.exif)
    note = editor.get("details", MAKER_NOTE)
    editor.put("details", MAKER_NOTE, 7, note + b"\1" * 70_000)
    live = replace(live, still=replace(live.still, exif=editor.to_bytes()))
    written = write(live, tmp_path / "a.jpg")
    assert any("does not fit in a JPEG" in note for note in written.notes)
    again = open_live_photo(written.path)
    assert again.kind == "apple-pair" and again.still.model == live.still.model
    assert write(live, tmp_path / "b.heic").notes == ()


def test_another_shape_is_noted(tmp_path, pair):
    live = open_live_photo(pair[0])
    image = np.zeros((100, 100, 3), np.uint8)
    assert any("another shape" in n for n in write(live, tmp_path / "a.jpg", image=image).notes)


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a", "a.mov"])
def test_stills_that_no_live_photo_has(tmp_path, pair, name):
    live = open_live_photo(pair[0])
    with pytest.raises(OutputError, match=name):
        write(live, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("there", ["a.jpg", "a.mov"])
def test_nothing_is_replaced_unasked(tmp_path, pair, there):
    live = open_live_photo(pair[0])
    (tmp_path / there).write_bytes(b"old")
    with pytest.raises(OutputError, match=f"{there}: exists already"):
        check_place(tmp_path / "a.jpg", Format.APPLE)
    with pytest.raises(OutputError, match=f"{there}: exists already"):
        write(live, tmp_path / "a.jpg")
    assert (tmp_path / there).read_bytes() == b"old"
    written = write(live, tmp_path / "a.jpg", overwrite=True)
    assert broken(check_apple(written.path, written.movie)) == []


def test_the_source_is_never_replaced(tmp_path):
    """Neither by the still nor by the clip, whatever the still is called."""
    photo, video = makers.apple_pair(tmp_path, still_suffix=".jpg", video_suffix=".mov")
    live, before = open_live_photo(photo), hashes(tmp_path)
    for name in ("IMG_0001.jpg", "IMG_0001.jpeg", "IMG_0001.heic"):
        with pytest.raises(OutputError, match="input"):
            write(live, tmp_path / name, overwrite=True)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize("identifier", ["", "x", NEW.lower(), NEW + "0", NEW.replace("-", "")])
def test_identifiers_that_are_none(tmp_path, pair, identifier):
    with pytest.raises(ConfigError, match="UUID in capitals"):
        write(open_live_photo(pair[0]), tmp_path / "a.jpg", identifier=identifier)


@pytest.mark.parametrize("time_s", [-1.0, 3.0, float("nan")])
def test_times_outside_the_clip(tmp_path, pair, time_s):
    live = open_live_photo(pair[0])
    with pytest.raises(MomentError):
        write(live, tmp_path / "a.jpg", time_s=time_s, image=restored(live))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_clips_that_are_neither_mov_nor_mp4(tmp_path):
    photo, _ = makers.apple_pair(
        tmp_path / "in", video_suffix=".mp4", container="matroska", track=False,
        video_identifier=None, identifier=None,
    )  # fmt: skip
    with pytest.raises(UnsupportedFileError, match=r"IMG_0001.mp4: only a MOV or MP4"):
        write(open_live_photo(photo), tmp_path / "a.jpg")


def test_a_clip_cut_short_is_refused(tmp_path):
    photo, video = makers.apple_pair(tmp_path / "in")
    data = makers.index_first(video.read_bytes())
    video.write_bytes(data[: -len(data) // 3])
    with pytest.raises(DamagedFileError, match="cut short"):
        write(open_live_photo(photo), tmp_path / "a.jpg", image=makers.scene())
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("at", [1, 2])
def test_a_failing_file_system_leaves_neither(tmp_path, pair, monkeypatch, at):
    calls = []

    def link(source, target, **options):
        calls.append(target)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.rename(source, target)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OutputError, match="full"):
        write(open_live_photo(pair[0]), tmp_path / "a.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert len(calls) == at


@pytest.mark.slow
def test_random_damage_to_the_clip_is_refused_or_survived(tmp_path, pair):
    whole = np.frombuffer(pair[1].read_bytes(), np.uint8)
    start = pair[1].read_bytes().index(b"moov") - 4
    live = open_live_photo(pair[0])
    place = check_place(tmp_path / "a.jpg", Format.APPLE)
    rng = np.random.default_rng(0)
    outcomes = {"written": 0, "refused": 0}
    for _ in range(rounds(200, 60)):
        damaged = whole.copy()
        damaged[rng.integers(start, len(damaged), 6)] = rng.integers(0, 256, 6)
        pair[1].write_bytes(damaged.tobytes())
        check_apple(*pair)
        try:
            plan = plan_apple(live, place, identifier=NEW, time_s=PICKED_S)
            plan.movie.to_bytes()
            outcomes["written"] += 1
        except InputError as error:
            assert "IMG_0001.MOV" in str(error) and "\n" not in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


@pytest.mark.parametrize(
    ("still", "movie"), [("a.HEIC", "a.MOV"), ("b/a.b.jpg", "b/a.b.mov"), ("A.JPEG", "A.MOV")]
)
def test_the_clips_name(still, movie):
    assert movie_path(Path(still)) == Path(movie)
