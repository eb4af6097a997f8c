"""Describe a face: its box, its landmarks, and the placement that brings it upright.

A placement is a similarity between a picture and the canonical face, a square that shows a face
upright: the eyes at 47 % of its height and a quarter of its side apart, so that hair and chin have
room. Positions are x, y in pixels, and pixel centres are whole numbers.
"""

from dataclasses import dataclass, replace

import numpy as np

from livemoments.errors import InputError

EYES_APART = 0.25  # share of the canonical side between the centres of the eyes
EYES_HEIGHT = 0.47  # share of the canonical side above them
# The detector's box within the canonical square, in its shares: the mean over seven people.
BOX_MIDDLE, BOX_SIDE = (0.51, 0.593), 0.635
# The landmarks of a mean face, seen from the front, that hardly move with its expression: nose (27
# to 35 of the usual 68), eyes (36 to 47), the upper edge of the lips (48 to 54). From dlib
# (BSL-1.0), where jaw, brows and nose bridge span the unit square.
STEADY = np.arange(27, 55)
_MEAN = (
    0.490127, 0.203352, 0.490127, 0.307009, 0.490127, 0.409805, 0.490127, 0.515625,
    0.36688, 0.587326, 0.426036, 0.609345, 0.490127, 0.628106, 0.554217, 0.609345,
    0.613373, 0.587326, 0.121737, 0.216423, 0.187122, 0.178758, 0.265825, 0.179852,
    0.334606, 0.231733, 0.260918, 0.245099, 0.182743, 0.244077, 0.645647, 0.231733,
    0.714428, 0.179852, 0.793132, 0.178758, 0.858516, 0.216423, 0.79751, 0.244077,
    0.719335, 0.245099, 0.254149, 0.780233, 0.340985, 0.745405, 0.428858, 0.727388,
    0.490127, 0.742578, 0.551395, 0.727388, 0.639268, 0.745405, 0.726104, 0.780233,
)  # fmt: skip
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)  # the person's right is at the picture's left


def _canonical_square(mean: np.ndarray) -> tuple[np.ndarray, float]:
    """Compute the canonical square's upper left corner and side, in the mean face's unit."""
    right, left = mean[9:15].mean(axis=0), mean[15:21].mean(axis=0)
    side = float(left[0] - right[0]) / EYES_APART
    return (right + left) / 2 - np.array([0.5, EYES_HEIGHT]) * side, side


MEAN = np.array(_MEAN).reshape(-1, 2)
CORNER, EXTENT = _canonical_square(MEAN)
TEMPLATE = (MEAN - CORNER) / EXTENT  # the steady landmarks (28, 2) in shares of the square


