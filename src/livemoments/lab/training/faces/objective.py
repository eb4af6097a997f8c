"""Work out what the face tier is trained to minimise.

The terms of the compact model's objective on every frame of a clip; also that errors hold still
over time, and, where it is asked for, identity-preserving feedback (IP-FVR): the cosine similarity
of the restored faces' identities to the person's, later frames weighing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments import bridge
from livemoments.lab.training.compact.aligning import (
    BatchAlignment,
    align_batch,
    alignment_losses,
    warp_with_margin,
    without_reference,
)
from livemoments.lab.training.compact.objective import draw_part, mean_errors, relative_error
from livemoments.lab.training.compact.perceptual import Perceptual
from livemoments.lab.training.run.config import FaceTrainConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.networks.blocks import decode, encode
from livemoments.networks.face_identity import FaceIdentity, chips
from livemoments.networks.faces import FaceNet, Prompt

OF_FRAMES = ("truth", "frame", "flow", "true_flow", "confidence", "visible")
OF_REFERENCE = ("reference", "identity", "attributes")


@dataclass(frozen=True, kw_only=True)
class FaceLosses:
    """The terms of one batch of clips, each a scalar tensor."""

    total: Tensor
    pixel: Tensor  # relative: what the frames themselves score is about USUAL_ERROR
    frequency: Tensor
    time: Tensor  # relative as well: how errors change from frame to frame
    perceptual: Tensor  # 0 where it is not asked for
    dists: Tensor
    identity: Tensor  # 1 - reward; 0 where it is not asked for
    flow: Tensor
    trust: Tensor


@dataclass(frozen=True)
class Judges:
    """Frozen networks that judge what is restored; None: not asked."""

    perceptual: Perceptual | None = None
    identity: FaceIdentity | None = None


def suffix_weights(frames: int) -> Tensor:
    """Return the share of each of so many frames in the reward, (frames,): by t + 1.

    Drift adds up over a clip, so a later frame, which stands for all before it, weighs more. The
    paper names suffix-weighted aggregation and gives no formula; this one is ours.
    """
    weights = torch.arange(1, frames + 1, dtype=torch.float32)
    return weights / weights.sum()


def identity_reward(restored: Tensor, person: Tensor) -> Tensor:
    """Measure the similarity of a clip's faces to a person, suffix-weighted; (B,) in [-1, 1].

    restored (B, T, 128) are the frames' identities, person (B, 128).
    """
    similar = F.cosine_similarity(restored, person[:, None], dim=-1)
    return (similar * suffix_weights(similar.shape[1]).to(similar)).sum(1)


@dataclass(frozen=True, kw_only=True)
class _Draws:
    """What is random about a batch of B clips of T frames."""

    t: Tensor  # (B * T,), times of the bridge
    wrong: Tensor  # (B,), true where the reference is another clip's
    gone: Tensor  # (B,), true where there is no reference
    low: Tensor  # (B,), 1 where the target is the degraded frame, else 0
    streams: Tensor  # (3, B), by which the prompt's streams are taken away
    unaligned: Tensor  # (B,), true where no flow leads to the reference


def face_losses(
    model: FaceNet,
    batch: Mapping[str, Tensor],
    config: ObjectiveConfig,
    faces: FaceTrainConfig,
    generator: torch.Generator,
    judges: Judges,
) -> FaceLosses:
    """Work out the losses of a batch of `faces.clips` crops."""
    clips, frames = batch["truth"].shape[:2]
    draws = _draw(batch["truth"], config, faces, generator)
    batch = dict(batch) | {name: _swapped(batch[name], draws.wrong) for name in OF_REFERENCE}
    prompt = _prompt(model, batch, draws, faces)
    flat = {name: batch[name].flatten(0, 1) for name in OF_FRAMES}
    truth, frame = flat["truth"], flat["frame"]
    aligned = align_clip(model, batch)
    visible = flat["visible"] * _each((~draws.wrong).float(), frames)
    flow, trust = alignment_losses(aligned, truth, flat["true_flow"], visible)
    # Where no flow leads to the reference, attention is left to make use of it.
    lost = draws.gone | draws.unaligned
    aligned = without_reference(aligned, frame, lost.repeat_interleave(frames))

    target = torch.where(_each(draws.low, frames) > 0, frame, truth)
    noise = torch.randn(encode(truth).shape, generator=generator).to(truth.device)
    z = bridge.bridge_point(encode(target), encode(frame), noise, draws.t.view(-1, 1, 1, 1))
    restored = decode(predict(model, aligned, frame, z, draws.t, prompt, frames, batch["corner"]))

    error = relative_error(restored, target, frame, truth)
    terms = mean_errors(error)
    terms["time"] = unrest(error.unflatten(0, (clips, frames)), batch["steps"])
    terms |= dict.fromkeys(("perceptual", "dists", "identity"), truth.new_zeros(()))
    if judges.perceptual is not None:
        part = _part(target, config, generator)
        seen = judges.perceptual(restored[part], target[part])
        terms["perceptual"], terms["dists"] = (x.mean() for x in seen)
    if judges.identity is not None:
        counts = (1 - draws.low) * (~draws.wrong)
        terms["identity"] = _feedback(
            judges.identity, restored, batch, counts, faces.reward_of_truth
        )
    total = (
        terms["pixel"] + config.frequency * terms["frequency"] + faces.time * terms["time"]
        + config.perceptual * terms["perceptual"] + config.dists * terms["dists"]
        + faces.identity_reward * terms["identity"] + config.flow * flow + config.trust * trust
    )  # fmt: skip
    return FaceLosses(total=total, **terms, flow=flow, trust=trust)


def _draw(
    truth: Tensor, config: ObjectiveConfig, faces: FaceTrainConfig, generator: torch.Generator
) -> _Draws:
    """Draw what is random about a batch (B, T, 3, n, n); on the CPU: the same on any device."""
    clips, frames = truth.shape[:2]
    here = truth.device
    drawn = torch.rand(7, clips, generator=generator).to(here)
    t = torch.rand(clips * frames, generator=generator).to(here) * bridge.HORIZON
    at_start = torch.rand(clips * frames, generator=generator).to(here) < config.at_start
    return _Draws(
        t=torch.where(at_start, torch.full_like(t, bridge.HORIZON), t),
        # With one clip there is no other's reference to be wrong.
        wrong=drawn[0] < (config.wrong_reference if clips > 1 else 0.0),
        gone=drawn[1] < config.no_reference,
        low=(drawn[2] < faces.low_quality).float(),
        streams=drawn[3:6],
        unaligned=drawn[6] < faces.unaligned,
    )


def align_clip(model: FaceNet, batch: Mapping[str, Tensor]) -> BatchAlignment:
    """Bring the clips' references to each frame, B * T of them."""
    flat = {name: batch[name].flatten(0, 1) for name in ("frame", "flow", "confidence")}
    frames = batch["frame"].shape[1]
    key = batch["reference"].repeat_interleave(frames, 0)
    return align_batch(model, flat | {"key": key}, 0)


