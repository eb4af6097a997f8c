"""Find the key photo's time by its content, where no metadata state it.

Still and frames are made small and grey, freed of tone (local mean and contrast removed), each
frame is laid on the still by a small shift, and their correlation measures how similar they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.still.still import Still

SIDE = 384  # longer side of the pictures compared, pixels
MAX_FRAMES = 600  # frames looked at; longer clips are looked at in even steps
BORDER = 0.06  # share of each side left out: what a shift may bring in
# Likeness lost by a shift of one picture side: among frames of one view, the least moved wins.
SHIFT_COST = 0.25


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which frame is most like the still."""

    index: int  # the frame
    time_s: float  # its time
    likeness: float  # correlation with the still, at most 1, less the cost of its shift
    scores: dict[int, float]  # likeness of every frame looked at, by index


def match_still(still: Still, clip: Clip) -> Match:
    """Find the frame most like the still, in one pass over the clip."""
    import cv2

    step = max(1, -(-len(clip.times_s) // MAX_FRAMES))
    target = _shape(still)
    reference = _tone_free(_grey(still.thumbnail(2 * SIDE).astype(np.float32) / 255, target))
    scores: dict[int, float] = {}
    window = _window(target)
    for frame in clip.previews(2 * SIDE, range(0, len(clip.times_s), step)):
        image = _tone_free(_grey(frame.image, target))
        # Copies, as OpenCV may multiply its arguments by the window in place.
        shift, _ = cv2.phaseCorrelate(reference.copy(), image.copy(), window)
        scores[frame.index] = _likeness(reference, image, shift)
    index = max(scores, key=lambda each: scores[each])
    return Match(index=index, time_s=clip.times_s[index], likeness=scores[index], scores=scores)


def _shape(still: Still) -> tuple[int, int]:
    """Width and height of the small pictures."""
    scale = SIDE / max(still.width, still.height)
    return max(16, round(still.width * scale)), max(16, round(still.height * scale))


def _window(size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.createHanningWindow(size, cv2.CV_32F)


def _grey(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Small grey picture, float32 (h, w), of RGB in [0, 1]."""
    import cv2

    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small @ np.array([0.299, 0.587, 0.114], np.float32)


def _tone_free(grey: np.ndarray) -> np.ndarray:
    """Remove local brightness and contrast: what is left is where things are."""
    import cv2

    detail = grey - cv2.GaussianBlur(grey, (0, 0), 8)
    contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 16))
    return detail / (contrast + 0.02)


def _likeness(reference: np.ndarray, image: np.ndarray, shift: Sequence[float]) -> float:
    """Correlation of the pictures' middles, the frame moved back by a shift in pixels.

    A shift beyond the border is not believed, and none is made.
    """
    import cv2

    height, width = reference.shape
    limit = BORDER * max(width, height)
    if max(abs(shift[0]), abs(shift[1])) > limit:
        shift = (0.0, 0.0)
    moved = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = cv2.warpAffine(image, moved, (width, height), flags=flags)
    # A strip of a picture keeps half of its short side.
    top, left = min(int(limit) + 1, height // 4), min(int(limit) + 1, width // 4)
    inner = (slice(top, height - top), slice(left, width - left))
    a, b = reference[inner].ravel(), aligned[inner].ravel()
    a, b = a - a.mean(), b - b.mean()
    likeness = float(a @ b / (np.sqrt((a @ a) * (b @ b)) + 1e-9))
    return likeness - SHIFT_COST * float(np.hypot(shift[0], shift[1])) / max(width, height)