@dataclass(frozen=True, kw_only=True)
class Box:
    """A face's bounds, in pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """The width in pixels; 0 where it is empty."""
        return max(self.right - self.left, 0)

    @property
    def height(self) -> int:
        """The height in pixels, from the brows to the chin; 0 where it is empty."""
        return max(self.bottom - self.top, 0)

    @property
    def area(self) -> int:
        """The area in pixels; 0 where it is empty."""
        return self.width * self.height

    def shared(self, other: "Box") -> float:
        """Return the share of both areas that lies in both, 0 to 1."""
        both = Box(
            left=max(self.left, other.left), top=max(self.top, other.top),
            right=min(self.right, other.right), bottom=min(self.bottom, other.bottom),
        )  # fmt: skip
        return both.area / max(self.area + other.area - both.area, 1)

    def moved(self, x: float, y: float) -> "Box":
        """Return a box of the same size, moved by pixels."""
        dx, dy = round(x), round(y)
        return Box(
            left=self.left + dx, top=self.top + dy, right=self.right + dx, bottom=self.bottom + dy
        )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The place of a face's canonical square in a picture."""

    x: float  # of the square's middle
    y: float
    side_px: float  # of the square, in pixels of the picture
    roll: float  # radians by which the face is turned clockwise, seen in the picture

    @classmethod
    def of_canonical(cls, size_px: int) -> "Placement":
        """Return the placement of the face in a canonical picture of size_px: all of it."""
        middle = (size_px - 1) / 2
        return cls(x=middle, y=middle, side_px=float(size_px), roll=0.0)

    def matrix(self, size_px: int) -> np.ndarray:
        """Return the matrix (2 x 3) from the pixels of a canonical face to the picture's."""
        step = self.side_px / size_px
        cos, sin = step * np.cos(self.roll), step * np.sin(self.roll)
        middle = (size_px - 1) / 2
        return np.array(
            [[cos, -sin, self.x - (cos - sin) * middle], [sin, cos, self.y - (sin + cos) * middle]]
        )

    def to_picture(self, shares: np.ndarray) -> np.ndarray:
        """Convert points (n, 2) in shares of the canonical square's side to pixels."""
        turn = self.side_px * _rotation(self.roll)
        return (np.asarray(shares) - 0.5) @ turn.T + (self.x, self.y)

    def to_square(self, points: np.ndarray) -> np.ndarray:
        """Convert points (n, 2) of the picture to shares of the canonical square's side."""
        return (np.asarray(points) - (self.x, self.y)) @ _rotation(self.roll) / self.side_px + 0.5

    @property
    def box(self) -> Box:
        """The box in which the detector would see the face."""
        (x, y), half = self.to_picture(np.array([BOX_MIDDLE]))[0], BOX_SIDE * self.side_px / 2
        return Box(
            left=round(x - half), top=round(y - half), right=round(x + half), bottom=round(y + half)
        )

    def scaled(self, factor: float) -> "Placement":
        """Return the same place in a picture whose sides are factor times as long."""
        return replace(
            self,
            x=(self.x + 0.5) * factor - 0.5,
            y=(self.y + 0.5) * factor - 0.5,
            side_px=self.side_px * factor,
        )


def place(landmarks: np.ndarray) -> Placement:
    """Fit the canonical face's steady landmarks to 68 landmarks (68, 2) by a similarity.

    Raises:
        InputError: they are no 68 points, or all at one place.
    """
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all():
        raise InputError(f"landmarks are an array of {landmarks.shape}; give 68 finite points x, y")
    found = np.ascontiguousarray(landmarks[STEADY], np.float64).view(np.complex128)[:, 0]
    mean = np.ascontiguousarray(TEMPLATE).view(np.complex128)[:, 0]
    spread = mean - mean.mean()
    # Complex numbers multiply as similarities turn and scale: one least squares for both.
    scale = np.vdot(spread, found - found.mean()) / np.vdot(spread, spread)
    if abs(scale) < 1e-6:
        raise InputError("the 68 landmarks of a face lie at one place; find them again")
    middle = found.mean() + scale * (0.5 + 0.5j - mean.mean())
    return Placement(
        x=float(middle.real), y=float(middle.imag), side_px=float(abs(scale)),
        roll=float(np.angle(scale)),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """A face of a picture."""

    box: Box
    landmarks: np.ndarray  # float64 (68, 2), x, y in pixels, in the usual order of 68
    score: float  # the detector's; from about 0 (barely) to 3

    @property
    def placement(self) -> Placement:
        """The placement by the landmarks of this picture alone."""
        return place(self.landmarks)


def eyes_apart(landmarks: np.ndarray) -> float:
    """Measure the distance of both eyes' middles, of 68 landmarks (68, 2), in their unit."""
    gap = landmarks[LEFT_EYE].mean(axis=0) - landmarks[RIGHT_EYE].mean(axis=0)
    return float(np.hypot(*gap))


def misfit(landmarks: np.ndarray) -> float:
    """Measure how far the steady landmarks lie from a mean face's, in distances of its eyes.

    Root mean square after the best placement: 0.05 to 0.1 for faces seen from the front, up to 0.2
    half from the side.
    """
    away = place(landmarks).to_square(landmarks[STEADY]) - TEMPLATE
    return float(np.sqrt((away**2).sum(axis=1).mean()) / EYES_APART)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
