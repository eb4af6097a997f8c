"""Finding faces: sizes, places and reasons with a stand-in, then dlib's own where it is."""

import cv2
import numpy as np
import pytest
from support.faces import (
    FakeModels,
    Rectangle,
    box,
    clips_folder,
    dlibs_models,
    face_at,
    picture_of,
    portrait,
)

from livemoments.errors import ConfigError, InputError
from livemoments.faces.detect import FaceFinder
from livemoments.faces.face import place


@pytest.fixture
def models():
    return FakeModels()


def test_the_largest_comes_first_with_landmarks_in_its_box(models):
    small, large = box(10, 10, 30), box(80, 40, 60)
    found = FaceFinder(models).find(picture_of(small, large))
    largest, other = found.faces
    assert largest.box.shared(large) > 0.9 and other.box.shared(small) > 0.9
    face = found.faces[0]
    assert face.placement.box.shared(large) > 0.9
    wanted = face_at(face.placement).landmarks
    assert np.abs(face.landmarks - wanted).max() < 0.5  # finer than dlib's whole pixels


def test_small_faces_are_enlarged_for_the_detector(models):
    found = FaceFinder(models, smallest_px=40).find(picture_of())
    assert models.searched == [(252, 336)]  # 2.1 times: 84 pixels of 40
    assert found.smallest_px == pytest.approx(40)


def test_huge_pictures_are_reduced_and_say_so(models):
    found = FaceFinder(models).find(np.zeros((3000, 4000, 3), np.uint8))
    assert np.prod(models.searched[0]) == pytest.approx(8e6, rel=0.01)
    assert found.smallest_px == pytest.approx(103, abs=1)


def test_a_face_over_the_border_is_skipped_with_a_reason(models):
    assert not FaceFinder(models).find(picture_of()).skipped
    models.detector.run = lambda *_: ([Rectangle(-60, 10, 40, 110)], [1.0], [0])
    found = FaceFinder(models).find(picture_of())
    assert not found.faces
    assert found.skipped[0].reason == "cut off by the picture's border"


def test_landmarks_of_no_face_are_skipped_with_a_reason(models):
    models.outline = _narrow(models.outline)
    found = FaceFinder(models).find(picture_of(box(40, 40, 60)))
    assert not found.faces and "from the side" in found.skipped[0].reason


def _narrow(outline):
    def narrowed(picture, rectangle):
        parts = outline(picture, rectangle).parts()
        for part in parts:
            part.x = part.x // 4
        return type("Shape", (), {"parts": lambda self: parts})()

    return narrowed


class TestNear:
    def test_a_face_is_found_near_its_place_in_a_small_window(self, models):
        picture = picture_of(box(300, 200, 50), height=1000, width=1000)
        face = FaceFinder(models).find_near(picture, box(305, 195, 50))
        assert face is not None and face.box.shared(box(300, 200, 50)) > 0.9
        assert np.prod(models.searched[0]) < 100_000

    def test_less_will_do_where_a_face_is_expected(self, models):
        models.score = -0.3
        picture = picture_of(box(40, 40, 50))
        assert not FaceFinder(models).find(picture).faces
        assert FaceFinder(models).find_near(picture, box(40, 40, 50)) is not None

    def test_elsewhere_or_outside_there_is_none(self, models):
        picture = picture_of(box(100, 60, 40))
        assert FaceFinder(models).find_near(picture, box(20, 20, 40)) is None
        assert FaceFinder(models).find_near(picture, box(900, 900, 40)) is None


def test_bad_input_is_refused(models):
    with pytest.raises(ConfigError, match="at least 20, got 5"):
        FaceFinder(models, smallest_px=5)
    with pytest.raises(InputError, match="H x W x 3"):
        FaceFinder(models).find(np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="give uint8"):
        FaceFinder(models).find(np.zeros((9, 9, 3), np.float32))


@pytest.fixture(scope="module")
def finder():
    return FaceFinder(dlibs_models())


class TestDlib:
    def test_a_portrait_large_and_small(self, finder):
        picture = portrait()
        whole = finder.find(picture).faces[0]
        assert 70 < whole.box.height < 120
        for factor in (0.6, 1.7):
            size = (round(240 * factor), round(240 * factor))
            smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            face = finder.find(smaller).faces[0]
            back = face.placement.scaled(1 / factor)
            assert (back.x, back.y) == pytest.approx(
                (whole.placement.x, whole.placement.y), abs=0.03 * whole.placement.side_px
            )
            assert back.side_px == pytest.approx(whole.placement.side_px, rel=0.05)

    def test_near_is_where_it_was_found(self, finder):
        picture = portrait()
        whole = finder.find(picture).faces[0]
        near = finder.find_near(picture, whole.box.moved(8, -5))
        away = np.abs(near.landmarks - whole.landmarks).mean()
        assert away < 0.03 * whole.placement.side_px

    def test_a_picture_of_no_one(self, finder):
        rng = np.random.default_rng(0)
        assert not finder.find(rng.integers(0, 255, (200, 200, 3), np.uint8)).faces

    @pytest.mark.real
    def test_both_people_of_a_street_at_a_quarter_of_the_size(self, finder):
        frame = cv2.imread(str(clips_folder() / "street-interview" / "0000.jpg"))
        small = cv2.resize(frame, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        faces = finder.find(np.ascontiguousarray(small[..., ::-1])).faces
        assert len(faces) == 2
        middles = sorted(place(face.landmarks).x * 4 for face in faces)
        assert middles == pytest.approx([665, 1190], abs=30)
