"""The interface of a restorer: one tile in, one tile out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from livemoments.align.estimators import FlowEstimator
from livemoments.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TileConfig:
    """How a picture is cut. Lengths in pixels of the output."""

    size: int = 512  # side of a square tile
    overlap: int = 64  # at least this much is shared with each neighbour and blended

    def __post_init__(self) -> None:
        if self.size < 16:
            raise ConfigError(f"tile size must be at least 16, got {self.size}")
        if not 0 <= self.overlap < self.size:
            raise ConfigError(f"overlap must be in [0, size={self.size}), got {self.overlap}")


@dataclass(frozen=True, kw_only=True)
class TileInput:
    """One tile for a restorer. Pictures are float32 RGB in [0, 1]."""

    frame: np.ndarray  # n x m x 3, enlarged to the output's density
    reference: np.ndarray | None  # the tile's crop of the key photo, any size; None: do without
    positions: np.ndarray | None  # n x m x 2: each pixel's (x, y) in that crop
    confidence: np.ndarray | None  # n x m in [0, 1], of those positions
    corner: tuple[int, int] = (0, 0)  # (top, left) in that crop of PCR's n x m part of it
    enlarged: float = 1.0  # how many pixels of the output a pixel of the clip became, a side


@dataclass(frozen=True, kw_only=True)
class TileResult:
    """A restored tile."""

    image: np.ndarray  # float32 n x m x 3, not clipped
    used: np.ndarray  # float32 n x m in [0, 1]: how far the reference is let in


class Restorer(Protocol):
    """A model that restores tiles, with the settings that suit it best."""

    name: str
    tiles: TileConfig
    steps: int  # of the bridge
    batch: int  # tiles at a time
    estimator: FlowEstimator | None  # that alignment begins with; None: dense inverse search

    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore up to `batch` tiles of one size; each has its own rng for the bridge's noise."""
        ...
