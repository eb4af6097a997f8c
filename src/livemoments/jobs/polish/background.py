"""Restore the background of a clip's frames, around its faces, by the main model and the key photo.

Frame by frame, each for itself: sharper, and slow; where a frame cannot be aligned with the key
photo, detail from it comes and goes. So this is an option, and not the default.
"""

import time
from collections.abc import Sequence

import cv2
import numpy as np

from livemoments.faces.crops import soft_mask
from livemoments.faces.polish import FaceChange
from livemoments.imaging.pixels import reduce
from livemoments.progress import Progress
from livemoments.restoration.config import RestoreConfig, load_model
from livemoments.restoration.moment import restore_frame

STAGE = "restoring the rest"


class BackgroundRestorer:
    """The main model, set up for one clip."""

    def __init__(
        self,
        key_photo: np.ndarray,
        size: tuple[int, int],
        *,
        scale: int = 1,
        count: int = 1,
        seed: int = 0,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Load the model, and reduce the key photo to the size of the result.

        Args:
            key_photo: upright RGB, uint8.
            size: width and height of the result.
            scale: by how much frames were enlarged to that.
            count: of the frames to come.
            seed: of the model's noise.
            threads: of the model; 0: one per core.
            progress: called after every frame; the stage's name has an estimate from the second on.

        Raises:
            WeightsError: the model's weights cannot be used.
        """
        self._config = RestoreConfig(look="frame", hdr=False, seed=seed, threads=threads)
        self._model = load_model(self._config)
        self._scale, self._count, self._progress = scale, count, progress
        self._done, self._stage = 0, STAGE
        # A result of more pixels would only be reduced again.
        share = max(size) / max(key_photo.shape[:2])
        self._key_photo = reduce(key_photo, share) if share < 1 else key_photo

    def restore(self, frame: np.ndarray) -> np.ndarray:
        """Restore a frame that is enlarged already: float32 RGB in [0, 1], of its size."""
        began_s = time.perf_counter()
        height, width = frame.shape[:2]
        small = reduce(frame, 1 / self._scale) if self._scale > 1 else frame
        image = restore_frame(small, self._key_photo, config=self._config, model=self._model).image
        if image.shape[:2] != (height, width):
            method = cv2.INTER_CUBIC if image.shape[0] < height else cv2.INTER_AREA
            image = np.clip(cv2.resize(image, (width, height), interpolation=method), 0, 1)
        self._report(time.perf_counter() - began_s)
        return image

    def _report(self, seconds: float) -> None:
        """Report the progress, and after the first frame how long all of them will take."""
        self._done += 1
        if self._done == 1:
            minutes = seconds * self._count / 60
            self._stage = f"{STAGE}, about {max(1, round(minutes))} min"
        if self._progress:
            self._progress(self._stage, self._done, self._count)


def around_faces(
    faces: np.ndarray, background: np.ndarray, changes: Sequence[FaceChange]
) -> np.ndarray:
    """Combine two pictures: faces of the one under their soft masks, elsewhere the other.

    Args:
        faces: float32 H x W x 3 with its faces restored.
        background: the same frame with the background restored.
        changes: of the faces, at their places in these pictures.
    """
    result = background.copy()
    height, width = background.shape[:2]
    for each in changes:
        box = each.placement
        reach = box.side_px  # more than half a turned square's diagonal
        left, right = (int(np.clip(box.x + side, 0, width)) for side in (-reach, reach + 1))
        top, bottom = (int(np.clip(box.y + side, 0, height)) for side in (-reach, reach + 1))
        if left >= right or top >= bottom:
            continue
        area = np.s_[top:bottom, left:right]
        weight = each.strength * soft_mask(each.placement, (left, top, right, bottom))[..., None]
        result[area] += weight * (faces[area] - result[area])
    return result
