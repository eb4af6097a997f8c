"""Bring a reference to a frame with FlowRefiner, for RestorationNet: of tiles and of faces.

`lab.training.compact.aligning` does the same with gradients. N x M pixels, n x m = N/4 x M/4 latent
cells; arrays for the networks have a batch of one in front.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from livemoments.align.flow import pixel_grid, sample
from livemoments.models.codec import FOLD

if TYPE_CHECKING:
    import onnxruntime

FLOW_SMOOTH_PX = 2.0  # sigma; motion changes over more pixels than this
MAPS = ("feature_4", "feature_8", "feature_16")  # ReferenceNet's outputs


@dataclass(frozen=True, kw_only=True)
class AlignedReference:
    """A reference brought to a frame."""

    reference: np.ndarray  # 1 x 3 x N x M; the frame itself where it is not trusted
    motion: np.ndarray  # 1 x 3 x n x m: its displacement towards the frame in px, trust in [0, 1]
    used: np.ndarray  # N x M in [0, 1]: how far it is let in


def align_reference(
    refiner: "onnxruntime.InferenceSession",
    frame: np.ndarray,
    key: np.ndarray,
    positions: np.ndarray,
    confidence: np.ndarray,
) -> AlignedReference:
    """Refine the positions of the frame's pixels in the key photo, and read it there.

    Args:
        refiner: FlowRefiner.
        frame: 1 x 3 x N x M, float32 in [0, 1], sides multiples of 64.
        key: the key photo or a crop of it, any size, float32 H x W x 3.
        positions: N x M x 2: each pixel's x, y in key.
        confidence: N x M in [0, 1], of those positions.
    """
    height, width = frame.shape[2:]
    grid = pixel_grid(height, width)
    # An estimator's noise, from pixel to pixel, would scramble what is copied.
    positions = grid + cv2.GaussianBlur(positions - grid, (0, 0), FLOW_SMOOTH_PX)
    warped = planes(sample(key, positions))
    feed = {"frame": frame, "warped": warped, "confidence": confidence[None, None]}
    refined = refiner.run(["refined"], feed)[0]
    delta = refined[0, :2].transpose(1, 2, 0)
    positions = positions + cv2.resize(delta, (width, height), interpolation=cv2.INTER_LINEAR)
    reference = planes(np.clip(sample(key, positions), 0, 1))
    trust = 1 / (1 + np.exp(-np.clip(refined[:, 2:], -30, 30)))
    # Where the reference is not trusted, the frame stands in its place: what RestorationNet
    # makes of it is then what it makes of no reference at all.
    used = cv2.resize(opening(trust[0, 0]), (width, height), interpolation=cv2.INTER_LINEAR)
    reference = frame + used * (reference - frame)
    flow = positions - grid
    cells = cv2.resize(flow, (width // FOLD, height // FOLD), interpolation=cv2.INTER_AREA)
    towards_frame = (cells.mean((0, 1)) - cells).transpose(2, 0, 1)[None]
    motion = np.concatenate([towards_frame.astype(np.float32), trust], 1)
    return AlignedReference(reference=reference, motion=motion, used=used)


def no_reference(frame: np.ndarray) -> AlignedReference:
    """Stand the frame (1 x 3 x N x M) in for a reference that is not trusted: as in training."""
    height, width = frame.shape[2:]
    return AlignedReference(
        reference=frame,
        motion=np.zeros((1, 3, height // FOLD, width // FOLD), np.float32),
        used=np.zeros((height, width), np.float32),
    )


def reference_features(
    network: "onnxruntime.InferenceSession", aligned: AlignedReference
) -> dict[str, np.ndarray]:
    """Compute ReferenceNet's features by their names; once per frame, whatever the steps."""
    confidence = aligned.motion[:, 2:].repeat(FOLD, 2).repeat(FOLD, 3)
    given = {"reference": aligned.reference, "confidence": confidence}
    return dict(zip(MAPS, network.run(list(MAPS), given), strict=True))


def opening(trust: np.ndarray) -> np.ndarray:
    """Say how far the reference is let in for a trust in [0, 1]: as networks.blocks.opening."""
    return 1 - (1 - trust) ** 4


def planes(image: np.ndarray) -> np.ndarray:
    """Turn H x W x 3 into 1 x 3 x H x W."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)
