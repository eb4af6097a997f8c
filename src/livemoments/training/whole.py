"""Whole pictures through the networks in PyTorch: for ablations and measurements of safety.

What users run is `restore.py` with ONNX; here parts of the method can be taken away, the flow be
disturbed and the sampler changed.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from livemoments import bridge
from livemoments.networks.compact import SIZE_MULTIPLE, decode, encode
from livemoments.training.aligning import (
    WHOLE,
    Alignment,
    CompactModel,
    Parts,
    align_batch,
    predict_truth,
    without_reference,
)


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
    retrieve: bool = True  # PCR: an unwarped key photo is at least moved by the mean flow (Eq. 5-6)


@torch.no_grad()
def restore_whole(
    model: CompactModel, views: Views, parts: Parts = WHOLE, sampler: Sampler | None = None
) -> np.ndarray:
    """The restored frame, float32 RGB H x W x 3 in [0, 1]."""
    sampler = sampler or Sampler()
    height, width = views.frame.shape[:2]
    views = _padded(views)
    batch = {
        "frame": _tensor(views.frame),
        "key": _tensor(views.key_photo),
        "flow": _tensor(views.flow),
        "confidence": _tensor(views.confidence[..., None]),
    }
    aligned = align_batch(model, batch, 0, parts)
    if not parts.reference:
        aligned = without_reference(aligned, batch["frame"], torch.ones(1, dtype=torch.bool))
    key = batch["key"]
    if parts.warp != "pixels" and sampler.retrieve:
        key, aligned = _retrieved(key, aligned, batch["flow"])
    z_frame = encode(batch["frame"])
    noise = torch.randn(z_frame.shape, generator=torch.Generator().manual_seed(sampler.seed))
    z = bridge.start(z_frame, noise)
    times = bridge.uniform_times(sampler.steps)
    for t, t_next in zip(times, times[1:], strict=False):
        truth = predict_truth(
            model, aligned, batch["frame"], z, torch.full((1,), t), parts=parts, key=key
        )
        if sampler.euler:
            z = bridge.euler_step(z, bridge.velocity_from_truth(z, truth, z_frame, t), t, t_next)
        else:
            z = bridge.exact_step(z, truth, z_frame, t, t_next)
    image = decode(z)[0].permute(1, 2, 0).numpy()[:height, :width]
    return np.clip(image, 0, 1)


def _retrieved(key: Tensor, aligned: Alignment, flow: Tensor) -> tuple[Tensor, Alignment]:
    """The key photo moved by the mean flow in whole pixels, and the flow that remains."""
    x, y = (round(float(v)) for v in flow.mean((2, 3))[0])
    moved = torch.roll(key, (-y, -x), (2, 3))
    rest = aligned.flow - aligned.flow.new_tensor([x, y]).view(1, 2, 1, 1)
    return moved, replace(aligned, flow=rest)


def _padded(views: Views) -> Views:
    """Sides extended to what the networks take, by repeating the edge."""
    height, width = views.frame.shape[:2]
    edge = ((0, -height % SIZE_MULTIPLE), (0, -width % SIZE_MULTIPLE))
    return Views(
        frame=np.pad(views.frame, (*edge, (0, 0)), mode="edge"),
        key_photo=np.pad(views.key_photo, (*edge, (0, 0)), mode="edge"),
        flow=np.pad(views.flow, (*edge, (0, 0)), mode="edge"),
        confidence=np.pad(views.confidence, edge, mode="edge"),
    )


def _tensor(plane: np.ndarray) -> Tensor:
    """H x W x C to 1 x C x H x W."""
    return torch.from_numpy(np.ascontiguousarray(plane.transpose(2, 0, 1)[None], np.float32))
