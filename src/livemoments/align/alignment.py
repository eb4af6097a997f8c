"""Find where each pixel of the restored frame lies in the key photo."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from livemoments.align.dense import REFINE_SCALE, estimate_flow
from livemoments.align.estimators import FlowEstimator
from livemoments.align.flow import inside, pixel_grid
from livemoments.align.registration import Registration, register, scaling
from livemoments.imaging.pixels import as_float, fit_side, grey

MIN_AGREEMENT = 0.3  # of the registered views: below, the key photo shows something else
MIN_TRUSTED = 0.08  # share of the picture whose flow must be confident for a reference to be of use
SAME_VIEW = 0.1  # relative difference of scale up to which frame and key photo show the same view
SAME_SHAPE = 0.015  # likewise of width to height: 1080 x 808 is a 4:3 picture rounded


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The frame's view at the key photo's density, and the key photo's place in it."""

    height: int  # of the output
    width: int
    enlarged: float  # pixels of the output for one of the frame, a side
    registration: Registration
    flow_frame_to_key: np.ndarray | None = None  # float32 H x W x 2, pixels; None: no reference
    confidence: np.ndarray | None = None  # float32 H x W in [0, 1]
    reason: str | None = None  # why there is no reference


def output_size(
    frame: tuple[int, int], key: tuple[int, int], homography: np.ndarray
) -> tuple[int, int]:
    """Return the (height, width) of the frame's view at the key photo's pixel density.

    frame and key are (height, width), and homography leads from the one to the other. The result is
    the key photo's own size where both show about the same view, or the frame less of it; it is
    never smaller than the frame.
    """
    same = scaling(frame, key)
    corners = np.array(
        [[[0, 0]], [[frame[1], 0]], [[frame[1], frame[0]]], [[0, frame[0]]]], np.float64
    )
    density = np.sqrt(
        cv2.contourArea(cv2.perspectiveTransform(corners, homography).astype(np.float32))
        / (frame[0] * frame[1])
    )
    # A clip of another shape is a cut of the key photo's view.
    nominal = min(same[0, 0], same[1, 1])
    same_shape = abs(same[0, 0] / same[1, 1] - 1) < SAME_SHAPE
    if not density / nominal < 4:  # a registration gone astray must not ask for a huge picture
        density = nominal
    if same_shape and density / nominal - 1 < SAME_VIEW and nominal >= 1:
        return key
    density = max(density, nominal, 1.0)
    return round(frame[0] * density), round(frame[1] * density)


def align(
    frame: np.ndarray,
    key_photo: np.ndarray,
    *,
    key_frame: np.ndarray | None = None,
    key_transform: np.ndarray | None = None,
    estimator: FlowEstimator | None = None,
) -> Alignment:
    """Find the key photo in the view of the frame.

    The frame is float32 RGB h x w x 3, the key photo uint8 or float32 RGB H x W x 3.
    key_frame and key_transform, where the file has one, are the clip's picture at the key photo's
    time and the homography of its pixels to the key photo's. The pictures need not be of one tone.
    """
    size, key_size = frame.shape[:2], key_photo.shape[:2]
    luma = grey(frame)
    reduced = _reduced_luma(key_photo, REFINE_SCALE * max(size))
    to_key = scaling(reduced.shape, key_size)
    found = register(
        luma,
        reduced,
        key_frame=key_frame,
        key_transform=None if key_transform is None else np.linalg.inv(to_key) @ key_transform,
    )
    agrees = found.agreement >= MIN_AGREEMENT
    to_key_photo = to_key @ found.homography if agrees else scaling(size, key_size)
    height, width = output_size(size, key_size, to_key_photo)
    alone = Alignment(height=height, width=width, enlarged=width / size[1], registration=found)
    if not agrees:
        reason = (
            f"the key photo does not show this moment's view (agreement {found.agreement:.2f}, "
            f"at least {MIN_AGREEMENT} needed)"
        )
        return replace(alone, reason=reason)
    positions, trust = _locate(luma, reduced, found.homography, to_key, width, estimator)
    trust[~inside(positions - pixel_grid(*trust.shape), *key_size)] = 0
    trusted = float((trust > 0.5).mean())
    if trusted < MIN_TRUSTED:
        reason = (
            f"hardly any of the key photo is found in this moment ({trusted:.0%} of the picture)"
        )
        return replace(alone, reason=reason)
    # As a displacement from the same pixel of the output, which varies slowly enough to be
    # enlarged.
    start = _project(scaling(trust.shape, (height, width)), pixel_grid(*trust.shape))
    flow = cv2.resize(positions - start, (width, height), interpolation=cv2.INTER_LINEAR)
    confidence = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    return replace(alone, flow_frame_to_key=flow, confidence=confidence)


def _locate(
    frame: np.ndarray,
    reduced: np.ndarray,
    homography: np.ndarray,
    to_key: np.ndarray,
    width: int,
    estimator: FlowEstimator | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find where the frame's pixels lie in the key photo.

    Frame and reduced key photo are luma, homography is that between them, to_key that of the
    reduced one to the key photo, width that of the output. Returns positions (h x w x 2, pixels of
    the key photo) and the confidence in them (h x w).
    """
    h, w = frame.shape
    scale = min(REFINE_SCALE, max(1.0, width / w))
    grid = (round(h * scale), round(w * scale))
    registered = cv2.warpPerspective(
        reduced,
        homography @ scaling(grid, (h, w)),
        grid[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    dense = estimate_flow(frame, registered, estimator)
    there = pixel_grid(h, w) + dense.flow_frame_to_key
    return _project(to_key @ homography, there), dense.confidence


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (H x W x 2) by a 3 x 3."""
    return cv2.perspectiveTransform(points, np.asarray(homography, np.float64)).astype(np.float32)


def _reduced_luma(key_photo: np.ndarray, side_px: float) -> np.ndarray:
    """Return the key photo's luma, float32 in [0, 1], its longer side at most side_px."""
    key_photo = fit_side(key_photo, side_px)
    luma = np.empty(key_photo.shape[:2], np.float32)
    for top in range(0, len(luma), 256):  # in strips: three colours in float32 are large
        luma[top : top + 256] = grey(as_float(key_photo[top : top + 256]))
    return luma
