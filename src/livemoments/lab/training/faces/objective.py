"""What the face tier is trained to minimise.

The terms of the compact model's objective on every frame of a clip; beside them, that errors hold
still over time, and, where it is asked for, identity-preserving feedback (IP-FVR): the cosine
similarity of the restored faces' identities to the person's, later frames weighing more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments import bridge
from livemoments.lab.training.compact.aligning import (
    Alignment,
    align_batch,
    alignment_losses,
    warp_with_margin,
    without_reference,
)
from livemoments.lab.training.compact.perceptual import Perceptual
from livemoments.lab.training.run.config import FaceTrainConfig
from livemoments.lab.training.run.objective_config import USUAL_ERROR, ObjectiveConfig
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
    time: Tensor  # likewise: how errors change from frame to frame
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
    """The share of each of so many frames in the reward, (frames,): in proportion to t + 1.

    Drift adds up over a clip, so a later frame, which stands for all before it, weighs more. The
    paper names suffix-weighted aggregation and gives no formula; this one is ours.
    """
    weights = torch.arange(1, frames + 1, dtype=torch.float32)
    return weights / weights.sum()


def identity_reward(restored: Tensor, person: Tensor) -> Tensor:
    """The similarity of a clip's faces to a person, suffix-weighted; (B,) in [-1, 1].

    restored (B, T, 128) are the frames' identities, person (B, 128).
    """
    alike = F.cosine_similarity(restored, person[:, None], dim=-1)
    return (alike * suffix_weights(alike.shape[1]).to(alike)).sum(1)


def face_losses(
    model: FaceNet,
    batch: Mapping[str, Tensor],
    config: ObjectiveConfig,
    faces: FaceTrainConfig,
    generator: torch.Generator,
    judges: Judges,
) -> FaceLosses:
    """The losses of a batch of `training.faces_clips` crops."""
    clips, frames = batch["truth"].shape[:2]
    here = batch["truth"].device
    drawn = torch.rand(7, clips, generator=generator).to(here)
    t = torch.rand(clips * frames, generator=generator).to(here) * bridge.HORIZON
    at_start = torch.rand(clips * frames, generator=generator).to(here) < config.at_start
    t = torch.where(at_start, torch.full_like(t, bridge.HORIZON), t)

    # With one clip there is no other's reference to be wrong.
    wrong = drawn[0] < (config.wrong_reference if clips > 1 else 0.0)
    batch = dict(batch) | {name: _swapped(batch[name], wrong) for name in OF_REFERENCE}
    gone = drawn[1] < config.no_reference
    low = (drawn[2] < faces.low_quality).float()
    prompt = _prompt(model, batch, low, drawn[3:6], faces, gone)

    flat = {name: batch[name].flatten(0, 1) for name in OF_FRAMES}
    aligned = align_clip(model, batch)
    truth, frame = flat["truth"], flat["frame"]
    sees = _each((~wrong).float(), frames)
    flow, trust = alignment_losses(aligned, truth, flat["true_flow"], flat["visible"] * sees)
    # Where no flow leads to the reference, attention is left to make use of it.
    lost = gone | (drawn[6] < faces.unaligned)
    aligned = without_reference(aligned, frame, lost.repeat_interleave(frames))

    target = torch.where(_each(low, frames) > 0, frame, truth)
    noise = torch.randn(encode(truth).shape, generator=generator).to(here)
    z = bridge.bridge_point(encode(target), encode(frame), noise, t.view(-1, 1, 1, 1))
    restored = decode(predict(model, aligned, frame, z, t, prompt, frames, batch["corner"]))

    error = (restored - target) * _share(frame, truth)
    terms = {
        "pixel": error.abs().mean(),
        "frequency": torch.fft.rfft2(error, norm="ortho").abs().mean(),
        "time": unrest(error.unflatten(0, (clips, frames)), batch["steps"]),
    }
    terms |= dict.fromkeys(("perceptual", "dists", "identity"), truth.new_zeros(()))
    if judges.perceptual is not None:
        parts = _parts(restored, target, config, generator)
        terms["perceptual"], terms["dists"] = (x.mean() for x in judges.perceptual(*parts))
    if judges.identity is not None:
        counts = (1 - low) * (~wrong)
        terms["identity"] = _feedback(
            judges.identity, restored, batch, counts, faces.reward_of_truth
        )
    total = (
        terms["pixel"] + config.frequency * terms["frequency"] + faces.time * terms["time"]
        + config.perceptual * terms["perceptual"] + config.dists * terms["dists"]
        + faces.identity_reward * terms["identity"] + config.flow * flow + config.trust * trust
    )  # fmt: skip
    return FaceLosses(total=total, **terms, flow=flow, trust=trust)


def align_clip(model: FaceNet, batch: Mapping[str, Tensor]) -> Alignment:
    """The clips' references brought to each frame, B * T of them."""
    flat = {name: batch[name].flatten(0, 1) for name in ("frame", "flow", "confidence")}
    frames = batch["frame"].shape[1]
    key = batch["reference"].repeat_interleave(frames, 0)
    return align_batch(model, flat | {"key": key}, 0)


