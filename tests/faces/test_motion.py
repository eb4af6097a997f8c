"""The motion of a face by its texture: known ones found, impossible ones refused."""

import numpy as np
import pytest
from support.faces import placement
from support.pictures import as_bytes, scene

from livemoments.faces.face import Placement
from livemoments.faces.motion import motion_between, small_face

PICTURE = as_bytes(scene(200, 200))
AT = placement(100, 100, 112)


def moved(before: Placement, now: Placement):
    """The motion of a still picture between two squares of it."""
    return motion_between(small_face(PICTURE, before), small_face(PICTURE, now))


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (0.7, -0.4), (4.3, 2.2)])
def test_a_square_that_moved_sees_the_face_move_the_other_way(dx, dy):
    motion = moved(AT, placement(100 + dx, 100 + dy, 112))
    assert motion.shift == pytest.approx(complex(-dx, -dy) / 112, abs=1e-3)
    assert motion.turn == pytest.approx(1, abs=5e-3)


def test_growth_and_turn():
    assert moved(AT, placement(100, 100, 112 / 1.05)).turn == pytest.approx(1.05, abs=5e-3)
    turned = moved(AT, placement(100, 100, 112, 0.05)).turn
    assert np.angle(turned) == pytest.approx(-0.05, abs=5e-3)


def test_there_and_back_is_still():
    away = placement(102, 99, 108, 0.04)
    there, home = moved(AT, away), moved(away, AT)
    assert home.turn * there.turn == pytest.approx(1, abs=5e-3)
    assert home.turn * there.shift + home.shift == pytest.approx(0, abs=2e-3)


def test_where_nothing_can_be_followed_there_is_none():
    plain = np.full((112, 112), 128, np.uint8)
    assert motion_between(plain, plain) is None
    other = small_face(as_bytes(scene(200, 200, seed=5)), AT)
    assert motion_between(small_face(PICTURE, AT), other) is None
