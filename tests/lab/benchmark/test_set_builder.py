"""Sets made of clips and of Live Photos: the same from one seed, and as they should be."""

import json

import cv2
import numpy as np
import pytest
from support import makers
from support.benchmark_sets import contents, panning, write_video
from support.makers import apple_pair

from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    InputError,
    MissingFileError,
    OutputError,
)
from livemoments.lab.benchmark.manifest import MANIFEST, open_set, read_picture
from livemoments.lab.benchmark.set_builder import (
    RealConfig,
    SyntheticConfig,
    make_real,
    make_synthetic,
)
from livemoments.livephoto import open_live_photo


def config(count: int = 3, **options) -> SyntheticConfig:
    return SyntheticConfig(count=count, licence="CC0", **options)


def _luma(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(float)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "deep" / "pan one.mp4", seed=4)
    write_video(folder / "other.mp4", seed=7)
    return folder


@pytest.fixture(scope="module")
def made(videos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "set"
    make_synthetic(videos, folder, config())
    return folder


class TestSynthetic:
    def test_it_opens_and_says_where_it_comes_from(self, made):
        found = open_set(made)
        assert (found.kind, found.seed, len(found.images)) == ("synthetic", 0, 3)
        assert found.settings["preset"] == "live-photo-x2" and found.settings["clips"] == 2
        sources = [image.source for image in found.images]
        assert {*sources} == {"deep/pan one.mp4", "other.mp4"}, "clips take turns"
        assert all(image.licence == "CC0" for image in found.images)
        assert all(image.name.isascii() and " " not in image.name for image in found.images)

    def test_the_frame_is_the_truth_degraded_to_half_its_size(self, made):
        for image in open_set(made).images:
            frame, truth = (
                read_picture(made / image.name / f"{n}.png") for n in ("frame", "truth")
            )
            assert truth.shape == (128, 160, 3) and frame.shape == (64, 80, 3)
            small = cv2.resize(truth, (80, 64), interpolation=cv2.INTER_AREA)
            assert (frame != small).any()
            assert np.corrcoef(frame.ravel(), small.ravel())[0, 1] > 0.8, "in place"
            assert image.facts["degradation"]["scale"] == 2

    def test_truth_and_key_photo_are_pictures_of_the_clip_a_gap_apart(self, videos, made):
        clip = panning(seed=7)
        image = next(i for i in open_set(made).images if i.source == "other.mp4")
        at = [image.facts[f"{which}_picture"] for which in ("truth", "key")]
        assert abs(at[0] - at[1]) in (5, 10, 15)
        for which, index in zip(("truth", "key"), at, strict=True):
            found = read_picture(made / image.name / f"{which}.png")
            away = [np.abs(_luma(found) - _luma(picture)).mean() for picture in clip]
            assert np.argmin(away) == index and away[index] < 4, "as the codec has it"
        # 1.5 px a picture, as estimated.
        assert image.facts["motion_px"]["median"] == pytest.approx(
            1.5 * abs(at[0] - at[1]), abs=1.0
        )
        assert 0.35 < image.facts["seen_in_key"] <= 1

    def test_the_same_seed_gives_the_same_bytes(self, videos, made, tmp_path):
        make_synthetic(videos, tmp_path / "again", config())
        assert contents(tmp_path / "again") == contents(made)
        make_synthetic(videos, tmp_path / "other", config(seed=1))
        assert contents(tmp_path / "other") != contents(made)

    def test_more_images_begin_with_the_same(self, videos, made, tmp_path):
        make_synthetic(videos, tmp_path / "more", config(4))
        more, fewer = contents(tmp_path / "more"), contents(made)
        fewer.pop(MANIFEST)
        assert fewer.items() <= more.items()

    def test_a_crop_may_be_asked_for(self, videos, tmp_path):
        make_synthetic(videos, tmp_path / "set", config(1, size=96))
        assert open_set(tmp_path / "set").images[0].size == (96, 96)

    def test_videos_are_reduced_to_be_sharp(self, videos, tmp_path):
        found = make_synthetic(videos / "other.mp4", tmp_path / "set", config(1, side=80))
        assert found.images[0].size == (80, 100) and found.images[0].source == "other.mp4"

    @pytest.mark.parametrize("preset", ["live-photo", "seesr"])
    def test_other_presets_degrade_too(self, videos, tmp_path, preset):
        make_synthetic(videos / "other.mp4", tmp_path / "set", config(1, preset=preset))
        (image,) = open_set(tmp_path / "set").images
        assert image.files["frame"].width < 160
        json.dumps(image.facts)

    def test_where_clips_have_no_more_that_is_said(self, tmp_path):
        """Of 9 pictures, one truth in 5 can be taken."""
        write_video(tmp_path / "short.mp4", panning(9, speed_px=3))
        found = make_synthetic(tmp_path, tmp_path / "set", config(20))
        assert 1 <= len(found.images) < 4
        assert found.notes[0] == (f"20 images were asked for, the clips have {len(found.images)}")
        taken = [image.facts["truth_picture"] for image in found.images]
        assert all(abs(a - b) >= 5 for a in taken for b in taken if a is not b or a != b)

    def test_a_bad_clip_is_left_out_and_named(self, videos, tmp_path):
        (tmp_path / "clips").mkdir()
        write_video(tmp_path / "clips" / "good.mp4")
        (tmp_path / "clips" / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + b"nonsense" * 40)
        write_video(tmp_path / "clips" / "still.mp4", [panning(1)[0]] * 12)
        found = make_synthetic(tmp_path / "clips", tmp_path / "set", config(3))
        assert {image.source for image in found.images} == {"good.mp4"}
        notes = " ".join(found.notes)
        assert "bad.mp4" in notes and "still.mp4: no two pictures with motion" in notes

    def test_no_usable_clip_leaves_nothing_behind(self, tmp_path):
        write_video(tmp_path / "still.mp4", [panning(1)[0]] * 12)
        with pytest.raises(
            DamagedFileError, match="none of 1 clips gave a pair; still.mp4: no two"
        ):
            make_synthetic(tmp_path, tmp_path / "set", config())
        assert [path.name for path in tmp_path.iterdir()] == ["still.mp4"]

    def test_nothing_is_overwritten(self, videos, made):
        before = contents(made)
        with pytest.raises(OutputError, match="set: exists already"):
            make_synthetic(videos, made, config())
        assert contents(made) == before

    def test_a_folder_without_clips_is_named(self, tmp_path):
        for source in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(MissingFileError, match="no clips found"):
                make_synthetic(source, tmp_path / "set", config())

    def test_cancelling_leaves_nothing_behind(self, videos, tmp_path):
        def cancel(stage, done, total):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_synthetic(videos, tmp_path / "set", config(), cancel)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"count": 0}, "count must be 1 or more, got 0"),
            ({"interval": 0}, "interval must be 1"),
            ({"size": 66}, "size must be 0 or a multiple of 4 of at least 64, got 66"),
            ({"size": 32}, "at least 64, got 32"),
            ({"seed": -1}, "seed must be 0 or more"),
            ({"preset": "mild"}, "'mild': no such preset"),
        ],
    )
    def test_settings_out_of_range_are_refused(self, options, message):
        with pytest.raises(ConfigError, match=message):
            SyntheticConfig(**{"count": 1, "licence": "CC0", **options})

    def test_the_licence_must_be_said(self):
        with pytest.raises(ConfigError, match="say under which licence"):
            SyntheticConfig(count=1, licence=" ")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    apple_pair(folder / "one")
    makers.google_jpeg(folder / "PXL_2.jpg")
    makers.save_still(folder / "plain.jpg", makers.scene())
    return folder


