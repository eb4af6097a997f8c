"""Record the demo's clip: what a phone's video does to a scene, as an MP4."""

import io
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from livemoments.imaging.pixels import as_bytes
from livemoments.jobs.demo.scene import Scene, SceneConfig

EXPOSURE_SAMPLES = 3  # the hand moves a pixel or two of the clip while one frame is exposed
BITS_PER_PIXEL = 0.2  # what phones give the clip of a Live Photo
TIME_BASE = Fraction(1, 90_000)


def frame_times(config: SceneConfig) -> list[float]:
    """Return the frames' times in seconds, uneven as phones' are, with some frames dropped."""
    rng = np.random.default_rng([config.seed, 2])
    times, now = [], 0.0
    while now < config.duration_s:
        times.append(round(now * TIME_BASE.denominator) / TIME_BASE.denominator)
        step = rng.choice([1.0, 1.25, 0.75, 2.0], p=[0.6, 0.18, 0.18, 0.04])
        # 1.04 is the mean step: the average rate comes out as asked for.
        now += step / (config.fps * 1.04)
    return times


def clip_tone(image: np.ndarray) -> np.ndarray:
    """Give float32 RGB in [0, 1] the clip's look: flatter than the still, lifted blacks, warmer."""
    return np.clip(image * np.array([0.90, 0.87, 0.78], np.float32) + np.float32(0.05), 0, 1)


def record(scene: Scene, times_s: list[float], config: SceneConfig) -> Iterator[np.ndarray]:
    """Yield the clip's frames before compression, uint8 RGB, from a scene at clip scale."""
    offsets = (np.arange(EXPOSURE_SAMPLES) + 0.5) / EXPOSURE_SAMPLES - 0.5
    for index, time_s in enumerate(times_s):
        rng = np.random.default_rng([config.seed, 3, index])
        views = [scene.view(time_s + offset * config.exposure_s) for offset in offsets]
        blurred = np.asarray(np.mean(views, axis=0, dtype=np.float32) / np.float32(255))
        seen = clip_tone(cv2.GaussianBlur(blurred, (0, 0), 0.55))
        # Photon noise grows with the root of the light; 0.004 is what the dark has.
        spread = np.sqrt(0.0007 * seen + 0.004**2)
        noisy = seen + spread * rng.standard_normal(seen.shape, np.float32)
        yield cv2.bilateralFilter(as_bytes(noisy), 5, 14, 1.5)


def encode_mp4(frames: Iterator[np.ndarray], times_s: list[float]) -> bytes:
    """Encode uint8 RGB frames as H.264 in MP4: BT.709, limited range, at these times."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    stream_bytes = io.BytesIO()
    with av.open(stream_bytes, "w", format="mp4") as container:
        stream = None
        for image, time_s in zip(frames, times_s, strict=True):
            if stream is None:
                rate = round(len(times_s) / (times_s[-1] + times_s[1] - times_s[0]))
                stream = container.add_stream("libx264", rate=rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = TIME_BASE
                stream.bit_rate = round(BITS_PER_PIXEL * image.shape[0] * image.shape[1] * rate)
                # One thread and no B-frames: the same bytes each time, and as phones' chips do.
                stream.options = {"preset": "veryfast", "bf": "0", "threads": "1"}
                stream.codec_context.color_range = ColorRange.MPEG
                stream.codec_context.colorspace = 1
                stream.codec_context.color_primaries = stream.codec_context.color_trc = 1
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format="yuv420p",
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                dst_colorspace=Colorspace.ITU709,
            )
            frame.time_base = TIME_BASE
            frame.pts = round(time_s / TIME_BASE)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
    return stream_bytes.getvalue()
