"""What a phone's video does to a picture, repeatable and no stronger than asked."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, psnr, scene

from livemoments.errors import ConfigError
from livemoments.lab.training.data.codec import compress_clip, compress_jpeg
from livemoments.lab.training.data.degrade import (
    PRESETS,
    Degradation,
    Degrader,
    draw_degradation,
    draw_live_photo,
    motion_blurred,
)

MILD = Degradation(
    scale=2.0, blur_px=0.3, motion_px=0.0, motion_angle=0.0, drift_px=1.0, noise=0.0, temporal=0.0,
    denoise=0.0, sharpen=0.0, codec="none", bits_per_pixel=0.4, quality=90, seed=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return scene(160, 200)


def quality(truth: np.ndarray, how: Degrader) -> float:
    """PSNR of the degraded picture, enlarged."""
    small = how(truth)
    return psnr(cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC), truth, 8)


def test_the_same_draw_gives_the_same_bytes(truth):
    for codec in ("none", "jpeg", "h264", "hevc"):
        how = replace(
            MILD, noise=0.02, codec=codec, denoise=0.05, sharpen=0.5, motion_px=3.0, temporal=0.5
        )
        np.testing.assert_array_equal(how(truth), how(truth))


@pytest.mark.parametrize("scale", [1.5, 2.0, 2.37, 3.3, 4.2])
@pytest.mark.parametrize("size", [(160, 200), (97, 131), (40, 40)])
def test_sizes_are_even_and_values_in_range(scale, size):
    small = replace(MILD, scale=scale, noise=0.02, sharpen=0.9, codec="h264")(scene(*size))
    assert small.dtype == np.float32 and small.flags.c_contiguous
    for side, full in zip(small.shape[:2], size, strict=True):
        assert side % 2 == 0 and side >= 16 and (side == 16 or abs(side - full / scale) <= 1)
    assert 0 <= small.min() and small.max() <= 1


@pytest.mark.parametrize(
    ("name", "values", "rest"),
    [
        ("scale", (1.5, 2.0, 3.0, 4.2), {}),
        ("blur_px", (0.3, 1.0, 2.0, 4.0), {}),
        ("motion_px", (0.0, 3.0, 6.0, 10.0), {}),
        ("noise", (0.0, 0.01, 0.03), {}),
        ("quality", (90, 60, 40, 15), {"codec": "jpeg"}),
        ("bits_per_pixel", (0.8, 0.3, 0.08), {"codec": "h264", "noise": 0.01}),
        ("bits_per_pixel", (0.8, 0.3, 0.08), {"codec": "hevc", "noise": 0.01}),
    ],
)
def test_more_is_worse(truth, name, values, rest):
    found = [quality(truth, replace(MILD, **rest, **{name: value})) for value in values]
    assert all(a > b for a, b in zip(found, found[1:], strict=False)), found


def test_denoising_takes_noise_away_and_sharpening_adds_contrast():
    flat = np.full((80, 80, 3), 0.5, np.float32)
    noisy, denoised = (
        replace(MILD, noise=0.02, denoise=strength)(flat).std() for strength in (0.0, 0.08)
    )
    assert 0.01 < noisy and denoised < 0.7 * noisy
    picture = scene(160, 160)
    assert replace(MILD, sharpen=0.8)(picture).std() > MILD(picture).std()


def test_the_key_frame_is_spared_the_motion_blur_alone(truth):
    how = replace(MILD, motion_px=8.0)
    np.testing.assert_array_equal(how(truth, moving=False), MILD(truth, moving=False))
    assert np.abs(how(truth) - MILD(truth)).mean() > 0.01


def test_noise_differs_between_frame_and_key_frame(truth):
    how = replace(MILD, noise=0.03)
    assert (how(truth) != how(truth, moving=False)).any()
    assert (how(truth) != replace(how, seed=2)(truth)).any()


def test_the_degraded_picture_stays_in_place(truth):
    """Neither down-scaling nor codec shifts it: as exact as alignment must be."""
    for codec in ("jpeg", "h264", "hevc"):
        small = replace(MILD, codec=codec, bits_per_pixel=0.8)(truth)
        back = cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        grey_pictures = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (truth, back))
        shift, _ = cv2.phaseCorrelate(*grey_pictures)
        assert np.hypot(*shift) < 0.15


def test_denoising_over_time_takes_noise_away_and_keeps_what_moves(truth):
    still = np.full((80, 80, 3), 0.5, np.float32)
    noisy, denoised = (replace(MILD, noise=0.02, temporal=w)(still).std() for w in (0.0, 0.7))
    assert denoised < 0.8 * noisy
    # The past is moved along before it is mixed in.
    moving = replace(MILD, drift_px=5.0)
    assert np.abs(replace(moving, temporal=0.6)(truth) - moving(truth)).mean() < 0.02


def test_motion_blur_follows_each_thing_s_own_motion():
    dots = np.zeros((60, 120, 3), np.float32)
    dots[30, 30] = dots[30, 90] = 1
    velocity = np.zeros((60, 120, 2), np.float32)
    velocity[:, :60, 0], velocity[:, 60:, 1] = 10, 10  # the left half to the right, the other down
    blurred = motion_blurred(dots, velocity)[..., 0]
    y, x = np.mgrid[:60, :60] - 30
    for half, along, across in ((blurred[:, :60], x, y), (blurred[:, 60:], y, x)):
        assert half.sum() == pytest.approx(1, abs=0.05)
        assert abs((half * along).sum()) < 0.2  # centred: the frame stays in place
        assert (half * along**2).sum() > 8 * (half * across**2).sum()


def test_only_the_direction_and_relative_speed_of_a_velocity_count(truth):
    how = replace(MILD, motion_px=6.0)
    velocity = np.zeros((*truth.shape[:2], 2), np.float32)
    velocity[..., 1] = 3
    np.testing.assert_allclose(how(truth, velocity), how(truth, 5 * velocity), atol=1 / 255)
    across = replace(how, motion_angle=np.pi / 2)
    np.testing.assert_allclose(how(truth, velocity), across(truth), atol=1 / 255)


def moving_clip(truth: np.ndarray, noise: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    views = [
        cv2.warpAffine(truth, np.float32([[1, 0, 1.3 * k], [0, 1, 0]]), None) for k in (2, 1, 0)
    ]
    return [as_bytes(np.clip(v + rng.normal(0, noise / 255, v.shape), 0, 1)) for v in views]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_a_clip_is_compressed_at_about_the_rate_asked_for(truth, codec, rate):
    _, reached = compress_clip(moving_clip(truth), codec, rate)
    assert rate / 1.8 < reached < 1.8 * rate


def test_codecs_keep_size_and_colour(truth):
    clip = [picture[:64, :96] for picture in moving_clip(truth, noise=0)]
    found = [compress_jpeg(clip[-1], 90)]
    found += [compress_clip(clip, codec, 0.8)[0] for codec in ("h264", "hevc")]
    for through in found:
        assert through.shape == clip[-1].shape and through.dtype == np.uint8
        np.testing.assert_allclose(through.mean((0, 1)), clip[-1].mean((0, 1)), atol=3)
        assert psnr(through / 255, clip[-1] / 255) > 20  # saturated discs; chroma is halved


def test_draws_repeat_and_stay_in_their_ranges():
    draws = [draw_live_photo(np.random.default_rng(i)) for i in range(300)]
    assert draws[7] == draw_live_photo(np.random.default_rng(7))
    assert {d.codec for d in draws} == {"jpeg", "h264", "hevc", "none"}
    for d in draws:
        assert (
            1.5 <= d.scale <= 4.2 and 0 <= d.noise <= 5 / 255 and 0 <= d.motion_px <= 3.2 * d.scale
        )
        assert 40 <= d.quality <= 90 and 0.07 <= d.bits_per_pixel <= 0.5
        assert 0.15 * d.scale <= d.blur_px <= 0.8 * d.scale


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_repeats_and_gives_an_even_picture(truth, preset):
    first, second = (draw_degradation(np.random.default_rng(3), preset) for _ in range(2))
    assert first == second
    small = first(truth)
    np.testing.assert_array_equal(small, second(truth))
    assert small.shape[0] % 2 == small.shape[1] % 2 == 0 and small.dtype == np.float32
    assert 0 <= small.min() and small.max() <= 1
    if preset != "live-photo":
        assert small.shape == (80, 100, 3)


@pytest.mark.slow
def test_the_presets_are_as_strong_as_their_papers_say(truth):
    """LiveMoments, E.3: Live Photos are degraded less than StableSR's pictures."""
    order = ("live-photo-x2", "stablesr-moderate", "stablesr", "seesr")
    means = [
        np.mean([quality(truth, draw_degradation(np.random.default_rng(i), p)) for i in range(20)])
        for p in order
    ]
    assert all(a > b + 0.3 for a, b in zip(means[1:], means[2:], strict=False)), means
    assert means[0] > means[2] + 0.3, means  # ours is milder than StableSR's


def test_an_unknown_preset_names_those_that_exist():
    with pytest.raises(ConfigError, match="'phone'.*live-photo, "):
        draw_degradation(np.random.default_rng(0), "phone")
