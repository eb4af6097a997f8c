"""Parts of the compact networks: the lossless codec, planes of detail, the block.

Letters: B batch, H x W pixels (multiples of 64), h x w = H/4 x W/4 latent cells.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.networks.attention import make_zero

FOLD = 4  # pixels per latent cell and side
LATENT = 3 * FOLD * FOLD  # 48 channels
# An optimiser's step moves an output by about the rate times its many inputs: far more than what is
# left to correct, so that an unscaled output never settles and nothing behind it learns.
HEAD_SCALE = 0.1  # of gates and trust, in logits
SMOOTH_PX = 16  # detail is what the means of so many pixels a side leave
DETAIL = 1 / 16  # its usual size for values in [0, 1]
SEEN = LATENT + 3  # channels of `seen`
DISAGREEMENTS = 4  # channels of `disagreement`
SIZE_MULTIPLE = 64  # three scales, then windows of 8 and 4 tokens


def encode(image: Tensor) -> Tensor:
    """Turn (B, 3, H, W) into (B, 48, h, w) without loss."""
    return F.pixel_unshuffle(image, FOLD)


def decode(latent: Tensor) -> Tensor:
    """Undo `encode`."""
    return F.pixel_shuffle(latent, FOLD)


def low_frequencies(image: Tensor, size: int) -> Tensor:
    """Take the smooth part of (B, C, H, W): means of size x size pixels, interpolated."""
    return F.interpolate(F.avg_pool2d(image, size), scale_factor=float(size), mode="bilinear")


def around(x: Tensor, window: int) -> Tensor:
    """Average the window x window values around each of (B, C, H, W); window is odd."""
    return F.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)


def seen(image: Tensor) -> Tensor:
    """Turn a picture (B, 3, H, W) into what the networks see: (B, 51, h, w), of about unit size.

    That is the detail, amplified, and apart from it the smooth part, which is ten times as large:
    together in one latent, the detail's share in the features would be lost.
    """
    smooth = low_frequencies(image, SMOOTH_PX)
    cells = F.avg_pool2d(smooth, FOLD)
    return torch.cat([encode(image - smooth) / DETAIL, 4 * (cells - 0.5)], 1)


def normalised(x: Tensor) -> Tensor:
    """Scale x (B, C, h, w) to unit root mean square over its channels, place by place.

    This keeps a deep residual stream's branches alive at high learning rates. It is across channels
    only, so that a tile's result does not depend on what else the tile shows.
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
        """Change x (B, C, h, w) at time (B, time_features); returns (B, C, h, w)."""
        y = self.first(normalised(x))
        if self.time is not None and time is not None:
            scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
            y = y * (1 + scale) + shift
        return x + self.second(F.silu(y))


def luma_of(image: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of (B, 3, H, W)."""
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def disagreement(frame: Tensor, reference: Tensor) -> Tensor:
    """Measure how far two pictures (B, 3, H, W) differ in structure: (B, 4, h, w), 0 to 2.

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


def luma_detail(image: Tensor) -> Tensor:
    """Fold luma less its local mean: (B, 16, h, w). Pipelines differ in levels, not detail."""
    luma = luma_of(image)
    return 4 * F.pixel_unshuffle(luma - low_frequencies(luma, SMOOTH_PX), FOLD)


def opening(trust: Tensor) -> Tensor:
    """Say how far the copy gate may open, in [0, 1], for a trust in [0, 1].

    It stays shut where the key photo does not show the place; where trust is but partial, the gate
    decides.
    """
    return 1 - (1 - trust) ** 4