def predict(
    model: FaceNet, aligned: BatchAlignment, frame: Tensor, z: Tensor, t: Tensor, prompt: Prompt,
    frames: int, corner: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Predict z_Hs (B * T, 48, h, w) from the bridge's point z at times t (B * T,)."""
    features = model.reference(aligned.reference, aligned.confidence())
    return model(
        z, frame, aligned.reference, features, aligned.motion(), t,
        prompt=prompt, frames=frames, corner=corner,
    ).float()  # fmt: skip


def unrest(error: Tensor, steps: Tensor) -> Tensor:
    """Measure how errors (B, T, 3, n, n) change along the true steps (B, T - 1, 2, n, n)."""
    if error.shape[1] < 2:
        return error.new_zeros(())
    before, after = error[:, :-1].flatten(0, 1), error[:, 1:].flatten(0, 1)
    return (warp_with_margin(after, steps.flatten(0, 1), 0) - before).abs().mean()


def _prompt(
    model: FaceNet, batch: Mapping[str, Tensor], draws: _Draws, faces: FaceTrainConfig
) -> Prompt:
    """Make the prompt, some streams taken away; a clip that shows no face has no identity."""
    known = batch["identity"].abs().sum(1) > 0
    image, identity, attributes = draws.streams
    return replace(
        model.prompt(batch["reference"][:, None], batch["identity"], batch["attributes"]),
        image_there=((image >= faces.no_image) & ~draws.gone).float(),
        identity_there=((identity >= faces.no_identity) & known).float(),
        attributes_there=((attributes >= faces.no_attributes) & known).float(),
        low_quality=draws.low,
    )


def _feedback(
    judge: FaceIdentity, restored: Tensor, batch: Mapping[str, Tensor], counts: Tensor,
    of_truth: float,
) -> Tensor:  # fmt: skip
    """Return 1 - reward, the mean over the clips that show a face and count (B,).

    of_truth is the share of it that is each frame's distance to its own truth instead: the person's
    similarity alone would draw every look to the one of the photograph, and hardly distinguishes
    faces that are nearly right. The crop stands in its place in the true face: what is judged is a
    whole one.
    """
    clips, frames = batch["truth"].shape[:2]
    whole, n = batch["whole"].clone(), restored.shape[-1]
    crops = restored.clamp(0, 1).unflatten(0, (clips, frames))
    placed = []
    for one, crop, corner in zip(whole, crops, batch["corner"].long().tolist(), strict=True):
        left, top = corner
        right, bottom = (one.shape[-1] - n - at for at in (left, top))
        inside = F.pad(torch.ones_like(crop), (left, right, top, bottom))
        placed.append(one * (1 - inside) + F.pad(crop, (left, right, top, bottom)))
    found = judge(chips(torch.cat(placed))).unflatten(0, (clips, frames))
    person = batch["identity"]
    counts = counts * (person.abs().sum(1) > 0)
    with torch.no_grad():
        true = judge(chips(whole.flatten(0, 1))).unflatten(0, (clips, frames))
    away = ((found - true).square().sum(-1) + 1e-6).sqrt()
    away = (away * suffix_weights(frames).to(away)).sum(1)
    lost = (1 - of_truth) * (1 - identity_reward(found, person)) + of_truth * away
    return (lost * counts).sum() / counts.sum().clamp(min=1)


def _swapped(plane: Tensor, wrong: Tensor) -> Tensor:
    """Take that of the clip before where wrong (B,) is true."""
    return torch.where(wrong.view(-1, *[1] * (plane.ndim - 1)), plane.roll(1, 0), plane)


def _each(of_clips: Tensor, frames: int) -> Tensor:
    """Repeat (B,) for each frame: (B * T, 1, 1, 1)."""
    return of_clips.repeat_interleave(frames).view(-1, 1, 1, 1)


def _part(
    target: Tensor, config: ObjectiveConfig, generator: torch.Generator
) -> tuple[Tensor, slice, slice, slice]:
    """Draw the same part of some frames of all clips: what VGG16 is shown."""
    count = min(config.perceptual_crops, len(target))
    which = torch.randperm(len(target), generator=generator)[:count]
    return (which, *draw_part(target, config.perceptual_px, generator))
