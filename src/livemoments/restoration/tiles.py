"""One grid: cut a picture into tiles, find each tile's reference crop (PCR), blend the results.

Lengths are pixels of the output. Any picture works: a side shorter than a tile gives one smaller
tile.
"""

from dataclasses import dataclass

import numpy as np

from livemoments.errors import ConfigError
from livemoments.models.tile import TileConfig


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


def _starts(length: int, config: TileConfig) -> list[int]:
    """Where tiles begin along one side: evenly spread, from one border to the other."""
    if length <= config.size:
        return [0]
    count = -(-(length - config.overlap) // (config.size - config.overlap))
    return [round(i * (length - config.size) / (count - 1)) for i in range(count)]


def grid(height: int, width: int, config: TileConfig) -> list[Tile]:
    """The tiles of an H x W picture, row by row; together they cover every pixel."""
    if height < 1 or width < 1:
        raise ConfigError(f"a picture of {width} x {height} pixels cannot be cut into tiles")
    tall, wide = min(height, config.size), min(width, config.size)
    return [
        Tile(top, left, tall, wide)
        for top in _starts(height, config)
        for left in _starts(width, config)
    ]


def window(height: int, width: int) -> np.ndarray:
    """The blending weight (1-x^2)(1-y^2) of a tile, float32 H x W, positive in every pixel.

    x and y run over pixel centres inside (-1, 1), so that the border rows keep a weight: with zeros
    there, the first row and column of the picture, which one tile alone covers, would be lost.
    """

    def profile(n: int) -> np.ndarray:
        x = (2 * np.arange(n, dtype=np.float32) + 1) / n - 1
        return 1 - x * x

    return profile(height)[:, None] * profile(width)[None]


def cut(picture: np.ndarray, tiles: list[Tile]) -> list[np.ndarray]:
    """The tiles' parts of a picture (H x W [x C]), as views."""
    return [picture[tile.area] for tile in tiles]


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
        """The weighted mean; ends the use of this object, whose memory it takes over."""
        self._sum /= self._weight
        return self._sum


def stitch(parts: list[np.ndarray], tiles: list[Tile], height: int, width: int) -> np.ndarray:
    """Blend the tiles' parts (h x w x C) into H x W x C; `stitch(cut(x)) == x` up to rounding."""
    stitcher = Stitcher(height, width, parts[0].shape[-1])
    for tile, part in zip(tiles, parts, strict=True):
        stitcher.add(tile, part)
    return stitcher.result()


def retrieve(tile: Tile, flow: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """PCR (Eq. 5-6): the (top, left) of a tile's reference crop in a key photo of height x width.

    flow is the tile's part of the flow reselected frame -> key photo, h x w x 2. As in the release,
    the corner moved by the mean flow is cut to whole pixels and kept inside the key photo.
    """
    dx, dy = flow.reshape(-1, 2).mean(0, dtype=np.float64)
    top = int(np.clip(int(tile.top + dy), 0, max(height - tile.height, 0)))
    left = int(np.clip(int(tile.left + dx), 0, max(width - tile.width, 0)))
    return top, left
