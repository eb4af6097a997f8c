"""Poses: those of a head that was turned on purpose, and of its mirror image."""

import numpy as np
import pytest
from support.faces import mean_shares

from livemoments.faces.face import CORNER, EXTENT, MEAN
from livemoments.faces.pose import CAMERA_AWAY, DEPTHS, POINTS, Pose, pose


def seen(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """68 landmarks of the mean head, turned by degrees, in pixels."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    turn_p = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    turn_r = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    model = np.zeros((68, 3))
    model[:, :2] = (mean_shares() - 0.5) * 4
    model[27:55, :2] = ((MEAN - CORNER) / EXTENT - 0.5) * 4
    model[27:55, 2] = np.interp(np.arange(27, 55), POINTS, DEPTHS)
    away = 4 * CAMERA_AWAY
    points = model @ (turn_r @ turn_y @ turn_p).T + (0, 0, away)
    return points[:, :2] / points[:, 2:] * away * 60 + 300


@pytest.mark.parametrize("yaw", [-50, -20, 0, 35])
@pytest.mark.parametrize("pitch", [-30, 0, 25])
@pytest.mark.parametrize("roll", [-15, 0, 40])
def test_a_turned_head_is_found(yaw, pitch, roll):
    found = pose(seen(yaw, pitch, roll))
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=1)


def test_signs():
    """Turned to the picture's right, the nose lies to the right of the eyes' middle."""
    landmarks = seen(30, 0, 0)
    assert landmarks[30, 0] > landmarks[36:48, 0].mean() and pose(landmarks).yaw > 25
    up, straight = seen(0, 20, 0), seen(0, 0, 0)
    assert up[30, 1] < straight[30, 1] and pose(up).pitch > 15


def test_angles_between_poses():
    ahead = Pose(yaw=0, pitch=0, roll=0)
    assert ahead.away_from(Pose(yaw=0, pitch=0, roll=50)) == pytest.approx(0, abs=1e-4)
    assert ahead.away_from(Pose(yaw=30, pitch=0, roll=0)) == pytest.approx(30)
    assert ahead.away_from(Pose(yaw=0, pitch=-20, roll=0)) == pytest.approx(20)
