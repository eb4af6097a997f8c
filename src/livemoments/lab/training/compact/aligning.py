"""Bring references to frames and restore with them, on tensors, with gradients.

`models/aligned.py` does the same with ONNX at run time. `Parts` takes parts of the method away, for
ablations (LiveMoments, Tables 3 and 7).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from livemoments.errors import ConfigError
from livemoments.lab.training.run.objective_config import WHOLE, Parts
from livemoments.models.aligned import FLOW_SMOOTH_PX
from livemoments.networks.blocks import FOLD, SMOOTH_PX, around, low_frequencies, opening
from livemoments.networks.compact import SCALES, CompactNetworks, RestorationNet
from livemoments.networks.faces import FaceNet

TEXTURED = 0.02  # of 1: the deviation of a place with more detail than grain and compression have
NEAR_PX = 9  # side of the window in which texture is measured


@dataclass(frozen=True, kw_only=True)
class BatchAlignment:
    """The reference brought to the frame, as RestorationNet takes it, and how it was brought."""

    reference: Tensor  # (B, 3, n, m)
    flow: Tensor  # (B, 2, n, m), refined, frame -> key crop
    trust_logit: Tensor  # (B, 1, h, w)

    def motion(self) -> Tensor:
        """Return the displacement towards the frame (pixels), and the trust in it: (B, 3, h, w)."""
        pooled = F.avg_pool2d(self.flow, FOLD)
        towards_frame = pooled.mean((2, 3), keepdim=True) - pooled
        return torch.cat([towards_frame, torch.sigmoid(self.trust_logit)], 1)

    def confidence(self) -> Tensor:
        """Return the predicted trust at full size, (B, 1, n, m)."""
        return F.interpolate(torch.sigmoid(self.trust_logit), scale_factor=float(FOLD))


def warp_with_margin(key: Tensor, flow: Tensor, margin: int) -> Tensor:
    """Read key (B, C, n + 2 m, ...) at the frame's pixels plus flow (B, 2, n, ...); bicubic."""
    (height, width), (full_height, full_width) = flow.shape[-2:], key.shape[-2:]
    columns = torch.arange(width, dtype=torch.float32, device=key.device) + margin
    rows = torch.arange(height, dtype=torch.float32, device=key.device)[:, None] + margin
    x = (flow[:, 0].float() + columns) * (2 / (full_width - 1)) - 1
    y = (flow[:, 1].float() + rows) * (2 / (full_height - 1)) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(
        key.float(), grid, mode="bicubic", padding_mode="border", align_corners=True
    )


def smooth(flow: Tensor) -> Tensor:
    """Take an estimator's noise from pixel to pixel out of a flow (B, 2, n, m)."""
    reach = round(4 * FLOW_SMOOTH_PX)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32, device=flow.device)
    kernel = torch.exp(-at.square() / (2 * FLOW_SMOOTH_PX**2))
    kernel = (kernel / kernel.sum()).expand(2, 1, -1)
    flow = F.pad(flow.float(), (reach, reach, reach, reach), mode="reflect")
    flow = F.conv2d(flow, kernel[:, :, None], groups=2)
    return F.conv2d(flow, kernel[..., None], groups=2)


def align_batch(
    model: CompactNetworks | FaceNet, batch: dict[str, Tensor], margin: int, parts: Parts = WHOLE
) -> BatchAlignment:
    """Refine the flow and warp the key photo by it; gradients reach the refiner through both.

    As at run time (`models.aligned`): the estimated flow is smoothed first, and where the reference
    is not trusted the frame takes its place.
    """
    flow, confidence = smooth(batch["flow"]), batch["confidence"]
    if parts.refine:
        warped = warp_with_margin(batch["key"], flow, margin)
        refined = model.refiner(batch["frame"], warped, confidence).float()
        delta = F.interpolate(refined[:, :2], scale_factor=float(FOLD), mode="bilinear")
        flow, trust_logit = flow + delta, refined[:, 2:]
    else:  # as an untrained refiner has it
        trust_logit = 6 * F.avg_pool2d(confidence, FOLD) - 3
    reference = warp_with_margin(batch["key"], flow, margin).clamp(0, 1)
    shown = opening(torch.sigmoid(trust_logit))
    shown = F.interpolate(shown, scale_factor=float(FOLD), mode="bilinear")
    return BatchAlignment(
        reference=batch["frame"] + shown * (reference - batch["frame"]),
        flow=flow,
        trust_logit=trust_logit,
    )


def without_reference(aligned: BatchAlignment, frame: Tensor, gone: Tensor) -> BatchAlignment:
    """Put the frame in the reference's place where gone (B,) is true; nothing of it is trusted."""
    gone = gone.view(-1, 1, 1, 1)
    return BatchAlignment(
        reference=torch.where(gone, frame, aligned.reference),
        flow=torch.where(gone, torch.zeros_like(aligned.flow), aligned.flow),
        trust_logit=torch.where(
            gone, torch.full_like(aligned.trust_logit, -12), aligned.trust_logit
        ),
    )


