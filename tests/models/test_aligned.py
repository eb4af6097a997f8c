"""The reference brought to a frame: where it is trusted, and where it is not."""

import numpy as np
import pytest
from support.pictures import smooth_picture

from livemoments.align.flow import pixel_grid
from livemoments.models.aligned import (
    MAPS,
    align_reference,
    no_reference,
    opening,
    planes,
    reference_features,
)


class Refiner:
    """Answers the same flow and the same logit of trust everywhere."""

    def __init__(self, delta=(0.0, 0.0), logit=30.0):
        self.answer = np.array([*delta, logit], np.float32)

    def run(self, names, given):
        assert names == ["refined"] and set(given) == {"frame", "warped", "confidence"}
        _, _, height, width = given["frame"].shape
        shape = (1, 3, height // 4, width // 4)
        return [np.broadcast_to(self.answer[:, None, None], shape)]


def aligned(refiner, shift=(0, 0)):
    whole = smooth_picture(80, 144)
    frame = planes(whole[8:72, 8:136])
    positions = pixel_grid(64, 128) + np.float32(8) + np.array(shift, np.float32)
    return frame, align_reference(refiner, frame, whole, positions, np.ones((64, 128), np.float32))


def test_a_trusted_reference_comes_to_the_frame():
    frame, found = aligned(Refiner())
    assert found.reference == pytest.approx(frame, abs=1e-5)
    assert found.used.min() > 0.999
    assert found.motion[0, :2] == pytest.approx(0, abs=1e-5)
    assert found.motion[0, 2] == pytest.approx(1)


def test_the_refiner_has_the_last_word():
    frame, found = aligned(Refiner(delta=(-2.0, 1.0)), shift=(2, -1))
    assert found.reference == pytest.approx(frame, abs=1e-4)


def test_what_is_not_trusted_is_the_frame():
    frame, found = aligned(Refiner(logit=-30.0), shift=(5, 3))
    np.testing.assert_allclose(found.reference, frame, atol=1e-6)
    assert found.used.max() < 1e-6


def test_no_reference_is_the_frame_without_trust():
    frame = planes(smooth_picture(64, 128))
    found = no_reference(frame)
    assert found.reference is frame and not found.motion.any() and not found.used.any()
    assert found.motion.shape == (1, 3, 16, 32)


def test_features_are_of_the_reference_and_its_trust():
    class Network:
        def run(self, names, given):
            self.given = given
            return [f"map {name}" for name in names]

    network, (_, found) = Network(), aligned(Refiner(logit=0.0))
    features = reference_features(network, found)
    assert list(features) == list(MAPS)
    assert network.given["reference"] is found.reference
    assert network.given["confidence"].shape == (1, 1, 64, 128)
    assert network.given["confidence"] == pytest.approx(0.5)


def test_opening_goes_from_shut_to_open():
    trust = np.linspace(0, 1, 9)
    assert opening(trust)[0] == 0 and opening(trust)[-1] == 1
    assert (np.diff(opening(trust)) > 0).all()
