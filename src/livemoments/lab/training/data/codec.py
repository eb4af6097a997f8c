"""Read pictures, and compress as phones do: clips with H.264 or HEVC, photographs with JPEG."""

from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.frame import PictureType

from livemoments.errors import DamagedFileError

ENCODERS = {"h264": "libx264", "hevc": "libx265"}
OPTIONS = {
    "h264": {"preset": "veryfast", "tune": "zerolatency", "threads": "1"},
    # Phones encode with fixed tools in real time; the fast presets come nearest to that.
    "hevc": {
        "preset": "superfast",
        "tune": "zerolatency",
        "x265-params": "log-level=none:pools=none:frame-threads=1",
    },
}
SIDE_PX = 16  # the smallest side of a degraded picture
TRIALS = 5
FACTORS = (4, 46)  # constant rate factors within which a rate is looked for
NEAR = 1.25  # a rate is met within this ratio


def read_picture(path: Path) -> np.ndarray:
    """Read a picture file, uint8 RGB H x W x 3; DamagedFileError where it is none."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DamagedFileError(f"{path}: not a picture that can be decoded; make it again")
    return picture[..., ::-1]


def compress_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Compress to JPEG of quality 1 to 100 and decode; uint8 RGB h x w x 3."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cast(np.ndarray, cv2.imdecode(data, cv2.IMREAD_COLOR))
    return decoded[..., ::-1]


def through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """Compress float32 RGB H x W x 3 to JPEG and decode; values outside [0, 1] are cut off."""
    eight_bit = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return compress_jpeg(eight_bit, quality).astype(np.float32) / 255


def small_size(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the size (h, w) of the clip's picture of a truth (H, W): even, as video asks."""
    h, w = (max(SIDE_PX, 2 * round(side / scale / 2)) for side in shape)
    return h, w


def compress_clip(
    pictures: list[np.ndarray], codec: str, bits_per_pixel: float
) -> tuple[np.ndarray, float]:
    """Compress a clip with H.264 or HEVC ("h264", "hevc") at about a bit rate.

    pictures are uint8 RGB h x w x 3, even sides, two or more. The rate is that of the predicted
    pictures, all but the first: in a phone's clip one in 15 to 30 is coded alone. The constant rate
    factor that gives it is looked for in a few trials, by the slope of the last two. Returns the
    decoded last picture and the rate that was reached; without detail no high rate is reached.
    """
    factor, slope = 26.0, -6.0  # of the factor for a doubled rate, as the standards have it
    tried: list[tuple[float, float]] = []
    for _trial in range(TRIALS):
        decoded, reached = _encode(pictures, codec, factor)
        missing = float(np.log2(bits_per_pixel / max(reached, 1e-4)))  # octaves
        if abs(missing) < np.log2(NEAR):
            break
        tried.append((factor, missing))
        if len(tried) > 1:
            (factor_0, missing_0), (factor_1, missing_1) = tried[-2:]
            if abs(missing_0 - missing_1) > 0.05:
                slope = float(np.clip((factor_1 - factor_0) / (missing_0 - missing_1), -16, -2))
        changed = float(np.clip(factor + slope * missing, *FACTORS))
        if abs(changed - factor) < 0.5:  # at an end of what the encoder offers
            break
        factor = changed
    return decoded, reached


def _encode(pictures: list[np.ndarray], codec: str, factor: float) -> tuple[np.ndarray, float]:
    """Return the last picture decoded, and the bits per pixel of those after the first."""
    h, w = pictures[0].shape[:2]
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(ENCODERS[codec], "w"))
    encoder.width, encoder.height, encoder.pix_fmt = w, h, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {**OPTIONS[codec], "crf": f"{factor:.1f}"}
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
    decoder.thread_count = 1
    packets = []
    for at, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture, np.uint8), format="rgb24")
        frame.pts = at
        frame.pict_type = PictureType.P if at else PictureType.I
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    decoded = [picture for packet in packets for picture in decoder.decode(packet)]
    decoded += decoder.decode(None)
    predicted = sum(packet.size for packet in packets if packet.pts)
    return decoded[-1].to_ndarray(format="rgb24"), 8 * predicted / (h * w * (len(pictures) - 1))
