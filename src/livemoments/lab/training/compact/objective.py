"""Work out what the compact networks are trained to minimise.

Two objectives. `restoration`, ours: the predicted truth against the truth, in pixels, frequencies
and as VGG16 sees it. `velocity`, the paper's (section 3.3): the squared error of the bridge's
velocity dz_t/dt, which a predicted truth implies. Both train flow and trust too; `alignment` trains
these alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
from livemoments.lab.training.run.objective_config import EARLIEST, USUAL_ERROR, ObjectiveConfig
from livemoments.networks.blocks import decode, encode
from livemoments.networks.compact import CompactNetworks

TERMS = ("pixel", "frequency", "velocity", "perceptual", "dists")


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The terms of one batch, each a scalar tensor."""

    total: Tensor
    pixel: Tensor  # relative: what the frame itself scores is about USUAL_ERROR
    frequency: Tensor  # relative as well
    velocity: Tensor  # of the paper's objective; 0 in ours
    perceptual: Tensor  # 0 where it is not asked for
    dists: Tensor  # 0 where it is not asked for
    flow: Tensor
    trust: Tensor


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """What is random about a batch of B crops."""

    wrong: Tensor  # (B,), true where the key photo is another crop's
    gone: Tensor  # (B,), true where there is no reference
    t: Tensor  # (B,), times of the bridge
    noise: Tensor  # (B, 48, h, w)


def compact_losses(
    model: CompactNetworks,
    batch: dict[str, Tensor],
    margin: int,
    config: ObjectiveConfig,
    generator: torch.Generator,
    judge: Perceptual | None = None,
) -> Losses:
    """Work out the losses of a batch of `data.pairs` crops; a judge adds the perceptual terms."""
    truth = batch["truth"]
    draws = _draw(truth, config, generator)
    wrong = draws.wrong.view(-1, 1, 1, 1)
    batch = batch | {"key": torch.where(wrong, batch["key"].roll(1, 0), batch["key"])}
    aligned = align_batch(model, batch, margin, config.parts)
    visible = batch["visible"] * (~wrong).float()
    flow, trust = alignment_losses(aligned, truth, batch["true_flow"], visible)
    terms = {name: truth.new_zeros(()) for name in TERMS}
    total = config.flow * flow + config.trust * trust
    if config.kind != "alignment":
        aligned = without_reference(aligned, batch["frame"], draws.gone)
        inner = slice(margin, -margin or None)
        key = batch["key"][..., inner, inner]
        key = torch.where(draws.gone.view(-1, 1, 1, 1), batch["frame"], key)
        frame, parts = batch["frame"], config.parts
        predict = partial(predict_truth, model, aligned, frame, parts=parts, key=key)
        terms |= _restoration_terms(predict, batch, draws, config, generator, judge)
        main = terms["velocity"]
        if config.kind == "restoration":
            main = terms["pixel"] + config.frequency * terms["frequency"]
            main = main + config.perceptual * terms["perceptual"] + config.dists * terms["dists"]
        total = main + config.flow * flow + config.trust * trust
    return Losses(total=total, **terms, flow=flow, trust=trust)


def _draw(truth: Tensor, config: ObjectiveConfig, generator: torch.Generator) -> _Draws:
    """Draw what is random about a batch; on the CPU: the same whatever the device."""
    here, count = truth.device, len(truth)
    draw = torch.rand(3, count, generator=generator).to(here)
    t = torch.rand(count, generator=generator).to(here) * bridge.HORIZON
    noise = torch.randn(encode(truth).shape, generator=generator).to(here)
    if config.kind == "velocity":
        t = t.clamp(min=EARLIEST)
    else:
        t = torch.where(draw[2] < config.at_start, torch.full_like(t, bridge.HORIZON), t)
    return _Draws(
        # With one crop there is no other's key photo to be wrong.
        wrong=draw[0] < (config.wrong_reference if count > 1 else 0.0),
        gone=draw[1] < (config.no_reference if config.parts.reference else 1.1),
        t=t,
        noise=noise,
    )


def _restoration_terms(
    predict: Callable[[Tensor, Tensor], Tensor],
    batch: dict[str, Tensor],
    draws: _Draws,
    config: ObjectiveConfig,
    generator: torch.Generator,
    judge: Perceptual | None,
) -> dict[str, Tensor]:
    """Compare with the truth what is predicted of it from the bridge's point at the times drawn."""
    truth, frame, times = batch["truth"], batch["frame"], draws.t.view(-1, 1, 1, 1)
    z_frame = encode(frame)
    z = bridge.bridge_point(encode(truth), z_frame, draws.noise, times)
    z_truth = predict(z, draws.t)
    if config.kind == "velocity":
        true = bridge.velocity(encode(truth), z_frame, draws.noise, times)
        predicted = bridge.velocity_from_truth(z, z_truth, z_frame, times)
        return {"velocity": (predicted - true).square().mean()}
    restored = decode(z_truth)
    terms = mean_errors(relative_error(restored, truth, frame, truth))
    if judge is not None:
        part = (slice(config.perceptual_crops), *draw_part(truth, config.perceptual_px, generator))
        weight = torch.where(draws.gone, config.perceptual_alone, 1.0)[: config.perceptual_crops]
        lpips, dists = judge(restored[part], truth[part])
        terms |= {"perceptual": (weight * lpips).mean(), "dists": (weight * dists).mean()}
    return terms


def relative_error(restored: Tensor, target: Tensor, frame: Tensor, truth: Tensor) -> Tensor:
    """Return errors (B, 3, n, n) relative to what is to be corrected of the frame.

    Else the crops of which nothing can be recovered, with the largest errors, are all that is
    learned from.
    """
    share = USUAL_ERROR / ((frame - truth).abs().mean((1, 2, 3), keepdim=True) + 0.005)
    return (restored - target) * share


def mean_errors(error: Tensor) -> dict[str, Tensor]:
    """Return the mean absolute errors of pixels and of spectra."""
    return {
        "pixel": error.abs().mean(),
        "frequency": torch.fft.rfft2(error, norm="ortho").abs().mean(),
    }


def draw_part(
    pictures: Tensor, size: int, generator: torch.Generator
) -> tuple[slice, slice, slice]:
    """Draw the same part of all pictures (B, 3, n, n), size x size pixels: what VGG16 is shown."""
    room = pictures.shape[-1] - size
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for _ in range(2))
    return slice(None), slice(top, top + size), slice(left, left + size)
