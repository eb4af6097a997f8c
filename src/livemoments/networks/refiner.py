"""The compact tier's FlowRefiner: what is left of the motion after the estimated flow.

Letters: B batch, H x W pixels (multiples of 64), h x w = H/4 x W/4 latent cells, C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.networks.attention import make_zero, to_windows
from livemoments.networks.blocks import (
    DISAGREEMENTS,
    FOLD,
    HEAD_SCALE,
    SMOOTH_PX,
    Block,
    disagreement,
    low_frequencies,
    luma_detail,
    luma_of,
    normalised,
)
from livemoments.networks.compact_config import CompactConfig

DELTA_SCALE = 0.03  # of the flow, in pixels
WINDOW = 8  # cells a side that look for their matches together
REACH = WINDOW // 2  # cells that they look beyond their window, on every side
UNBELIEVED = 3.0  # logit: a displacement by features that have not learned yet is noise
MATCHED = 16  # channels of what is fetched from where a place is matched


class LocalMatching(nn.Module):
    """Matches each cell of the frame with the cells of the warped key photo around it.

    The local correlation of learned features (PWC-Net, RAFT) as attention within windows of 8 x 8
    cells and their surroundings of 16 x 16, because matrix products are quick on every processor
    and a sum for each displacement is not. B batch, h x w cells, multiples of 8.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.value = nn.Conv2d(features, MATCHED, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0).log())
        here, there = _cells(WINDOW, 0), _cells_around(WINDOW)
        apart = there[None] - here[:, None]  # (64, 256, 2)
        # What is near is more probable; how much more is learned.
        self.position = nn.Parameter(-apart.square().sum(-1) / (2 * REACH**2))
        self.register_buffer("here", here, persistent=False)
        self.register_buffer("there", there, persistent=False)

    def forward(self, frame: Tensor, key: Tensor) -> Tensor:
        """Match features (B, C, h, w) of two pictures; returns (B, 3 + 16, h, w).

        Channels: the expected displacement frame -> key (x, y, in cells), its variance, and what
        the key photo holds there.
        """
        height, width = frame.shape[-2:]
        value = to_surroundings(self.value(key), WINDOW).float()
        q = to_windows(F.normalize(frame.float(), dim=1), WINDOW)
        k = to_surroundings(F.normalize(key.float(), dim=1), WINDOW)
        scores = self.sharpness.exp() * (q @ k.transpose(1, 2)) + self.position
        share = scores.softmax(-1)  # (B * windows, 64, 256)
        there = share @ self.there
        moved = there - self.here
        spread = share @ self.there.square().sum(-1, keepdim=True)
        spread = spread - there.square().sum(-1, keepdim=True)
        y = torch.cat([moved, spread / REACH**2, share @ value], -1)
        return _from_windows(y, WINDOW, height, width)


