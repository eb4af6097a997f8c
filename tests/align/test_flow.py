"""Flows: direction, warp, composition, resizing, confidence; and the estimators behind them."""

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, scene, smooth_picture

from livemoments.align.dense import COARSE_SMOOTHNESS, estimate_flow, shrink
from livemoments.align.estimators import DisFlow, equalised
from livemoments.align.flow import (
    compose,
    confidence,
    deformation,
    fill,
    forward_backward_error,
    inside,
    invert,
    photometric_agreement,
    pixel_grid,
    resize_flow,
    sample,
    warp,
)
from livemoments.imaging.pixels import grey


def constant(height: int, width: int, x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.float32([x, y]), (height, width, 2)).copy()


def wavy(height: int, width: int, amplitude_px: float) -> np.ndarray:
    x, y = np.moveaxis(pixel_grid(height, width), -1, 0)
    return amplitude_px * np.stack([np.sin(y / 17), np.cos(x / 23)], -1)


def test_pixel_grid_is_x_then_y():
    grid = pixel_grid(3, 5)
    assert grid.dtype == np.float32 and tuple(grid[2, 4]) == (4, 2)


def test_warp_reads_at_p_plus_flow():
    picture = scene(60, 80)
    brought = warp(picture, constant(60, 80, 7, -4))
    np.testing.assert_allclose(brought[4:, :-7], picture[:-4, 7:], atol=1e-6)


def test_warp_repeats_the_edge():
    picture = scene(20, 30)
    np.testing.assert_allclose(
        warp(picture, constant(20, 30, 1000, 0)), np.repeat(picture[:, -1:], 30, 1)
    )


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 1), (40, 50, 2), (40, 50, 3)])
def test_warping_by_nothing_changes_nothing(shape):
    picture = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(
        warp(picture, constant(40, 50, 0, 0)).reshape(shape), picture, atol=1e-6
    )


def test_a_flow_may_live_on_another_grid_than_the_image_it_points_into():
    assert sample(scene(30, 40), pixel_grid(7, 9)).shape == (7, 9, 3)
    np.testing.assert_allclose(
        sample(scene(30, 40), pixel_grid(7, 9)), scene(30, 40)[:7, :9], atol=1e-6
    )


def test_composing_two_warps_is_warping_twice():
    picture = smooth_picture(120, 160)
    a_to_b, b_to_c = wavy(120, 160, 4), wavy(120, 160, -3) + constant(120, 160, 2, 1)
    once, twice = warp(picture, compose(a_to_b, b_to_c)), warp(warp(picture, b_to_c), a_to_b)
    np.testing.assert_allclose(once[12:-12, 12:-12], twice[12:-12, 12:-12], atol=0.02)


def test_composition_takes_the_second_flow_where_the_first_leads():
    """The order counts: the second flow is not constant."""
    a_to_b, b_to_c = constant(40, 60, 10, 0), np.zeros((40, 60, 2), np.float32)
    b_to_c[..., 1] = np.arange(60)
    total = compose(a_to_b, b_to_c)
    np.testing.assert_allclose(
        total[:, :49, 1], np.broadcast_to(np.arange(10, 59), (40, 49)), atol=1e-4
    )
    np.testing.assert_allclose(total[..., 0], 10)


def test_there_and_back_is_nowhere():
    there, back = constant(50, 60, 6, -3), constant(50, 60, -6, 3)
    np.testing.assert_allclose(forward_backward_error(there, back), 0, atol=1e-5)
    np.testing.assert_allclose(forward_backward_error(there, there), 2 * np.hypot(6, 3), atol=1e-4)


@pytest.mark.parametrize("amplitude_px", [0.5, 3.0, 8.0])
def test_a_smooth_flow_and_its_inverse_cancel(amplitude_px):
    flow = wavy(120, 160, amplitude_px)
    back = invert(flow)
    assert back.dtype == np.float32 and back.shape == flow.shape
    for there_and_back in (compose(flow, back), compose(back, flow)):
        # Near the edges the way leads out of the picture, where the flow is only repeated.
        assert np.abs(there_and_back[20:-20, 20:-20]).max() < 0.06


