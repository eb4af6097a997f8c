"""Read, enlarge, change and write the planes of a decoded picture.

A changed picture is not the RGB turned into Y'CbCr: only what RGB changed by is, and is added to
the planes. Samples where nothing changed keep their value to the bit.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from livemoments.errors import UnsupportedFileError
from livemoments.imaging.colour import ClipColour, rgb_change_to_yuv

if TYPE_CHECKING:
    import av

# Layouts by libavutil's name: bits, and how many luma samples share a chroma one across and down.
LAYOUTS = {
    f"yuv{name}{suffix}": (bits, *shared)
    for name, shared in {"420p": (2, 2), "422p": (2, 1), "444p": (1, 1)}.items()
    for suffix, bits in {"": 8, "10le": 10, "12le": 12}.items()
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Planes:
    """Y', Cb and Cr of a picture, uint8 or uint16 code values."""

    layout: str  # a key of LAYOUTS
    luma: np.ndarray  # (H, W)
    chroma: tuple[np.ndarray, np.ndarray]  # cb and Cr, smaller as the layout says

    @property
    def bits(self) -> int:
        """Of a code value."""
        return LAYOUTS[self.layout][0]


def layout_of(name: str) -> str:
    """Return the layout of a picture format of libavutil's name; its range is not part of it.

    Raises:
        UnsupportedFileError: It is none that can be written.
    """
    layout = name.replace("yuvj", "yuv")
    if layout not in LAYOUTS:
        raise UnsupportedFileError(
            f"pictures of the layout {name} cannot be written; expected {', '.join(LAYOUTS)}"
        )
    return layout


def read_planes(picture: "av.VideoFrame") -> Planes:
    """Copy the planes of a decoded picture."""
    layout = layout_of(picture.format.name)
    kind = _kind(layout)
    luma, cb, cr = (_view(plane, kind).copy() for plane in picture.planes[:3])
    return Planes(layout=layout, luma=luma, chroma=(cb, cr))


def to_picture(planes: Planes) -> "av.VideoFrame":
    """Make a picture of these planes, with no time and no tags."""
    import av

    height, width = planes.luma.shape
    picture = av.VideoFrame(width, height, planes.layout)
    for plane, values in zip(picture.planes, (planes.luma, *planes.chroma), strict=True):
        _view(plane, values.dtype)[...] = values
    return picture


def enlarge(planes: Planes, scale: int) -> Planes:
    """Enlarge the planes of a picture `scale` times a side, by cubic interpolation."""
    if scale == 1:
        return planes
    _, across, down = LAYOUTS[planes.layout]
    # Half-size chroma lies on the left one of its two columns, and between its two rows.
    shift = (scale - 1) * (1 - 1 / across) / 2
    top = 2**planes.bits - 1
    wide, high = planes.luma.shape[1] * scale, planes.luma.shape[0] * scale
    chroma_size = (-(-wide // across), -(-high // down))
    return replace(
        planes,
        luma=_enlarged(planes.luma, scale, (wide, high), 0.0, top),
        chroma=(
            _enlarged(planes.chroma[0], scale, chroma_size, shift, top),
            _enlarged(planes.chroma[1], scale, chroma_size, shift, top),
        ),
    )  # fmt: skip


def change_planes(
    planes: Planes, change: np.ndarray, colour: ClipColour, size: tuple[int, int]
) -> Planes:
    """Planes with a change of R'G'B' added; where that is 0, their samples stay.

    Args:
        planes: Of the picture before.
        change: float32 (H, W, 3), differences of values in [0, 1], as the planes lie (not turned).
        colour: What the planes' numbers mean.
        size: Width and height by which an unstated matrix is guessed: the clip's own.
    """
    region = _changed(change)
    if region is None:
        return planes
    top, bottom, left, right = region
    matrix = colour.assumed_matrix(*size)
    luma, cb, cr = rgb_change_to_yuv(
        change[top:bottom, left:right], bits=planes.bits, colour=colour, matrix=matrix
    )
    _, across, down = LAYOUTS[planes.layout]
    rows = slice(top // down, -(-bottom // down))
    columns = slice(left // across, -(-right // across))
    cb, cr = (_reduced(each, across, down) for each in (cb, cr))
    return replace(
        planes,
        luma=_added(planes.luma, luma, (slice(top, bottom), slice(left, right)), planes.bits),
        chroma=(
            _added(planes.chroma[0], cb, (rows, columns), planes.bits),
            _added(planes.chroma[1], cr, (rows, columns), planes.bits),
        ),
    )  # fmt: skip


def _changed(change: np.ndarray) -> tuple[int, int, int, int] | None:
    """Top, bottom, left, right of where something changes, on even numbers and a little wider."""
    places = np.any(change, axis=2)
    rows, columns = np.flatnonzero(places.any(axis=1)), np.flatnonzero(places.any(axis=0))
    if not len(rows):
        return None
    height, width = places.shape
    top, left = (max(0, int(first) // 2 * 2 - 2) for first in (rows[0], columns[0]))
    bottom, right = (int(last) // 2 * 2 + 4 for last in (rows[-1], columns[-1]))
    return top, min(height, bottom), left, min(width, right)


def _reduced(values: np.ndarray, across: int, down: int) -> np.ndarray:
    """Reduce full-size chroma to the places where a layout has samples."""
    height, width = values.shape
    values = np.pad(values, ((0, height % down), (0, width % across)), mode="edge")
    if down == 2:
        values = (values[0::2] + values[1::2]) / 2
    if across == 2:
        before = np.concatenate([values[:, :1], values[:, 1:-1:2]], axis=1)
        values = (before + 2 * values[:, 0::2] + values[:, 1::2]) / 4
    return values


def _added(
    plane: np.ndarray, change: np.ndarray, area: tuple[slice, slice], bits: int
) -> np.ndarray:
    """Return a copy of a plane with a change added in an area, rounded."""
    result = plane.copy()
    part = result[area]
    part[...] = np.clip(np.rint(part + change), 0, 2**bits - 1).astype(plane.dtype)
    return result


def _enlarged(
    plane: np.ndarray, scale: int, size: tuple[int, int], shift: float, top: int
) -> np.ndarray:
    """Enlarge a plane to a size (width, height); its samples lie `shift` too far left."""
    half = (scale - 1) / 2
    matrix = np.array([[1 / scale, 0, (shift - half) / scale], [0, 1 / scale, -half / scale]])
    values = cv2.warpAffine(
        plane.astype(np.float32), matrix, size,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.clip(np.rint(values), 0, top).astype(plane.dtype)


def _kind(layout: str) -> np.dtype:
    return np.dtype(np.uint8) if LAYOUTS[layout][0] == 8 else np.dtype("<u2")


def _view(plane: Any, kind: np.dtype) -> np.ndarray:  # noqa: ANN401 - av.video.plane.VideoPlane
    """Return the samples of a plane (height, width), in place."""
    row = plane.line_size // kind.itemsize
    values = np.frombuffer(plane, kind)[: row * plane.height].reshape(plane.height, row)
    return values[:, : plane.width]
