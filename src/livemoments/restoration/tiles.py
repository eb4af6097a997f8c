"""Restore a picture tile by tile: cut it, find each tile's reference crop (PCR), blend the results.

Lengths are pixels of the output. Any picture works: a side shorter than a tile gives one smaller
tile.
"""

from dataclasses import dataclass

import numpy as np

from livemoments.errors import ConfigError
from livemoments.imaging.pixels import as_float
from livemoments.models.tile import Restorer, TileConfig, TileInput
from livemoments.progress import Progress

REACH_PX = 16  # around a tile's positions: the refiner's further steps and the bicubic's support


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture."""

    top: int
    left: int
    height: int
    width: int

    @property
    def area(self) -> tuple[slice, slice]:
        """The rows and columns, to index H x W [x C] arrays with."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True, kw_only=True, eq=False)
class RestoredTiles:
    """The blended tiles of a picture."""

    picture: np.ndarray  # float32 H x W x 3, not clipped
    share_from_reference: float  # 0 to 1: pixels into which more than half of the reference is let


def restore_tiles(
    model: Restorer,
    enlarged: np.ndarray,
    key_photo: np.ndarray,
    flow: np.ndarray | None,
    confidence: np.ndarray | None,
    *,
    steps: int,
    tiles: TileConfig,
    seed: int = 0,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> RestoredTiles:
    """Restore an enlarged frame tile by tile, each with its crop of the key photo.

    Args:
        model: restores the tiles.
        enlarged: the frame at the output's size, float32 H x W x 3 in [0, 1].
        key_photo: uint8 or float RGB, of any size.
        flow: enlarged frame -> key photo, H x W x 2 in pixels; None: do without the key photo.
        confidence: of that flow, H x W in [0, 1]; None: do without the key photo.
        steps: of the bridge.
        tiles: how the picture is cut.
        seed: of the bridge's noise; tile number i draws from the generator of [seed, i].
        scale: pixels of the enlarged frame for one of the clip, a side.
        progress: called as progress("restoring", done, total).
    """
    height, width = enlarged.shape[:2]
    places = grid(height, width, tiles)
    blended, used = Stitcher(height, width, 3), Stitcher(height, width, 1)
    for first in range(0, len(places), model.batch):
        batch = places[first : first + model.batch]
        inputs = [_input(tile, enlarged, key_photo, flow, confidence, scale) for tile in batch]
        rngs = [np.random.default_rng([seed, first + i]) for i in range(len(batch))]
        results = model.restore_tiles(inputs, steps, rngs)
        for tile, result in zip(batch, results, strict=True):
            blended.add(tile, result.image)
            used.add(tile, result.used[..., None])
        if progress:
            progress("restoring", first + len(batch), len(places))
    share = float((used.result() > 0.5).mean())
    return RestoredTiles(picture=blended.result(), share_from_reference=share)


def _input(
    tile: Tile,
    enlarged: np.ndarray,
    key_photo: np.ndarray,
    flow: np.ndarray | None,
    confidence: np.ndarray | None,
    scale: float,
) -> TileInput:
    """Cut one tile with its reference crop: PCR's, widened as far as the tile's flow reaches."""
    frame = enlarged[tile.area]
    alone = TileInput(frame=frame, reference=None, positions=None, confidence=None)
    if flow is None or confidence is None:
        return alone
    there_h, there_w = key_photo.shape[:2]
    flow = flow[tile.area]
    top, left = retrieve(tile, flow, there_h, there_w)
    rows = np.arange(tile.height, dtype=np.float32)[:, None] + (tile.top - top)
    columns = np.arange(tile.width, dtype=np.float32) + (tile.left - left)
    positions = np.stack([flow[..., 0] + columns, flow[..., 1] + rows], -1)
    low = np.floor(positions.min((0, 1))).astype(int) - REACH_PX
    high = np.ceil(positions.max((0, 1))).astype(int) + REACH_PX
    x0, x1 = np.clip([left + low[0], left + high[0] + 1], 0, there_w)
    y0, y1 = np.clip([top + low[1], top + high[1] + 1], 0, there_h)
    if x1 - x0 < 2 or y1 - y0 < 2:  # this tile looks past the key photo's edge
        return alone
    # PCR's crop as a whole, for models that take that and no other.
    x0, x1 = min(x0, left), max(x1, min(left + tile.width, there_w))
    y0, y1 = min(y0, top), max(y1, min(top + tile.height, there_h))
    return TileInput(
        frame=frame,
        reference=as_float(key_photo[y0:y1, x0:x1]),
        positions=positions + np.array([left - x0, top - y0], np.float32),
        confidence=confidence[tile.area],
        corner=(top - y0, left - x0),
        enlarged=scale,
    )


def retrieve(tile: Tile, flow: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """Find the (top, left) of a tile's reference crop in a key photo of height x width (Eq. 5-6).

    flow is the tile's part of the flow reselected frame -> key photo, h x w x 2. As in the release,
    the corner moved by the mean flow is cut to whole pixels and stays inside the key photo.
    """
    dx, dy = flow.reshape(-1, 2).mean(0, dtype=np.float64)
    top = int(np.clip(int(tile.top + dy), 0, max(height - tile.height, 0)))
    left = int(np.clip(int(tile.left + dx), 0, max(width - tile.width, 0)))
    return top, left


def grid(height: int, width: int, config: TileConfig) -> list[Tile]:
    """List the tiles of an H x W picture, row by row; together they cover every pixel."""
    if height < 1 or width < 1:
        raise ConfigError(f"a picture of {width} x {height} pixels cannot be cut into tiles")
    tall, wide = min(height, config.size), min(width, config.size)
    return [
        Tile(top, left, tall, wide)
        for top in _starts(height, config)
        for left in _starts(width, config)
    ]


def _starts(length: int, config: TileConfig) -> list[int]:
    """Place the tiles along one side, evenly from one border to the other."""
    if length <= config.size:
        return [0]
    count = -(-(length - config.overlap) // (config.size - config.overlap))
    return [round(i * (length - config.size) / (count - 1)) for i in range(count)]


def window(height: int, width: int) -> np.ndarray:
    """Compute a tile's blending weight (1-x^2)(1-y^2), float32 H x W, positive in every pixel.

    x and y run over pixel centres inside (-1, 1), so that the border rows keep a weight: with zeros
    there, the first row and column of the picture, which one tile alone covers, would be lost.
    """

    def profile(n: int) -> np.ndarray:
        x = (2 * np.arange(n, dtype=np.float32) + 1) / n - 1
        return 1 - x * x

    return profile(height)[:, None] * profile(width)[None]


class Stitcher:
    """Blends tiles back into one float32 H x W x C picture; add them in any order, each once."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self._sum = np.zeros((height, width, channels), np.float32)
        self._weight = np.zeros((height, width, 1), np.float32)

    def add(self, tile: Tile, values: np.ndarray) -> None:
        """Add a tile's values (tile.height x tile.width x C)."""
        weight = window(tile.height, tile.width)[..., None]
        self._sum[tile.area] += weight * values
        self._weight[tile.area] += weight

    def result(self) -> np.ndarray:
        """Return the weighted mean; ends the use of this object, whose memory it takes over."""
        self._sum /= self._weight
        return self._sum
