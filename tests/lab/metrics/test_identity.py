"""The identity distance: which faces are compared."""

import sys

import numpy as np
import pytest
from support.faces import FakeModels, box, dlibs_models, face_at, picture_of, placement, portrait
from support.pictures import scene

from livemoments.errors import MissingExtraError
from livemoments.faces.face import Box
from livemoments.faces.identity import SAME_PERSON
from livemoments.lab.metrics.identity import FaceIdentity, largest_match


@pytest.fixture
def identity():
    return FaceIdentity(FakeModels())


def faces(*places: Box, blue: float = 0.0) -> np.ndarray:
    return picture_of(*places, blue=round(255 * blue)).astype(np.float32) / 255


class TestMatching:
    def test_the_largest_that_is_found_in_its_place(self):
        small, large = face_at(placement(20, 20, 20)), face_at(placement(80, 80, 60))
        near = face_at(placement(82, 80, 60))
        assert largest_match([small, near], [small, large]) == (near, large)
        assert largest_match([small], [small, large]) == (small, small)
        assert largest_match([face_at(placement(200, 0, 20))], [small, large]) is None
        assert largest_match([], [small]) is None and largest_match([small], []) is None


class TestDistance:
    def test_alike_is_zero_and_the_two_may_change_places(self, identity):
        one, other = faces(box(20, 20, 60)), faces(box(22, 20, 60), blue=0.4)
        assert identity(one, one).value == 0
        assert identity(one, other).value == pytest.approx(0.4, abs=0.02)
        assert identity(other, one).value == pytest.approx(0.4, abs=0.02)

    def test_the_largest_face_counts(self, identity):
        truth = faces(box(5, 5, 40), box(60, 40, 70))
        result = truth.copy()
        result[5:45, 5:45, 2] = 0.9
        found = identity(result, truth)
        assert found.value == pytest.approx(0, abs=1e-3)
        assert found.message == "the same person, by a face of 70 pixels"

    def test_another_person_is_said(self, identity):
        place = box(20, 20, 60)
        found = identity(faces(place, blue=0.9), faces(place))
        assert found.value > SAME_PERSON and found.message.startswith("another person")

    def test_no_face_is_said_and_has_no_value(self, identity):
        empty, full = faces(), faces(box(20, 20, 60))
        assert identity(full, empty).value is None
        assert identity(full, empty).message == "no face found in the truth"
        lost = identity(empty, full)
        assert lost.value is None and "0 in the result, 1 in the truth" in lost.message


def test_without_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(MissingExtraError, match="needs dlib-bin"):
        FaceIdentity()


class TestDlib:
    def test_a_person_and_no_one(self):
        own = FaceIdentity(dlibs_models())
        astronaut = portrait().astype(np.float32) / 255
        assert own(astronaut, astronaut).value == 0
        noisy = astronaut + np.random.default_rng(0).normal(0, 0.05, astronaut.shape)
        assert 0 < own(np.clip(noisy, 0, 1).astype(np.float32), astronaut).value < SAME_PERSON
        assert own(scene(200, 200), scene(200, 200)).value is None
