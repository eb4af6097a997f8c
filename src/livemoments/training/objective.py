"""What the compact networks are trained to minimise."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments import bridge
from livemoments.networks.compact import (
    FOLD,
    SMOOTH_PX,
    CompactConfig,
    FlowRefiner,
    ReferenceNet,
    RestorationNet,
    around,
    decode,
    encode,
    low_frequencies,
)
from livemoments.training.perceptual import Lpips

TEXTURED = 0.02  # of 1: the deviation of a place whose detail stands out of grain and compression


class CompactModel(nn.Module):
    """The three compact networks together, as they are trained."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.refiner = FlowRefiner(config)
        self.reference = ReferenceNet(config)
        self.restoration = RestorationNet(config)


NEAR_PX = 9  # side of the window in which texture is measured
USUAL_ERROR = 0.03  # of 1: of a degraded frame, the mean absolute one


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Weights of the terms, and how often the reference is taken away or wrong."""

    frequency: float = 0.2  # L1 between spectra: sharpness without inventing
    perceptual: float = 0.05  # LPIPS of a part of each crop; 0 does without VGG16
    perceptual_px: int = 64  # side of that part: VGG16 costs more than all networks here
    flow: float = 0.02  # end-point error per pixel of the visible part
    trust: float = 0.02  # binary cross entropy
    no_reference: float = 0.25  # share of crops that must do without
    wrong_reference: float = 0.04  # share of crops with another scene's key photo
    at_start: float = 0.75  # share of crops at t = T, where one-step sampling stands


@dataclass(frozen=True, kw_only=True)
class Losses:
    """The terms of one batch, each a scalar tensor."""

    total: Tensor
    pixel: Tensor  # relative: what the frame itself scores is about USUAL_ERROR
    frequency: Tensor  # likewise
    perceptual: Tensor  # 0 where it is not asked for
    flow: Tensor
    trust: Tensor


def warp_with_margin(key: Tensor, flow: Tensor, margin: int) -> Tensor:
    """Read key (B, 3, n + 2 m, n + 2 m) at the frame's pixels plus flow (B, 2, n, n); bicubic."""
    n, full = flow.shape[-1], key.shape[-1]
    at = torch.arange(n, dtype=torch.float32, device=key.device) + margin
    x = (flow[:, 0].float() + at) * (2 / (full - 1)) - 1
    y = (flow[:, 1].float() + at[:, None]) * (2 / (full - 1)) - 1
    grid = torch.stack([x, y], -1)
    return F.grid_sample(
        key.float(), grid, mode="bicubic", padding_mode="border", align_corners=True
    )


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """The reference brought to the frame, as RestorationNet takes it, and how it was brought."""

    reference: Tensor  # (B, 3, n, n)
    flow: Tensor  # (B, 2, n, n), refined, frame -> key crop
    trust_logit: Tensor  # (B, 1, h, w)

    def motion(self) -> Tensor:
        """(B, 3, h, w): the displacement towards the frame (pixels), and the trust in it."""
        pooled = F.avg_pool2d(self.flow, FOLD)
        towards_frame = pooled.mean((2, 3), keepdim=True) - pooled
        return torch.cat([towards_frame, torch.sigmoid(self.trust_logit)], 1)

    def confidence(self) -> Tensor:
        """The predicted trust at full size, (B, 1, n, n)."""
        return F.interpolate(torch.sigmoid(self.trust_logit), scale_factor=float(FOLD))


def align_batch(model: CompactModel, batch: dict[str, Tensor], margin: int) -> Alignment:
    """Refine the flow and warp the key photo by it; gradients reach the refiner through both."""
    warped = warp_with_margin(batch["key"], batch["flow"], margin)
    refined = model.refiner(batch["frame"], warped, batch["confidence"]).float()
    delta = F.interpolate(refined[:, :2], scale_factor=float(FOLD), mode="bilinear")
    flow = batch["flow"] + delta
    return Alignment(
        reference=warp_with_margin(batch["key"], flow, margin).clamp(0, 1),
        flow=flow,
        trust_logit=refined[:, 2:],
    )


def texture(image: Tensor) -> Tensor:
    """The local deviation of (B, 3, n, n) from its surroundings: (B, 1, n, n), of 1."""
    detail = image - low_frequencies(image, SMOOTH_PX)
    return around(detail.square().mean(1, keepdim=True), NEAR_PX).sqrt()


