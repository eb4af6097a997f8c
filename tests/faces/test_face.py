"""The canonical face: placements there and back, fitted to landmarks."""

import numpy as np
import pytest
from support.faces import box, face_at, mean_shares, placement

from livemoments.errors import InputError
from livemoments.faces.face import EYES_APART, EYES_HEIGHT, Placement, eyes_apart, misfit, place

TURNED = placement(50.3, 61.7, 92.5, 0.4)


def close(one: Placement, other: Placement) -> bool:
    names = ("x", "y", "side_px", "roll")
    return all(getattr(one, name) == pytest.approx(getattr(other, name)) for name in names)


def test_the_eyes_stand_where_the_canonical_face_has_them():
    shares = mean_shares()
    right, left = shares[36:42].mean(axis=0), shares[42:48].mean(axis=0)
    assert left - right == pytest.approx((EYES_APART, 0), abs=1e-3)
    assert (left + right) / 2 == pytest.approx((0.5, EYES_HEIGHT), abs=1e-3)
    assert eyes_apart(TURNED.to_picture(shares)) == pytest.approx(EYES_APART * TURNED.side_px, 1e-3)


def test_a_placement_is_found_from_its_landmarks():
    assert close(place(TURNED.to_picture(mean_shares())), TURNED)
    assert close(face_at(TURNED).placement, TURNED)


def test_an_open_mouth_and_raised_brows_move_nothing():
    landmarks = TURNED.to_picture(mean_shares())
    landmarks[17:27, 1] -= 9
    landmarks[55:60, 1] += 9
    landmarks[:17, 1] += 5
    assert close(place(landmarks), TURNED)


def test_there_and_back():
    points = np.array([[3.0, 4.0], [50.0, -7.0]])
    assert TURNED.to_picture(TURNED.to_square(points)) == pytest.approx(points)


def test_the_matrix_maps_pixel_centres():
    matrix = TURNED.matrix(8)
    corner = matrix @ [0, 0, 1]  # the centre of the first pixel: half a pixel from the corner
    assert corner == pytest.approx(TURNED.to_picture([[0.5 / 8, 0.5 / 8]])[0])
    whole = Placement.of_canonical(8)
    assert whole.matrix(8) == pytest.approx(np.array([[1, 0, 0], [0, 1, 0]]))


def test_enlarging_a_picture_enlarges_the_placement():
    twice = TURNED.scaled(2)
    assert twice.side_px == 2 * TURNED.side_px
    assert (twice.x, twice.y) == pytest.approx((2 * 50.3 + 0.5, 2 * 61.7 + 0.5))
    assert close(twice.scaled(0.5), TURNED)


def test_how_badly_landmarks_fit():
    shares = mean_shares()
    assert misfit(TURNED.to_picture(shares)) == pytest.approx(0, abs=1e-9)
    narrow = shares * (0.5, 1)  # half of a face's width: seen from the side
    assert misfit(narrow * 100) > 0.15


@pytest.mark.parametrize("shape", [(5, 2), (68, 3)])
def test_other_landmarks_are_refused(shape):
    with pytest.raises(InputError, match="give 68 finite points"):
        place(np.zeros(shape))


def test_landmarks_at_one_place_are_refused():
    with pytest.raises(InputError, match="lie at one place"):
        place(np.ones((68, 2)))
    with pytest.raises(InputError, match="finite"):
        place(np.full((68, 2), np.nan))


def test_boxes():
    assert box(0, 0, 10).shared(box(0, 0, 10)) == 1
    assert box(0, 0, 10).shared(box(5, 0, 10)) == pytest.approx(50 / 150)
    assert box(0, 0, 10).shared(box(10, 10, 10)) == 0
    assert box(0, 0, 10).moved(2.6, -1) == box(3, -1, 10)
    assert box(0, 0, -3).area == 0