def predict(
    model: FaceNet, aligned: Alignment, frame: Tensor, z: Tensor, t: Tensor, prompt: Prompt,
    frames: int, corner: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """z_Hs (B * T, 48, h, w) from the bridge's point z at times t (B * T,)."""
    features = model.reference(aligned.reference, aligned.confidence())
    return model(
        z, frame, aligned.reference, features, aligned.motion(), t,
        prompt=prompt, frames=frames, corner=corner,
    ).float()  # fmt: skip


def unrest(error: Tensor, steps: Tensor) -> Tensor:
    """How much errors (B, T, 3, n, n) change along the true motion steps (B, T - 1, 2, n, n)."""
    if error.shape[1] < 2:
        return error.new_zeros(())
    before, after = error[:, :-1].flatten(0, 1), error[:, 1:].flatten(0, 1)
    return (warp_with_margin(after, steps.flatten(0, 1), 0) - before).abs().mean()


def _prompt(
    model: FaceNet, batch: Mapping[str, Tensor], low: Tensor, drawn: Tensor, faces: FaceTrainConfig,
    gone: Tensor,
) -> Prompt:  # fmt: skip
    """The prompt with streams taken away at random; a clip that shows no face has no identity."""
    known = batch["identity"].abs().sum(1) > 0
    prompt = model.prompt(batch["reference"][:, None], batch["identity"], batch["attributes"])
    return replace(
        prompt,
        image_there=((drawn[0] >= faces.no_image) & ~gone).float(),
        identity_there=((drawn[1] >= faces.no_identity) & known).float(),
        attributes_there=((drawn[2] >= faces.no_attributes) & known).float(),
        low_quality=low,
    )


def _feedback(
    judge: FaceIdentity, restored: Tensor, batch: Mapping[str, Tensor], counts: Tensor,
    of_truth: float,
) -> Tensor:  # fmt: skip
    """1 - reward, the mean over the clips that show a face and count (B,).

    of_truth is the share of it that is each frame's distance to its own truth instead: the person's
    similarity alone would draw every look to the one of the photograph, and hardly tells faces
    apart that are nearly right. The crop stands in its place in the true face: what is judged is a
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
    """Where wrong (B,) is true, that of the clip before."""
    return torch.where(wrong.view(-1, *[1] * (plane.ndim - 1)), plane.roll(1, 0), plane)


def _each(of_clips: Tensor, frames: int) -> Tensor:
    """(B,) to (B * T, 1, 1, 1)."""
    return of_clips.repeat_interleave(frames).view(-1, 1, 1, 1)


def _share(frame: Tensor, truth: Tensor) -> Tensor:
    """What makes errors relative to what there is to correct; (B * T, 1, 1, 1)."""
    return USUAL_ERROR / ((frame - truth).abs().mean((1, 2, 3), keepdim=True) + 0.005)


def _parts(
    restored: Tensor, target: Tensor, config: ObjectiveConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The same part of some frames of all clips: what VGG16 is shown."""
    size, count = config.perceptual_px, min(config.perceptual_crops, len(target))
    which = torch.randperm(len(target), generator=generator)[:count]
    room = target.shape[-1] - size
    top, left = (int(torch.randint(room + 1, (), generator=generator)) for _ in range(2))
    part = (which, slice(None), slice(top, top + size), slice(left, left + size))
    return restored[part], target[part]
