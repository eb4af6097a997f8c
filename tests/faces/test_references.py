"""References: read from photographs, and the best aligned of several chosen."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.faces import FakeModels, box, face_at, mean_shares, picture_of, placement
from support.pictures import as_bytes, scene

from livemoments.errors import InputError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.identity import Embedder
from livemoments.faces.pose import Pose
from livemoments.faces.references import (
    Reference,
    advice,
    face_sharpness,
    misalignment,
    read_references,
)


def reference(name: str = "a.jpg", **changes) -> Reference:
    plain = Reference(
        name=name, face=np.zeros((256, 256, 3), np.uint8),
        landmarks=mean_shares(), identity=np.zeros(128), pose=Pose(yaw=0, pitch=0, roll=0),
        sharpness=1.0, height_px=200,
    )  # fmt: skip
    return replace(plain, **changes)


FACE = face_at(placement(60, 60, 80, 0.3))


def test_the_largest_face_of_a_photograph_comes_first():
    models = FakeModels()
    picture = picture_of(box(10, 10, 60), box(100, 100, 120), height=300, width=300)
    found = read_references(picture, "me.jpg", FaceFinder(models), Embedder(models))
    assert [each.height_px for each in found] == pytest.approx([120, 60], abs=2)
    first = found[0]
    assert first.face.shape == (512, 512, 3) and first.at(256).shape == (256, 256, 3)
    assert first.identity.shape == (128,)
    assert first.landmarks == pytest.approx(mean_shares(), abs=0.01)
    assert abs(first.pose.yaw) < 3


def test_a_photograph_without_faces_is_refused():
    models = FakeModels()
    with pytest.raises(InputError, match="me.jpg: no face of 48 pixels or more was found"):
        read_references(picture_of(), "me.jpg", FaceFinder(models), Embedder(models))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pose": Pose(yaw=40, pitch=0, roll=0)}, "from 40 degrees away"),
        ({"height_px": 60}, "only 60 pixels high"),
        ({"sharpness": 0.3}, "is soft"),
    ],
)
def test_advice(changes, words):
    assert words in advice(reference(**changes), FACE)


def test_a_good_reference_needs_no_advice():
    assert advice(reference(), FACE) is None


def test_misalignment_is_in_distances_between_the_eyes():
    moved = mean_shares() + (0.025, 0)
    assert misalignment(moved, mean_shares()) == pytest.approx(0.1)


def test_sharpness_falls_with_blur():
    face = as_bytes(scene(256, 256))
    blurred = [face_sharpness(cv2.GaussianBlur(face, (0, 0), px)) for px in (0.5, 1, 2)]
    assert face_sharpness(face) > blurred[0] > blurred[1] > blurred[2]
