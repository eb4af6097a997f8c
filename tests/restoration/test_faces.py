"""A moment's faces: the restored face of the frame, put into the restored picture."""

import numpy as np
import pytest
from support.pictures import smooth_picture

from livemoments.faces.crops import cut
from livemoments.faces.face import Placement
from livemoments.faces.polish import FaceChange
from livemoments.restoration.faces import put_in

AT = Placement(x=50.0, y=45.0, side_px=60.0, roll=0.2)


def enlarged(picture, factor):
    return np.ascontiguousarray(picture.repeat(factor, 0).repeat(factor, 1))


def change(value, strength=1.0):
    return FaceChange(
        person=0, placement=AT, strength=strength, change=np.full((64, 64, 3), value, np.float32)
    )


def test_the_face_tiers_face_replaces_the_main_models():
    frame = smooth_picture(90, 100)
    image = np.clip(enlarged(frame, 3) * np.float32(0.9), 0, 1)
    after = put_in(image, frame, change(0.05))
    wanted = np.clip(cut(frame, AT, 64) + 0.05, 0, 1)
    found = cut(after, AT.scaled(3.0), 64)
    middle = (slice(20, 50), slice(20, 44))
    assert np.abs(found - wanted)[middle].max() < 0.03
    assert np.abs(cut(image, AT.scaled(3.0), 64) - wanted)[middle].mean() > 0.05


def test_what_the_main_model_made_finer_stays():
    frame = np.full((90, 100, 3), 0.5, np.float32)
    fine = enlarged(frame, 4)
    fine[::2] += 0.1
    fine[1::2] -= 0.1
    after = put_in(fine, frame, change(0.0))
    assert np.abs(after - fine).max() < 0.02


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_outside_the_head_nothing_changes(strength):
    frame = smooth_picture(90, 100)
    image = enlarged(frame, 2)
    after = put_in(image, frame, change(0.1, strength))
    np.testing.assert_array_equal(after[:, :20], image[:, :20])
    assert (after != image).any() == bool(strength)
