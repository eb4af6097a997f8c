"""Estimate the dense flow from a poor small frame to a sharp large key photo of the same view.

Coarse, at half the clip's resolution, then at all of it on what remains: the second pass brought
misaligned lettering into place where the first alone did not. The estimator of the first can be
chosen; the second, of small motions in large pictures, is dense inverse search.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.align.estimators import DisFlow, FlowEstimator, equalised
from livemoments.align.flow import (
    compose,
    confidence,
    fill,
    forward_backward_error,
    inside,
    pixel_grid,
    sample,
)
from livemoments.imaging.pixels import grey

REFINE_SCALE = 2.0  # the second pass reads the key photo at this multiple of the frame's size
# Sigmas in pixels of the frame, on top of the softness of its clip's:
FRAME_SOFT_PX = 0.5  # removes noise and blocks before fractions of a pixel are sought
KEY_SOFT_PX = 0.6  # makes the key photo as soft: sharp against soft pulls towards strong edges
JUDGED_SOFT_PX = 0.33  # of the key photo when it is compared with the frame as it is
WINDOW_PX = 2.0  # in which they are compared
COARSE_SMOOTHNESS = 60.0  # of the first pass: 1 % more of real pictures is found, as exactly
FILL_PX = 3.0  # how far around the flow is taken from where it is not trusted


@dataclass(frozen=True, kw_only=True)
class DenseFlow:
    """Where each pixel of a frame lies in the key photo, and how sure that is."""

    flow_frame_to_key: np.ndarray  # float32 h x w x 2, pixels of a key photo resized to h x w
    confidence: np.ndarray  # float32 h x w in [0, 1]


def shrink(luma: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reduce a sharp luma plane to the softness of a clip's frame at height x width."""
    ratio = luma.shape[1] / width
    if ratio > 1:
        luma = cv2.GaussianBlur(luma, (0, 0), 0.4 * ratio)
    method = cv2.INTER_AREA if ratio > 1 else cv2.INTER_CUBIC
    return cv2.resize(luma, (width, height), interpolation=method)


def estimate_flow(
    frame: np.ndarray, key_photo: np.ndarray, estimator: FlowEstimator | None = None
) -> DenseFlow:
    """Estimate the flow frame -> key photo.

    frame is float32 h x w x 3 at the clip's resolution, key_photo float32 H x W x 3 showing about
    the same view (up to some 5 % of its width) at any size; or the luma alone of either. The result
    lies on the frame's grid.

    estimator (None: DisFlow) finds the coarse flow at the frame's size, and the flow back, by which
    the confidence is judged. The fine pass is always DisFlow's: RaftFlow would reduce pictures of
    that size, and lose the precision that the pass is there for.
    """
    estimator = estimator or DisFlow(smoothness=COARSE_SMOOTHNESS)
    frame_luma, key_luma = grey(frame), grey(key_photo)
    h, w = frame_luma.shape
    first, second = equalised(frame_luma), equalised(shrink(key_luma, h, w))
    coarse = estimator(first, second)
    round_trip_px = forward_backward_error(coarse, estimator(second, first))

    scale = float(np.clip(key_luma.shape[1] / w, 1.0, REFINE_SCALE))
    key_large = shrink(key_luma, round(h * scale), round(w * scale))
    key_matched = cv2.GaussianBlur(key_large, (0, 0), KEY_SOFT_PX * scale)
    key_judged = cv2.GaussianBlur(key_large, (0, 0), JUDGED_SOFT_PX * scale)
    rest = DisFlow(finest_scale=0)(
        equalised(cv2.GaussianBlur(frame_luma, (0, 0), FRAME_SOFT_PX)),
        equalised(_read_along(key_matched, coarse)),
    )
    flow = compose(rest, coarse)

    def trust(flow: np.ndarray) -> np.ndarray:
        warped, valid = _read_along(key_judged, flow), inside(flow, h, w)
        return confidence(frame_luma, warped, flow, round_trip_px, valid, WINDOW_PX)

    flow = fill(flow, trust(flow), FILL_PX)
    return DenseFlow(flow_frame_to_key=flow, confidence=trust(flow))


def _read_along(key_luma: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Read the key photo's luma (of any size) where the flow (h x w x 2) of the frame's grid leads.

    In a picture denser than the frame, reading between pixels blurs nothing.
    """
    h, w = flow.shape[:2]
    scale = np.array([key_luma.shape[1] / w, key_luma.shape[0] / h], np.float32)
    half = np.float32(0.5)
    return sample(key_luma, (pixel_grid(h, w) + flow + half) * scale - half)
