"""How sharp a picture is."""

import cv2
import numpy as np
import pytest

from livemoments.imaging.sharpness import measure_sharpness


def scene(height: int, width: int) -> np.ndarray:
    """Discs of every size over each other: sharp edges at all scales, as in photographs."""
    rng = np.random.default_rng(0)
    image = np.full((2 * height, 2 * width, 3), 128, np.uint8)
    for radius in np.geomspace(height, 3, 800):
        centre = (int(rng.integers(2 * width)), int(rng.integers(2 * height)))
        cv2.circle(image, centre, int(radius), rng.integers(0, 256, 3).tolist(), -1)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def test_blur_and_enlargement_lower_it_step_by_step():
    sharp = scene(384, 512)
    blurred = [sharp] + [cv2.GaussianBlur(sharp, (0, 0), s) for s in (0.7, 1.2, 2.0, 3.0)]
    found = [measure_sharpness(image) for image in blurred]
    assert all(a > b for a, b in zip(found, found[1:], strict=False)), found
    assert found[0] > 0.72 > found[2]
    enlarged = cv2.resize(sharp, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert measure_sharpness(enlarged) < 0.72


def test_a_flat_picture_carries_nothing():
    assert measure_sharpness(np.full((256, 256, 3), 90, np.uint8)) == pytest.approx(0, abs=0.05)


def test_sizes_that_are_no_multiple_of_a_tile():
    image = scene(333, 421)
    assert measure_sharpness(image) == measure_sharpness(image[:320, :384])
