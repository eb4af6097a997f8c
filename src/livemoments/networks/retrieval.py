"""Texture from anywhere in the key photo: what no flow leads to, found by how it looks.

Reference super-resolution's way (C2-Matching, MASA-SR): patches of frame and key photo are compared
by learned features, and the fine features of the best are fetched. How far they are let in follows
how well they fit (Ada-RefSR's gate). Letters: B batch, n x m the frame's patches of 16 x 16 pixels,
N x M those of the key photo's crop, which may be of any size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.networks.attention import make_zero
from livemoments.networks.blocks import SEEN, Block, seen

PATCH_CELLS = 4  # latent cells of a patch and side: patches of 16 pixels
FINE = 16  # channels of fine features, at 1/4
DEEP = 96
KEY = 64  # channels by which patches are compared


class PatchNet(nn.Module):
    """Describes the patches of a picture: how they look, and the fine features they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(SEEN, 32, 3, padding=1)
        self.fine = nn.Conv2d(32, FINE, 3, padding=1)
        self.down = nn.Conv2d(32, DEEP, PATCH_CELLS, stride=PATCH_CELLS)
        self.blocks = nn.ModuleList(Block(DEEP) for _ in range(2))
        self.key = nn.Conv2d(DEEP, KEY, 1)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Describe a picture (B, 3, 16 N, 16 M); returns keys and values.

        keys (B, 64, N, M) are of unit length; values (B, 96 + 16 * 16, N, M).
        """
        x = F.silu(self.enter(seen(picture)))
        fine = F.pixel_unshuffle(self.fine(x), PATCH_CELLS)
        y = self.down(x)
        for block in self.blocks:
            y = block(y)
        return F.normalize(self.key(y).float(), dim=1), torch.cat([y, fine], 1)


class Retrieval(nn.Module):
    """Fetches for each patch of the frame what the key photo's most similar patches hold."""

    def __init__(self, fine_channels: int, deep_channels: int) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(16.0).log())
        self.fit = nn.Conv2d(2, 1, 1)
        self.deep = nn.Conv2d(DEEP, deep_channels, 1)
        self.fine = nn.Conv2d(FINE, fine_channels, 3, padding=1)
        make_zero(self.deep)
        make_zero(self.fine)
        with torch.no_grad():
            self.fit.weight.copy_(torch.tensor([8.0, 2.0]).view(1, 2, 1, 1))
            self.fit.bias.fill_(-6.0)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Fetch by queries (B, 64, n, m), the frame's keys, among the key photo's.

        Returns what to add at 1/16, (B, deep_channels, n, m), and at 1/4, (B, fine_channels, 4 n,
        4 m); nothing where no patch fits.
        """
        height, width = queries.shape[2:]
        q, k = (x.flatten(2).transpose(1, 2) for x in (queries, keys))
        alike = q @ k.transpose(1, 2)  # (B, n m, N M), cosines
        share = (self.sharpness.exp() * alike).softmax(-1)
        best = alike.amax(-1, keepdim=True)
        certain = share.amax(-1, keepdim=True)
        found = share @ values.float().flatten(2).transpose(1, 2)
        gate = torch.cat([best, certain], -1).transpose(1, 2).unflatten(2, (height, width))
        gate = torch.sigmoid(self.fit(gate))
        found = gate * found.transpose(1, 2).unflatten(2, (height, width))
        deep, fine = found.split([DEEP, FINE * PATCH_CELLS**2], 1)
        return self.deep(deep), self.fine(F.pixel_shuffle(fine, PATCH_CELLS))
