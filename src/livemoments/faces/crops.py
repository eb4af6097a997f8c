"""Cut canonical faces out of pictures, and paste changed faces back.

Only the change is pasted: the difference between the new face and the one that was cut out is
brought back to its place and added under a soft mask. So an unchanged face changes nothing, to the
bit, and detail of the picture that a small canonical face cannot hold is not lost. Outside the mask
not a bit changes.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from livemoments.errors import ConfigError, InputError
from livemoments.faces.face import Placement

SIZE_PX = 256  # side of a canonical face: eyes 64 pixels apart
# The face, in shares of the canonical side: an ellipse from the middle of the brow's top to below
# the chin, from ear to ear, and how far of the way from its middle to its edge it fades out.
FACE_MIDDLE, FACE_HALVES, FACE_FADE = (0.5, 0.565), (0.34, 0.43), 0.35
# The head, with its hair: nearly all of the square, with round corners. A face between hair and
# ears of another sharpness looks pasted in, and recognition looks at them, too.
HEAD_MIDDLE, HEAD_HALVES, HEAD_FADE, HEAD_POWER = (0.5, 0.53), (0.49, 0.47), 0.2, 5.0


def cut(picture: np.ndarray, placement: Placement, size_px: int = SIZE_PX) -> np.ndarray:
    """Cut out the canonical face at a placement.

    The picture is H x W x C, uint8 or float32; the result is size_px x size_px x C, of its type,
    and float is not clipped. It is enlarged by cubic interpolation or reduced by averaging areas;
    beyond the picture its edge is repeated.

    Raises:
        ConfigError: size_px is below 16.
        InputError: the picture is of another kind.
    """
    if size_px < 16:
        raise ConfigError(f"a canonical face must have at least 16 pixels, got {size_px}")
    over = _samples(placement.side_px / size_px)
    side = size_px * over
    matrix = placement.matrix(side)
    # Of a large picture only the face's surroundings are looked at; corners of the outer pixels.
    square = matrix @ [[0, side, 0, side], [0, 0, side, side], [1, 1, 1, 1]]
    left, top, right, bottom = _within(square.min(axis=1) - 4, square.max(axis=1) + 5, picture)
    values = _checked(picture[top:bottom, left:right])
    matrix[:, 2] -= left, top
    return _as_type(_warped(values, matrix, (size_px, size_px), over), picture.dtype)


def paste(
    picture: np.ndarray, face: np.ndarray, placement: Placement, *, strength: float = 1.0
) -> np.ndarray:
    """Return a new picture with another face at a placement.

    Args:
        picture: H x W x 3, uint8 or float32 in [0, 1].
        face: canonical, square, of the same type; from `cut`, then changed.
        placement: where it was cut out.
        strength: 0 to 1: how much of the change is made.

    Raises:
        ConfigError: strength is outside its range.
        InputError: the face is not square, or not of the picture's type.
    """
    if face.ndim != 3 or face.shape[0] != face.shape[1] or face.shape[2:] != picture.shape[2:]:
        raise InputError(f"a face is an array of {face.shape}; give a square, as cut gave it")
    if face.dtype != picture.dtype:
        raise InputError(f"a face of {face.dtype} for a picture of {picture.dtype}; give one type")
    change = _checked(face) - _checked(cut(picture, placement, face.shape[0]))
    return add_change(picture, change, placement, strength)


def add_change(
    picture: np.ndarray, change: np.ndarray, placement: Placement, strength: float = 1.0
) -> np.ndarray:
    """Return a new picture with a canonical face's change made at a placement.

    It is made under the soft mask. Where there is no change not a bit differs.

    Args:
        picture: H x W x 3, uint8 or float32 in [0, 1].
        change: float32 N x N x 3: what is added to the canonical face, in the picture's unit (of
            255 for uint8).
        placement: where the face is.
        strength: 0 to 1: how much of the change is made.

    Raises:
        ConfigError: strength is outside its range.
        InputError: the change is not square, or the picture is of another kind.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"strength must be in [0, 1], got {strength}")
    if change.ndim != 3 or change.shape[0] != change.shape[1] or change.dtype != np.float32:
        raise InputError(
            f"a change is an array of {change.dtype} {change.shape}; give a square of float32"
        )
    result = picture.copy()
    region = left, top, right, bottom = _reach(placement, picture.shape)
    if right <= left or bottom <= top or strength == 0 or not change.any():
        return result
    change = _bring_back(change, placement, region)
    weight = strength * soft_mask(placement, region)[..., None]
    part = result[top:bottom, left:right]
    mixed = np.clip(_checked(part) + weight * change, 0, white(picture.dtype))
    # Written only where there is a change: not even a rounding touches the rest.
    touched = (weight > 0) & (change != 0)
    part[...] = np.where(touched, _as_type(mixed, picture.dtype), part)
    return result


def soft_mask(placement: Placement, region: tuple[int, int, int, int]) -> np.ndarray:
    """Return how much pixels belong to a head: a square with round corners whose edge fades.

    The region is left, top, right, bottom in pixels of the picture. The mask is float32 H x W in
    [0, 1]: 1 inside, 0 from the edge on, smooth between.
    """
    left, top, right, bottom = region
    y, x = np.mgrid[top:bottom, left:right]
    points = placement.to_square(np.stack([x.ravel(), y.ravel()], axis=1))
    return _head(points).reshape(x.shape)


