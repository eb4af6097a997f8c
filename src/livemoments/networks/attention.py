"""Attend with motion-guided keys (LiveMoments, Eq. 4) within windows of feature maps."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def to_windows(x: Tensor, size: int) -> Tensor:
    """Cut (B, C, H, W) into windows of size x size tokens: (B * windows, size * size, C)."""
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // size, size, w // size, size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(-1, size * size, c)


def from_windows(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """Undo `to_windows`: (B * windows, size * size, C) to (B, C, height, width)."""
    c = x.shape[-1]
    x = x.reshape(-1, height // size, width // size, size, size, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(-1, c, height, width)


def make_zero(layer: nn.Module) -> None:
    """Set a layer's weights to zero, so that at the start what it would add is nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Apply a LayerNorm over the channels of (B, C, H, W)."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MotionGuidedAttention(nn.Module):
    """A frame's tokens look at themselves and at the reference's; its keys carry motion (Eq. 4).

    B batch, C = heads * head_dim channels, H x W tokens, in windows of `window` tokens a side: Live
    Photo motion is brought to within a window by registration, PCR and flow before.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        # Without norms the keys grow until the softmax is one-hot and nothing is learned any more.
        self.norm, self.reference_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.reference_key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.motion_embedding = nn.Sequential(
            nn.Conv2d(3, channels // 2, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels // 2, channels, 1),
        )
        # As in the release: no bias, zero at the start, so that attention begins without motion.
        self.motion_key = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.zeros_(self.motion_key.weight)
        tokens = window * window
        self.position = nn.Parameter(torch.zeros(heads, tokens, 2 * tokens))
        self.out = nn.Conv2d(channels, channels, 1)
        make_zero(self.out)

    def forward(self, x: Tensor, reference: Tensor, motion: Tensor) -> Tensor:
        """Add to x (B, C, H, W) what it finds in itself and in the reference (B, C, H, W).

        motion (B, 3, H, W): the reference's displacement towards the frame in tokens (x, y), and
        the confidence of the alignment. H and W are multiples of the window.
        """
        height, width = x.shape[-2:]
        normed = over_channels(self.norm, x)
        k, v = self.key_value(normed).chunk(2, 1)
        reference = over_channels(self.reference_norm, reference)
        k_ref, v_ref = self.reference_key_value(reference).chunk(2, 1)
        k_ref = k_ref + self.motion_key(self.motion_embedding(motion))
        q, k, v, k_ref, v_ref = (
            self._split(to_windows(t, self.window))
            for t in (self.query(normed), k, v, k_ref, v_ref)
        )
        y = scaled_dot_product_attention(
            q,
            torch.cat([k, k_ref], 2),  # (B * windows, heads, 2 tokens, head_dim)
            torch.cat([v, v_ref], 2),
            attn_mask=self.position.to(q.dtype)[None],
        )
        y = y.transpose(1, 2).flatten(2)
        return x + self.out(from_windows(y, self.window, height, width))

    def _split(self, tokens: Tensor) -> Tensor:
        """Turn (N, tokens, C) into (N, heads, tokens, head_dim)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
