"""The compact tier's networks: FlowRefiner, ReferenceNet and RestorationNet.

The codec is lossless: pixels unshuffled by 4 (`encode`, `decode`), so a latent has 48 channels at a
quarter of the size. Letters: B batch, H x W pixels (multiples of 64), h x w = H/4 x W/4 latent
cells.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments import bridge
from livemoments.networks.attention import MotionGuidedAttention, make_zero

FOLD = 4  # pixels per latent cell and side
LATENT = 3 * FOLD * FOLD  # 48 channels
# An optimiser's step moves an output by about the rate times its many inputs: far more than what is
# left to correct, so that an unscaled output never settles and nothing behind it learns.
HEAD_SCALE = 0.1  # of gates and trust, in logits
RESIDUAL_SCALE = 0.03  # of pixel values
DELTA_SCALE = 0.03  # of the flow, in pixels
SMOOTH_PX = 16  # detail is what the means of so many pixels a side leave
DETAIL = 1 / 16  # its usual size, of 1
CORRECTION = 0.03  # the usual size of truth less frame, of 1
CLOSED_BELOW = 0.03  # a gate: a fiftieth of a bright letter is still a ghost
BLACK = 0.05  # of 1: below, a ratio of two lights says nothing
OTHER_TINT = 0.5  # log ratio of two lights' channels, from which they are of different colours
SEEN = LATENT + 3
DISAGREEMENTS = 4  # channels of `disagreement`
SIZE_MULTIPLE = 64  # three scales, then windows of 8 and 4 tokens


@dataclass(frozen=True, kw_only=True)
class CompactConfig:
    """Sizes of the compact networks; stored with the weights."""

    channels: tuple[int, int, int] = (64, 96, 160)  # at 1/4, 1/8 and 1/16
    encoder_blocks: tuple[int, int, int] = (2, 3, 4)
    decoder_blocks: tuple[int, int] = (3, 3)  # at 1/4 and 1/8
    reference_blocks: tuple[int, int, int] = (1, 2, 2)
    refiner_channels: tuple[int, int] = (48, 64)
    heads: int = 4
    time_features: int = 64

    def to_dict(self) -> dict[str, object]:
        """Plain values, for the file beside the weights."""
        return asdict(self)


def encode(image: Tensor) -> Tensor:
    """The lossless codec: (B, 3, H, W) to (B, 48, h, w)."""
    return F.pixel_unshuffle(image, FOLD)


def decode(latent: Tensor) -> Tensor:
    """Undo `encode`."""
    return F.pixel_shuffle(latent, FOLD)


def low_frequencies(image: Tensor, size: int) -> Tensor:
    """The smooth part of (B, C, H, W): means of size x size pixels, interpolated."""
    return F.interpolate(F.avg_pool2d(image, size), scale_factor=float(size), mode="bilinear")


def around(x: Tensor, window: int) -> Tensor:
    """The mean of the window x window values around each of (B, C, H, W); window is odd."""
    return F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)


def seen(image: Tensor) -> Tensor:
    """A picture (B, 3, H, W) as the networks see it: (B, 51, h, w), all of about unit size.

    The detail apart from the smooth part, and amplified: it is a tenth of it, and what everything
    here is about. Together in one latent, its share in the features would be lost.
    """
    smooth = low_frequencies(image, SMOOTH_PX)
    cells = F.avg_pool2d(smooth, FOLD)
    return torch.cat([encode(image - smooth) / DETAIL, 4 * (cells - 0.5)], 1)


def normalised(x: Tensor) -> Tensor:
    """x (B, C, h, w) at unit root mean square over its channels, place by place.

    Keeps a deep residual stream's branches alive at high learning rates; across channels only, so
    that a tile's result does not depend on what else the tile shows.
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5)