def predict_truth(
    model: CompactNetworks,
    aligned: BatchAlignment,
    frame: Tensor,
    z: Tensor,
    t: Tensor,
    *,
    parts: Parts = WHOLE,
    key: Tensor | None = None,
) -> Tensor:
    """Predict z_Hs (B, 48, h, w) from the bridge's point z at times t (B,).

    key (B, 3, n, m), the crop of the key photo as retrieved (PCR) but not warped, is needed where
    parts warp something else than its pixels.
    """
    motion = aligned.motion()
    reference = aligned.reference
    features: tuple[Tensor, ...] = ()
    if model.config.branch == "none":
        if parts.warp != "pixels":
            raise ConfigError(f"without a reference branch there is no {parts.warp} to be warped")
    elif parts.warp == "pixels":
        features = model.reference(reference, aligned.confidence())
    else:
        features = _features_of_unwarped(model, aligned, parts, key)
    if not parts.reference_pixels:
        reference = frame
    if parts.copy_gate and parts.motion:
        return model.restoration(z, frame, reference, features, motion, t).float()
    return _predict_without(
        parts, model.restoration, z, frame, reference, features, motion, t
    ).float()


def _predict_without(
    parts: Parts,
    net: RestorationNet,
    z: Tensor,
    frame: Tensor,
    reference: Tensor,
    features: tuple[Tensor, ...],
    motion: Tensor,
    t: Tensor,
) -> Tensor:
    """Run RestorationNet without the copy gate or the motion in attention's keys."""
    time, maps = net.embed_time(t), []
    x = net.begin(z, frame, reference, features, motion, t)
    guide = motion if parts.motion else torch.zeros_like(motion)
    for scale in range(SCALES):
        x = net.encode(scale, x, features, guide, time)
        maps.append(x)
    # There is nothing to copy from a reference that is the frame itself.
    return net.decode(maps, frame, reference if parts.copy_gate else frame, motion, time)


def _features_of_unwarped(
    model: CompactNetworks, aligned: BatchAlignment, parts: Parts, key: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ReferenceNet's features where something later than pixels is warped, or nothing."""
    if key is None:
        raise ConfigError(f"to warp {parts.warp}, the unwarped crop of the key photo is needed")
    everywhere = torch.ones_like(aligned.confidence())
    if parts.warp == "latents":
        seen = model.reference.latents(key, everywhere)
        return model.reference.from_latents(_warp_map(seen, aligned.flow))
    features = model.reference(key, everywhere)
    if parts.warp == "nothing":
        return features
    # Warping the features is warping the keys and values made of them token by token.
    first, second, third = (_warp_map(x, aligned.flow) for x in features)
    return first, second, third


def _warp_map(x: Tensor, flow: Tensor) -> Tensor:
    """Warp a map (B, C, h, w) of a crop by its flow in pixels (B, 2, n, m)."""
    cell = flow.shape[-1] // x.shape[-1]
    return warp_with_margin(x, F.avg_pool2d(flow, cell) / cell, 0)


def texture(image: Tensor) -> Tensor:
    """Measure the local deviation of (B, 3, n, n) from its surroundings: (B, 1, n, n), of 1."""
    detail = image - low_frequencies(image, SMOOTH_PX)
    return around(detail.square().mean(1, keepdim=True), NEAR_PX).sqrt()


def alignment_quality(truth: Tensor, astray: Tensor) -> Tensor:
    """Measure what an error of the flow, astray (B, 2, n, n) pixels, leaves of the truth's detail.

    1 where the truth read that far off is the truth all the same, towards 0 where other detail
    would be copied; (B, 1, n, n). In plain places an error of many pixels does no harm.
    """
    displaced = warp_with_margin(truth, astray, 0)
    harm = around((displaced - truth).square().mean(1, keepdim=True), NEAR_PX)
    return torch.exp(-2 * harm / (texture(truth).square() + TEXTURED**2))


def alignment_losses(
    aligned: BatchAlignment, truth: Tensor, true_flow: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor]:
    """Work out the terms of flow and trust.

    visible (B, 1, n, n) is where the key photo shows the place.
    """
    astray = aligned.flow - true_flow
    target = F.avg_pool2d(visible * alignment_quality(truth, astray.detach()), FOLD)
    trust = F.binary_cross_entropy_with_logits(aligned.trust_logit, target)
    error = astray.square().sum(1, keepdim=True).add(1e-4).sqrt()
    # Capped: where the first flow is lost by far, the refiner cannot mend it and should not try.
    # By texture: in plain places no flow is right or wrong.
    busy = texture(truth)
    weight = visible * (busy / (busy + TEXTURED))
    return (error.clamp(max=8) * weight).sum() / weight.sum().clamp(min=1), trust
