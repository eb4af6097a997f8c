"""Restore whole pictures with PyTorch, for ablations and measurements of safety.

What users run is `restoration` with ONNX; here parts of the method can be taken away, the flow be
disturbed and the sampler changed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from livemoments import bridge
from livemoments.lab.training.compact.aligning import align_batch, predict_truth, without_reference
from livemoments.lab.training.run.objective_config import WHOLE, Parts
from livemoments.models.tile import TileConfig
from livemoments.networks.blocks import SIZE_MULTIPLE, decode, encode
from livemoments.networks.compact import CompactNetworks
from livemoments.restoration.tiles import Stitcher, Tile, grid

MARGIN = 64  # more of the key photo on every side of a tile, for what remains of the flow
TILES = TileConfig(size=256, overlap=64)


@dataclass(frozen=True, kw_only=True)
class Views:
    """A frame and its key photo, H x W each; pictures float32 RGB in [0, 1]."""

    frame: np.ndarray  # H x W x 3, enlarged
    key_photo: np.ndarray  # H x W x 3
    flow: np.ndarray  # H x W x 2, frame -> key photo, pixels
    confidence: np.ndarray  # H x W in [0, 1]


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How the bridge is walked."""

    steps: int = 1
    euler: bool = False  # the official sampler's step; else the exact one
    seed: int = 0
    retrieve: bool = True  # PCR: a tile's crop of the key photo is moved by its mean flow (Eq. 5-6)


@torch.no_grad()
def restore_whole(
    model: CompactNetworks, views: Views, parts: Parts = WHOLE, sampler: Sampler | None = None
) -> np.ndarray:
    """Restore a frame, float32 RGB H x W x 3 in [0, 1]: in tiles, as users have it."""
    sampler = sampler or Sampler()
    height, width = views.frame.shape[:2]
    blended = Stitcher(height, width, 3)
    for index, tile in enumerate(grid(height, width, TILES)):
        result = _restore_tile(model, _cut(views, tile, sampler), parts, sampler, index)
        blended.add(tile, result[: tile.height, : tile.width])
    return np.clip(blended.result(), 0, 1)


def _cut(views: Views, tile: Tile, sampler: Sampler) -> Views:
    """Cut a tile with its crop of the key photo (PCR), which has a margin, and its flow.

    Sides are extended to what the networks take, by repeating the edge.
    """
    height, width = (
        -(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE for side in (tile.height, tile.width)
    )
    edge = ((0, height - tile.height), (0, width - tile.width))
    flow = np.pad(views.flow[tile.area], (*edge, (0, 0)), mode="edge")
    shift = np.zeros(2, int)
    if sampler.retrieve:
        shift = views.flow[tile.area].mean((0, 1), dtype=np.float64).round().astype(int)
    there_h, there_w = views.key_photo.shape[:2]
    rows = np.arange(-MARGIN, height + MARGIN) + tile.top + shift[1]
    columns = np.arange(-MARGIN, width + MARGIN) + tile.left + shift[0]
    key_photo = views.key_photo[
        rows.clip(0, there_h - 1)[:, None], columns.clip(0, there_w - 1)[None]
    ]
    return Views(
        frame=np.pad(views.frame[tile.area], (*edge, (0, 0)), mode="edge"),
        key_photo=key_photo,
        flow=flow - shift.astype(np.float32),
        confidence=np.pad(views.confidence[tile.area], edge, mode="edge"),
    )


def _restore_tile(
    model: CompactNetworks, views: Views, parts: Parts, sampler: Sampler, index: int
) -> np.ndarray:
    """Restore one tile, cut by `_cut`; float32 RGB, extended as the tile is."""
    device = next(model.parameters()).device
    batch = {
        "frame": _tensor(views.frame, device),
        "key": _tensor(views.key_photo, device),
        "flow": _tensor(views.flow, device),
        "confidence": _tensor(views.confidence[..., None], device),
    }
    frame = batch["frame"]
    aligned = align_batch(model, batch, MARGIN, parts)
    if not parts.reference:
        gone = torch.ones(1, dtype=torch.bool, device=device)
        aligned = without_reference(aligned, frame, gone)
    inner = slice(MARGIN, -MARGIN)
    key = batch["key"][..., inner, inner] if parts.reference else frame
    z_frame = encode(frame)
    generator = torch.Generator().manual_seed(1000 * sampler.seed + index)
    z = bridge.start(z_frame, torch.randn(z_frame.shape, generator=generator).to(device))
    times = bridge.uniform_times(sampler.steps)
    for t, t_next in zip(times, times[1:], strict=False):
        now = torch.full((1,), t, device=device)
        truth = predict_truth(model, aligned, frame, z, now, parts=parts, key=key)
        if sampler.euler:
            z = bridge.euler_step(z, bridge.velocity_from_truth(z, truth, z_frame, t), t, t_next)
        else:
            z = bridge.exact_step(z, truth, z_frame, t, t_next)
    return np.ascontiguousarray(decode(z)[0].permute(1, 2, 0).cpu().numpy())


def _tensor(plane: np.ndarray, device: torch.device) -> Tensor:
    """Turn H x W x C into 1 x C x H x W."""
    moved = np.ascontiguousarray(plane.transpose(2, 0, 1)[None], np.float32)
    return torch.from_numpy(moved).to(device)