class TestReal:
    def test_moments_and_key_photos_of_live_photos(self, photos, tmp_path):
        make_real(photos, tmp_path / "set", RealConfig(licence="mine"))
        found = open_set(tmp_path / "set")
        assert (found.kind, found.with_truth, len(found.images)) == ("real", [], 4)
        live = open_live_photo(photos / "PXL_2.jpg")
        images = [image for image in found.images if image.source == "PXL_2.jpg"]
        assert [image.facts["picked"] for image in images] == ["sharpest", "drawn"]
        for image in images:
            key, frame = (read_picture(tmp_path / "set" / image.name / f"{n}.png")
                          for n in ("key", "frame"))  # fmt: skip
            np.testing.assert_array_equal(key, live.still.pixels())
            expected = live.clip.frame_at(image.facts["frame"]).image
            assert np.abs(frame / 255 - expected).max() <= 0.5 / 255 + 1e-6
            assert image.facts["time_s"] == pytest.approx(live.clip.times_s[image.facts["frame"]])
            assert image.facts["key_time_s"] == pytest.approx(live.key_time_s)
            assert image.licence == "mine" and image.size == key.shape[:2]
        assert images[0].facts["frame"] != images[1].facts["frame"]
        assert all(abs(i.facts["time_s"] - live.key_time_s) > 0.2 for i in images)

    def test_the_same_seed_gives_the_same_bytes(self, photos, tmp_path):
        for name, seed in (("one", 1), ("two", 1)):
            make_real(photos, tmp_path / name, RealConfig(seed=seed))
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_one_moment_is_the_sharpest(self, photos, tmp_path):
        found = make_real(photos / "PXL_2.jpg", tmp_path / "set", RealConfig(moments=1))
        assert [image.facts["picked"] for image in found.images] == ["sharpest"]

    def test_no_more_moments_than_there_are(self, photos, tmp_path):
        found = make_real(photos / "PXL_2.jpg", tmp_path / "set", RealConfig(moments=99))
        frames = [image.facts["frame"] for image in found.images]
        assert len(frames) == len({*frames}) < 12

    def test_a_folder_without_live_photos_is_named(self, tmp_path):
        with pytest.raises(InputError, match="no Live Photo"):
            make_real(tmp_path, tmp_path / "set", RealConfig())
        assert list(tmp_path.iterdir()) == []

    def test_nothing_is_overwritten(self, photos, tmp_path):
        (tmp_path / "set").mkdir()
        with pytest.raises(OutputError, match="exists already"):
            make_real(photos, tmp_path / "set", RealConfig())

    def test_settings_out_of_range_are_refused(self):
        with pytest.raises(ConfigError, match="moments must be 1 or more"):
            RealConfig(moments=0)
