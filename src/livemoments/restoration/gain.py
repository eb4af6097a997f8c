"""Bring the key photo's gain map to a moment, and never a gain that belongs to something else.

Where the alignment is trusted and the restored picture is as bright there as the key photo leads to
expect, the map is moved along with the flow. Elsewhere (what moved, what was hidden, a lamp that
changed) a place gets the mean gain of trusted places that are near it and as bright as it is: a
bilateral grid (Chen, Paris and Durand, "Real-time edge-aware image processing with the bilateral
grid", 2007), whose wider levels help out where the narrow ones know nothing. A gain of 1 would be
no safe choice there: phones lift whole pictures, and a place left out would be a dark hole.
"""

import cv2
import numpy as np

from livemoments.align.alignment import Alignment
from livemoments.align.flow import inside, pixel_grid, sample
from livemoments.imaging.pixels import as_float, grey
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.gain_map import FoundGainMap

# Share of the picture that must be trusted; as the alignment's own. A real clip's end, of which 9 %
# was trusted, still got a sound map: below, hardly anything proves that both show the same.
MIN_TRUSTED = 0.08
# The curve from the key photo's brightness to the moment's:
TONE_LEVELS = 32  # bins of brightness
MAX_SLOPE = 2.0  # its inverse is the least
MIN_LEVEL_SHARE = 0.002  # of the trusted pixels: levels with fewer are not measured
TONE_TOLERANCE = 0.15  # difference from the expected brightness in [0, 1] at which trust is 1/e
# The bilateral grid; pixels are the map's:
EDGE_PX = 2.0  # frames are softer than key photos, and flow is blurred at edges
CELL_PX = 24  # side of a cell
GRID_LEVELS = 17  # of brightness
BLURS = (12.0, 4.0, 1.0)  # sigmas in cells, the widest first
UNTRUSTED_WEIGHT = 0.05  # of a gain whose own place is not trusted at all
WIDER_WEIGHT = 0.002  # of the wider blur's mean, as a share of a cell's pixels


def move_gain_map(
    gain_map: GainMap, alignment: Alignment, *, key_photo: np.ndarray, image: np.ndarray
) -> FoundGainMap:
    """Bring a gain map from the key photo's view into that of a restored moment.

    The gains are those of the key photo, whichever look the moment has: each says by how much its
    place is brighter than the SDR picture shows, not how bright it is.

    Args:
        gain_map: That of the key photo, upright.
        alignment: Of the moment to the key photo.
        key_photo: uint8 or float RGB, H x W x 3.
        image: The restored moment: float RGB of the alignment's size, in [0, 1].

    Returns:
        A map of the restored picture's view at the key photo's map's density; without one where
        the key photo was of no use, or of too little for a whole map.
    """
    if alignment.flow_frame_to_key is None or alignment.confidence is None:
        return FoundGainMap(reason=alignment.reason)
    positions = _positions(gain_map, alignment.flow_frame_to_key, key_photo.shape[:2])
    size = positions.shape[1::-1]
    seen = inside(positions - pixel_grid(*size[::-1]), gain_map.height, gain_map.width)
    confidence = cv2.resize(alignment.confidence, size, interpolation=cv2.INTER_AREA) * seen
    found = _brightness(image, size)
    in_key = _brightness(key_photo, (gain_map.width, gain_map.height))
    in_key = sample(in_key, positions, cv2.INTER_LINEAR)
    trust, expected = _trust(confidence, in_key, found)
    share = float((trust > 0.5).mean())
    if share < MIN_TRUSTED:
        reason = f"only {share:.0%} of the key photo's is sure to hold for this moment"
        return FoundGainMap(reason=reason)
    stops = sample(gain_map.stops(), positions, cv2.INTER_LINEAR)
    # A gain whose place is not trusted still is that of its own brightness somewhere near: it
    # counts for things as bright as it is, but much less than a trusted one.
    weight = seen * (UNTRUSTED_WEIGHT + (1 - UNTRUSTED_WEIGHT) * np.square(trust))
    for plane in [stops] if stops.ndim == 2 else np.moveaxis(stops, -1, 0):
        estimate = _slice(_grid(plane, weight, expected), found)
        plane[:] = estimate + trust * (plane - estimate)
    return FoundGainMap(gain_map=gain_map.with_stops(stops))


def _positions(gain_map: GainMap, flow: np.ndarray, key_size: tuple[int, int]) -> np.ndarray:
    """Find where the pixels of the moved map lie in the map, float32 h x w x 2."""
    scale = gain_map.height / key_size[0], gain_map.width / key_size[1]
    height, width = flow.shape[:2]
    h, w = max(1, round(height * scale[0])), max(1, round(width * scale[1]))
    # Centres of pixels: 0 of the small grid is (ratio - 1) / 2 of the large one.
    centres = (pixel_grid(h, w) + 0.5) * np.array([width / w, height / h], np.float32) - 0.5
    in_key = centres + cv2.resize(flow, (w, h), interpolation=cv2.INTER_AREA)
    return (in_key + 0.5) * np.array(scale[::-1], np.float32) - np.float32(0.5)