def face_mask(size_px: int = SIZE_PX) -> np.ndarray:
    """Return how much pixels of a canonical picture belong to the face alone; float32 in [0, 1]."""
    return _face(_shares(size_px)).reshape(size_px, size_px)


def mask_without_others(
    placement: Placement,
    faces: Sequence[Placement],
    heads: Sequence[tuple[Placement, float]] = (),
    size_px: int = SIZE_PX,
) -> np.ndarray:
    """Mask a canonical square where it shows other faces, or heads that are changed.

    Args:
        placement: of the square.
        faces: other people's in the same picture.
        heads: others that are changed, and how much, 0 to 1.
        size_px: side of the canonical square.

    Returns:
        float32 size_px x size_px in [0, 1]; 1 where there are no others.
    """
    points = placement.to_picture(_shares(size_px))
    left = np.ones(len(points), np.float32)
    for other in faces:
        left *= 1 - _face(other.to_square(points))
    for other, strength in heads:
        left *= 1 - np.float32(strength) * _head(other.to_square(points))
    return left.reshape(size_px, size_px)


def _shares(size_px: int) -> np.ndarray:
    """Return the middles of a canonical picture's pixels, (n, 2), in shares of its side."""
    y, x = np.mgrid[:size_px, :size_px]
    return (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) / size_px


def _face(points: np.ndarray) -> np.ndarray:
    away = np.hypot(*((points - FACE_MIDDLE) / FACE_HALVES).T)
    return _fading(away, FACE_FADE)


def _head(points: np.ndarray) -> np.ndarray:
    sides = np.abs((points - HEAD_MIDDLE) / HEAD_HALVES) ** HEAD_POWER
    return _fading(sides.sum(axis=1) ** (1 / HEAD_POWER), HEAD_FADE)


def _fading(away: np.ndarray, fade: float) -> np.ndarray:
    """Fade from 1 near the middle to 0 at the edge (away 1), over the share `fade` before it."""
    ramp = np.clip((1 - away) / fade, 0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)


def white(kind: np.dtype) -> float:
    """Return the largest value of a picture of a type: 255 of uint8, else 1."""
    return 255.0 if kind == np.uint8 else 1.0


def _bring_back(
    change: np.ndarray, placement: Placement, region: tuple[int, int, int, int]
) -> np.ndarray:
    """Resample a canonical change to the pixels of a region of the picture."""
    left, top, right, bottom = region
    size_px = change.shape[0]
    over = _samples(size_px / placement.side_px)
    # From the region's pixels, each divided in over x over, to the picture's and to the face's.
    fine = np.array(
        [[1 / over, 0, left + 0.5 / over - 0.5], [0, 1 / over, top + 0.5 / over - 0.5], [0, 0, 1]]
    )
    to_face = np.linalg.inv(np.vstack([placement.matrix(size_px), [0, 0, 1]])) @ fine
    return _warped(change, to_face[:2], (right - left, bottom - top), over)


def _warped(
    values: np.ndarray, to_source: np.ndarray, size: tuple[int, int], over: int
) -> np.ndarray:
    """Resample values, bicubic, to width x height, averaging over x over samples a pixel.

    to_source (2 x 3) leads from the finer samples to the pixels of values.
    """
    finer = (size[0] * over, size[1] * over)
    found = cv2.warpAffine(
        values, to_source, finer, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return cv2.resize(found, size, interpolation=cv2.INTER_AREA) if over > 1 else found


def _reach(placement: Placement, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of what the mask can touch, within the picture."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * HEAD_HALVES * 1.01 + HEAD_MIDDLE
    points = placement.to_picture(corners)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    height, width = shape[:2]
    ends = np.ceil([right, bottom]) + 1
    left, right = np.clip([np.floor(left), ends[0]], 0, width)
    top, bottom = np.clip([np.floor(top), ends[1]], 0, height)
    return int(left), int(top), int(right), int(bottom)


def _within(low: np.ndarray, high: np.ndarray, picture: np.ndarray) -> tuple[int, int, int, int]:
    """Clip the region from low to high (x, y) to the picture, to one pixel at the least.

    Returns left, top, right, bottom. Beyond the picture that is its edge, which is repeated there.
    """
    last = np.array(picture.shape[1::-1]) - 1
    left, top = np.clip(np.floor(low), 0, last).astype(int)
    right, bottom = np.clip(np.ceil(high), 0, last).astype(int) + 1
    return int(left), int(top), int(right), int(bottom)


def _samples(ratio: float) -> int:
    """Return the samples for one pixel, each way, of a grid that is ratio times as coarse."""
    return int(np.clip(np.ceil(ratio - 0.25), 1, 16))


def _checked(picture: np.ndarray) -> np.ndarray:
    """Convert a picture to float32 of the same range; raise InputError of anything else."""
    if picture.ndim != 3 or not picture.size or picture.dtype not in (np.uint8, np.float32):
        raise InputError(
            f"a picture is an array of {picture.dtype} {picture.shape}; give H x W x C of uint8 or "
            "float32"
        )
    return np.ascontiguousarray(picture, np.float32)


def _as_type(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    if kind == np.uint8:
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return values
