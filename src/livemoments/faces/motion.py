"""Measure how a face moved between two frames by its texture, finer than landmarks can.

Points between the brows and the mouth, where a face is stiffest, are followed by Lucas and Kanade's
method from one small canonical face to the next, there and back; the similarity that most of them
agree on is the motion.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.faces.crops import cut
from livemoments.faces.face import Placement
from livemoments.imaging.pixels import grey

SMALL_PX = 112  # side of the canonical faces that are compared
# Shares of the canonical square that are looked at: brows to lips, between the temples.
LEFT, TOP, RIGHT, BOTTOM = 0.28, 0.36, 0.72, 0.72
MOST_POINTS, FEWEST_POINTS = 80, 12
THERE_AND_BACK_PX, AGREES_PX = 0.3, 0.6  # of SMALL_PX


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The motion of a face: from u in the canonical square before to turn * u + shift.

    Positions are x + iy in shares of the square's side, from its middle.
    """

    turn: complex  # its size is the growth, its angle the turn
    shift: complex


STILL = Motion(turn=1 + 0j, shift=0j)


def small_face(picture: np.ndarray, placement: Placement) -> np.ndarray:
    """Cut out what motion_between compares: grey uint8, SMALL_PX each way."""
    return grey(cut(picture, placement, SMALL_PX))


def motion_between(before: np.ndarray, now: np.ndarray) -> Motion | None:
    """Measure the motion between two small faces; None where too few points agree on one."""
    area = np.zeros(before.shape, np.uint8)
    area[round(TOP * SMALL_PX) : round(BOTTOM * SMALL_PX)] = 255
    area[:, : round(LEFT * SMALL_PX)] = area[:, round(RIGHT * SMALL_PX) :] = 0
    start = cv2.goodFeaturesToTrack(before, MOST_POINTS, 0.01, 3, mask=area)
    if start is None or len(start) < FEWEST_POINTS:
        return None
    end, found = _followed(before, now, start)
    back, found_back = _followed(now, before, end)
    away = np.linalg.norm((back - start).reshape(-1, 2), axis=1)
    good = (found & found_back).ravel().astype(bool) & (away < THERE_AND_BACK_PX)
    if good.sum() < FEWEST_POINTS:
        return None
    matrix, inside = cv2.estimateAffinePartial2D(
        start[good], end[good], method=cv2.RANSAC, ransacReprojThreshold=AGREES_PX
    )
    if matrix is None or inside.sum() < max(FEWEST_POINTS, 0.5 * good.sum()):
        return None
    middle = (SMALL_PX - 1) / 2
    x, y = matrix @ (middle, middle, 1)
    return Motion(
        turn=complex(matrix[0, 0], matrix[1, 0]), shift=complex(x - middle, y - middle) / SMALL_PX
    )


def _followed(
    before: np.ndarray, now: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Track points; returns where they went, and whether each was found (n, 1)."""
    # OpenCV's stubs leave out that there need be no guess.
    end, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        before, now, points, None, winSize=(15, 15), maxLevel=2
    )
    return end, found
