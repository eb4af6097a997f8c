"""PSNR and SSIM of luma: known values, and the window taken by hand."""

import subprocess
import sys

import numpy as np
import pytest
from support.pictures import as_bytes, noise_picture, scene, spoil

from livemoments.errors import InputError
from livemoments.imaging.fidelity import luma, psnr_y, scores, ssim_y


def test_scores_of_known_differences():
    rng = np.random.default_rng(0)
    truth = rng.random((64, 80, 3)).astype(np.float32)
    same = scores(truth, truth)
    assert same.psnr_y == 100 and same.ssim_y == 1
    # A grey step of 10 / 255 is one of 10 * 219 / 255 in luma.
    shifted = np.full((32, 32, 3), 110, np.uint8)
    assert scores(shifted, np.full((32, 32, 3), 100, np.uint8)).psnr_y == pytest.approx(
        20 * np.log10(255 / (10 * 219 / 255)), abs=0.01
    )
    bytes_ = np.rint(truth * 255).astype(np.uint8)
    assert scores(bytes_, truth).psnr_y > 55
    noisy = np.clip(truth + 0.1 * rng.standard_normal(truth.shape), 0, 1)
    noisier = np.clip(truth + 0.2 * rng.standard_normal(truth.shape), 0, 1)
    assert scores(noisier, truth).ssim_y < scores(noisy, truth).ssim_y < 1


def test_luma_runs_from_16_to_235():
    ends = luma(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)) * 255
    np.testing.assert_allclose(ends, [[16, 235]], atol=0.01)
    red_green_blue = luma(np.eye(3)[None]) * 255 - 16
    np.testing.assert_allclose(red_green_blue, [[65.481, 128.553, 24.966]], atol=1e-9)


def test_the_two_pictures_may_change_places():
    truth = scene(48, 56)
    frame = spoil(truth)
    assert psnr_y(frame, truth) == pytest.approx(psnr_y(truth, frame))
    assert ssim_y(frame, truth) == pytest.approx(ssim_y(truth, frame))


def test_both_fall_with_noise_and_ssim_with_blur():
    truth = scene(96, 128)
    noisy = [spoil(truth, blur_px=0, noise=noise) for noise in (0.01, 0.03, 0.1)]
    for measure in (psnr_y, ssim_y):
        found = [measure(picture, truth) for picture in noisy]
        assert found[0] > found[1] > found[2]
    blurred = [ssim_y(spoil(truth, blur_px=px, noise=0), truth) for px in (0.5, 1, 2)]
    assert blurred[0] > blurred[1] > blurred[2]


def test_the_window_is_gaussian_and_whole():
    """A picture of 11 x 11 has one window: its weighted moments, summed here one by one."""
    one, other = noise_picture(11, 11), noise_picture(11, 11, seed=1)
    across = np.exp(-np.square(np.arange(-5, 6)) / (2 * 1.5**2))
    weights = np.outer(across, across) / np.outer(across, across).sum()
    x, y = luma(one), luma(other)
    mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
    var_x, var_y = (weights * (x - mean_x) ** 2).sum(), (weights * (y - mean_y) ** 2).sum()
    together = (weights * (x - mean_x) * (y - mean_y)).sum()
    expected = (2 * mean_x * mean_y + 1e-4) * (2 * together + 9e-4)
    expected /= (mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4)
    assert ssim_y(one, other) == pytest.approx(expected, abs=1e-9)


def test_bytes_and_floats_score_alike():
    truth = as_bytes(scene(40, 40))
    frame = as_bytes(spoil(truth / np.float32(255)))
    floats = frame / np.float32(255), truth / np.float32(255)
    assert psnr_y(frame, truth) == pytest.approx(psnr_y(*floats), abs=1e-3)
    assert ssim_y(frame, truth) == pytest.approx(ssim_y(*floats), abs=1e-6)


def test_pictures_of_two_sizes_are_refused():
    for measure in (psnr_y, ssim_y, scores):
        with pytest.raises(InputError, match="the picture is 20 x 30 pixels and the truth 20 x 31"):
            measure(noise_picture(30, 20), noise_picture(31, 20))


def test_a_picture_smaller_than_the_window_is_refused():
    with pytest.raises(InputError, match="at least 11 pixels, got 40 x 10"):
        ssim_y(noise_picture(10, 40), noise_picture(10, 40))


def test_it_needs_no_torch():
    probe = "import sys; sys.modules['torch'] = None; import livemoments.imaging.fidelity"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
