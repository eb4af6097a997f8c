"""Warp, compose, invert and resize dense flows, and say where they can be trusted.

A flow is float32, H x W x 2, in pixels (x, y) of its own grid. ``flow_a_to_b`` at pixel p of a
points at p + flow in b's view, so ``warp(b, flow_a_to_b)`` brings b into a's view. Pixel centres
are whole numbers.
"""

import cv2
import numpy as np

FIELD = np.float32


def pixel_grid(height: int, width: int) -> np.ndarray:
    """Return the positions (x, y) of every pixel, float32 H x W x 2."""
    grid = np.empty((height, width, 2), FIELD)
    grid[..., 0] = np.arange(width, dtype=FIELD)
    grid[..., 1] = np.arange(height, dtype=FIELD)[:, None]
    return grid


def sample(
    image: np.ndarray, positions: np.ndarray, interpolation: int = cv2.INTER_CUBIC
) -> np.ndarray:
    """Read an image (H x W [x C]) at positions (h x w x 2: x, y in its pixels); edges repeated."""
    # OpenCV's stubs leave out that positions in one array need no second.
    return cv2.remap(  # type: ignore[call-overload]
        np.ascontiguousarray(image), positions, None, interpolation, borderMode=cv2.BORDER_REPLICATE
    )


def warp(image: np.ndarray, flow: np.ndarray, interpolation: int = cv2.INTER_CUBIC) -> np.ndarray:
    """Bring an image into the view in which the flow (that view -> image) is defined."""
    return sample(image, pixel_grid(*flow.shape[:2]) + flow, interpolation)


def compose(flow_a_to_b: np.ndarray, flow_b_to_c: np.ndarray) -> np.ndarray:
    """Return flow_a_to_c: first a to b, then from there to c."""
    return flow_a_to_b + warp(flow_b_to_c, flow_a_to_b, cv2.INTER_LINEAR)


def invert(flow_a_to_b: np.ndarray, steps: int = 10) -> np.ndarray:
    """Compute flow_b_to_a on a grid of the same size, by fixed-point steps.

    Exact where the flow is smooth: each step multiplies what is still wrong by the flow's slope
    there, in pixels per pixel. Where that is 1 or more, as at the edges of things, two places land
    in one and there is no inverse; some position nearby is given.
    """
    grid = pixel_grid(*flow_a_to_b.shape[:2])
    inverse = -flow_a_to_b
    for _ in range(steps):
        inverse = -sample(flow_a_to_b, grid + inverse, cv2.INTER_LINEAR)
    return inverse


def resize_flow(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bring a flow to a grid of another size, in that grid's pixels."""
    h, w = flow.shape[:2]
    if (h, w) == (height, width):
        return flow
    scale = np.array([width / w, height / h], FIELD)
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale


def forward_backward_error(flow_a_to_b: np.ndarray, flow_b_to_a: np.ndarray) -> np.ndarray:
    """Measure how far from its start each pixel of a lands, going to b and back: H x W, pixels."""
    there_and_back = compose(flow_a_to_b, flow_b_to_a)
    return np.hypot(there_and_back[..., 0], there_and_back[..., 1])


def inside(flow: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mark (True, H x W) where the flow lands within a picture of that height and width."""
    at = pixel_grid(*flow.shape[:2]) + flow
    x, y = at[..., 0], at[..., 1]
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def photometric_agreement(
    frame: np.ndarray, warped: np.ndarray, sigma_px: float = 4.0
) -> np.ndarray:
    """Measure how far two grey pictures (float32 H x W in [0, 1]) agree locally, in [0, 1].

    The measure is 2 cov / (var + var) in a Gaussian window (the structure term of SSIM, with its
    contrast): a different level does not count, a somewhat different contrast hardly. Where both
    are plain they agree; a plain place does not agree with a textured one.
    """
    height, width = frame.shape
    step = max(1, int(sigma_px / 2))  # a wide window's means are smooth: fewer are enough

    def mean(x: np.ndarray) -> np.ndarray:
        if step > 1:
            size = (-(-width // step), -(-height // step))
            x = cv2.resize(x, size, interpolation=cv2.INTER_AREA)
        return cv2.GaussianBlur(x, (0, 0), sigma_px / step)

    m_f, m_w = mean(frame), mean(warped)
    var_f, var_w = mean(frame * frame) - m_f * m_f, mean(warped * warped) - m_w * m_w
    covariance = mean(frame * warped) - m_f * m_w
    flat = 2e-4  # about (3.6 / 255) ** 2: the noise and blocking of a compressed clip
    agreement = (2 * covariance + flat) / (np.maximum(var_f + var_w, 0) + flat)
    agreement = np.clip(agreement, 0, 1).astype(FIELD)
    return cv2.resize(agreement, (width, height), interpolation=cv2.INTER_LINEAR)


def deformation(flow: np.ndarray, sigma_px: float = 1.0) -> np.ndarray:
    """Measure how much the flow stretches or shears, float32 H x W, pixels per pixel.

    Real motion is stiff within things; a flow that swirls was made up in a region without texture.
    The flow is blurred by sigma_px first.
    """
    smooth = cv2.GaussianBlur(flow, (0, 0), sigma_px)
    slopes = [
        cv2.Scharr(smooth[..., i], cv2.CV_32F, *d) / 32 for i in (0, 1) for d in ((1, 0), (0, 1))
    ]
    return cv2.magnitude(cv2.magnitude(*slopes[:2]), cv2.magnitude(*slopes[2:]))


def confidence(
    frame: np.ndarray,
    warped: np.ndarray,
    flow: np.ndarray,
    round_trip_px: np.ndarray,
    valid: np.ndarray,
    window_px: float = 4.0,
) -> np.ndarray:
    """Measure how far a flow can be trusted, float32 H x W in [0, 1].

    frame and warped are grey (H x W in [0, 1]), round_trip_px is the forward-backward error, valid
    says where the flow lands inside the other picture, and window_px is the sigma of the window in
    which the pictures are compared; the other windows are in proportion. The result is the product
    of all the evidence: one veto is enough.
    """
    consistent = np.exp(-np.square(round_trip_px / 1.5)).astype(FIELD)
    slope = cv2.GaussianBlur(deformation(flow, window_px / 4), (0, 0), 0.75 * window_px)
    stiff = np.exp(-np.square(slope / 0.3)).astype(FIELD)
    trust = consistent * stiff * photometric_agreement(frame, warped, window_px) * valid
    return cv2.GaussianBlur(trust.astype(FIELD), (0, 0), window_px / 4)


def fill(flow: np.ndarray, trust: np.ndarray, sigma_px: float = 6.0) -> np.ndarray:
    """Replace the flow where trust (H x W in [0, 1]) is low by that of trusted neighbours.

    Normalised convolution (Knutsson and Westin, 1993). Without it, a flow that swirls in a plain
    dark region draws its swirls into the warped picture.
    """
    weight = (trust + 1e-3)[..., None]
    total = cv2.GaussianBlur(flow * weight, (0, 0), sigma_px)
    smooth = total / cv2.GaussianBlur(weight, (0, 0), sigma_px)[..., None]
    keep = np.clip(2 * trust, 0, 1)[..., None]
    return keep * flow + (1 - keep) * smooth
