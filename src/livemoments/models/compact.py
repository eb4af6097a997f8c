"""The compact tier at run time: ONNX Runtime, one tile at a time. No PyTorch."""

import hashlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from livemoments import bridge
from livemoments.align.estimators import FlowEstimator
from livemoments.align.flow import pixel_grid, sample
from livemoments.errors import WeightsError
from livemoments.models.codec import FOLD, decode, encode
from livemoments.models.tile import TileInput, TileResult
from livemoments.tiles import TileConfig

if TYPE_CHECKING:
    import onnxruntime

SIZE_MULTIPLE = 64  # what the networks' three scales and attention windows need
FLOW_SMOOTH_PX = 2.0  # sigma; motion changes over more pixels than this
SHIPPED = Path(__file__).parent.parent / "weights" / "compact"


class CompactModel:
    """RestorationNet, ReferenceNet and FlowRefiner of the compact tier, as ONNX sessions."""

    name = "compact"
    tiles = TileConfig()
    steps = 1  # more cost time and gain little (docs/method.md)
    batch = 1
    estimator: FlowEstimator | None = None

    def __init__(self, folder: Path = SHIPPED, threads: int = 0) -> None:
        """Read the three networks of a folder; threads 0 means one per core."""
        self.about = _read_about(folder)
        self._refiner = _session(folder / "refiner.onnx", threads)
        self._reference = _session(folder / "reference.onnx", threads)
        self._restoration = _session(folder / "restoration.onnx", threads)

    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore tiles one after the other, see `restore_tile`."""
        return [self.restore_tile(tile, steps, rng) for tile, rng in zip(tiles, rngs, strict=True)]

    def restore_tile(self, tile: TileInput, steps: int, rng: np.random.Generator) -> TileResult:
        """Restore one tile in 1 or more exact bridge steps; rng draws the bridge's noise."""
        n, m = tile.frame.shape[:2]
        frame = _to_network(tile.frame)
        shape = frame.shape[2:]
        if tile.reference is None or tile.positions is None or tile.confidence is None:
            # The reference is the frame itself, and nothing of it is trusted: as in training.
            reference = frame
            trust = np.zeros((1, 1, shape[0] // FOLD, shape[1] // FOLD), np.float32)
            towards_frame = np.zeros((1, 2, *trust.shape[2:]), np.float32)
            used = np.zeros(shape, np.float32)
        else:
            reference, trust, towards_frame, used = self._align(
                frame, tile.reference, tile.positions, tile.confidence
            )
        features = self._run_reference(reference, trust)
        motion = np.concatenate([towards_frame, trust], 1)
        z_frame = encode(frame)
        noise = rng.standard_normal(z_frame.shape, np.float32)
        z = bridge.start(z_frame, noise)
        times = bridge.uniform_times(steps)
        for t, t_next in zip(times, times[1:], strict=False):
            truth = self._restoration.run(
                ["truth"],
                {
                    "z": z.astype(np.float32, copy=False),
                    "frame": frame,
                    "reference": reference,
                    **features,
                    "motion": motion,
                    "t": np.array([t], np.float32),
                },
            )[0]
            z = bridge.exact_step(z, truth, z_frame, t, t_next)
        image = decode(z.astype(np.float32, copy=False))[0].transpose(1, 2, 0)[:n, :m]
        return TileResult(image=np.ascontiguousarray(image), used=used[:n, :m])

    def _align(
        self, frame: np.ndarray, key: np.ndarray, positions: np.ndarray, confidence: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Refine the positions of the frame's pixels in a tile's crop of the key photo.

        frame is as the networks take it, the others as in `TileInput`. Returns the aligned
        reference 1 x 3 x H x W; at a quarter of its size, the trust in it and its motion; and how
        far it is let in, H x W.
        """
        height, width = frame.shape[2:]
        grid = pixel_grid(height, width)
        flow = _pad(positions, height, width, grow=True) - grid
        # An estimator's noise, from pixel to pixel, would scramble what is copied.
        positions = grid + cv2.GaussianBlur(flow, (0, 0), FLOW_SMOOTH_PX)
        warped = _planes(sample(key, positions))
        sure = _pad(confidence, height, width)[None, None]
        feed = {"frame": frame, "warped": warped, "confidence": sure}
        refined = self._refiner.run(["refined"], feed)[0]
        delta = refined[0, :2].transpose(1, 2, 0)
        positions = positions + cv2.resize(delta, (width, height), interpolation=cv2.INTER_LINEAR)
        reference = _planes(np.clip(sample(key, positions), 0, 1))
        trust = 1 / (1 + np.exp(-np.clip(refined[:, 2:], -30, 30)))
        # Where the reference is not trusted, the frame stands in its place: what RestorationNet
        # makes of it is then what it makes of no reference at all.
        used = cv2.resize(opening(trust[0, 0]), (width, height), interpolation=cv2.INTER_LINEAR)
        reference = frame + used * (reference - frame)
        flow = positions - grid
        cells = cv2.resize(flow, (width // FOLD, height // FOLD), interpolation=cv2.INTER_AREA)
        towards_frame = (cells.mean((0, 1)) - cells).transpose(2, 0, 1)[None]
        return reference, trust, np.ascontiguousarray(towards_frame, np.float32), used

    def _run_reference(self, reference: np.ndarray, trust: np.ndarray) -> dict[str, np.ndarray]:
        """The reference branch's features; once per tile, whatever the steps."""
        confidence = trust.repeat(FOLD, 2).repeat(FOLD, 3)
        names = ["feature_4", "feature_8", "feature_16"]
        maps = self._reference.run(names, {"reference": reference, "confidence": confidence})
        return dict(zip(names, maps, strict=True))


def opening(trust: np.ndarray) -> np.ndarray:
    """How far the reference is let in for a trust in [0, 1]: as networks.compact.opening."""
    return 1 - (1 - trust) ** 4


@lru_cache(maxsize=2)
def load_compact(folder: Path = SHIPPED, threads: int = 0) -> CompactModel:
    """A CompactModel, made once and kept."""
    return CompactModel(folder, threads)


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


def _planes(image: np.ndarray) -> np.ndarray:
    """H x W x 3 to 1 x 3 x H x W."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32)


def _to_network(image: np.ndarray) -> np.ndarray:
    """H x W x 3 to 1 x 3 x H' x W', sides extended to multiples of 64 by repeating the edge."""
    height, width = (-(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE for side in image.shape[:2])
    return _planes(_pad(image, height, width))


def _read_about(folder: Path) -> dict[str, object]:
    """The model's description, after checking that the files beside it are those it describes."""
    path = folder / "compact.json"
    try:
        about = json.loads(path.read_text())
        for name, expected in about["sha256"].items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != expected:
                raise WeightsError(
                    f"{folder / name}: not the file that {path.name} describes (SHA-256 "
                    f"{found[:12]}..., expected {expected[:12]}...); reinstall livemoments"
                )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"{path}: the compact model's weights cannot be read ({error}); reinstall livemoments"
        ) from error
    return about


def _session(path: Path, threads: int) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session on the CPU, quiet, with so many threads (0: one per core)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Threads that spin while they wait slow everything else on a laptop, and gained nothing
    # measurable.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not usable as model weights: {reason}") from error
