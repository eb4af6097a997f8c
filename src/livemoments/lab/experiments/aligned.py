"""Read images of a benchmark's set as experiments take them: aligned, one at a time."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.align.alignment import align
from livemoments.align.estimators import FlowEstimator
from livemoments.imaging.pixels import as_float, enlarge, resize
from livemoments.lab.benchmark.manifest import SetImage, read_picture
from livemoments.lab.training.compact.restorer import Views


@dataclass(frozen=True, kw_only=True)
class AlignedImage:
    """An image of a set. Pictures are float32 RGB in [0, 1]."""

    name: str
    small: np.ndarray  # h x w x 3: the frame as the clip has it
    size: tuple[int, int]  # (height, width) of the picture that is wanted
    views: Views  # of what alignment found to be the frame's view at the key photo's density
    reason: str = ""  # why there is no usable alignment: then the views' confidence is 0

    def fit(self, picture: np.ndarray) -> np.ndarray:
        """Bring a restored picture of the views' size to the size that is wanted, clipped."""
        height, width = self.size
        return np.clip(resize(picture, height, width), 0, 1)


def read_aligned(folder: Path, image: SetImage) -> AlignedImage:
    """Read one image of a set in a folder, and align it.

    Raises:
        MissingFileError: a picture is not there.
        DamagedFileError: a picture cannot be decoded.
    """
    small, key_photo = (
        as_float(read_picture(folder / image.name / f"{name}.png")) for name in ("frame", "key")
    )
    views = _unaligned(small, key_photo, *image.size)
    found = AlignedImage(name=image.name, small=small, size=image.size, views=views)
    return realigned(found)


def realigned(image: AlignedImage, estimator: FlowEstimator | None = None) -> AlignedImage:
    """Align the image anew, with a flow that begins with this estimator; None: the usual one."""
    views = image.views
    found = align(image.small, views.key_photo, estimator=estimator)
    flow, confidence = found.flow_frame_to_key, found.confidence
    if flow is None or confidence is None:
        views = _unaligned(image.small, views.key_photo, *image.size)
        return replace(image, views=views, reason=found.reason or "no alignment was found")
    frame = enlarge(image.small, *flow.shape[:2])
    views = replace(views, frame=frame, flow=flow, confidence=confidence)
    return replace(image, views=views, reason="")


def _unaligned(small: np.ndarray, key_photo: np.ndarray, height: int, width: int) -> Views:
    """Put together a frame and a key photo of which nothing more is known."""
    return Views(
        frame=enlarge(small, height, width),
        key_photo=key_photo,
        flow=np.zeros((height, width, 2), np.float32),
        confidence=np.zeros((height, width), np.float32),
    )
