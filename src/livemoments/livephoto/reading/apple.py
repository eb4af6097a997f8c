"""Read what Apple's files state: identifiers, the key photo's time, how it lies on the clip.

The still names its Live Photo in maker note tag 17, the MOV in a QuickTime key; the two texts
are equal. A timed-metadata track of one sample says when the still was taken: the time is the
sample's presentation time. From the iPhone 15 on that sample also holds the homography between
the clip's frame at that time and the still.
"""

import struct
from dataclasses import dataclass

import numpy as np

from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.apple_note import _in_one_line
from livemoments.livephoto.movie.keys import CONTENT_IDENTIFIER
from livemoments.livephoto.movie.tracks import MovieFacts

STILL_IMAGE_TIME = "com.apple.quicktime.still-image-time"
TRANSFORM = "com.apple.quicktime.live-photo-still-image-transform"
TRANSFORM_SIZE = "com.apple.quicktime.live-photo-still-image-transform-reference-dimensions"

MAX_SAMPLE = 4096


@dataclass(frozen=True, kw_only=True)
class StillImageTime:
    """What the still-image-time track says."""

    time_s: float  # when the still was taken, seconds of the clip
    # Raw 3x3 matrix, float64: frame -> still in reference units, sensor orientation, origin at the
    # bottom left; None where the file has none.
    transform: np.ndarray | None = None
    # Width and height of those units in pixels, or None.
    reference_size: tuple[float, float] | None = None


def movie_identifier(movie: MovieFacts) -> str | None:
    """Return the content identifier of a MOV, or None."""
    return identifier_in(movie.metadata)


def identifier_in(texts: dict[str, str]) -> str | None:
    """Return the content identifier among a movie's texts, or None."""
    return _in_one_line(texts.get(CONTENT_IDENTIFIER, ""))


def still_image_time(source: Source, movie: MovieFacts) -> StillImageTime | None:
    """Read a MOV's still-image-time track, or return None where it has none."""
    for track in movie.tracks:
        if STILL_IMAGE_TIME not in track.keys.values():
            continue
        values = _sample_values(source, track.sample, track.keys)
        matrix, size = values.get(TRANSFORM, b""), values.get(TRANSFORM_SIZE, b"")
        transform = None
        if len(matrix) == 72:
            transform = np.frombuffer(matrix, dtype=">f8").astype(np.float64).reshape(3, 3)
            if not np.isfinite(transform).all():
                transform = None
        reference = struct.unpack(">ff", size) if len(size) == 8 else None
        if reference is not None and not np.isfinite(reference).all():
            reference = None
        return StillImageTime(time_s=track.start_s, transform=transform, reference_size=reference)
    return None


def _sample_values(
    source: Source, sample: tuple[int, int] | None, keys: dict[int, str]
) -> dict[str, bytes]:
    """Values of one timed-metadata sample, a run of {u32 size, u32 key, payload}."""
    if sample is None or sample[1] > MAX_SAMPLE:
        return {}
    with source.open() as stream:
        stream.seek(sample[0])
        data = stream.read(sample[1])
    values: dict[str, bytes] = {}
    at = 0
    while at + 8 <= len(data):
        size, key = struct.unpack_from(">II", data, at)
        if size < 8:
            break
        values[keys.get(key, "")] = data[at + 8 : at + size]
        at += size
    return values


def key_transform(
    raw: np.ndarray,
    reference_size: tuple[float, float],
    display: tuple[float, float, float, float],
    clip_size: tuple[int, int],
    still_size: tuple[int, int],
) -> np.ndarray:
    """Turn Apple's matrix into a homography between upright pictures.

    Args:
        raw: 3x3, reference units, sensor orientation, origin at the bottom left.
        reference_size: Width and height of the reference, sensor orientation.
        display: The clip's display matrix (a, b, c, d), quarter turns and mirrors.
        clip_size: Width and height of the upright frame, pixels.
        still_size: Width and height of the upright still, pixels.

    Returns:
        3x3 float64, [2, 2] = 1: pixel (x, y) of the upright frame at the key time -> pixel of
        the upright still. Pixel centres lie at whole numbers, as in OpenCV.
    """
    width, height = reference_size
    flip = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, height], [0.0, 0.0, 1.0]])
    turn = _upright(display, width, height)
    upright_width, upright_height = (height, width) if display[0] == 0 else (width, height)
    to_reference = _to_units(clip_size, (upright_width, upright_height))
    to_still = np.linalg.inv(_to_units(still_size, (upright_width, upright_height)))
    with np.errstate(all="ignore"):  # a damaged one yields infinities, which the caller finds
        matrix = to_still @ turn @ flip @ raw @ flip @ np.linalg.inv(turn) @ to_reference
        return matrix / matrix[2, 2]


def _upright(display: tuple[float, float, float, float], width: float, height: float) -> np.ndarray:
    """Return 3x3 from sensor coordinates to upright ones, both with the origin at the top left."""
    a, b, c, d = (float(np.sign(round(value, 3))) for value in display)
    left = -min(0.0, a * width + c * height)
    top = -min(0.0, b * width + d * height)
    return np.array([[a, c, left], [b, d, top], [0.0, 0.0, 1.0]])


def _to_units(size: tuple[int, int], reference: tuple[float, float]) -> np.ndarray:
    """Return 3x3 from pixel centres of a picture of this size to reference units (corner = 0)."""
    x, y = reference[0] / size[0], reference[1] / size[1]
    return np.array([[x, 0.0, x / 2], [0.0, y, y / 2], [0.0, 0.0, 1.0]])
