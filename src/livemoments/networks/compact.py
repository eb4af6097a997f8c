"""The compact model's ReferenceNet and RestorationNet.

The codec is lossless: pixels unshuffled by 4 (`encode`, `decode`), so a latent has 48 channels at a
quarter of the size. Letters: B batch, H x W pixels (multiples of 64), h x w = H/4 x W/4 latent
cells.
"""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments import bridge
from livemoments.networks.attention import MotionGuidedAttention, make_zero
from livemoments.networks.blocks import (
    DISAGREEMENTS,
    FOLD,
    HEAD_SCALE,
    LATENT,
    SEEN,
    SMOOTH_PX,
    Block,
    decode,
    disagreement,
    encode,
    low_frequencies,
    opening,
    seen,
)
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.refiner import FlowRefiner

Maps: TypeAlias = tuple[Tensor, ...]  # ReferenceNet's, at 1/4, 1/8 and 1/16; or none
SCALES = 3  # of the encoder: 1/4, 1/8 and 1/16
# Pixel values are in [0, 1].
RESIDUAL_SCALE = 0.03  # of pixel values
CORRECTION = 0.03  # usual size of truth less frame
CLOSED_BELOW = 0.03  # smaller gates are shut: a fiftieth of a bright letter is still a ghost
BLACK = 0.05  # below, a ratio of two lights says nothing
OTHER_TINT = 0.5  # log ratio of two lights' channels, from which they are of different colours


