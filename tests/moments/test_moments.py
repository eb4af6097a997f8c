"""Moments: their scores, picking one, and the contact sheet."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from livemoments.errors import ConfigError, MomentError, OutputError
from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto import open_live_photo
from livemoments.moments.choice import MomentChoice, pick_time
from livemoments.moments.scores import Moment, best_moment, score_moments
from livemoments.moments.sheet import (
    BEST,
    KEY,
    SHEET_FRAMES,
    contact_sheet,
    sample_evenly,
    write_sheet,
)


def texture(height=360, width=480, seed=0):
    """Detail at every scale, as a photograph has: float32 H x W x 3 in [0, 1]."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width), np.float32)
    for octave in range(7):
        rough = rng.standard_normal((height // 2**octave + 2, width // 2**octave + 2))
        picture += 2.0 ** (0.7 * octave) * cv2.resize(rough.astype(np.float32), (width, height))
    picture = 0.5 + 0.15 * picture / picture.std()
    return np.clip(np.repeat(picture[..., None], 3, 2), 0, 1)


def motion_blur(picture, length):
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return cv2.filter2D(picture, -1, kernel)


class FakeClip:
    """Frames in memory, with the interface of livephoto.Clip."""

    path = Path("clip.mov")

    def __init__(self, images, times_s=None, broken=()):
        self.images = images
        self.times_s = times_s or tuple(index / 10 for index in range(len(images)))
        self.broken = broken
        self.decoded = []

    def frames(self, indices=None):
        for index in range(len(self.images)) if indices is None else indices:
            if index not in self.broken:
                self.decoded.append(index)
                yield SimpleNamespace(
                    image=self.images[index], time_s=self.times_s[index], index=index
                )

    def nearest_index(self, time_s, *, latest_s=0.0):
        if not self.times_s[0] <= time_s <= max(self.times_s[-1], latest_s):
            raise MomentError(f"clip.mov: no moment at {time_s:.3f} s")
        return int(np.abs(np.array(self.times_s) - time_s).argmin())


def live(images, key_time_s=0.0, **clip):
    return SimpleNamespace(
        clip=FakeClip(images, **clip),
        key_time_s=key_time_s,
        name="IMG_1.HEIC",
        still=SimpleNamespace(path=Path("IMG_1.HEIC"), colour=ColourSpace()),
    )


def sharpness(*images):
    return [moment.sharpness for moment in score_moments(live(list(images)))]


def moment(index, sharpness=1.0, *, is_key=False, like_key=True):
    return Moment(
        index=index, time_s=index / 10, sharpness=sharpness, is_key=is_key, like_key=like_key
    )


# --- sharpness ------------------------------------------------------------------------------


def test_the_sharpest_frame_is_one_and_blur_costs():
    sharp = texture()
    found = sharpness(motion_blur(sharp, 9), sharp, motion_blur(sharp, 3), motion_blur(sharp, 5))
    assert found[1] == 1.0
    assert found[1] > found[2] + 0.05 > found[3] + 0.1 > found[0] + 0.15


def test_defocus_costs_as_motion_does():
    sharp = texture()
    assert sharpness(sharp, cv2.GaussianBlur(sharp, (0, 0), 2))[1] < 0.7


@pytest.mark.parametrize("gain", [0.4, 0.7, 1.3])
def test_exposure_is_not_sharpness(gain):
    sharp = 0.6 * texture()
    assert sharpness(sharp, sharp * gain) == pytest.approx([1, 1], abs=0.03)


def test_contrast_is_not_sharpness():
    sharp = texture()
    assert sharpness(sharp, 0.25 + 0.5 * sharp) == pytest.approx([1, 1], abs=0.03)


def test_noise_is_not_sharpness():
    sharp, rng = texture(), np.random.default_rng(1)
    blurred = motion_blur(sharp, 9)
    noisy = np.clip(blurred + rng.normal(0, 0.02, sharp.shape), 0, 1).astype(np.float32)
    found = sharpness(sharp, blurred, noisy)
    assert found[2] < 0.85
    assert found[2] == pytest.approx(found[1], abs=0.15)


def test_a_pan_over_even_texture_is_not_sharpness():
    wide = texture(360, 640)
    found = sharpness(*(wide[:, shift : shift + 480] for shift in (0, 40, 80, 120)))
    assert min(found) > 0.9


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_frames_have_no_sharpness_and_do_no_harm(value):
    flat = np.full((64, 64, 3), value, np.float32)
    assert all(0 <= found <= 1 for found in sharpness(flat, flat))


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (16, 300), (300, 17), (1, 1)])
def test_any_size_can_be_judged(size):
    picture = texture(320, 320)[: size[0], : size[1]]
    found = score_moments(live([picture, picture]))
    assert all(np.isfinite(moment.sharpness) for moment in found)