def _brightness(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Measure how bright a picture is, float32 in [0, 1], reduced to (width, height).

    This is the mean of luma and the strongest channel: phones lift saturated colours with the
    bright ones, and on four of their photos the mean fitted the gain better than either.
    """
    small = as_float(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return np.clip((grey(small) + small.max(-1)) / 2, 0, 1)


def _trust(
    confidence: np.ndarray, key: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Say how far the moved gain holds, and how bright the key photo leads to expect each place.

    The confidence is about structure, and plain is like plain: only its brightness tells a dark
    coat from a bright sky. The key photo's tone need not be the clip's, so what its brightness
    (key, h x w) becomes is learned first. Both results are float32 h x w in [0, 1].
    """
    soft_key, soft_found = (cv2.GaussianBlur(each, (0, 0), EDGE_PX) for each in (key, found))
    levels = np.linspace(0, 1, TONE_LEVELS)
    trust = confidence
    for _ in range(2):  # the second time without the places that did not fit the first
        curve = _curve(soft_key, soft_found, trust)
        off = soft_found - np.interp(soft_key, levels, curve).astype(np.float32)
        trust = confidence * np.exp(-np.square(off / TONE_TOLERANCE))
    trust = cv2.GaussianBlur(cv2.erode(trust, np.ones((3, 3), np.uint8)), (0, 0), EDGE_PX)
    return trust, np.interp(key, levels, curve).astype(np.float32)


def _curve(key: np.ndarray, found: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Learn what each of TONE_LEVELS levels of the key photo's brightness becomes in the moment.

    The curve follows the mean of what was found, from the commonest level outwards, by steps that a
    tone curve could take: a lamp that went out is often alone in its brightness, and must not be
    learned as tone. Levels that are hardly seen go on by equal steps.
    """
    bins = np.rint(key * (TONE_LEVELS - 1)).astype(np.intp).ravel()
    weight = np.bincount(bins, trust.ravel(), TONE_LEVELS)
    total = np.bincount(bins, (trust * found).ravel(), TONE_LEVELS)
    seen = weight > MIN_LEVEL_SHARE * weight.sum()
    mean = total / np.maximum(weight, 1e-6)
    common, step = int(weight.argmax()), 1 / (TONE_LEVELS - 1)
    curve = np.full(TONE_LEVELS, mean[common] if seen[common] else common * step)
    for way, levels in ((1, range(common + 1, TONE_LEVELS)), (-1, range(common - 1, -1, -1))):
        for level in levels:
            before = curve[level - way]
            rise = np.clip(way * (mean[level] - before), step / MAX_SLOPE, step * MAX_SLOPE)
            curve[level] = before + way * (rise if seen[level] else step)
    return np.clip(curve, 0, 1)


def _grid(plane: np.ndarray, known: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Average the stops near a place and a brightness: float32 GRID_LEVELS x rows x columns.

    plane (h x w) holds the stops of things as bright as expected, which count as far as known says.
    """
    h, w = plane.shape
    rows, columns = -(-h // CELL_PX), -(-w // CELL_PX)
    level = np.rint(expected * (GRID_LEVELS - 1)).astype(np.intp)
    cell = (np.arange(h) * rows // h)[:, None] * columns + np.arange(w) * columns // w
    cell = (level * (rows * columns) + cell).ravel()
    shape, count = (GRID_LEVELS, rows, columns), GRID_LEVELS * rows * columns
    weight = np.bincount(cell, known.ravel(), count).reshape(shape) / CELL_PX**2
    total = np.bincount(cell, (known * plane).ravel(), count).reshape(shape) / CELL_PX**2
    weight, total = _blur_levels(weight), _blur_levels(total)
    mean = np.broadcast_to(_everywhere(weight, total)[:, None, None], shape)
    for cells in BLURS:
        near = _blur_places(weight, cells)
        mean = (_blur_places(total, cells) + WIDER_WEIGHT * mean) / (near + WIDER_WEIGHT)
    return mean.astype(np.float32)


def _everywhere(weight: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Average the stops of each brightness in the whole picture; of the nearest where none is."""
    weights, totals = weight.sum((1, 2)), total.sum((1, 2))
    seen = weights > 1e-3 * weights.sum()
    known = np.flatnonzero(seen)
    return np.interp(np.arange(GRID_LEVELS), known, totals[seen] / weights[seen])


def _blur_levels(grid: np.ndarray) -> np.ndarray:
    """Blur over the levels of brightness, by 1-2-1."""
    padded = np.concatenate([grid[:1], grid, grid[-1:]])
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4


def _blur_places(grid: np.ndarray, cells: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(level, (0, 0), cells) for level in grid])


def _slice(grid: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Read the grid at every place and brightness, interpolated."""
    size = brightness.shape[::-1]
    at = brightness * (GRID_LEVELS - 1)
    found = np.zeros_like(brightness)
    for level, layer in enumerate(grid):
        share = np.maximum(0, 1 - np.abs(at - level))
        found += share * cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)
    return found
