"""What a phone's video pipeline does to a sharp picture, as random but repeatable parameters.

The order is that of Real-ESRGAN (Wang et al., 2021) with one round instead of two, milder, as the
LiveMoments paper asks (section 4.1: "adjusted to better align the real-world degradations in mobile
photography"). Frame and key frame share one `Degradation` (paper, section 3.4.1).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """One draw of the parameters. Pixel lengths are of the truth unless they say 'small'."""

    scale: float  # truth side / clip side, 1.5 to 4.2
    blur_px: float  # optics and down-scaling, sigma
    motion_px: float  # length of the motion blur of the frame, 0 for none
    motion_angle: float  # radians
    noise: float  # standard deviation of sensor noise in the small picture, of 1
    denoise: float  # range sigma of the edge-preserving denoiser, 0 for none, of 1
    sharpen: float  # amount of the halo-making unsharp mask, 0 for none
    codec: str  # "jpeg", "h264" or "none"
    quality: int  # JPEG quality 40 to 90, or H.264 constant rate factor 20 to 34
    seed: int  # of the noise


def draw_degradation(rng: np.random.Generator) -> Degradation:
    """The `live-photo` preset: parameters drawn to look like the clips of real Live Photos."""
    scale = rng.uniform(1.8, 2.4) if rng.random() < 0.45 else rng.uniform(1.5, 4.2)
    codec = str(rng.choice(["jpeg", "h264", "none"], p=[0.45, 0.45, 0.10]))
    return Degradation(
        scale=scale,
        # In proportion to the scale: it is the small picture's softness that is alike between
        # phones.
        blur_px=scale * rng.uniform(0.12, 0.55),
        motion_px=rng.uniform(1, 3.2 * scale) if rng.random() < 0.4 else 0.0,
        motion_angle=rng.uniform(0, np.pi),
        noise=rng.uniform(0, 6) / 255,
        denoise=rng.uniform(5, 25) / 255 if rng.random() < 0.6 else 0.0,
        sharpen=rng.uniform(0.1, 0.9) if rng.random() < 0.45 else 0.0,
        codec=codec,
        quality=int(rng.integers(40, 91) if codec == "jpeg" else rng.integers(20, 35)),
        seed=int(rng.integers(1 << 30)),
    )


def motion_kernel(length_px: float, angle: float) -> np.ndarray:
    """A straight-line blur kernel (k x k, sums to 1), anti-aliased by a small Gaussian."""
    size = 2 * int(np.ceil(length_px / 2 + 1)) + 1
    kernel: np.ndarray = np.zeros((size, size), np.float32)
    centre = size // 2
    for t in np.linspace(-length_px / 2, length_px / 2, 8 * size):
        x, y = centre + t * np.cos(angle), centre + t * np.sin(angle)
        kernel[round(y), round(x)] += 1
    kernel = cv2.GaussianBlur(kernel, (0, 0), 0.5)
    return kernel / kernel.sum()


def compress_jpeg(small: np.ndarray, quality: int) -> np.ndarray:
    """Through JPEG and back; uint8 RGB h x w x 3."""
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cast(np.ndarray, cv2.imdecode(data, cv2.IMREAD_COLOR))
    return decoded[..., ::-1]


def compress_h264(small: np.ndarray, rate_factor: int, rng: np.random.Generator) -> np.ndarray:
    """Through H.264 and back as a moving clip's third picture; uint8 RGB h x w x 3, even sides.

    The first two pictures are the same one displaced by a few pixels, so that the last is predicted
    from them and carries what prediction leaves: smeared texture and blocks.
    """
    h, w = small.shape[:2]
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = w, h, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {
        "crf": str(rate_factor),
        "preset": "veryfast",
        "tune": "zerolatency",
        "threads": "1",
    }
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    step = rng.normal(0, 1.5, 2)
    decoded = []
    for back in (2, 1, 0):
        shift = np.array([[1, 0, step[0] * back], [0, 1, step[1] * back]], np.float32)
        picture = cv2.warpAffine(small, shift, (w, h), borderMode=cv2.BORDER_REFLECT_101)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture, np.uint8), format="rgb24")
        frame.pts = 2 - back
        for packet in encoder.encode(frame):
            decoded += decoder.decode(packet)
    for packet in encoder.encode(None):
        decoded += decoder.decode(packet)
    decoded += decoder.decode(None)
    return decoded[-1].to_ndarray(format="rgb24")


def degrade(truth: np.ndarray, how: Degradation, *, moving: bool = True) -> np.ndarray:
    """The clip's picture of a truth: float32 RGB H x W x 3 in [0, 1] -> h x w x 3.

    h is about H / scale, and even; so is w.
    moving says whether the motion blur applies: a frame is blurred, the key frame (a still moment)
    is not.
    """
    x = truth
    if moving and how.motion_px > 0:
        x = cv2.filter2D(x, -1, motion_kernel(how.motion_px, how.motion_angle))
    x = cv2.GaussianBlur(x, (0, 0), how.blur_px)
    h, w = (max(16, 2 * round(side / how.scale / 2)) for side in truth.shape[:2])
    x = cv2.resize(x, (w, h), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng([how.seed, int(moving)])
    # More noise in the dark parts after the tone curve; a third of it common to the three channels.
    strength = how.noise * (1.3 - 0.6 * x.mean(-1, keepdims=True))
    noise = rng.standard_normal(x.shape, np.float32) + 0.6 * rng.standard_normal(
        (h, w, 1), np.float32
    )
    x = np.clip(x + strength * noise, 0, 1).astype(np.float32)
    if how.denoise:
        x = cv2.bilateralFilter(x, 5, how.denoise, 3)
    if how.sharpen:
        x = x + how.sharpen * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
    small = np.clip(x * 255 + 0.5, 0, 255).astype(np.uint8)
    if how.codec == "jpeg":
        small = compress_jpeg(small, how.quality)
    elif how.codec == "h264":
        small = compress_h264(small, how.quality, rng)
    return np.ascontiguousarray(small, np.float32) / 255