def to_surroundings(x: Tensor, size: int) -> Tensor:
    """Cut (B, C, H, W) into windows as `to_windows`, each with half a window more on every side.

    Returns (B * windows, 4 * size * size, C); beyond the border it is zero.
    """
    half = size // 2
    x = F.pad(x, (half, half, half, half))
    b, c, h, w = x.shape
    blocks = x.reshape(b, c, h // size, size, w // size, size).permute(0, 2, 4, 3, 5, 1)
    blocks = blocks.flatten(3, 4)  # (B, rows + 1, columns + 1, size * size, C)
    parts = [blocks[:, i : i - 1 or None, j : j - 1 or None] for i in (0, 1) for j in (0, 1)]
    return torch.cat(parts, 3).flatten(0, 2)


def _cells(size: int, first: int) -> Tensor:
    """The places (size * size, 2) of a square's cells row by row, x and y."""
    at = torch.arange(first, first + size, dtype=torch.float32)
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _cells_around(size: int) -> Tensor:
    """The places (4 * size * size, 2) of `to_surroundings`' tokens, from the window's corner."""
    half = size // 2
    corners = [(i * size - half, j * size - half) for i in (0, 1) for j in (0, 1)]
    return torch.cat([_cells(size, 0) + torch.tensor([x, y]) for y, x in corners]).float()


def _from_windows(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """Undo `to_windows` for the columns of (B * windows, size * size, C): (B, C, height, width)."""
    c = x.shape[-1]
    x = x.reshape(-1, height // size, width // size, size, size, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, c, height, width)


class Matcher(nn.Module):
    """Learned features of frame and key photo, matched at 1/4 and at 1/8.

    At 1/4 it reaches 16 pixels of H x W beyond a place's window, at 1/8 32.
    """

    FEATURES = (32, 48)  # at 1/4 and 1/8

    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        a, b = self.FEATURES
        self.fine = nn.Sequential(
            nn.Conv2d(FOLD * FOLD, a, 3, padding=1), nn.SiLU(), nn.Conv2d(a, a, 3, padding=1)
        )
        self.coarse = nn.Sequential(
            nn.SiLU(), nn.Conv2d(a, b, 2, stride=2), nn.SiLU(), nn.Conv2d(b, b, 3, padding=1)
        )
        self.match = nn.ModuleList(LocalMatching(features) for features in self.FEATURES)
        # At the start they add nothing to what the refiner does without.
        self.enter = nn.ModuleList(
            nn.Conv2d(3 + MATCHED + features, width, 1)
            for features, width in zip(self.FEATURES, channels, strict=True)
        )
        for layer in self.enter:
            make_zero(layer)

    def forward(self, frame: Tensor, warped: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Match planes of detail (B, 16, h, w).

        Returns, for 1/4 and 1/8, what the refiner's features gain (B, C, h, w), and the expected
        displacement in pixels of H x W (B, 2, h, w).
        """
        gains, moves = [], []
        pictures = [frame, warped]
        for level, network in enumerate((self.fine, self.coarse)):
            # Both at once: the same layers see them.
            pictures = list(network(torch.cat(pictures)).chunk(2))
            found = self.match[level](*pictures)
            gains.append(self.enter[level](torch.cat([found, pictures[0]], 1)))
            moves.append(found[:, :2] * (FOLD * 2**level))
        return gains, moves


class CoarseRefiner(nn.Module):
    """The first pass at 1/8, for what the estimated flow has missed by far: up to 32 pixels."""

    FEATURES = 48
    CELL_PX = 8

    def __init__(self, channels: int) -> None:
        super().__init__()
        n = self.FEATURES
        self.features = nn.Sequential(
            nn.Conv2d(self.CELL_PX**2, 64, 3, padding=1), nn.SiLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.SiLU(), nn.Conv2d(64, n, 3, padding=1),
        )  # fmt: skip
        self.match = LocalMatching(n)
        self.enter = nn.Conv2d(3 + MATCHED + n + 1, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels) for _ in range(2))
        self.believe = nn.Conv2d(channels, 3, 3, padding=1)
        make_zero(self.believe)

    def forward(self, frame: Tensor, warped: Tensor, confidence: Tensor) -> Tensor:
        """frame and warped (B, 3, H, W), confidence (B, 1, H, W); returns (B, 4, H/8, W/8).

        Channels: the flow to add, and the matched displacement that it was made of, each x and y in
        pixels of H x W.
        """
        folded = F.pixel_unshuffle(_apart_from_level(torch.cat([frame, warped])), self.CELL_PX)
        here, there = self.features(folded).chunk(2)
        found = self.match(here, there)
        cells = F.avg_pool2d(confidence, self.CELL_PX)
        x = self.enter(torch.cat([found, here, cells], 1))
        for block in self.blocks:
            x = block(x)
        belief, delta = self.believe(normalised(x)).split([1, 2], 1)
        belief = torch.sigmoid(belief - UNBELIEVED)
        moved = self.CELL_PX * found[:, :2]
        return torch.cat([belief * moved + DELTA_SCALE * self.CELL_PX * delta, moved], 1)


def _apart_from_level(picture: Tensor) -> Tensor:
    """The luma of (B, 3, H, W) less the mean of its surroundings, of about unit size."""
    luma = luma_of(picture)
    return 8 * (luma - low_frequencies(luma, 2 * SMOOTH_PX))


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
        self.matcher = Matcher((a, b)) if config.matching else None
        # How far the matched displacements are believed, at 1/4 and 1/8; hardly at the start.
        self.believe = nn.Conv2d(a, 2, 3, padding=1) if config.matching else None
        if self.believe is not None:
            make_zero(self.believe)

    def forward(self, frame: Tensor, warped: Tensor, confidence: Tensor) -> Tensor:
        """frame and warped (B, 3, H, W), confidence (B, 1, H, W); returns (B, 3, h, w).

        Channels: the flow to add (x, y, in pixels of H x W), and the logit of trust: does the key
        photo show this place, and is it aligned as well as the detail there asks. Untrained, trust
        is the confidence.
        """
        cells = F.avg_pool2d(confidence, FOLD)
        planes = [luma_detail(frame), luma_detail(warped), disagreement(frame, warped)]
        x = self.enter(torch.cat([*planes, cells], 1))
        gains, moves = self.matcher(*planes[:2]) if self.matcher is not None else ([], [])
        if gains:
            x = x + gains[0]
        for block in self.fine:
            x = block(x)
        y = self.down(x)
        if gains:
            y = y + gains[1]
        for block in self.coarse:
            y = block(y)
        x = x + F.pixel_shuffle(self.up(y), 2)
        for block in self.last:
            x = block(x)
        x = normalised(x)
        delta, logit = self.out(x).split([2, 1], 1)
        delta = DELTA_SCALE * delta
        if self.believe is not None:
            fine, coarse = torch.sigmoid(self.believe(x) - UNBELIEVED).split(1, 1)
            moved = F.interpolate(moves[1], scale_factor=2.0, mode="bilinear")
            delta = delta + fine * moves[0] + coarse * moved
        return torch.cat([delta, HEAD_SCALE * logit + 6 * cells - 3], 1)