def test_the_inverse_of_a_shift_is_the_shift_back():
    np.testing.assert_array_equal(invert(constant(20, 30, 7, -4)), constant(20, 30, -7, 4))


def test_the_inverse_is_the_flow_of_the_other_view():
    """A picture warped by a flow is brought back by its inverse."""
    picture, flow = smooth_picture(120, 160), wavy(120, 160, 4.0)
    back = warp(warp(picture, flow), invert(flow))
    np.testing.assert_allclose(back[20:-20, 20:-20], picture[20:-20, 20:-20], atol=0.01)


def test_where_there_is_no_inverse_something_finite_nearby_is_given():
    noise = np.random.default_rng(0).normal(0, 8, (40, 50, 2)).astype(np.float32)
    assert np.abs(invert(noise)).max() <= np.abs(noise).max()


def test_resizing_keeps_the_motion():
    flow = constant(30, 40, 3, -2)
    np.testing.assert_allclose(resize_flow(flow, 60, 120), constant(60, 120, 9, -4), rtol=1e-6)
    assert resize_flow(flow, 30, 40).shape == flow.shape
    slow = wavy(64, 96, 2)
    np.testing.assert_allclose(resize_flow(resize_flow(slow, 256, 384), 64, 96), slow, atol=0.05)


def test_a_resized_flow_warps_a_resized_picture_alike():
    picture = smooth_picture(64, 96)
    large, flow = cv2.resize(picture, (192, 128), interpolation=cv2.INTER_CUBIC), wavy(64, 96, 2)
    expected = cv2.resize(warp(picture, flow), (192, 128), interpolation=cv2.INTER_CUBIC)
    moved = warp(large, resize_flow(flow, 128, 192))
    np.testing.assert_allclose(moved[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.02)


def test_inside_counts_half_a_pixel_around_the_outer_centres():
    flow = np.zeros((1, 4, 2), np.float32)
    flow[0, :, 0] = [-0.4, 18.6, -2.6, 0.4]  # lands at -0.4, 19.6, -0.6, 3.4 of a width of 20
    assert inside(flow, 1, 20).tolist() == [[True, False, False, True]]


def test_agreement_ignores_tone_and_sees_difference():
    luma, other = grey(scene(120, 160)), grey(scene(120, 160, seed=5))
    assert np.median(photometric_agreement(luma, luma)) > 0.999
    assert np.median(photometric_agreement(luma, luma + 0.1)) > 0.999
    assert np.median(photometric_agreement(luma, 0.7 * luma + 0.1)) > 0.93  # 1.4 / 1.49
    assert np.median(photometric_agreement(luma, other)) < 0.3
    assert photometric_agreement(luma, 1 - luma).max() < 0.3


@pytest.mark.parametrize("sigma_px", [2.0, 4.0, 9.0])
def test_the_agreement_is_that_of_gaussian_windows(sigma_px):
    """Found on fewer points, where a window is wide, and no worse."""
    luma = grey(scene(121, 163))
    other = warp(luma, wavy(121, 163, 2.0))

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (0, 0), sigma_px)

    m, n = mean(luma), mean(other)
    variances = mean(luma * luma) - m * m + mean(other * other) - n * n
    exact = (2 * (mean(luma * other) - m * n) + 2e-4) / (variances + 2e-4)
    found = photometric_agreement(luma, other, sigma_px)
    assert found.shape == luma.shape and found.dtype == np.float32
    assert np.abs(found - np.clip(exact, 0, 1)).mean() < 0.02


def test_two_plain_places_agree_and_a_plain_and_a_textured_one_do_not():
    luma, plain = grey(scene(120, 160)), np.full((120, 160), 0.5, np.float32)
    noisy = plain + 0.004 * np.random.default_rng(0).standard_normal(plain.shape, np.float32)
    np.testing.assert_allclose(photometric_agreement(plain, plain + 0.2), 1, atol=1e-3)
    assert photometric_agreement(plain, noisy).min() > 0.8
    for one, other in ((plain, luma), (luma, plain), (noisy, luma)):
        assert np.median(photometric_agreement(one, other)) < 0.1


