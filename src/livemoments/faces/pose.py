"""Estimate which way a face looks, by its landmarks.

The corners of the eyes and of the mouth and five points of the nose are matched to those of a mean
head, as a camera far away would see it (solvePnP). Heads differ, and a smile looks like a tilt: the
angles tell apart front, half side and up from down, and pitch is the least sure. Beyond some 45
degrees of yaw the landmarks themselves are guesses.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.faces.face import CORNER, EXTENT, MEAN, STEADY, place

# Of the usual 68: nasion, tip, wings and base of the nose, corners of the eyes and of the mouth.
POINTS = np.array([27, 30, 31, 33, 35, 36, 39, 42, 45, 48, 54])
# How far each lies before (below 0) or behind the inner corners of the eyes, in distances between
# the eyes, some 62 mm: rounded values of an adult's head, ours.
DEPTHS = np.array([-0.16, -0.52, -0.2, -0.32, -0.2, 0.13, 0.0, 0.0, 0.13, -0.1, -0.1])
CAMERA_AWAY = 8.0  # in sides of the canonical square: a phone at arm's length is 2, a stage 20


@dataclass(frozen=True, kw_only=True)
class Pose:
    """A direction in degrees; 0, 0, 0 looks straight into the camera, upright."""

    yaw: float  # above 0: turned towards the picture's right
    pitch: float  # above 0: looking up
    roll: float  # above 0: tilted clockwise, as seen in the picture

    def away_from(self, other: "Pose") -> float:
        """Measure the angle between both lines of sight, degrees; cutting out undoes roll."""
        return float(np.degrees(np.arccos(np.clip(self._sight() @ other._sight(), -1, 1))))

    def _sight(self) -> np.ndarray:
        yaw, pitch = np.radians(self.yaw), np.radians(self.pitch)
        return np.array([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw) * np.cos(pitch)])


def head() -> np.ndarray:
    """Return the mean head's POINTS (11, 3), in distances of the eyes; x right, y down, z away."""
    flat = (MEAN[POINTS - STEADY[0]] - CORNER) / EXTENT - (0.5, 0.5)
    return np.column_stack([flat * 4, DEPTHS])  # the canonical side is four such distances


def pose(landmarks: np.ndarray) -> Pose:
    """Estimate the pose of a face with 68 landmarks (68, 2), x, y in pixels.

    Raises:
        InputError: they are no landmarks.
    """
    upright = place(landmarks)
    # In the canonical square roll is gone, and the camera looks straight at the face's middle.
    seen = (upright.to_square(landmarks[POINTS]) - 0.5) * 4
    focal = 4 * CAMERA_AWAY
    camera = np.diag([focal, focal, 1.0])
    _, turn, _ = cv2.solvePnP(
        head(), seen, camera, np.zeros(4), *_start(seen, focal),
        useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE,
    )  # fmt: skip
    matrix = cv2.Rodrigues(turn)[0]
    rest = np.arctan2(matrix[1, 0], matrix[0, 0])  # of the roll: the fit takes yaw for some
    cos, sin = np.cos(rest), np.sin(rest)
    x, y, z = -matrix[:, 2]  # where the nose points
    x, y = cos * x + sin * y, cos * y - sin * x
    return Pose(
        yaw=float(np.degrees(np.arctan2(x, -z))),
        pitch=float(np.degrees(np.arcsin(np.clip(-y, -1, 1)))),
        roll=float(np.degrees(upright.roll + rest)),
    )


def _start(seen: np.ndarray, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the turn and the place (3, 1) by a camera without perspective.

    That is a linear problem with one answer. From another start, solvePnP may end in its mirror
    image, a face that looks down for one that looks up.
    """
    model = head() - head().mean(axis=0)
    affine = np.linalg.lstsq(model, seen - seen.mean(axis=0), rcond=None)[0].T  # (2, 3)
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    turn = cv2.Rodrigues(np.vstack([rows, np.cross(rows[0], rows[1])]))[0]
    away = focal / sizes.mean()
    x, y = (seen.mean(axis=0) / sizes.mean()).tolist()
    return turn, np.array([[x], [y], [away]])
