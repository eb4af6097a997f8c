"""Restore whole pictures by the product's own tile loop, also with networks in PyTorch.

With PyTorch, parts of the method can be taken away and the sampler changed, for ablations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments import bridge
from livemoments.align.estimators import FlowEstimator
from livemoments.align.flow import pixel_grid
from livemoments.lab.training.compact.aligning import BatchAlignment, align_batch, predict_truth
from livemoments.lab.training.run.objective_config import WHOLE, Parts
from livemoments.models.tile import Restorer, TileConfig, TileInput, TileResult
from livemoments.networks.blocks import FOLD, SIZE_MULTIPLE, decode, encode, opening
from livemoments.networks.compact import CompactNetworks
from livemoments.restoration.tiles import restore_tiles

MARGIN = 64  # more of the key photo on every side of a tile, for what remains of the flow
UNTRUSTED = -12.0  # logit of the trust in a reference that is not there


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
    retrieve: bool = True  # PCR (Eq. 5-6); False: as if the flow were zero, crops are not moved


def restore_views(
    model: Restorer, views: Views, *, reference: bool = True, steps: int = 1, seed: int = 0
) -> np.ndarray:
    """Restore a frame as users have it, but for where its flow comes from; not clipped."""
    return restore_tiles(
        model,
        views.frame,
        views.key_photo,
        views.flow if reference else None,
        views.confidence,
        steps=steps,
        tiles=model.tiles,
        seed=seed,
    ).picture


def restore_whole(
    networks: CompactNetworks, views: Views, parts: Parts = WHOLE, sampler: Sampler | None = None
) -> np.ndarray:
    """Restore a frame with networks in PyTorch, float32 RGB H x W x 3 in [0, 1]."""
    sampler = sampler or Sampler()
    if not sampler.retrieve:
        views = replace(views, flow=np.zeros_like(views.flow))
    model = TorchRestorer(networks, parts, euler=sampler.euler)
    restored = restore_views(
        model, views, reference=parts.reference, steps=sampler.steps, seed=sampler.seed
    )
    return np.clip(restored, 0, 1)


class TorchRestorer:
    """The compact networks in PyTorch, with parts of the method taken away."""

    name = "compact"
    tiles = TileConfig(size=256, overlap=64)
    steps = 1
    batch = 1
    estimator: FlowEstimator | None = None

    def __init__(self, networks: CompactNetworks, parts: Parts = WHOLE, *, euler: bool) -> None:
        """Take the networks; euler chooses the official sampler's steps."""
        self._networks, self._parts, self._euler = networks, parts, euler
        self._device = next(networks.parameters()).device

    @torch.no_grad()
    def restore_tiles(
        self, tiles: Sequence[TileInput], steps: int, rngs: Sequence[np.random.Generator]
    ) -> list[TileResult]:
        """Restore tiles one after the other."""
        return [self._restore(tile, steps, rng) for tile, rng in zip(tiles, rngs, strict=True)]

    def _restore(self, tile: TileInput, steps: int, rng: np.random.Generator) -> TileResult:
        n, m = tile.frame.shape[:2]
        frame = self._tensor(_extended(tile.frame))
        aligned, key = self._align(frame, tile)
        z_frame = encode(frame)
        noise = torch.from_numpy(rng.standard_normal(z_frame.shape, np.float32))
        z = bridge.start(z_frame, noise.to(self._device))
        times = bridge.uniform_times(steps)
        for t, t_next in zip(times, times[1:], strict=False):
            now = torch.full((1,), t, device=self._device)
            truth = predict_truth(
                self._networks, aligned, frame, z, now, parts=self._parts, key=key
            )
            if self._euler:
                speed = bridge.velocity_from_truth(z, truth, z_frame, t)
                z = bridge.euler_step(z, speed, t, t_next)
            else:
                z = bridge.exact_step(z, truth, z_frame, t, t_next)
        image, used = (
            x[0].permute(1, 2, 0).cpu().numpy()[:n, :m]
            for x in (decode(z), opening(aligned.confidence()))
        )
        return TileResult(image=np.ascontiguousarray(image), used=used[..., 0])

    def _align(self, frame: Tensor, tile: TileInput) -> tuple[BatchAlignment, Tensor]:
        """Bring the key photo to a frame (1, 3, n, m); returns PCR's crop of it, too.

        Without a reference, the frame stands in for it and nothing is trusted.
        """
        height, width = frame.shape[2:]
        if tile.reference is None or tile.positions is None or tile.confidence is None:
            flow = frame.new_zeros(1, 2, height, width)
            trust = frame.new_full((1, 1, height // FOLD, width // FOLD), UNTRUSTED)
            return BatchAlignment(reference=frame, flow=flow, trust_logit=trust), frame
        (top, left), (there_h, there_w) = tile.corner, tile.reference.shape[:2]
        rows = (np.arange(-MARGIN, height + MARGIN) + top).clip(0, there_h - 1)
        columns = (np.arange(-MARGIN, width + MARGIN) + left).clip(0, there_w - 1)
        corner = np.array([left, top], np.float32)
        flow = tile.positions - pixel_grid(*tile.frame.shape[:2]) - corner
        batch = {
            "frame": frame,
            "key": self._tensor(tile.reference[rows[:, None], columns]),
            "flow": self._tensor(_extended(flow)),
            "confidence": self._tensor(_extended(tile.confidence[..., None])),
        }
        aligned = align_batch(self._networks, batch, MARGIN, self._parts)
        return aligned, F.pad(batch["key"], (-MARGIN,) * 4)

    def _tensor(self, plane: np.ndarray) -> Tensor:
        """Turn H x W x C into 1 x C x H x W."""
        moved = np.ascontiguousarray(plane.transpose(2, 0, 1)[None], np.float32)
        return torch.from_numpy(moved).to(self._device)


def _extended(plane: np.ndarray) -> np.ndarray:
    """Extend H x W x C by its edges to what the networks take: sides that are multiples of 64."""
    more = [(0, -side % SIZE_MULTIPLE) for side in plane.shape[:2]]
    return np.pad(plane, (*more, (0, 0)), mode="edge")
