"""What the compact networks are trained to minimise.

Two objectives. `restoration`, ours: the predicted truth against the truth, in pixels, frequencies
and as VGG16 sees it. `velocity`, the paper's (section 3.3): the squared error of the bridge's
velocity dz_t/dt, which a predicted truth implies. Both train flow and trust alongside.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from livemoments import bridge
from livemoments.lab.training.compact.aligning import (
    align_batch,
    alignment_losses,
    predict_truth,
    without_reference,
)
from livemoments.lab.training.compact.perceptual import Perceptual
from livemoments.lab.training.run.objective_config import (
    EARLIEST,
    USUAL_ERROR,
    ObjectiveConfig,
)
from livemoments.networks.blocks import decode, encode
from livemoments.networks.compact import CompactNetworks

TERMS = ("pixel", "frequency", "velocity", "perceptual", "dists")


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The terms of one batch, each a scalar tensor."""

    total: Tensor
    pixel: Tensor  # relative: what the frame itself scores is about USUAL_ERROR
    frequency: Tensor  # likewise
    velocity: Tensor  # of the paper's objective; 0 in ours
    perceptual: Tensor  # 0 where it is not asked for
    dists: Tensor  # likewise
    flow: Tensor
    trust: Tensor


def compact_losses(
    model: CompactNetworks,
    batch: dict[str, Tensor],
    margin: int,
    config: ObjectiveConfig,
    generator: torch.Generator,
    judge: Perceptual | None = None,
) -> Losses:
    """The losses of one batch of `training.pairs` crops; a judge adds the perceptual terms."""
    truth, frame = batch["truth"], batch["frame"]
    here, count = truth.device, len(truth)
    # Drawn on the CPU: the same draws whatever the device.
    draw = torch.rand(3, count, generator=generator).to(here)
    # With one crop there is no other's key photo to be wrong.
    wrong = draw[0] < (config.wrong_reference if count > 1 else 0.0)
    gone = draw[1] < (config.no_reference if config.parts.reference else 1.1)
    t = torch.rand(count, generator=generator).to(here) * bridge.HORIZON
    noise = torch.randn(encode(truth).shape, generator=generator).to(here)
    batch = dict(
        batch, key=torch.where(wrong.view(-1, 1, 1, 1), batch["key"].roll(1, 0), batch["key"])
    )
    aligned = align_batch(model, batch, margin, config.parts)
    sees = (~wrong).float().view(-1, 1, 1, 1)
    flow, trust = alignment_losses(aligned, truth, batch["true_flow"], batch["visible"] * sees)
    if config.kind == "alignment":
        terms = {name: truth.new_zeros(()) for name in TERMS}
        total = config.flow * flow + config.trust * trust
        return Losses(total=total, **terms, flow=flow, trust=trust)
    aligned = without_reference(aligned, frame, gone)

    if config.kind == "velocity":
        t = t.clamp(min=EARLIEST)
    else:
        t = torch.where(draw[2] < config.at_start, torch.full_like(t, bridge.HORIZON), t)
    times = t.view(-1, 1, 1, 1)
    z_frame = encode(frame)
    z = bridge.bridge_point(encode(truth), z_frame, noise, times)
    inner = slice(margin, -margin or None)
    key = torch.where(gone.view(-1, 1, 1, 1), frame, batch["key"][..., inner, inner])
    z_truth = predict_truth(model, aligned, frame, z, t, parts=config.parts, key=key)
    terms = {name: truth.new_zeros(()) for name in TERMS}
    if config.kind == "velocity":
        wanted = bridge.velocity(encode(truth), z_frame, noise, times)
        found = bridge.velocity_from_truth(z, z_truth, z_frame, times)
        terms["velocity"] = (found - wanted).square().mean()
        main = terms["velocity"]
    else:
        restored = decode(z_truth)
        terms["pixel"], terms["frequency"] = _relative(restored, truth, frame)
        if judge is not None:
            part = _part(restored, truth, config, generator)
            heard = torch.where(gone, config.perceptual_alone, 1.0)[: config.perceptual_crops]
            terms["perceptual"], terms["dists"] = ((heard * x).mean() for x in judge(*part))
        main = terms["pixel"] + config.frequency * terms["frequency"]
        main = main + config.perceptual * terms["perceptual"] + config.dists * terms["dists"]
    total = main + config.flow * flow + config.trust * trust
    return Losses(total=total, **terms, flow=flow, trust=trust)


def _relative(restored: Tensor, truth: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute errors of pixels and of spectra, relative to what is to be corrected.

    Else the crops of which nothing can be recovered, with the largest errors, are all that is
    learned from.
    """
    share = USUAL_ERROR / ((frame - truth).abs().mean((1, 2, 3), keepdim=True) + 0.005)
    error = (restored - truth) * share
    return error.abs().mean(), torch.fft.rfft2(error, norm="ortho").abs().mean()


def _part(
    restored: Tensor, truth: Tensor, config: ObjectiveConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The same part of both batches of crops (B, 3, n, n), somewhere: what VGG16 is shown."""
    size = config.perceptual_px
    room = truth.shape[-1] - size
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for _ in range(2))
    part = (
        slice(config.perceptual_crops), slice(None), slice(top, top + size),
        slice(left, left + size),
    )  # fmt: skip
    return restored[part], truth[part]
