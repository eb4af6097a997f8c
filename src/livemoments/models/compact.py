"""Run the compact model with ONNX Runtime, one tile at a time. No PyTorch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from livemoments import bridge
from livemoments.align.estimators import FlowEstimator
from livemoments.models.aligned import (
    AlignedReference,
    align_reference,
    no_reference,
    planes,
    reference_features,
)
from livemoments.models.cache import ModelCache
from livemoments.models.codec import decode, encode
from livemoments.models.sessions import open_session, read_about
from livemoments.models.tile import TileConfig, TileInput, TileResult

SIZE_MULTIPLE = 64  # what the networks' three scales and attention windows need
SHIPPED = Path(__file__).parent.parent / "weights" / "compact"


class CompactModel:
    """The compact model's networks as ONNX sessions."""

    name = "compact"
    tiles = TileConfig()
    steps = 1  # more cost time and gain little (docs/method.md)
    batch = 1
    estimator: FlowEstimator | None = None

    def __init__(self, folder: Path = SHIPPED, threads: int = 0) -> None:
        """Read the networks of a folder; threads 0 means one per core."""
        self.about = read_about(folder / "compact.json", "compact model")
        network: Any = self.about.get("network", {})
        self._refiner = open_session(folder / "refiner.onnx", threads)
        # Models of the first design need not say that they have a reference branch.
        branch = network.get("branch", "windows") == "windows"
        self._reference = open_session(folder / "reference.onnx", threads) if branch else None
        self._restoration = open_session(folder / "restoration.onnx", threads)

    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore tiles one after the other, as `restore_tile`."""
        return [self.restore_tile(tile, steps, rng) for tile, rng in zip(tiles, rngs, strict=True)]

    def restore_tile(self, tile: TileInput, steps: int, rng: np.random.Generator) -> TileResult:
        """Restore one tile in 1 or more exact bridge steps; rng draws the bridge's noise."""
        n, m = tile.frame.shape[:2]
        frame = _to_network(tile.frame)
        aligned = self._align(frame, tile)
        features = {}
        if self._reference is not None:
            features = reference_features(self._reference, aligned)
        z_frame = encode(frame)
        z = z_frame
        if steps > 1:  # at the bridge's start z says nothing that the frame does not
            z = bridge.start(z_frame, rng.standard_normal(z_frame.shape, np.float32))
        times = bridge.uniform_times(steps)
        for t, t_next in zip(times, times[1:], strict=False):
            truth = self._restoration.run(
                ["truth"],
                {
                    "z": z.astype(np.float32, copy=False),
                    "frame": frame,
                    "reference": aligned.reference,
                    **features,
                    "motion": aligned.motion,
                    "t": np.array([t], np.float32),
                },
            )[0]
            z = bridge.exact_step(z, truth, z_frame, t, t_next)
        image = decode(z.astype(np.float32, copy=False))[0].transpose(1, 2, 0)[:n, :m]
        return TileResult(image=np.ascontiguousarray(image), used=aligned.used[:n, :m])

    def _align(self, frame: np.ndarray, tile: TileInput) -> AlignedReference:
        """Bring the tile's reference to its frame, 1 x 3 x H x W as the networks take it."""
        if tile.reference is None or tile.positions is None or tile.confidence is None:
            return no_reference(frame)
        height, width = frame.shape[2:]
        positions = _pad(tile.positions, height, width, grow=True)
        confidence = _pad(tile.confidence, height, width)
        return align_reference(self._refiner, frame, tile.reference, positions, confidence)


_MODELS = ModelCache(CompactModel)


def load_compact(folder: Path = SHIPPED, threads: int = 0) -> CompactModel:
    """Return the model of a folder, from the cache where it is there."""
    return _MODELS.get(folder, threads)


def _pad(plane: np.ndarray, height: int, width: int, *, grow: bool = False) -> np.ndarray:
    """Extend H x W [x C] at the bottom and right: by its edge, or onwards (grow, for positions)."""
    bottom, right = height - plane.shape[0], width - plane.shape[1]
    if not bottom and not right:
        return plane
    padded = np.pad(plane, ((0, bottom), (0, right)) + ((0, 0),) * (plane.ndim - 2), mode="edge")
    if grow:
        padded[:, plane.shape[1] :, 0] += np.arange(1, right + 1, dtype=np.float32)
        padded[plane.shape[0] :, :, 1] += np.arange(1, bottom + 1, dtype=np.float32)[:, None]
    return padded


def _to_network(image: np.ndarray) -> np.ndarray:
    """Turn H x W x 3 into 1 x 3 x H' x W', multiples of 64: the edges are repeated."""
    height, width = (-(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE for side in image.shape[:2])
    return planes(_pad(image, height, width))