class ReferenceNet(nn.Module):
    """Features of the aligned reference at 1/4, 1/8 and 1/16; once per tile, whatever the steps."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        a, b, c = config.channels
        n = config.reference_blocks
        self.enter = nn.Conv2d(SEEN + 1, a, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(Block(width) for _ in range(k))
            for width, k in zip((a, b, c), n, strict=True)
        )
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2), nn.Conv2d(b, c, 2, stride=2)])

    def forward(self, reference: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn an aligned reference (B, 3, H, W), confidence (B, 1, H, W), into three maps."""
        return self.from_latents(self.latents(reference, confidence))

    def latents(self, reference: Tensor, confidence: Tensor) -> Tensor:
        """Return the reference as this network sees it, (B, 52, h, w)."""
        return torch.cat([seen(reference), F.avg_pool2d(confidence, FOLD)], 1)

    def from_latents(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Do the rest of `forward`; an ablation warps between the two."""
        x = self.enter(latents)
        features = []
        for scale, blocks in enumerate(self.blocks):
            for block in blocks.children():
                x = block(x)
            features.append(x)
            if scale < 2:
                x = self.down[scale](x)
        return features[0], features[1], features[2]


class GatedFusion(nn.Module):
    """Takes from the reference's features what a mask, seen from both, lets through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mask = nn.Sequential(
            nn.Conv2d(2 * channels + 1, channels // 2, 1),
            nn.SiLU(),
            nn.Conv2d(channels // 2, channels, 3, padding=1),
        )
        self.merge = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, reference: Tensor, confidence: Tensor) -> Tensor:
        """Add to x (B, C, h, w) from reference (B, C, h, w), confidence (B, 1, h, w)."""
        mask = torch.sigmoid(self.mask(torch.cat([x, reference, confidence], 1)))
        return x + self.merge(mask * reference)


def known_correction(z: Tensor, z_frame: Tensor, t: Tensor) -> Tensor:
    """Estimate z_Hs - z_Ls from the bridge's point z at t, of about unit size; (B, 48, h, w).

    This is Wiener's estimate for a correction of size CORRECTION: the truth itself at t = 0, and
    zero at t = T, where z holds nothing but the frame and noise. The noise as such would drown all
    other input.
    """
    c = bridge.coefficients(t.view(-1, 1, 1, 1))
    beyond_frame = z - (c.alpha + c.beta) * z_frame  # alpha (z_Hs - z_Ls) + sigma eps
    signal = c.alpha * CORRECTION
    return beyond_frame * signal / (signal * signal + c.sigma * c.sigma + 1e-12)


def same_light(frame: Tensor, reference: Tensor) -> Tensor:
    """Measure whether two pictures (B, 3, H, W) are lit in one colour: (B, 1, h, w) in [0, 1].

    1 where their smooth parts differ by exposure and the tints of two pipelines, 0 where a lamp was
    green in one and is red in the other: there the detail, too, has another colour.
    """
    light = [
        F.avg_pool2d(low_frequencies(x, SMOOTH_PX), FOLD).clamp(min=0) for x in (frame, reference)
    ]
    ratios = torch.log((light[0] + BLACK) / (light[1] + BLACK))
    tint = ratios - ratios.mean(1, keepdim=True)
    return torch.exp(-((tint.square().mean(1, keepdim=True) / OTHER_TINT**2).square()))


def _in_bands(image: Tensor, sizes: tuple[int, ...], factors: Tensor) -> Tensor:
    """Sum the bands of detail of (B, 3, H, W), pixel by pixel times factors (B, bands * 16, h, w).

    The first band is what means of sizes[0] pixels leave; the others lie between two sizes.
    """
    total, finer = torch.zeros_like(image), image
    for size, factor in zip(sizes, factors.chunk(len(sizes), 1), strict=True):
        smooth = low_frequencies(image, size)
        total = total + (finer - smooth) * decode(factor)
        finer = smooth
    return total


class RestorationNet(nn.Module):
    """Predicts the truth's latent z_Hs from the bridge's z_t, the frame and the reference.

    z_Hs = z_Ls + copied detail + own detail + residual. The copied detail is what the reference has
    more than the frame in two bands of frequency, each let through by a predicted gate times the
    reference's visibility: the copy gate. The own detail is the frame's, in three bands, sharpened
    or smoothed by a predicted factor. Without a trusted reference and with the last layer zero, the
    network returns the frame.

    `forward` is composed of `begin`, `encode` at each scale and `decode`, between which FaceNet and
    ablations do more or less.
    """

    BANDS = (4, 16)  # pixels: detail below 4, and from 4 to 16
    OWN_BANDS = (2, 4, 8)

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.time_features = config.time_features
        t = config.time_features
        self.time = nn.Sequential(nn.Linear(t, t), nn.SiLU(), nn.Linear(t, t), nn.SiLU())
        a, b, c = config.channels
        self.enter = nn.Conv2d(LATENT + 2 * SEEN + 1 + DISAGREEMENTS, a, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.ModuleList(Block(width, t) for _ in range(k))
            for width, k in zip(config.channels, config.encoder_blocks, strict=True)
        )
        self.down = nn.ModuleList([nn.Conv2d(a, b, 2, stride=2), nn.Conv2d(b, c, 2, stride=2)])
        if config.branch == "windows":
            self.fuse = GatedFusion(a)
            self.attend = nn.ModuleList(
                [
                    MotionGuidedAttention(b, config.heads, 8),
                    MotionGuidedAttention(c, config.heads, 4),
                ]
            )
        self.branch = config.branch
        self.up = nn.ModuleList([nn.Conv2d(b, a * 4, 1), nn.Conv2d(c, b * 4, 1)])
        self.decoder = nn.ModuleList(
            nn.ModuleList(Block(width, t) for _ in range(k))
            for width, k in zip((a, b), config.decoder_blocks, strict=True)
        )
        bands = len(self.BANDS) + len(self.OWN_BANDS)
        self.out = nn.Conv2d(a, LATENT + bands * FOLD * FOLD, 3, padding=1)
        make_zero(self.out)

    def forward(
        self, z: Tensor, frame: Tensor, reference: Tensor, features: Maps, motion: Tensor, t: Tensor
    ) -> Tensor:
        """Predict z_Hs (B, 48, h, w).

        z (B, 48, h, w) is the bridge's point at time t (B,); frame and reference (B, 3, H, W), the
        reference aligned; features are `ReferenceNet`'s, none without a reference branch; motion
        (B, 3, h, w) the reference's displacement towards the frame in pixels and the confidence of
        the alignment.
        """
        time, maps = self.embed_time(t), []
        x = self.begin(z, frame, reference, features, motion, t)
        for scale in range(SCALES):
            x = self.encode(scale, x, features, motion, time)
            maps.append(x)
        return self.decode(maps, frame, reference, motion, time)

    def embed_time(self, t: Tensor) -> Tensor:
        """Embed t (B,) in [0, T] by sines and cosines; (B, time_features)."""
        half = self.time_features // 2
        rates = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-6.0 / half))
        angles = t.float()[:, None] * 100 * rates
        return self.time(torch.cat([angles.sin(), angles.cos()], 1))

    def begin(
        self, z: Tensor, frame: Tensor, reference: Tensor, features: Maps, motion: Tensor, t: Tensor
    ) -> Tensor:
        """Bring `forward`'s arguments into one map (B, C, h, w), which scale 0 begins with."""
        confidence = motion[:, 2:]
        known = known_correction(z, encode(frame), t)
        differ = disagreement(frame, reference)
        x = self.enter(torch.cat([known, seen(frame), seen(reference), confidence, differ], 1))
        return self.fuse(x, features[0], confidence) if self.branch == "windows" else x

    def encode(self, scale: int, x: Tensor, features: Maps, motion: Tensor, time: Tensor) -> Tensor:
        """Encode at scale 0, 1 or 2 what the scale before gave, or at 0 what `begin` gave."""
        if scale:
            x = self.down[scale - 1](x)
        if scale and self.branch == "windows":
            cells = 2**scale
            tokens = F.avg_pool2d(motion, cells)
            tokens = torch.cat([tokens[:, :2] / (FOLD * cells), tokens[:, 2:]], 1)
            x = self.attend[scale - 1](x, features[scale], tokens)
        for block in self.encoder[scale].children():
            x = block(x, time)
        return x

    def decode(
        self, maps: list[Tensor], frame: Tensor, reference: Tensor, motion: Tensor, time: Tensor
    ) -> Tensor:
        """Predict z_Hs (B, 48, h, w) from the encoder's maps, and from what is copied."""
        x = maps[-1]
        for scale in (1, 0):
            x = F.pixel_shuffle(self.up[scale](x), 2) + maps[scale]
            for block in self.decoder[scale].children():
                x = block(x, time)
        # Not normalised: what there is to correct is in proportion to what there is.
        copied, own = (len(bands) * FOLD * FOLD for bands in (self.BANDS, self.OWN_BANDS))
        residual, gates, factors = self.out(x).split([LATENT, copied, own], 1)
        gates = torch.sigmoid(HEAD_SCALE * gates - 1) * opening(motion[:, 2:])
        gates = ((gates - CLOSED_BELOW) / (1 - CLOSED_BELOW)).clamp(min=0)
        gates = gates * same_light(frame, reference)
        detail = _in_bands(frame, self.OWN_BANDS, HEAD_SCALE * factors)
        detail = detail + _in_bands(reference - frame, self.BANDS, gates)
        return encode(frame) + encode(detail) + RESIDUAL_SCALE * residual


class CompactNetworks(nn.Module):
    """The compact networks together, as they are trained."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        self.refiner = FlowRefiner(config)
        self.restoration = RestorationNet(config)
        if config.branch == "windows":
            self.reference = ReferenceNet(config)
