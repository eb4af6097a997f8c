"""The wavelet colour match: the official numbers and its laws."""

import numpy as np
import pytest
from support import DATA
from support.pictures import noise_picture, scene, smooth_picture

from livemoments.restoration.look import match_look, smooth_levels


def test_agrees_with_the_official_release():
    """One channel is stored; the match is linear in each, which gives the other two."""
    with np.load(DATA / "official_look_and_patches.npz") as official:
        content, style, result = (official[name] for name in ("content", "style", "result"))
    content, style, result = (np.stack([x, 1 - x, x / 2], -1) for x in (content, style, result))
    np.testing.assert_allclose(match_look(content, style), result, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (65, 130), (3, 200), (1, 1)])
def test_matching_a_picture_to_itself_changes_nothing(size):
    picture = noise_picture(*size)
    np.testing.assert_allclose(match_look(picture, picture), picture, atol=1e-6)


def test_the_style_gives_the_colour_and_the_content_the_detail():
    content, style = scene(192, 256), smooth_picture(192, 256, seed=3)
    matched = match_look(content, style)
    own_detail = content - smooth_levels(content)
    np.testing.assert_allclose(matched, own_detail + smooth_levels(style), atol=1e-5)
    gap_before = np.abs(smooth_levels(content) - smooth_levels(style)).mean()
    assert np.abs(smooth_levels(matched) - smooth_levels(style)).mean() < gap_before / 2


def test_a_constant_difference_of_level_is_taken_over_exactly():
    content = scene(96, 80)
    matched = match_look(content, content + np.float32([0.1, -0.2, 0.3]))
    np.testing.assert_allclose(matched, content + np.float32([0.1, -0.2, 0.3]), atol=1e-5)


def test_smoothing_keeps_constants_and_means_and_takes_fine_detail_away():
    flat = np.full((40, 50, 3), 0.3, np.float32)
    np.testing.assert_allclose(smooth_levels(flat), 0.3, atol=1e-6)
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2] = 1
    np.testing.assert_allclose(smooth_levels(stripes)[:, 32], 0.5, atol=0.01)


def test_more_levels_are_smoother():
    picture = noise_picture(128, 128)
    spread = [smooth_levels(picture, levels).std() for levels in range(6)]
    assert all(a > b for a, b in zip(spread, spread[1:], strict=False))
    np.testing.assert_array_equal(smooth_levels(picture, 0), picture)


def test_inputs_are_left_alone():
    content, style = noise_picture(32, 32), noise_picture(32, 32, seed=1)
    before = content.copy(), style.copy()
    match_look(content, style)
    np.testing.assert_array_equal(content, before[0])
    np.testing.assert_array_equal(style, before[1])