# --- which frame is which -------------------------------------------------------------------


@pytest.mark.parametrize(("key_time_s", "index"), [(0.0, 0), (0.14, 1), (0.16, 2), (9.0, 4)])
def test_the_key_moment_is_the_nearest_even_past_the_end(key_time_s, index):
    found = score_moments(live([texture(64, 64)] * 5, key_time_s))
    assert [moment.index for moment in found if moment.is_key] == [index]


def test_times_are_the_clips_own():
    times_s = (0.2, 0.21, 0.5)
    found = score_moments(live([texture(64, 64)] * 3, times_s=times_s))
    assert tuple(moment.time_s for moment in found) == times_s


def test_a_frame_that_cannot_be_decoded_is_left_out():
    found = score_moments(live([texture(64, 64)] * 4, key_time_s=0.2, broken=(2,)))
    assert [moment.index for moment in found] == [0, 1, 3]
    assert sum(moment.is_key for moment in found) == 1


def test_another_place_and_another_light_are_told():
    here, elsewhere = texture(seed=1), texture(seed=2)
    shaken = np.roll(here, (6, -20), (0, 1))
    found = score_moments(live([here, shaken, elsewhere, here * 0.3]))
    assert [moment.like_key for moment in found] == [True, True, False, False]


def test_progress_counts_frames_and_can_cancel():
    steps = []
    score_moments(live([texture(64, 64)] * 3), lambda *step: steps.append(step))
    assert steps == [("looking at frames", done, 3) for done in (1, 2, 3)]

    def cancel(*step):
        raise KeyboardInterrupt

    photo = live([texture(64, 64)] * 3)
    with pytest.raises(KeyboardInterrupt):
        score_moments(photo, cancel)
    assert photo.clip.decoded == [0]


# --- the best moment ------------------------------------------------------------------------


def test_the_best_is_the_sharpest_away_from_the_key_photo():
    found = [moment(0, 0.7), moment(3, 1.0), moment(5, 0.95, is_key=True), moment(9, 0.8)]
    assert best_moment(found, 0.5).index == 9
    assert best_moment(found, 0.5, min_gap_s=0.1).index == 3


def test_the_best_shows_the_key_photos_place_where_any_does():
    found = [moment(0, 0.5), moment(4, 1.0, like_key=False), moment(9, 0.9, is_key=True)]
    assert best_moment(found, 0.9).index == 0
    assert best_moment(found[1:], 0.9).index == 4


def test_a_short_clip_gives_its_far_end():
    found = [moment(0, 1.0, is_key=True), moment(1, 0.9), moment(2, 0.5)]
    assert best_moment(found, 0.0).index == 2


def test_a_single_frame_is_its_own_best():
    assert best_moment([moment(0, is_key=True)], 0.0).index == 0


def test_nothing_to_choose_from():
    with pytest.raises(MomentError, match="no moments to choose from"):
        best_moment([], 0.0)


# --- picking --------------------------------------------------------------------------------


def test_picking_by_time_frame_and_sharpness():
    photo = live([motion_blur(texture(), 9)] * 3 + [texture()] + [motion_blur(texture(), 9)] * 2)
    assert pick_time(photo, MomentChoice(at_s=0.27)) == 0.3
    assert pick_time(photo, MomentChoice(frame=4)) == 0.4
    assert photo.clip.decoded == [], "neither needs the clip decoded"
    assert pick_time(photo, MomentChoice(best=True)) == 0.3


def test_a_key_time_past_the_clip_may_be_asked_for():
    photo = live([texture(64, 64)] * 3, key_time_s=0.9)
    assert pick_time(photo, MomentChoice(at_s=0.9)) == 0.2


