"""What a phone's video does to a picture, repeatable and no stronger than asked."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pictures import as_bytes, psnr, scene

from livemoments.training.degrade import (
    Degradation,
    compress_h264,
    compress_jpeg,
    degrade,
    draw_degradation,
    motion_kernel,
)

MILD = Degradation(
    scale=2.0, blur_px=0.3, motion_px=0.0, motion_angle=0.0, noise=0.0, denoise=0.0, sharpen=0.0,
    codec="none", quality=90, seed=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return scene(160, 200)


def quality(truth: np.ndarray, how: Degradation) -> float:
    """PSNR of the degraded picture, enlarged."""
    small = degrade(truth, how)
    return psnr(cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC), truth, 8)


def test_the_same_draw_gives_the_same_bytes(truth):
    for codec in ("none", "jpeg", "h264"):
        how = replace(
            MILD, noise=0.02, codec=codec, quality=30, denoise=0.05, sharpen=0.5, motion_px=3.0
        )
        np.testing.assert_array_equal(degrade(truth, how), degrade(truth, how))


@pytest.mark.parametrize("scale", [1.5, 2.0, 2.37, 3.3, 4.2])
@pytest.mark.parametrize("size", [(160, 200), (97, 131), (40, 40)])
def test_sizes_are_even_and_values_in_range(scale, size):
    small = degrade(
        scene(*size), replace(MILD, scale=scale, noise=0.02, sharpen=0.9, codec="h264", quality=25)
    )
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
        ("quality", (15, 24, 30, 38), {"codec": "h264"}),
    ],
)
def test_more_is_worse(truth, name, values, rest):
    found = [quality(truth, replace(MILD, **rest, **{name: value})) for value in values]
    assert all(a > b for a, b in zip(found, found[1:], strict=False)), found


def test_denoising_takes_noise_away_and_sharpening_adds_contrast():
    flat = np.full((80, 80, 3), 0.5, np.float32)
    noisy, denoised = (
        degrade(flat, replace(MILD, noise=0.02, denoise=strength)).std() for strength in (0.0, 0.08)
    )
    assert 0.01 < noisy and denoised < 0.7 * noisy
    picture = scene(160, 160)
    assert degrade(picture, replace(MILD, sharpen=0.8)).std() > degrade(picture, MILD).std()


def test_the_key_frame_is_spared_the_motion_blur_alone(truth):
    how = replace(MILD, motion_px=8.0)
    np.testing.assert_array_equal(
        degrade(truth, how, moving=False), degrade(truth, MILD, moving=False)
    )
    assert np.abs(degrade(truth, how) - degrade(truth, MILD)).mean() > 0.01


def test_noise_differs_between_frame_and_key_frame(truth):
    how = replace(MILD, noise=0.03)
    assert (degrade(truth, how) != degrade(truth, how, moving=False)).any()
    assert (degrade(truth, how) != degrade(truth, replace(how, seed=2))).any()


def test_the_degraded_picture_stays_in_place(truth):
    """Neither down-scaling nor codec shifts it: as exact as alignment must be."""
    for codec in ("jpeg", "h264"):
        small = degrade(truth, replace(MILD, codec=codec, quality=88 if codec == "jpeg" else 18))
        back = cv2.resize(small, truth.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        grey_pictures = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (truth, back))
        shift, _ = cv2.phaseCorrelate(*grey_pictures)
        assert np.hypot(*shift) < 0.15


@pytest.mark.parametrize("angle", [0.0, 0.7, np.pi / 2])
def test_motion_kernel_is_a_centred_line(angle):
    kernel = motion_kernel(9, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() >= 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=0.02)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
    along = (kernel * (x * np.cos(angle) + y * np.sin(angle)) ** 2).sum()
    across = (kernel * (x * np.sin(angle) - y * np.cos(angle)) ** 2).sum()
    assert along > 8 * across


def test_codecs_keep_size_and_colour(truth):
    small = as_bytes(truth)[:64, :96]
    for through in (compress_jpeg(small, 90), compress_h264(small, 20, np.random.default_rng(0))):
        assert through.shape == small.shape and through.dtype == np.uint8
        np.testing.assert_allclose(through.mean((0, 1)), small.mean((0, 1)), atol=3)
        assert psnr(through / 255, small / 255) > 20  # saturated discs; chroma is halved


def test_draws_repeat_and_stay_in_their_ranges():
    draws = [draw_degradation(np.random.default_rng(i)) for i in range(300)]
    assert draws[7] == draw_degradation(np.random.default_rng(7))
    assert {d.codec for d in draws} == {"jpeg", "h264", "none"}
    for d in draws:
        assert (
            1.5 <= d.scale <= 4.2 and 0 <= d.noise <= 6 / 255 and 0 <= d.motion_px <= 3.2 * d.scale
        )
        assert 20 <= d.quality <= 90 and (d.codec == "jpeg" or d.quality <= 34)
        assert 0.12 * d.scale <= d.blur_px <= 0.55 * d.scale
