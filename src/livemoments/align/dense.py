"""Dense flow from a poor small frame to a sharp large key photo of about the same view.

Coarse at the clip's own resolution, then once more at about twice that on what remains: the second
pass brought misaligned lettering into place where the first alone did not. The estimator of the
first can be chosen; the second, of small motions in large pictures, is dense inverse search.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from livemoments.align.estimators import DisFlow, FlowEstimator, equalised, grey
from livemoments.align.flow import (
    compose,
    confidence,
    fill,
    forward_backward_error,
    inside,
    resize_flow,
    warp,
)

REFINE_SCALE = 2.0  # the second pass runs at this multiple of the frame's own resolution


@dataclass(frozen=True, kw_only=True)
class DenseFlow:
    """Where each pixel of a frame lies in the key photo, and how sure that is."""

    flow_frame_to_key: np.ndarray  # float32 h x w x 2, pixels of a key photo reduced to h x w
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
    """Flow frame -> key photo.

    frame is float32 h x w x 3 at the clip's resolution, key_photo float32 H x W x 3 showing about
    the same view (up to some 5 % of its width) at any size. The result lies on a grid of at most
    twice the frame's size and never more than the key photo's.

    estimator (DisFlow where there is none) finds the coarse flow at the frame's size, and its
    way back, which the confidence is judged by. The fine pass is DisFlow's always: RaftFlow would
    reduce pictures of that size, and lose the precision that the pass is there for.
    """
    fine = DisFlow()
    estimator = estimator or fine
    frame_luma, key_luma = grey(frame), grey(key_photo)
    h, w = frame_luma.shape
    key_small = shrink(key_luma, h, w)
    first, second = equalised(frame_luma), equalised(key_small)
    coarse = estimator(first, second)
    round_trip_px = forward_backward_error(coarse, estimator(second, first))

    scale = float(np.clip(key_luma.shape[1] / w, 1.0, REFINE_SCALE))
    h2, w2 = round(h * scale), round(w * scale)
    frame_large = cv2.resize(frame_luma, (w2, h2), interpolation=cv2.INTER_CUBIC)
    # As soft as the enlarged frame: sharp against soft pulls the match towards strong edges.
    key_large = cv2.GaussianBlur(shrink(key_luma, h2, w2), (0, 0), 0.4 * scale)
    start = resize_flow(coarse, h2, w2)
    rest = fine(equalised(frame_large), equalised(warp(key_large, start)))
    flow = compose(rest, start)
    round_trip_px = cv2.resize(round_trip_px, (w2, h2), interpolation=cv2.INTER_LINEAR)

    def trust(flow: np.ndarray) -> np.ndarray:
        valid = inside(flow, h2, w2)
        return confidence(frame_large, warp(key_large, flow), flow, round_trip_px, valid)

    flow = fill(flow, trust(flow))
    return DenseFlow(flow_frame_to_key=flow, confidence=trust(flow))
