"""How sharp a picture is, and how far it must be reduced."""

import cv2
import numpy as np
import pytest

from livemoments.imaging.sharpness import (
    SMALLER_SIDE_PX,
    compression_reduction,
    measure_sharpness,
    reduce,
    reduce_until_sharp,
)


def scene(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Discs of every size over each other: sharp edges at all scales, as in photographs."""
    rng = np.random.default_rng(seed)
    image = np.full((2 * height, 2 * width, 3), 128, np.uint8)
    for radius in np.geomspace(height, 3, 1500):
        centre = (int(rng.integers(2 * width)), int(rng.integers(2 * height)))
        cv2.circle(image, centre, int(radius), rng.integers(0, 256, 3).tolist(), -1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def test_blur_lowers_every_measure_step_by_step():
    sharp = scene(384, 512)
    blurred = [sharp] + [cv2.GaussianBlur(sharp, (0, 0), s) for s in (0.7, 1.2, 2.0, 3.0)]
    found = [measure_sharpness(image) for image in blurred]
    for name in ("ratio", "detail"):
        values = [getattr(each, name) for each in found]
        assert all(a > b for a, b in zip(values, values[1:], strict=False)), (name, values)
    shares = [each.share for each in found]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0 and shares[-1] < 0.5
    assert found[0].ratio > 0.72 > found[2].ratio


def test_a_flat_picture_carries_nothing():
    found = measure_sharpness(np.full((256, 256, 3), 90, np.uint8))
    assert found.detail == pytest.approx(0, abs=1e-3)
    assert found.share == 0


def test_sizes_that_are_no_multiple_of_a_tile():
    image = scene(333, 421)
    assert measure_sharpness(image) == measure_sharpness(image[:320, :384])


def test_reduce_divides_both_sides():
    image = scene(256, 384)
    assert reduce(image, 1.0) is image
    assert reduce(image, 1.5).shape == (171, 256, 3)


def test_a_sharp_picture_is_left_as_it_is():
    image = scene(800, 900)
    reduced = reduce_until_sharp(image)
    assert reduced is not None
    assert reduced.reduction == 1.0
    assert np.array_equal(reduced.image, image)


def test_an_enlarged_picture_is_reduced_until_it_is_sharp_again():
    small = scene(720, 800)
    enlarged = cv2.resize(small, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert measure_sharpness(enlarged).ratio < 0.72
    reduced = reduce_until_sharp(enlarged)
    assert reduced is not None
    assert reduced.reduction > 1.4
    assert reduced.sharpness.ratio >= 0.72
    assert min(reduced.image.shape[:2]) >= SMALLER_SIDE_PX[0]


def test_a_blurred_picture_is_dropped():
    assert reduce_until_sharp(cv2.GaussianBlur(scene(900, 900), (0, 0), 4)) is None


def test_a_small_picture_is_dropped():
    assert reduce_until_sharp(scene(512, 512)) is None


def test_a_large_picture_is_brought_to_the_largest_size():
    grain = np.random.default_rng(1).integers(0, 256, (1760, 1800, 3), np.uint8)
    reduced = reduce_until_sharp(cv2.GaussianBlur(grain, (0, 0), 0.8))
    assert reduced is not None
    assert min(reduced.image.shape[:2]) == SMALLER_SIDE_PX[1]


def test_coarser_compression_asks_for_more_reduction():
    assert compression_reduction(None) == 1.0
    asked = [compression_reduction(mean) for mean in (1, 10, 15, 25, 60)]
    assert asked == sorted(set(asked))