def alignment_quality(truth: Tensor, astray: Tensor) -> Tensor:
    """What an error of the flow, astray (B, 2, n, n) pixels, leaves of the truth's detail.

    1 where the truth read that far off is the truth all the same, towards 0 where other detail
    would be copied; (B, 1, n, n). In plain places an error of many pixels does no harm.
    """
    displaced = warp_with_margin(truth, astray, 0)
    harm = around((displaced - truth).square().mean(1, keepdim=True), NEAR_PX)
    return torch.exp(-2 * harm / (texture(truth).square() + TEXTURED**2))


def without_reference(aligned: Alignment, frame: Tensor, gone: Tensor) -> Alignment:
    """Where gone (B,) is true, the reference is the frame itself and nothing of it is trusted."""
    gone = gone.view(-1, 1, 1, 1)
    return Alignment(
        reference=torch.where(gone, frame, aligned.reference),
        flow=torch.where(gone, torch.zeros_like(aligned.flow), aligned.flow),
        trust_logit=torch.where(
            gone, torch.full_like(aligned.trust_logit, -12), aligned.trust_logit
        ),
    )


def predict_truth(
    model: CompactModel, aligned: Alignment, frame: Tensor, z: Tensor, t: Tensor
) -> Tensor:
    """z_Hs (B, 48, h, w) from the bridge's point z at times t (B,)."""
    features = model.reference(aligned.reference, aligned.confidence())
    motion = aligned.motion()
    return model.restoration(z, frame, aligned.reference, features, motion, t).float()


def alignment_losses(
    aligned: Alignment, truth: Tensor, true_flow: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor]:
    """The terms of flow and trust; visible (B, 1, n, n) is where the key photo shows the place."""
    astray = aligned.flow - true_flow
    target = F.avg_pool2d(visible * alignment_quality(truth, astray.detach()), FOLD)
    trust = F.binary_cross_entropy_with_logits(aligned.trust_logit, target)
    error = astray.square().sum(1, keepdim=True).add(1e-4).sqrt()
    # Capped: where the first flow is lost by far, the refiner cannot mend it and should not try.
    # By texture: in plain places no flow is right or wrong.
    busy = texture(truth)
    weight = visible * (busy / (busy + TEXTURED))
    return (error.clamp(max=8) * weight).sum() / weight.sum().clamp(min=1), trust


def compact_losses(
    model: CompactModel,
    batch: dict[str, Tensor],
    margin: int,
    config: ObjectiveConfig,
    generator: torch.Generator,
    lpips: Lpips | None = None,
) -> Losses:
    """The losses of one batch of `training.pairs` crops; lpips where config asks for it."""
    truth, frame = batch["truth"], batch["frame"]
    count = len(truth)
    draw = torch.rand(3, count, generator=generator)
    wrong = draw[0] < config.wrong_reference
    gone = draw[1] < config.no_reference
    batch = dict(
        batch, key=torch.where(wrong.view(-1, 1, 1, 1), batch["key"].roll(1, 0), batch["key"])
    )
    aligned = align_batch(model, batch, margin)

    sees = (~wrong).float().view(-1, 1, 1, 1)
    flow, trust = alignment_losses(aligned, truth, batch["true_flow"], batch["visible"] * sees)

    aligned = without_reference(aligned, frame, gone)
    t = torch.rand(count, generator=generator) * bridge.HORIZON
    t = torch.where(draw[2] < config.at_start, torch.full_like(t, bridge.HORIZON), t)
    noise = torch.randn(encode(truth).shape, generator=generator)
    z = bridge.bridge_point(encode(truth), encode(frame), noise, t.view(-1, 1, 1, 1))
    restored = decode(predict_truth(model, aligned, frame, z, t))

    # Relative to what is to be corrected: else the crops of which nothing can be recovered, with
    # the largest errors, are all that is learned from.
    share = USUAL_ERROR / ((frame - truth).abs().mean((1, 2, 3), keepdim=True) + 0.005)
    pixel = ((restored - truth) * share).abs().mean()
    spectra = torch.fft.rfft2((restored - truth) * share, norm="ortho")
    frequency = spectra.abs().mean()
    seen_as = torch.zeros(())
    if lpips is not None and config.perceptual:
        room = truth.shape[-1] - config.perceptual_px
        top, left = (int(torch.randint(room + 1, (), generator=generator)) for _ in range(2))
        part = (
            ...,
            slice(top, top + config.perceptual_px),
            slice(left, left + config.perceptual_px),
        )
        seen_as = lpips(restored[part], truth[part])
    total = (
        pixel
        + config.frequency * frequency
        + config.perceptual * seen_as
        + config.flow * flow
        + config.trust * trust
    )
    return Losses(
        total=total, pixel=pixel, frequency=frequency, perceptual=seen_as, flow=flow, trust=trust
    )