class Block(nn.Module):
    """Residual: two 3x3 convolutions, the first modulated by the bridge's time.

    Dense 3x3 convolutions on purpose: on CPUs they run near the peak rate, where depthwise ones
    wait for memory.
    """

    def __init__(self, channels: int, time_features: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(time_features, 2 * channels) if time_features else None
        if self.time is not None:
            make_zero(self.time)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.second.weight, nonlinearity="relu")
        with torch.no_grad():
            self.second.weight.mul_(0.2)  # near the identity at the start

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x (B, C, h, w), time (B, time_features); returns (B, C, h, w)."""
        y = self.first(normalised(x))
        if self.time is not None and time is not None:
            scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        return x + self.second(F.silu(y))


class FlowRefiner(nn.Module):
    """What is left of the motion after the estimated flow, seen in frame and warped key photo."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        a, b = config.refiner_channels
        self.enter = nn.Conv2d(2 * FOLD * FOLD + 1 + DISAGREEMENTS, a, 3, padding=1)
        self.fine = nn.ModuleList(Block(a) for _ in range(2))
        self.down = nn.Conv2d(a, b, 2, stride=2)
        self.coarse = nn.ModuleList(Block(b) for _ in range(4))
        self.up = nn.Conv2d(b, a * 4, 1)
        self.last = nn.ModuleList(Block(a) for _ in range(1))
        self.out = nn.Conv2d(a, 3, 3, padding=1)
        make_zero(self.out)

    def forward(self, frame: Tensor, warped: Tensor, confidence: Tensor) -> Tensor:
        """frame and warped (B, 3, H, W), confidence (B, 1, H, W); returns (B, 3, h, w).

        Channels: the flow to add (x, y, in pixels of H x W), and the logit of trust: does the key
        photo show this place, and is it aligned as well as the detail there asks. Untrained, trust
        is the confidence.
        """
        cells = F.avg_pool2d(confidence, FOLD)
        planes = [_detail(frame), _detail(warped), disagreement(frame, warped)]
        x = self.enter(torch.cat([*planes, cells], 1))
        for block in self.fine:
            x = block(x)
        y = self.down(x)
        for block in self.coarse:
            y = block(y)
        x = x + F.pixel_shuffle(self.up(y), 2)
        for block in self.last:
            x = block(x)
        delta, logit = self.out(normalised(x)).split([2, 1], 1)
        return torch.cat([DELTA_SCALE * delta, HEAD_SCALE * logit + 6 * cells - 3], 1)


def luma_of(image: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W)."""
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def disagreement(frame: Tensor, reference: Tensor) -> Tensor:
    """How far two pictures (B, 3, H, W) differ in structure: (B, 4, h, w) in [0, 2], 0 for alike.

    Squared difference over summed energy of the luma, in two bands that a poor frame still has and
    two windows. Convolutions come by squares and quotients only slowly.
    """
    luma = [luma_of(frame), luma_of(reference)]
    scales = [[low_frequencies(y, size) for size in (2, 8, 16)] for y in luma]
    found = []
    for fine, smooth in ((0, 1), (1, 2)):
        a, b = (each[fine] - each[smooth] for each in scales)
        apart = F.avg_pool2d((a - b).square(), FOLD)
        energy = F.avg_pool2d(a.square() + b.square(), FOLD)
        for window in (1, 5):
            found.append(around(apart, window) / (around(energy, window) + 2e-4))
    return torch.cat(found, 1)


def _detail(image: Tensor) -> Tensor:
    """Luma less its local mean, folded: (B, 16, h, w). Pipelines differ in levels, not detail."""
    luma = luma_of(image)
    return 4 * F.pixel_unshuffle(luma - low_frequencies(luma, SMOOTH_PX), FOLD)


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
        """reference (B, 3, H, W), aligned to the frame, confidence (B, 1, H, W) -> three maps."""
        return self.from_latents(self.latents(reference, confidence))

    def latents(self, reference: Tensor, confidence: Tensor) -> Tensor:
        """The reference as this network sees it, (B, 52, h, w)."""
        return torch.cat([seen(reference), F.avg_pool2d(confidence, FOLD)], 1)

    def from_latents(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The rest of `forward`, for ablations that warp between the two."""
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
        """x and reference (B, C, h, w), confidence (B, 1, h, w); returns (B, C, h, w)."""
        mask = torch.sigmoid(self.mask(torch.cat([x, reference, confidence], 1)))
        return x + self.merge(mask * reference)


def known_correction(z: Tensor, z_frame: Tensor, t: Tensor) -> Tensor:
    """What the bridge's point z at t tells of z_Hs - z_Ls, of about unit size; (B, 48, h, w).

    Wiener's estimate, the correction being of size CORRECTION: the truth itself at t = 0, and at
    t = T, where z holds nothing but the frame and noise, zero. The noise as such would drown all
    other input.
    """
    c = bridge.coefficients(t.view(-1, 1, 1, 1))
    beyond_frame = z - (c.alpha + c.beta) * z_frame  # alpha (z_Hs - z_Ls) + sigma eps
    signal = c.alpha * CORRECTION
    return beyond_frame * signal / (signal * signal + c.sigma * c.sigma + 1e-12)


def opening(trust: Tensor) -> Tensor:
    """How far the copy gate may open, in [0, 1], for a trust in [0, 1].

    A place that the key photo does not show is closed to it, whatever the gate would say; where
    trust is but partial, the gate decides.
    """
    return 1 - (1 - trust) ** 4


