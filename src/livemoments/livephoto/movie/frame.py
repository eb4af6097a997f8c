"""Turn a decoded picture of a clip into RGB, upright."""

from typing import TYPE_CHECKING, Any

import numpy as np

from livemoments.imaging.colour import ClipColour, yuv_to_rgb

if TYPE_CHECKING:
    import av

# Layouts read plane by plane, and their bits: half-size chroma, little-endian.
PLANAR = {"yuv420p": 8, "yuvj420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}


def picture_to_rgb(picture: "av.VideoFrame", colour: ClipColour) -> np.ndarray:
    """Convert a decoded picture to R'G'B' float32 (H, W, 3) in [0, 1], not turned.

    libswscale's 8-bit conversion rounds down (by one half to one level) and repeats chroma
    samples; here chroma is interpolated and nothing is rounded.
    """
    if picture.format.name not in PLANAR:
        # Rare layouts become 4:4:4 first; the numbers' meaning stays.
        picture = picture.reformat(format="yuv444p")
    bits = PLANAR.get(picture.format.name, 8)
    luma, cb, cr = (_plane(plane, bits) for plane in picture.planes[:3])
    size = (picture.height, picture.width)
    return yuv_to_rgb(luma, _full_size(cb, size), _full_size(cr, size), bits=bits, colour=colour)


def turn(image: np.ndarray, display: tuple[float, float, float, float]) -> np.ndarray:
    """Turn and mirror a picture (H, W, ...) as a display matrix of quarter turns says."""
    a, b, c, d = display
    if abs(a) >= abs(b):
        horizontal, vertical = a, d
    else:
        image = image.swapaxes(0, 1)
        horizontal, vertical = c, b
    image = image[:, ::-1] if horizontal < 0 else image
    return image[::-1] if vertical < 0 else image


def _plane(plane: Any, bits: int) -> np.ndarray:  # noqa: ANN401 - av.video.plane.VideoPlane
    """Code values of a plane, float32 (height, width)."""
    kind = np.uint8 if bits == 8 else np.dtype("<u2")
    row = plane.line_size // np.dtype(kind).itemsize
    values = np.frombuffer(plane, kind)[: row * plane.height].reshape(plane.height, row)
    return values[:, : plane.width].astype(np.float32)


def _full_size(chroma: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring half-size chroma to the luma's size (H, W).

    H.264 and HEVC place a chroma sample level with the left one of its two luma columns, and
    half-way between its two rows.
    """
    if chroma.shape == size:
        return chroma
    following = np.concatenate([chroma[:, 1:], chroma[:, -1:]], axis=1)
    wide = np.empty((chroma.shape[0], 2 * chroma.shape[1]), np.float32)
    wide[:, 0::2] = chroma
    wide[:, 1::2] = (chroma + following) / 2
    above = np.concatenate([wide[:1], wide[:-1]])
    below = np.concatenate([wide[1:], wide[-1:]])
    full = np.empty((2 * wide.shape[0], wide.shape[1]), np.float32)
    full[0::2] = 0.75 * wide + 0.25 * above
    full[1::2] = 0.75 * wide + 0.25 * below
    return full[: size[0], : size[1]]
