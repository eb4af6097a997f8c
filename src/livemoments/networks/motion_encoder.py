"""Encode the flow of a tile for the reference's keys (Eq. 4)."""

from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from livemoments.errors import ConfigError

PIXELS_PER_TOKEN = 16  # a side: the autoencoder's 8 times SD3's patches of 2


@dataclass(frozen=True, kw_only=True)
class MotionEncoderConfig:
    """Sizes of a MotionEncoder; the defaults are the paper's, 66.09 M parameters."""

    channels: tuple[int, ...] = (512, 1024, 1536, 1536)  # each at half the size of the one before
    embeddings: int = 12  # different ones, the first included
    blocks_per_embedding: int = 2  # of RestorationNet, one after the other

    def __post_init__(self) -> None:
        if 2 ** len(self.channels) != PIXELS_PER_TOKEN:
            raise ConfigError(f"four channels are needed, one per halving; got {self.channels}")
        if min(self.embeddings, self.blocks_per_embedding, *self.channels) < 1:
            raise ConfigError(f"sizes of a MotionEncoder must be positive, got {self}")

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


class MotionEncoder(nn.Module):
    """Four stride-2 convolutions to a token each of 16 x 16 pixels, then 1 x 1 ones.

    Parameter names are those of the published file. B batch, H x W pixels, R = H/16 * W/16 tokens.
    """

    def __init__(self, config: MotionEncoderConfig | None = None) -> None:
        super().__init__()
        config = config or MotionEncoderConfig()
        self.config = config
        halvings: list[nn.Module] = []
        for before, after in zip((2, *config.channels), config.channels, strict=False):
            halvings += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        last = config.channels[-1]
        deeper = [
            nn.Sequential(nn.Conv2d(last, last, 1), nn.SiLU()) for _ in range(config.embeddings - 1)
        ]
        self.blocks = nn.ModuleList([nn.Sequential(*halvings), *deeper])

    def forward(self, flow_key_to_frame: Tensor) -> list[Tensor]:
        """Embed a flow (B, 2, H, W) in pixels, on the key photo's grid; sides multiples of 16.

        Returns one (B, R, C) for each block of RestorationNet, in order; neighbours share theirs.
        """
        embeddings: list[Tensor] = []
        x = flow_key_to_frame
        for block in self.blocks:
            x = block(x)
            tokens = x.flatten(2).transpose(1, 2)
            embeddings += [tokens] * self.config.blocks_per_embedding
        return embeddings


def normed(embedding: Tensor) -> Tensor:
    """Bring a motion embedding (B, R, C) to zero mean and unit variance over its channels."""
    return F.layer_norm(embedding, embedding.shape[-1:])