def same_light(frame: Tensor, reference: Tensor) -> Tensor:
    """Whether two pictures (B, 3, H, W) are lit in the same colour: (B, 1, h, w) in [0, 1].

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
    """The detail of (B, 3, H, W) in bands, pixel by pixel times factors (B, bands * 16, h, w).

    The first band is what means of sizes[0] pixels leave; the others lie between two sizes. Returns
    (B, 3, H, W).
    """
    total, finer = torch.zeros_like(image), image
    for size, factor in zip(sizes, factors.chunk(len(sizes), 1), strict=True):
        smooth = low_frequencies(image, size)
        total = total + (finer - smooth) * decode(factor)
        finer = smooth
    return total


class RestorationNet(nn.Module):
    """Predicts the truth's latent z_Hs from the bridge's z_t, the frame and the reference.

    out = z_Ls + copied detail + own detail + residual. The copied detail is what the reference has
    more than the frame in two bands of frequency, each let through by a predicted gate times the
    reference's visibility: the copy gate. The own detail is the frame's, in three bands, sharpened
    or smoothed by a predicted factor. Without a trusted reference and with the last layer zero, the
    network returns the frame.
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
        self.fuse = GatedFusion(a)
        self.attend = nn.ModuleList(
            [MotionGuidedAttention(b, config.heads, 8), MotionGuidedAttention(c, config.heads, 4)]
        )
        self.up = nn.ModuleList([nn.Conv2d(b, a * 4, 1), nn.Conv2d(c, b * 4, 1)])
        self.decoder = nn.ModuleList(
            nn.ModuleList(Block(width, t) for _ in range(k))
            for width, k in zip((a, b), config.decoder_blocks, strict=True)
        )
        bands = len(self.BANDS) + len(self.OWN_BANDS)
        self.out = nn.Conv2d(a, LATENT + bands * FOLD * FOLD, 3, padding=1)
        make_zero(self.out)

    def forward(
        self,
        z: Tensor,
        frame: Tensor,
        reference: Tensor,
        features: tuple[Tensor, Tensor, Tensor],
        motion: Tensor,
        t: Tensor,
        *,
        copy: bool = True,
        guide: bool = True,
        at_scale: Callable[[int, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Predict z_Hs (B, 48, h, w).

        z (B, 48, h, w) is the bridge's point at time t (B,); frame and reference (B, 3, H, W), the
        reference aligned; features from `ReferenceNet`; motion (B, 3, h, w) the reference's
        displacement towards the frame in pixels and the confidence of the alignment. Without copy
        the copy gate is shut, without guide attention's keys know of no motion (ablations).
        at_scale may change what the encoder has at scale 0, 1 and 2 (`networks.faces`).
        """
        z_frame = encode(frame)
        confidence = motion[:, 2:]
        time = self.time(self._time_embedding(t))
        known = known_correction(z, z_frame, t)
        differ = disagreement(frame, reference)
        x = self.enter(torch.cat([known, seen(frame), seen(reference), confidence, differ], 1))
        x = self.fuse(x, features[0], confidence)
        skips = []
        for scale, blocks in enumerate(self.encoder):
            if scale:
                cells = 2**scale
                tokens = F.avg_pool2d(motion, cells)
                tokens = torch.cat([tokens[:, :2] / (FOLD * cells), tokens[:, 2:]], 1)
                if not guide:
                    tokens = torch.zeros_like(tokens)
                x = self.attend[scale - 1](x, features[scale], tokens)
            for block in blocks.children():
                x = block(x, time)
            if at_scale is not None:
                x = at_scale(scale, x)
            if scale < 2:
                skips.append(x)
                x = self.down[scale](x)
        for scale in (1, 0):
            x = F.pixel_shuffle(self.up[scale](x), 2) + skips[scale]
            for block in self.decoder[scale].children():
                x = block(x, time)
        # Not normalised: what there is to correct is in proportion to what there is.
        residual, gates, factors = self.out(x).split([LATENT, *self._gate_channels()], 1)
        gates = torch.sigmoid(HEAD_SCALE * gates - 1) * opening(confidence)
        gates = ((gates - CLOSED_BELOW) / (1 - CLOSED_BELOW)).clamp(min=0)
        detail = _in_bands(frame, self.OWN_BANDS, HEAD_SCALE * factors)
        if copy:
            gates = gates * same_light(frame, reference)
            detail = detail + _in_bands(reference - frame, self.BANDS, gates)
        return z_frame + encode(detail) + RESIDUAL_SCALE * residual

    def _gate_channels(self) -> tuple[int, int]:
        return len(self.BANDS) * FOLD * FOLD, len(self.OWN_BANDS) * FOLD * FOLD

    def _time_embedding(self, t: Tensor) -> Tensor:
        """Sines and cosines of t (B,) in [0, T]; (B, time_features)."""
        half = self.time_features // 2
        rates = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-6.0 / half))
        angles = t.float()[:, None] * 100 * rates
        return torch.cat([angles.sin(), angles.cos()], 1)
