"""Find the faces of a picture, or the face near a place where one is expected.

The detector sees faces of 80 pixels and more, so a picture is enlarged or reduced until the
smallest face that is asked for has that size. Landmarks are whole pixels to dlib; they are sought
in a window in which every face is equally large, which makes them finer and steadier.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.errors import ConfigError, InputError
from livemoments.faces.face import Box, Face, Placement, misfit, place
from livemoments.faces.models import FaceModels

DETECTOR_PX = 80  # height of the smallest face that the detector sees
SMALLEST_PX = 48
# Pixels that are searched at most: 3 s on two cores. Larger pictures are reduced, and their
# smallest face is larger by as much.
MOST_PIXELS = 8_000_000
CERTAIN, FOLLOWED = 0.0, -0.4  # lowest score of a face anywhere, and where one is expected
WINDOW_FACE_PX = 160  # of a face in the window in which its landmarks are sought
WINDOW_SIDE = 2.6  # of that window, in sides of the expected box
SAME_PLACE = 0.3  # share of both boxes from which a face is the expected one
INSIDE = 0.7  # of a face's box that must be within the picture
MISFIT = 0.2  # beyond, landmarks are of no face or of one from the side
# Landmarks depend on the box they begin with, and the detector's come in steps of a fifth. So a
# first guess gives the box that they are sought in again; the mean over these shifts and sizes of
# it, in shares of its side, is steadier still. Both together halve how much landmarks tremble.
STARTS = (
    (0.0, 0.0, 1.0),
    (0.04, 0.0, 1.0),
    (-0.04, 0.0, 1.0),
    (0.0, 0.04, 1.04),
    (0.0, -0.04, 0.96),
)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A detection that is not a face, and why."""

    box: Box
    reason: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """The result of a search of a whole picture."""

    faces: tuple[Face, ...]  # the largest first
    skipped: tuple[Skipped, ...]
    smallest_px: float  # the height from which faces could be found in this picture


