"""A clip's faces polished from file to file, with stand-ins for dlib and for the model."""

import numpy as np
import pytest
from support import makers, movies
from support.faces_stage import (
    HEIGHT,
    MINE,
    OTHER,
    WIDTH,
    background,
    frames,
    hashes,
    make_pair,
    photograph,
    put_stand_ins,
    with_face,
)

from livemoments.errors import (
    ConfigError,
    InputError,
    MissingExtraError,
    OutputError,
    PairingError,
    WeightsError,
)
from livemoments.faces.settings import PolishConfig
from livemoments.jobs.polish import ClipFacesConfig, polish_clip
from livemoments.jobs.polish import background as restoring_background
from livemoments.jobs.polish import polish as polishing
from livemoments.livephoto import ColourSpace, open_live_photo
from livemoments.livephoto.checking.check import check_file
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.video import open_clip


def pictures(path):
    clip = open_clip(Source.whole(path), ColourSpace())
    return np.array([frame.image for frame in clip.frames()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A pair that was polished with all defaults: the still, what was done, and old hashes."""
    folder = tmp_path_factory.mktemp("plain")
    photo = make_pair(folder / "in")
    before = hashes(photo.parent)
    with pytest.MonkeyPatch.context() as monkeypatch:
        put_stand_ins(monkeypatch)
        return photo, polish_clip(photo, folder / "out.mov"), before


def test_the_face_changes_and_nothing_else(plain):
    pair, done, before = plain
    out = done.path
    assert hashes(pair.parent) == before
    (person,) = done.people
    assert person.reference == "IMG_1.JPG" and person.frames_restored == len(makers.TIMES_S)
    assert person.distance < 0.2 and person.why is None and person.height_px == pytest.approx(64, 3)
    assert done.notes == () and (done.width, done.height) == (WIDTH, HEIGHT)
    old, new = pictures(pair.with_suffix(".MOV")), pictures(out)
    away = (new - old) ** 2
    assert away[:, 80:110, 105:140].mean() > 20 * np.delete(away, np.r_[40:150], axis=1).mean()
    assert -10 * np.log10(np.delete(away, np.r_[30:160], axis=1).mean()) > 42
    assert movies.streams(out)[1:] == movies.streams(pair.with_suffix(".MOV"))[1:]
    assert {each.name for each in out.parent.iterdir()} == {"in", "out.mov"}


@pytest.mark.parametrize("preview", [None, "side.mp4"])
def test_a_whole_live_photo_comes_back(tmp_path, pair, preview):
    folder = tmp_path / "out"
    folder.mkdir()
    side = folder / preview if preview else None
    done = polish_clip(pair, folder / "IMG_2.jpg", preview=side)
    assert done.movie == folder / "IMG_2.mov"
    if side:
        assert side.exists()
        side.unlink()
    live, source = open_live_photo(folder / "IMG_2.jpg"), open_live_photo(pair)
    assert check_file(folder / "IMG_2.jpg").passed
    assert live.kind == "apple-pair" and live.key_time_s == pytest.approx(source.key_time_s, 1e-3)
    assert np.array_equal(live.still.pixels(), source.still.pixels()), "the photo as it was"
    assert live.clip.times_s == source.clip.times_s
    assert live.identifiers != source.identifiers, "a Live Photo of its own"


def test_a_motion_photo_comes_back(tmp_path):
    clip = makers.encode_clip(frames(), container="mp4", sound=True)
    photo = makers.google_jpeg(tmp_path / "a.MP.jpg", clip=clip)
    data, at = photo.read_bytes(), photo.read_bytes().index(clip)
    still = photograph(tmp_path / "still.jpg")
    makers.save_still(
        photo, makers.enlarged(with_face()), xmp=makers.google_xmp(length=len(clip)),
        exif=makers.make_exif(make="Google", model="Pixel 99"),
    )  # fmt: skip
    photo.write_bytes(photo.read_bytes() + data[at:])
    still.unlink()
    done = polish_clip(photo, tmp_path / "b.MP.jpg")
    assert done.movie is None and done.people[0].frames_restored
    live, source = open_live_photo(tmp_path / "b.MP.jpg"), open_live_photo(photo)
    assert live.kind == source.kind == "google-motion-photo"
    assert check_file(tmp_path / "b.MP.jpg").passed
    assert np.array_equal(live.still.pixels(), source.still.pixels())
    assert live.clip.times_s == source.clip.times_s
    done = polish_clip(photo, tmp_path / "c.mp4")
    assert open_clip(Source.whole(done.path), ColourSpace()).times_s == source.clip.times_s


def test_a_clip_alone_with_photographs(tmp_path, pair):
    video = pair.with_suffix(".MOV").rename(tmp_path / "alone.mov")
    with pytest.raises(PairingError, match="or give photographs of the people as references"):
        polish_clip(video, tmp_path / "out.mov")
    mine = photograph(tmp_path / "mine.png", MINE + 10)
    other = photograph(tmp_path / "other.png", OTHER)
    done = polish_clip(video, tmp_path / "out.mov", references=[other, mine])
    assert [each.reference for each in done.people] == ["mine.png"]
    with pytest.raises(OutputError, match="is a clip alone and has no still"):
        polish_clip(video, tmp_path / "out.jpg", references=[mine])
    with pytest.raises(InputError, match="this clip has no key photo"):
        config = ClipFacesConfig(rest="model")
        polish_clip(video, tmp_path / "b.mov", references=[mine], config=config)


def test_strangers_are_left_alone_and_nothing_is_written(tmp_path, pair):
    photograph(pair.with_suffix(".png"), OTHER)
    data = pair.with_suffix(".png")
    before = hashes(tmp_path / "in")
    with pytest.raises(InputError) as raised:
        polish_clip(data, tmp_path / "out.mov", video=pair.with_suffix(".MOV"))
    message = str(raised.value)
    assert "no face of the clip is restored, so nothing was written" in message
    assert "person 1: a stranger: 0.8" in message and "as references" in message
    assert hashes(tmp_path / "in") == before and not (tmp_path / "out.mov").exists()


def test_no_face_in_the_clip(tmp_path):
    photo, _ = makers.apple_pair(tmp_path / "in", identifier=None, video_identifier=None)
    video = tmp_path / "plain.mov"
    video.write_bytes(makers.encode_clip([background()] * len(makers.TIMES_S)))
    still = photograph(tmp_path / "mine.png")
    with pytest.raises(InputError, match="no face was found in the clip; nothing was written"):
        polish_clip(still, tmp_path / "out.mov", video=video)


def test_a_key_photo_without_a_face(tmp_path, pair):
    makers.save_still(pair, background(), exif=makers.make_exif(makers.IDENTIFIER))
    with pytest.raises(InputError, match="IMG_1.JPG: no face of"):
        polish_clip(pair, tmp_path / "out.mov")
    mine = photograph(tmp_path / "mine.png")
    done = polish_clip(pair, tmp_path / "out.mov", references=[mine])
    assert done.people[0].reference == "mine.png"
    assert done.notes[0].startswith("the key photo is not used: IMG_1.JPG: no face of")
    makers.save_still(mine, background())
    with pytest.raises(InputError, match="mine.png: no face of"):
        polish_clip(pair, tmp_path / "b.mov", references=[mine])


@pytest.mark.slow
def test_enlarged(tmp_path, pair, plain):
    side = tmp_path / "side.mp4"
    done = polish_clip(
        pair, tmp_path / "out.mov", preview=side, config=ClipFacesConfig(scale=2, crf=20)
    )
    assert (done.width, done.height) == (2 * WIDTH, 2 * HEIGHT)
    new = pictures(tmp_path / "out.mov")
    assert new.shape[1:3] == (2 * HEIGHT, 2 * WIDTH)
    once = plain[1]
    assert once.people == done.people, "faces are found in the clip's own pixels"
    small = pictures(once.path)
    assert np.abs(new[:, ::2, ::2] - small)[:, 70:120, 100:140].mean() < 0.03


def test_the_preview_shows_both_and_the_face_below(tmp_path, pair):
    import av

    side = tmp_path / "side.mp4"
    done = polish_clip(pair, tmp_path / "out.mov", preview=side)
    assert done.preview == side
    with av.open(str(side)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(shown) == len(makers.TIMES_S)
    assert shown[0].shape == (HEIGHT + 2 + WIDTH, 2 * WIDTH + 2, 3)
    left, right = shown[5][:HEIGHT, :WIDTH], shown[5][:HEIGHT, WIDTH + 2 :]
    away = np.abs(left.astype(int) - right)
    assert away[80:110, 105:140].mean() > 4 * away[160:].mean()
    face = shown[5][HEIGHT + 2 :, :WIDTH]
    assert face[120:150, 110:140, 0].mean() > 180, "the square fills it"
    with av.open(str(side)) as container:
        stream = container.streams.video[0]
        seen = [float(p.pts * stream.time_base) for p in container.demux() if p.size]
    assert np.allclose(sorted(seen), makers.TIMES_S, atol=0.002)


def test_the_rest_by_the_main_model(tmp_path, pair, plain, monkeypatch):
    """Around the faces what the main model made, in them what the face model did."""

    class Restored:
        def __init__(self, frame):
            self.image = np.clip(frame + np.float32([0, 0.2, 0]), 0, 1)

    asked = []

    def restore_frame(frame, key_photo, *, config, model):
        asked.append((frame.shape, key_photo.shape))
        return Restored(frame)

    monkeypatch.setattr(restoring_background, "restore_frame", restore_frame)
    monkeypatch.setattr(restoring_background, "load_model", lambda config: None)
    reports = {}
    polish_clip(
        pair, tmp_path / "model.mov", config=ClipFacesConfig(rest="model"),
        progress=lambda stage, done, total: reports.update({stage: (done, total)}),
    )  # fmt: skip
    count = len(makers.TIMES_S)
    assert asked == [((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 3))] * count
    assert reports["restoring the rest, about 1 min"] == (count, count)
    keep, model = pictures(plain[1].path), pictures(tmp_path / "model.mov")
    gain = np.median((model - keep)[..., 1], axis=0)
    assert gain[160:].mean() > 0.12, "the rest is the main model's"
    assert abs(gain[85:105, 115:130].mean()) < 0.03, "the face is not"


def test_places_that_are_refused(tmp_path, pair):
    taken = tmp_path / "taken.mov"
    taken.write_bytes(b"mine")
    video = pair.with_suffix(".MOV")
    before = hashes(tmp_path / "in")
    for output, preview, message in (
        (taken, None, "exists already"),
        (video, None, "this is an input"),
        (pair, None, "this is an input"),
        (tmp_path / "out.avi", None, "end it in .mov or .mp4 for the clip, in .jpg or .heic"),
        (tmp_path / "in", None, "this is a folder"),
        (tmp_path / "no" / "out.mov", None, "does not exist"),
        (tmp_path / "out.mov", tmp_path / "out.mov", "the result goes there"),
        (tmp_path / "out.mov", tmp_path / "a.gif", "a preview is a video"),
        (tmp_path / "out.mov", video, "this is an input"),
        (tmp_path / "out.mov", taken, "exists already"),
    ):
        with pytest.raises(OutputError, match=message):
            polish_clip(pair, output, preview=preview)
        if message != "exists already":
            with pytest.raises(OutputError, match=message):
                polish_clip(pair, output, preview=preview, overwrite=True)
    assert hashes(tmp_path / "in") == before and taken.read_bytes() == b"mine"
    photo = photograph(tmp_path / "mine.png")
    with pytest.raises(OutputError, match="this is an input"):
        polish_clip(pair, tmp_path / "out.mov", preview=photo, references=[photo], overwrite=True)
    polish_clip(pair, taken, overwrite=True)
    assert taken.read_bytes() != b"mine"


@pytest.mark.parametrize("stage", ["finding faces", "restoring faces", "writing"])
def test_cancelled_anywhere_nothing_is_left(tmp_path, pair, stage, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))

    def stop(now, done, total):
        if now == stage and done >= 2:
            raise KeyboardInterrupt

    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        polish_clip(pair, folder / "a.mov", preview=folder / "a.mp4", progress=stop)
    assert list(folder.iterdir()) == [] and list(scratch.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path, pair, monkeypatch):
    from livemoments.livephoto.movie.edit import Movie

    def full(movie, stream):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Movie, "write", full)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match="is full"):
        polish_clip(pair, folder / "a.mov")
    assert list(folder.iterdir()) == []


def test_what_is_missing_is_reported_before_long_work(tmp_path, pair, monkeypatch):
    def missing(*arguments):
        raise WeightsError("faces: no weights")

    monkeypatch.setattr(polishing, "load_faces", missing)
    with pytest.raises(WeightsError):
        polish_clip(pair, tmp_path / "out.mov")

    def no_extra():
        raise MissingExtraError("finding faces needs dlib-bin")

    monkeypatch.setattr(polishing, "FaceModels", no_extra)
    with pytest.raises(MissingExtraError):
        polish_clip(pair, tmp_path / "out.mov")


def test_settings_out_of_range():
    for options, message in (
        ({"scale": 3}, "scale must be one of 1, 2, 4; got 3"),
        ({"rest": "blur"}, "rest must be one of keep, model; got 'blur'"),
        ({"crf": 99}, "crf must be from 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            ClipFacesConfig(**options)


def test_strength_0_changes_nothing_and_is_reported(tmp_path, pair):
    config = ClipFacesConfig(polish=PolishConfig(strength=0))
    done = polish_clip(pair, tmp_path / "out.mov", config=config)
    assert done.people[0].frames_restored == 0
    assert "left alone: nothing was changed" in done.people[0].line()