def test_deformation_is_the_size_of_the_flows_slope():
    y = np.arange(40, dtype=np.float32)[:, None] + np.zeros((1, 50), np.float32)
    shear = np.stack([0.2 * y, 0 * y], -1)
    np.testing.assert_allclose(deformation(shear)[4:-4, 4:-4], 0.2, atol=1e-4)
    np.testing.assert_allclose(deformation(constant(40, 50, 9, -7)), 0, atol=1e-4)


def test_filling_takes_trusted_neighbours():
    flow = constant(60, 80, 5, -2)
    flow[20:40, 30:50] = np.random.default_rng(0).normal(0, 8, (20, 20, 2))
    trust = np.ones((60, 80), np.float32)
    trust[20:40, 30:50] = 0
    filled = fill(flow, trust)
    np.testing.assert_allclose(filled[20:40, 30:50], constant(20, 20, 5, -2), atol=0.7)
    np.testing.assert_array_equal(filled[:10], flow[:10])
    np.testing.assert_allclose(fill(flow, np.ones((60, 80), np.float32)), flow)
    assert np.isfinite(fill(flow, np.zeros((60, 80), np.float32))).all()


def test_confidence_takes_one_veto():
    luma = grey(scene(80, 100))
    still, nothing = constant(80, 100, 0, 0), np.zeros((80, 100), np.float32)
    everywhere = np.ones((80, 100), bool)
    assert confidence(luma, luma, still, nothing, everywhere).min() > 0.99
    lost = nothing.copy()
    lost[:, :50] = 5
    trust = confidence(luma, luma, still, lost, everywhere)
    assert trust[:, :45].max() < 0.01 and trust[:, 55:].min() > 0.99
    beyond = everywhere.copy()
    beyond[:20] = False
    assert confidence(luma, luma, still, nothing, beyond)[:15].max() < 0.01
    swirl = still.copy()
    swirl[:, :50] = 6 * np.random.default_rng(0).standard_normal((80, 50, 2))
    trust = confidence(luma, luma, swirl, nothing, everywhere)
    assert trust[:, :38].max() < 0.1 and trust[:, 65:].min() > 0.95
    changed = luma.copy()
    changed[40:] = grey(scene(80, 100, seed=7))[40:]
    trust = confidence(luma, changed, still, nothing, everywhere)
    assert trust[:28].min() > 0.9 and np.median(trust[52:]) < 0.35


# Estimators


@pytest.mark.parametrize("size", [(16, 16), (16, 200), (31, 33), (64, 48), (97, 130)])
def test_dis_takes_any_size(size):
    luma = equalised(grey(scene(*size)))
    flow = DisFlow()(luma, luma)
    assert flow.shape == (*size, 2) and flow.dtype == np.float32
    assert np.median(np.abs(flow)) < 0.1


def test_dis_points_from_first_to_second():
    picture = scene(150, 200)
    moved = warp(picture, constant(150, 200, -5, 3))  # what was at p is now at p + (5, -3)
    flow = DisFlow()(equalised(grey(picture)), equalised(grey(moved)))
    np.testing.assert_allclose(np.median(flow[20:-20, 20:-20], (0, 1)), [5, -3], atol=0.1)


def test_dis_finds_more_exactly_on_the_picture_itself_than_on_its_half():
    picture, true_flow = scene(192, 256), wavy(192, 256, 1.5)
    first, second = equalised(grey(warp(picture, true_flow))), equalised(grey(picture))
    error = [
        np.median(np.linalg.norm(DisFlow(scale)(first, second) - true_flow, axis=-1))
        for scale in (0, 1)
    ]
    assert error[0] < error[1]


def test_equalising_brings_two_tones_together():
    luma = grey(scene(160, 200))
    dark = 0.6 * luma**1.2
    before = np.abs(as_bytes(luma).astype(int) - as_bytes(dark)).mean()
    after = np.abs(equalised(luma).astype(int) - equalised(dark)).mean()
    assert after < 0.85 * before