@pytest.mark.parametrize("frame", [-1, 3, 99])
def test_no_such_frame(frame):
    with pytest.raises(MomentError, match=f"IMG_1.HEIC: no frame {frame}; .* frames 0 to 2"):
        pick_time(live([texture(64, 64)] * 3), MomentChoice(frame=frame))


@pytest.mark.parametrize(
    "choice", [{}, {"at_s": 0.0, "best": True}, {"at_s": 1, "frame": 0}, {"frame": 0, "best": True}]
)
def test_exactly_one_way_of_picking(choice):
    with pytest.raises(ConfigError, match="pick one moment"):
        MomentChoice(**choice)


# --- the sheet ------------------------------------------------------------------------------


def has_colour(sheet, colour):
    return bool(
        (sheet == np.array(colour, np.uint8)).all(axis=2).sum() > 400
    )  # more than the legend


@pytest.mark.parametrize("size", [(90, 120), (120, 90), (16, 64), (64, 4)])
def test_a_sheet_of_any_shape_marks_key_and_best(size):
    photo = live([texture(*size)] * 9, key_time_s=0.1)
    sheet = contact_sheet(photo, score_moments(photo))
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert has_colour(sheet, KEY) and has_colour(sheet, BEST)


def test_a_sheet_of_one_frame():
    photo = live([texture(90, 120)])
    sheet = contact_sheet(photo, score_moments(photo))
    assert has_colour(sheet, KEY) and not has_colour(sheet, BEST)


def test_a_thumbnail_shows_its_frame():
    colours = [(0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)]
    photo = live([np.full((72, 96, 3), colour, np.float32) for colour in colours])
    sheet = contact_sheet(photo, score_moments(photo))
    for colour in colours:
        assert has_colour(sheet, [round(value * 255) for value in colour])


def test_a_long_clip_is_thinned_but_keeps_key_and_best():
    photo = live([texture(48, 64)] * 150, key_time_s=7.3)
    found = score_moments(photo)
    photo.clip.decoded.clear()
    contact_sheet(photo, found)
    assert len(photo.clip.decoded) <= SHEET_FRAMES
    assert photo.clip.decoded == sorted(photo.clip.decoded)
    assert {0, 73, 149, best_moment(found, 7.3).index} <= set(photo.clip.decoded)


@pytest.mark.parametrize("count", [1, 2, 47, 48, 49, 200])
def test_an_even_sample_has_order_ends_and_what_it_must(count):
    found = [moment(index) for index in range(count)]
    must = [found[count // 3], found[count // 2]]
    shown = [one.index for one in sample_evenly(found, 48, keep=must)]
    assert shown == sorted(set(shown)) and len(shown) <= 48
    assert {0, count - 1, count // 3, count // 2} <= set(shown)


@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_a_written_sheet_has_the_stills_profile_and_no_exif(tmp_path, suffix):
    path = write_sheet(np.zeros((20, 30, 3), np.uint8), tmp_path / f"a{suffix}", icc=b"profile")
    with Image.open(path) as picture:
        assert picture.size == (30, 20)
        assert picture.info["icc_profile"] == b"profile"
        assert not picture.getexif()


def test_a_sheet_of_another_kind_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"sheet.gif: a contact sheet is a .png or .jpg file"):
        write_sheet(np.zeros((2, 2, 3), np.uint8), tmp_path / "sheet.gif", icc=None)
    assert not list(tmp_path.iterdir())


# --- real phones ----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.slow
def test_a_pan_away_is_distinguished_from_the_key_photos_place(samples):
    photo = open_live_photo(samples / "samsung-s22-room" / "motionphoto.heic")
    found = score_moments(photo)
    assert not any(one.like_key for one in found if one.time_s < 1.5)
    assert all(one.like_key for one in found if one.time_s > 1.75)
    best = best_moment(found, photo.key_time_s)
    assert best.like_key and photo.key_time_s - best.time_s >= 0.3


@pytest.mark.real
@pytest.mark.slow
def test_a_blurred_last_frame_is_noticed(samples):
    photo = open_live_photo(samples / "iphone15pro-acorn" / "IMG_4580.HEIC")
    found = score_moments(photo)
    assert found[-1].sharpness < 0.8 < np.median([one.sharpness for one in found])
