"""Clips spoilt as a whole, at the two strengths at which faces are measured.

Mild is what the pairs of real clips are made with (docs/evaluation.md), frame by frame: half the
size, slight blur and noise, a phone's smoothing, JPEG. Severe is a quarter of the size, with
stronger blur and noise, and the whole clip through H.264, which smooths over time as clips do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np

from livemoments.errors import InputError

ENCODER, DECODER = "libx264", "h264"
OPTIONS = {"preset": "veryfast", "threads": "1"}  # one thread: the same bytes every time
RATE = Fraction(30)  # frames a second, as far as the encoder is told


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How a clip is spoilt."""

    name: str
    factor: int  # how many times smaller
    blur_px: float  # of the truth
    noise: float  # standard deviation in grey levels of 255, of the small picture
    smoothing: bool = False  # bilateral, as phones do
    jpeg: int | None = None  # quality, frame by frame
    h264: int | None = None  # constant rate factor, the clip as a whole


MILD = Strength(name="mild", factor=2, blur_px=0.6, noise=3.0, smoothing=True, jpeg=60)
SEVERE = Strength(name="severe", factor=4, blur_px=2.5, noise=7.0, h264=24)
STRENGTHS = {each.name: each for each in (MILD, SEVERE)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Spoilt:
    """A spoilt clip."""

    frames: list[np.ndarray]  # small, RGB uint8
    bits_per_pixel: float | None  # of the small pictures, where a video codec was used


def multiple(strength: Strength) -> int:
    """What a truth's sides must be a multiple of: the small picture's are even, as video asks."""
    return 2 * strength.factor


def spoil(truths: Sequence[np.ndarray], strength: Strength, seed: int = 0) -> Spoilt:
    """A clip as a poor camera and encoder would have it.

    Args:
        truths: RGB uint8 H x W x 3, all of one size.
        strength: how.
        seed: of the noise; the same gives the same clip.

    Raises:
        InputError: there are no frames, or their sides are no multiples of what `multiple` says.
    """
    if not truths:
        raise InputError("no frames were given; a clip needs some")
    height, width = truths[0].shape[:2]
    if height % multiple(strength) or width % multiple(strength):
        raise InputError(
            f"frames of {width} x {height} pixels cannot be made {strength.factor} times smaller "
            f"with even sides; cut them to multiples of {multiple(strength)}"
        )
    rng = np.random.default_rng(seed)
    small = [_poor(truth, strength, rng) for truth in truths]
    if strength.jpeg is not None:
        small = [_through_jpeg(each, strength.jpeg) for each in small]
    if strength.h264 is None:
        return Spoilt(frames=small, bits_per_pixel=None)
    return _through_h264(small, strength.h264)


def enlarge(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame brought to a size by cubic interpolation, RGB uint8."""
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)


def _poor(truth: np.ndarray, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """A frame made small, with blur and noise, before it is compressed."""
    height, width = truth.shape[:2]
    size = (width // strength.factor, height // strength.factor)
    blurred = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), strength.blur_px)
    small = cv2.resize(blurred, size, interpolation=cv2.INTER_AREA)
    noisy = np.clip(small + rng.normal(0, strength.noise, small.shape), 0, 255).astype(np.uint8)
    return cv2.bilateralFilter(noisy, 5, 12, 3) if strength.smoothing else noisy


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cast(np.ndarray, cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])


def _through_h264(pictures: Sequence[np.ndarray], factor: int) -> Spoilt:
    """A clip encoded and decoded, with the bits that it took."""
    height, width = pictures[0].shape[:2]
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(ENCODER, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = 1 / RATE, RATE
    encoder.options = {**OPTIONS, "crf": str(factor)}
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(DECODER, "r"))
    decoder.thread_count = 1
    packets = []
    for at, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = at
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [picture for packet in packets for picture in decoder.decode(packet)]
    decoded += decoder.decode(None)
    bits = 8 * sum(packet.size for packet in packets)
    return Spoilt(
        frames=[frame.to_ndarray(format="rgb24") for frame in decoded],
        bits_per_pixel=bits / (height * width * len(pictures)),
    )