def test_shrinking_softens_as_a_clip_does():
    luma = grey(scene(300, 400))
    assert shrink(luma, 100, 133).shape == (100, 133)
    assert shrink(luma, 600, 800).shape == (600, 800)
    np.testing.assert_allclose(
        shrink(np.full((300, 400), 0.4, np.float32), 100, 133), 0.4, atol=1e-5
    )


# Dense flow


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_dense_flow_follows_a_smooth_motion(scale):
    size = 192
    key_photo = scene(size, size)
    true_flow = wavy(size, size, 4) + constant(size, size, 2, -1)
    truth = np.clip(warp(key_photo, true_flow), 0, 1)
    frame = cv2.resize(truth, (size // scale, size // scale), interpolation=cv2.INTER_AREA)
    dense = estimate_flow(frame, key_photo)
    assert dense.flow_frame_to_key.shape == (*frame.shape[:2], 2)
    assert dense.confidence.shape == frame.shape[:2]
    found = resize_flow(dense.flow_frame_to_key, size, size)
    error = np.linalg.norm(found - true_flow, axis=-1)[16:-16, 16:-16]
    assert np.median(error) < 0.5
    trusted = cv2.resize(dense.confidence, (size, size))[16:-16, 16:-16] > 0.5
    assert trusted.mean() > 0.6 and np.quantile(error[trusted], 0.95) < 1.5


def test_luma_alone_gives_the_same_flow():
    key_photo = scene(192, 256)
    frame = cv2.resize(warp(key_photo, wavy(192, 256, 3)), (128, 96))
    pictures, planes = estimate_flow(frame, key_photo), estimate_flow(grey(frame), grey(key_photo))
    np.testing.assert_array_equal(pictures.flow_frame_to_key, planes.flow_frame_to_key)
    np.testing.assert_array_equal(pictures.confidence, planes.confidence)


def test_the_estimator_does_the_coarse_pass_there_and_back_and_no_other():
    key_photo, asked = scene(192, 256), []
    frame = cv2.resize(key_photo, (128, 96), interpolation=cv2.INTER_AREA)

    def estimator(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        asked.append((first, second))
        return DisFlow(smoothness=COARSE_SMOOTHNESS)(first, second)

    chosen, usual = estimate_flow(frame, key_photo, estimator), estimate_flow(frame, key_photo)
    (frame_there, key_there), (key_back, frame_back) = asked
    assert frame_there.shape == key_there.shape == (96, 128)
    np.testing.assert_array_equal(frame_there, frame_back)
    np.testing.assert_array_equal(key_there, key_back)
    np.testing.assert_array_equal(chosen.flow_frame_to_key, usual.flow_frame_to_key)
    np.testing.assert_array_equal(chosen.confidence, usual.confidence)


def test_the_fine_pass_improves_on_the_estimators_flow():
    key_photo = scene(192, 256)
    frame = cv2.resize(warp(key_photo, constant(192, 256, 8, -4)), (128, 96))

    def rough(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.round(DisFlow()(first, second) / 2) * 2  # whole steps of 2 px, where 4, -2 is

    found = estimate_flow(frame, key_photo, lambda a, b: rough(a, b) * 0.8).flow_frame_to_key
    np.testing.assert_allclose(np.median(found[24:-24, 24:-24], (0, 1)), [4, -2], atol=0.05)


def test_dense_flow_does_not_trust_what_is_covered_in_the_key_photo():
    truth = scene(192, 192)
    key_photo = truth.copy()
    key_photo[60:130, 60:130] = scene(70, 70, seed=9)  # another thing stands there
    frame = cv2.resize(truth, (96, 96), interpolation=cv2.INTER_AREA)
    trust = cv2.resize(estimate_flow(frame, key_photo).confidence, (192, 192))
    covered = trust[72:118, 72:118]
    open_sight = np.concatenate([trust[8:50, 8:-8], trust[140:-8, 8:-8]])
    assert np.median(covered) < 0.25 and np.median(open_sight) > 0.8
