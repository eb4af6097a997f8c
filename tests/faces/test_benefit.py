"""How much a face stands to gain: nothing where it is as sharp as its reference."""

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, scene

from livemoments.faces.benefit import FULL_BELOW, NOTHING_FROM, benefit, track_sharpness


def test_a_soft_face_gets_all_and_a_sharp_one_nothing():
    assert benefit(0.4, 0.8) == 1
    assert benefit(0.8 * NOTHING_FROM, 0.8) == 0 and benefit(1.2, 0.8) == 0


def test_between_it_falls_smoothly():
    sharpness = np.linspace(FULL_BELOW, NOTHING_FROM, 50)
    found = np.array([benefit(each, 1.0) for each in sharpness])
    assert found[0] == 1 and found[-1] == pytest.approx(0, abs=1e-9)
    assert (np.diff(found) <= 0).all() and np.abs(np.diff(found)).max() < 0.05


def test_a_soft_reference_has_nothing_to_give():
    assert benefit(0.4, 0.3) == 0
    assert benefit(0.4, 0.0) == 0


def test_one_blurred_frame_does_not_count():
    sharp = as_bytes(scene(256, 256))
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    assert track_sharpness([sharp, blurred, sharp]) == track_sharpness([sharp])
    assert track_sharpness([blurred]) < 0.7 * track_sharpness([sharp])
    assert track_sharpness([]) == 0