class FaceFinder:
    """Finds faces with dlib's models."""

    def __init__(self, models: FaceModels | None = None, smallest_px: int = SMALLEST_PX) -> None:
        """Choose how small faces may be.

        Args:
            models: of dlib; None: those of the installed package.
            smallest_px: height of the smallest face, from the brows to the chin.

        Raises:
            ConfigError: smallest_px is below 20: there is nothing to see in such a face.
            MissingExtraError: dlib or its models are not installed.
        """
        if smallest_px < 20:
            raise ConfigError(f"smallest_px must be at least 20, got {smallest_px}")
        self.smallest_px = smallest_px
        self._models = models or FaceModels()

    def find(self, picture: np.ndarray) -> Found:
        """Find all faces of an upright RGB picture, uint8 H x W x 3.

        Raises:
            InputError: it is not such a picture.
        """
        check_picture(picture)
        height, width = picture.shape[:2]
        wanted = 1.05 * DETECTOR_PX / self.smallest_px
        scale = min(wanted, (MOST_PIXELS / (height * width)) ** 0.5)
        boxes = self._detect(_resized(picture, scale), scale, CERTAIN)
        judged = [self._judge(picture, box, score) for box, score in boxes]
        faces = [each for each in judged if isinstance(each, Face)]
        return Found(
            faces=tuple(sorted(faces, key=lambda face: -face.box.area)),
            skipped=tuple(each for each in judged if isinstance(each, Skipped)),
            smallest_px=1.05 * DETECTOR_PX / scale,
        )

    def find_near(self, picture: np.ndarray, expected: Box) -> Face | None:
        """Find the face near where one is expected; None where there is none.

        That is far quicker than a search of the whole picture, and accepts lower scores: a face
        that was there a moment ago is likely there.

        Args:
            picture: upright RGB, uint8 H x W x 3.
            expected: where; a face must share at least 0.3 of both areas with it.
        """
        check_picture(picture)
        window = _window(expected, picture.shape)
        part = picture[window.top : window.bottom, window.left : window.right]
        if min(part.shape[:2]) < 8:
            return None
        scale = 1.4 * DETECTOR_PX / expected.height
        boxes = self._detect(_resized(part, scale), scale, FOLLOWED)
        near = [(box.moved(window.left, window.top), score) for box, score in boxes]
        near = [each for each in near if each[0].shared(expected) >= SAME_PLACE]
        if not near:
            return None
        best = max(near, key=lambda each: each[0].shared(expected) + 0.2 * each[1])
        judged = self._judge(picture, *best)
        return judged if isinstance(judged, Face) else None

    def landmarks(self, picture: np.ndarray, box: Box) -> np.ndarray:
        """Find the landmarks (68, 2) of the face in a box, as x, y in pixels of the picture."""
        guess = self._points(picture, box, STARTS[:1])
        return self._points(picture, place(guess).box, STARTS)

    def landmarks_of_canonical(self, face: np.ndarray) -> np.ndarray:
        """Find the landmarks (68, 2) of a canonical face, RGB uint8, square, in its pixels."""
        check_picture(face)
        return self._points(face, Placement.of_canonical(face.shape[0]).box, STARTS)

    def _points(
        self, picture: np.ndarray, box: Box, starts: tuple[tuple[float, float, float], ...]
    ) -> np.ndarray:
        """Average the landmarks that are sought from several boxes around one."""
        window = _window(box, picture.shape)
        part = picture[window.top : window.bottom, window.left : window.right]
        scale = WINDOW_FACE_PX / max(box.height, 1)
        part = _resized(part, scale)
        dlib = self._models.dlib
        found = []
        for dx, dy, size in starts:
            half = scale * box.height * size / 2
            x = ((box.left + box.right) / 2 + dx * box.width - window.left) * scale
            y = ((box.top + box.bottom) / 2 + dy * box.height - window.top) * scale
            start = dlib.rectangle(*(round(at) for at in (x - half, y - half, x + half, y + half)))
            with self._models.lock:
                shape = self._models.outline(part, start)
            found.append([(point.x, point.y) for point in shape.parts()])
        # Pixel centres: (x + 0.5) / scale - 0.5, in the window and then in the picture.
        middle = (np.mean(found, axis=0) + 0.5) / scale - 0.5
        return middle + (window.left, window.top)

    def _judge(self, picture: np.ndarray, box: Box, score: float) -> Face | Skipped:
        """Make a face with landmarks of a detection, or say why it is none."""
        height, width = picture.shape[:2]
        within = Box(
            left=max(box.left, 0), top=max(box.top, 0),
            right=min(box.right, width), bottom=min(box.bottom, height),
        )  # fmt: skip
        if within.area < INSIDE * box.area:
            return Skipped(box=box, reason="cut off by the picture's border")
        landmarks = self.landmarks(picture, box)
        if misfit(landmarks) > MISFIT:
            return Skipped(box=box, reason="seen too much from the side, or no face")
        return Face(box=box, landmarks=landmarks, score=score)

    def _detect(self, picture: np.ndarray, scale: float, lowest: float) -> list[tuple[Box, float]]:
        """Detect faces in a picture that was enlarged by scale; boxes before that, with scores."""
        with self._models.lock:
            boxes, scores, _ = self._models.detector.run(picture, 0, lowest)
        return [
            (
                Box(
                    left=round(box.left() / scale), top=round(box.top() / scale),
                    right=round((box.right() + 1) / scale),
                    bottom=round((box.bottom() + 1) / scale),
                ),
                float(score),
            )
            for box, score in zip(boxes, scores, strict=True)
        ]  # fmt: skip


def check_picture(picture: np.ndarray) -> None:
    """Raise InputError unless it is an RGB picture of uint8 H x W x 3."""
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise InputError(f"a picture is an array of shape {picture.shape}; give H x W x 3, RGB")
    if picture.dtype != np.uint8:
        raise InputError(f"a picture holds {picture.dtype}; give uint8 from 0 to 255")


def _resized(picture: np.ndarray, scale: float) -> np.ndarray:
    """Scale a picture's sides; contiguous."""
    if scale == 1:
        return np.ascontiguousarray(picture)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    height, width = picture.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return cv2.resize(np.ascontiguousarray(picture), size, interpolation=method)


def _window(box: Box, shape: tuple[int, ...]) -> Box:
    """Return the surroundings of a box, within the picture."""
    half = round(WINDOW_SIDE * max(box.width, box.height) / 2)
    x, y = (box.left + box.right) // 2, (box.top + box.bottom) // 2
    return Box(
        left=max(x - half, 0), top=max(y - half, 0),
        right=min(x + half, shape[1]), bottom=min(y + half, shape[0]),
    )  # fmt: skip
