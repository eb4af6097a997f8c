"""Degrade whole clips at the two strengths at which faces are measured.

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
from livemoments.lab.training.data.codec import compress_jpeg

ENCODER, DECODER = "libx264", "h264"
# x264's assembly reads beyond pictures whose sides are no multiples of 16, and its lookahead then
# decides by what happens to lie there; its C code gives the same bytes every time.
OPTIONS = {"preset": "veryfast", "threads": "1", "x264-params": "asm=0"}
RATE = Fraction(30)  # frames a second, for the encoder


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The strength of a degradation."""

    name: str
    factor: int  # how many times smaller
    blur_px: float  # of the truth
    noise: float  # standard deviation in grey levels of 255, of the small picture
    smoothing: bool = False  # bilateral, as phones do
    jpeg: int | None = None  # quality, frame by frame
    h264: int | None = None  # constant rate factor, the clip as a whole

    @property
    def multiple_px(self) -> int:
        """What a truth's sides must be multiples of: video needs even sides when they are small."""
        return 2 * self.factor


MILD = Strength(name="mild", factor=2, blur_px=0.6, noise=3.0, smoothing=True, jpeg=60)
SEVERE = Strength(name="severe", factor=4, blur_px=2.5, noise=7.0, h264=24)
STRENGTHS = {each.name: each for each in (MILD, SEVERE)}


@dataclass(frozen=True, kw_only=True, eq=False)
class DegradedFrames:
    """The small pictures of a degraded clip."""

    frames: list[np.ndarray]  # RGB uint8
    bits_per_pixel: float | None = None  # of the small pictures, where a video codec was used


def degrade(truths: Sequence[np.ndarray], strength: Strength, seed: int = 0) -> DegradedFrames:
    """Make of a clip what a poor camera and encoder would have stored.

    Args:
        truths: RGB uint8 H x W x 3, all of one size.
        strength: how much.
        seed: of the noise; the same seed gives the same clip.

    Raises:
        InputError: there are no frames, or their sides are not multiples of strength.multiple_px.
    """
    if not truths:
        raise InputError("no frames were given; a clip needs some")
    height, width = truths[0].shape[:2]
    if height % strength.multiple_px or width % strength.multiple_px:
        raise InputError(
            f"frames of {width} x {height} pixels cannot be made {strength.factor} times smaller "
            f"with even sides; cut them to multiples of {strength.multiple_px}"
        )
    rng = np.random.default_rng(seed)
    small = [_reduced(truth, strength, rng) for truth in truths]
    if strength.jpeg is not None:
        small = [np.ascontiguousarray(compress_jpeg(each, strength.jpeg)) for each in small]
    if strength.h264 is None:
        return DegradedFrames(frames=small)
    return _through_h264(small, strength.h264)


def _reduced(truth: np.ndarray, strength: Strength, rng: np.random.Generator) -> np.ndarray:
    """Make a frame small, with blur and noise, before it is compressed."""
    height, width = truth.shape[:2]
    size = (width // strength.factor, height // strength.factor)
    blurred = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), strength.blur_px)
    small = cv2.resize(blurred, size, interpolation=cv2.INTER_AREA)
    noisy = np.clip(small + rng.normal(0, strength.noise, small.shape), 0, 255).astype(np.uint8)
    return cv2.bilateralFilter(noisy, 5, 12, 3) if strength.smoothing else noisy


def _through_h264(pictures: Sequence[np.ndarray], factor: int) -> DegradedFrames:
    """Encode and decode a clip, and count its bits."""
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
    return DegradedFrames(
        frames=[frame.to_ndarray(format="rgb24") for frame in decoded],
        bits_per_pixel=bits / (height * width * len(pictures)),
    )
