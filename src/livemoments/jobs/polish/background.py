"""The rest of a clip's frames, besides its faces, restored by the main model with the key photo.

Frame by frame, each for itself: sharper, and slow; where a frame cannot be aligned with the key
photo, what comes from it comes and goes. So this is an option, and not what a clip gets unasked.
"""

import time
from collections.abc import Sequence

import cv2
import numpy as np

from livemoments.faces.crops import soft_mask
from livemoments.faces.polish import FaceChange
from livemoments.progress import Progress
from livemoments.restoration.config import RestoreConfig, load_model
from livemoments.restoration.moment import restore_frame

STAGE = "restoring the rest"


class RestRestorer:
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
        """Load the model, and reduce the key photo to the size of what is written.

        Args:
            key_photo: Upright RGB, uint8.
            size: Width and height of what is written.
            scale: By how much frames were enlarged to that.
            count: Of the frames to come.
            seed: Of the model's noise.
            threads: Of the model; 0: one per core.
            progress: Told of every frame; the stage's name has an estimate from the second on.

        Raises:
            WeightsError: The model's weights cannot be used.
        """
        self._config = RestoreConfig(look="frame", hdr=False, seed=seed, threads=threads)
        self._model = load_model(self._config)
        self._scale, self._count, self._progress = scale, count, progress
        self._done, self._stage = 0, STAGE
        height, width = key_photo.shape[:2]
        share = max(size) / max(width, height)
        if share < 1:  # a result of more pixels would only be reduced again
            smaller = (max(16, round(width * share)), max(16, round(height * share)))
            key_photo = cv2.resize(key_photo, smaller, interpolation=cv2.INTER_AREA)
        self._key_photo = key_photo

    def restore(self, frame: np.ndarray) -> np.ndarray:
        """A frame, enlarged already, restored: float32 RGB in [0, 1], of its size."""
        began_s = time.perf_counter()
        height, width = frame.shape[:2]
        small = frame
        if self._scale > 1:
            size = (width // self._scale, height // self._scale)
            small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        image = restore_frame(small, self._key_photo, config=self._config, model=self._model).image
        if image.shape[:2] != (height, width):
            grows = image.shape[0] < height
            method = cv2.INTER_CUBIC if grows else cv2.INTER_AREA
            image = np.clip(cv2.resize(image, (width, height), interpolation=method), 0, 1)
        self._tell(time.perf_counter() - began_s)
        return image

    def _tell(self, seconds: float) -> None:
        """Say how far it is, and after the first frame how long all of them will take."""
        self._done += 1
        if self._done == 1:
            minutes = seconds * self._count / 60
            self._stage = f"{STAGE}, about {max(1, round(minutes))} min"
        if self._progress:
            self._progress(self._stage, self._done, self._count)


def around_faces(faces: np.ndarray, rest: np.ndarray, changes: Sequence[FaceChange]) -> np.ndarray:
    """One picture's restored faces in the other: `rest` everywhere but under their soft masks.

    Args:
        faces: float32 H x W x 3 with its faces restored.
        rest: The same frame with the rest restored.
        changes: Of the faces, at their places in these pictures.
    """
    result = rest.copy()
    height, width = rest.shape[:2]
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
