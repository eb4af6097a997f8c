"""The compact model's FlowRefiner, which corrects the estimated flow.

Letters: B batch, H x W pixels (multiples of 64), h x w = H/4 x W/4 latent cells, C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.networks.attention import make_zero
from livemoments.networks.blocks import (
    DISAGREEMENTS,
    FOLD,
    HEAD_SCALE,
    Block,
    disagreement,
    luma_detail,
    normalised,
)
from livemoments.networks.compact_config import CompactConfig

DELTA_SCALE = 0.03  # of the flow, in pixels


class FlowRefiner(nn.Module):
    """Finds what the estimated flow has missed, in the frame and the warped key photo."""

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
        """Correct a flow: frame and warped (B, 3, H, W), confidence (B, 1, H, W) -> (B, 3, h, w).

        Channels: the flow to add (x, y, in pixels of H x W), and the logit of trust: does the key
        photo show this place, and is it aligned as well as the detail there asks. Untrained, trust
        is the confidence.
        """
        cells = F.avg_pool2d(confidence, FOLD)
        planes = [luma_detail(frame), luma_detail(warped), disagreement(frame, warped)]
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
