"""FaceNet: the compact networks over a clip of one face, with two kinds of prompt.

FaceNet is the compact model and three small modules that act after its encoder's scales and whose
outputs begin at zero, so that before training it is the compact model: attention over time,
attention to the references as they are (unwarped), attention to who it is (dlib's numbers) and how
it is seen. The latter two are attended apart and summed: decoupled cross-attention (IP-FVR). Each
can be taken away, which gives a sampler its negative streams.

Letters: B clips, T frames of each, R references, n = h * w tokens of a frame, C channels.
"""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.functional import scaled_dot_product_attention

from livemoments.networks.attention import MotionGuidedAttention, make_zero, over_channels
from livemoments.networks.blocks import normalised
from livemoments.networks.compact import SCALES, ReferenceNet, RestorationNet
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.refiner import FlowRefiner

IDENTITY, ATTRIBUTES = 128, 4  # dlib's numbers; yaw, pitch, roll (of 30 degrees) and sharpness
SIZE_PX = 256  # of a canonical face
IDENTITY_SCALE = 8.0  # brings dlib's numbers, of 0.1 each, to about unit size
FARTHEST = 5  # frames; the bias of time takes two that are farther apart for that far


@dataclass(frozen=True, kw_only=True)
class FaceConfig:
    """Sizes of what FaceNet adds; stored with the weights."""

    rank: int = 8  # of the trainable path parallel to the shared projections
    heads: int = 4
    identity_tokens: int = 4
    attribute_tokens: int = 2
    near_px: float = 40.0  # at the start: how far a frame's token looks in a reference

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for the file next to the weights."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """References and numbers for the faces of B clips. Shares (B,) are 1 for used, 0 for not."""

    features: tuple[Tensor, Tensor]  # ReferenceNet's at 1/8 and 1/16, (B, R, C, h, w)
    identity: Tensor  # (B, 128)
    attributes: Tensor  # (B, 4)
    image_there: Tensor
    identity_there: Tensor
    attributes_there: Tensor
    low_quality: Tensor  # 1 asks for the face's own low quality: a negative stream

    def without(
        self, *, image: bool = False, identity: bool = False, low_quality: bool = False
    ) -> "Prompt":
        """Return the prompt with streams taken away, or asking for low quality."""
        gone = torch.zeros_like(self.image_there)
        return replace(
            self,
            image_there=gone if image else self.image_there,
            identity_there=gone if identity else self.identity_there,
            attributes_there=gone if identity else self.attributes_there,
            low_quality=gone + 1 if low_quality else self.low_quality,
        )


class LowRank(nn.Module):
    """A trainable path of few dimensions parallel to a projection; zero at the start."""

    def __init__(self, channels: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, rank, 1, bias=False)
        self.up = nn.Conv2d(rank, outputs, 1, bias=False)
        make_zero(self.up)

    def forward(self, x: Tensor) -> Tensor:
        """Project x (B, channels, h, w) to (B, outputs, h, w)."""
        return self.up(self.down(x))


class TimeAttention(nn.Module):
    """Each place of a frame looks at the same place of the clip's other frames."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * FARTHEST + 1))
        self.out = nn.Conv2d(channels, channels, 1, bias=False)
        make_zero(self.out)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Compute what to add to x (B * T, C, h, w), T = frames."""
        height, width = x.shape[2:]
        # (B * T, 3 C, h, w) -> 3 of (B * n, heads, T, d)
        y = self.query_key_value(normalised(x)).unflatten(0, (-1, frames)).flatten(3)
        y = y.permute(0, 3, 1, 2).flatten(0, 1).unflatten(2, (3, self.heads, -1))
        q, k, v = y.permute(2, 0, 3, 1, 4)
        at = torch.arange(frames, device=x.device)
        apart = (at[None] - at[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST
        y = scaled_dot_product_attention(q, k, v, attn_mask=self.bias[:, apart].to(q.dtype)[None])
        # (B * n, heads, T, d) -> (B * T, C, h, w)
        y = y.transpose(1, 2).flatten(2).unflatten(0, (-1, height * width))
        y = y.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))
        return self.out(y)


class DecoupledAttention(nn.Module):
    """A frame's tokens look at the references and, apart from that, at whose face it is.

    Queries, and keys and values of the references, are those that the compact model's attention at
    this scale has learned, with a low-rank path added. A token looks most at where it lies itself
    in the canonical square: how far around is learned for each head. Both softmaxes have one more
    key, whose value is zero.
    """

    def __init__(self, channels: int, config: FaceConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = LowRank(channels, channels, config.rank)
        self.key_value = LowRank(channels, 2 * channels, config.rank)
        self.near_px = nn.Parameter(torch.full((config.heads,), config.near_px).log())
        self.nothing = nn.Parameter(torch.zeros(config.heads))  # the logit of zero
        self.identity = nn.Linear(IDENTITY, config.identity_tokens * channels)
        self.attributes = nn.Linear(ATTRIBUTES, config.attribute_tokens * channels)
        self.token_key_value = nn.Linear(channels, 2 * channels)
        self.nobody = nn.Parameter(torch.zeros(channels))  # the key of zero; named as in weights
        self.out_image = nn.Conv2d(channels, channels, 1, bias=False)
        self.out_identity = nn.Conv2d(channels, channels, 1, bias=False)
        make_zero(self.out_image)
        make_zero(self.out_identity)

    def forward(
        self, x: Tensor, prompt: Prompt, features: Tensor, corner: Tensor | None,
        shared: MotionGuidedAttention,
    ) -> Tensor:  # fmt: skip
        """Compute what to add to x (B * T, C, h, w).

        features (B, R, C, H, W) are the references'; corner (B, 2) says where in the canonical
        square the frames' upper left pixel lies, x and y in pixels, None for whole squares;
        shared is the compact model's attention at this scale.
        """
        clips, (height, width) = len(features), x.shape[2:]
        normed = over_channels(shared.norm, x)
        q = shared.query(normed) + self.query(normed)
        q = self._tokens(q, clips)
        here = _places(x, clips, x if corner is None else features)
        if corner is not None:
            here = here + corner[:, None]
        image = self._look_at_references(q, features, here, shared)
        image = image * prompt.image_there.view(-1, 1, 1, 1).to(image.dtype)
        who = self._look_at_tokens(q, prompt)
        y_image, y_who = (self._as_map(y, height, width) for y in (image, who))
        return self.out_image(y_image) + self.out_identity(y_who)

    def _look_at_references(
        self, q: Tensor, features: Tensor, here: Tensor, shared: MotionGuidedAttention
    ) -> Tensor:
        """Return (B, heads, T * n, d); here (B, T * n, 2) are the queries' places in pixels."""
        clips = len(features)
        normed = over_channels(shared.reference_norm, features.flatten(0, 1))
        both = shared.reference_key_value(normed) + self.key_value(normed)
        k, v = (self._tokens(x, clips) for x in both.chunk(2, 1))
        there = _places(features.flatten(0, 1), clips, features)
        return _near(q, k, v, here, there, self.near_px.exp(), self.nothing)

    def _look_at_tokens(self, q: Tensor, prompt: Prompt) -> Tensor:
        """Return (B, heads, T * n, d)."""
        clips, channels = len(prompt.identity), len(self.nobody)
        who = self.identity(IDENTITY_SCALE * prompt.identity).view(clips, -1, channels)
        how = self.attributes(prompt.attributes).view(clips, -1, channels)
        k, v = self.token_key_value(torch.cat([who, how], 1)).chunk(2, -1)
        k = torch.cat([k, self.nobody.to(k.dtype).expand(clips, 1, -1)], 1)
        v = F.pad(v, (0, 0, 0, 1))
        shares = (
            prompt.identity_there[:, None].expand(-1, who.shape[1]),
            prompt.attributes_there[:, None].expand(-1, how.shape[1]),
            torch.ones_like(prompt.identity_there)[:, None],
        )
        there = torch.cat(shares, 1)
        k, v = (t.unflatten(2, (self.heads, -1)).transpose(1, 2) for t in (k, v))
        mask = torch.where(there > 0, 0.0, -1e4)[:, None, None].to(q.dtype)
        return scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), attn_mask=mask)

    def _tokens(self, x: Tensor, clips: int) -> Tensor:
        """Turn (B * K, C, h, w) into (B, heads, K * n, d)."""
        x = x.unflatten(0, (clips, -1)).flatten(3).permute(0, 1, 3, 2).flatten(1, 2)
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _as_map(self, y: Tensor, height: int, width: int) -> Tensor:
        """Turn (B, heads, T * n, d) into (B * T, C, h, w)."""
        y = y.transpose(1, 2).flatten(2).unflatten(1, (-1, height * width))
        return y.permute(0, 1, 3, 2).flatten(0, 1).unflatten(2, (height, width))


class Quality(nn.Module):
    """Asks the decoder for the face's own low quality; zero at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale_shift = nn.Parameter(torch.zeros(2, channels))

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        """Compute what to add to x (B * T, C, h, w); low (B * T,) in [0, 1]."""
        scale, shift = self.scale_shift.view(2, 1, -1, 1, 1)
        return low.view(-1, 1, 1, 1) * (x * scale + shift)


class FaceNet(nn.Module):
    """The compact model with more modules; its own three networks keep their names."""

    def __init__(self, compact: CompactConfig, config: FaceConfig) -> None:
        super().__init__()
        self.config = config
        self.refiner = FlowRefiner(compact)
        self.reference = ReferenceNet(compact)
        self.restoration = RestorationNet(compact)
        wide = compact.channels[1:]  # at 1/8 and 1/16
        self.time = nn.ModuleList(TimeAttention(c, config.heads) for c in wide)
        self.prompted = nn.ModuleList(DecoupledAttention(c, config) for c in wide)
        self.quality = nn.ModuleList(Quality(c) for c in compact.channels)

    def added(self) -> list[nn.Parameter]:
        """List the parameters that the compact model does not have."""
        return [*self.time.parameters(), *self.prompted.parameters(), *self.quality.parameters()]

    def prompt(
        self, references: Tensor, identity: Tensor | None = None, attributes: Tensor | None = None
    ) -> Prompt:
        """Prepare the prompt of B clips.

        references (B, R, 3, N, N) are canonical faces, the best one first; identity (B, 128) and
        attributes (B, 4) may be unknown.
        """
        clips, count = references.shape[:2]
        flat = references.flatten(0, 1)
        everywhere = torch.ones_like(flat[:, :1])
        _, middle, coarse = self.reference(flat, everywhere)
        there, gone = flat.new_ones(clips), flat.new_zeros(clips)
        return Prompt(
            features=(
                middle.unflatten(0, (clips, count)), coarse.unflatten(0, (clips, count))
            ),
            identity=flat.new_zeros(clips, IDENTITY) if identity is None else identity,
            attributes=flat.new_zeros(clips, ATTRIBUTES) if attributes is None else attributes,
            image_there=there,
            identity_there=gone if identity is None else there,
            attributes_there=gone if attributes is None else there,
            low_quality=gone,
        )  # fmt: skip

    def forward(
        self,
        z: Tensor,
        frame: Tensor,
        reference: Tensor,
        features: tuple[Tensor, Tensor, Tensor],
        motion: Tensor,
        t: Tensor,
        *,
        prompt: Prompt,
        frames: int,
        corner: Tensor | None = None,
    ) -> Tensor:
        """Predict z_Hs of B clips of `frames` frames: (B * T, 48, h, w).

        As `RestorationNet`, the first six arguments with B * T in front, a clip's frames one after
        the other. corner (B, 2): where in the canonical square the frames' upper left pixel lies;
        None: they show the whole square, in as many pixels as they have.
        """
        net = self.restoration
        time, maps = net.embed_time(t), []
        x = net.begin(z, frame, reference, features, motion, t)
        for scale in range(SCALES):
            x = net.encode(scale, x, features, motion, time)
            x = self._add_to(x, scale, prompt, frames, corner)
            maps.append(x)
        return net.decode(maps, frame, reference, motion, time)

    def _add_to(
        self, x: Tensor, scale: int, prompt: Prompt, frames: int, corner: Tensor | None
    ) -> Tensor:
        """Add to x (B * T, C, h, w) what the added modules find at a scale of the encoder."""
        if scale:
            x = x + self.time[scale - 1](x, frames)
            features = prompt.features[scale - 1]
            attend = self.restoration.attend[scale - 1]
            x = x + self.prompted[scale - 1](x, prompt, features, corner, attend)
        return x + self.quality[scale](x, prompt.low_quality.repeat_interleave(frames).to(x.dtype))


def _places(maps: Tensor, clips: int, whole: Tensor) -> Tensor:
    """Return the middles (B, K * h * w, 2) of the cells of maps (B * K, C, h, w), x, y in pixels.

    They are counted from the middle of the canonical square, which `whole` (..., H, W) shows whole
    in cells of the same size, for maps that begin at its corner. Running sums give them, so that
    ONNX takes no size for a constant.
    """
    one = 0 * maps[:, :1].float() + 1
    cells = torch.cat([one.cumsum(3), one.cumsum(2)], 1).flatten(2) - 0.5  # (B * K, 2, h * w)
    cells = cells.unflatten(0, (clips, -1)).transpose(2, 3).flatten(1, 2)
    return cells * (SIZE_PX / whole.shape[-1]) - SIZE_PX / 2


def _near(
    q: Tensor, k: Tensor, v: Tensor, here: Tensor, there: Tensor, near_px: Tensor, nothing: Tensor
) -> Tensor:
    """Attend with logits that are less by half the squared distance in near_px (heads,).

    q (B, heads, n, d) at here (B, n, 2), k and v (B, heads, m, d) at there (B, m, 2), in pixels. -
    |p - q|^2 / 2 = p q - |q|^2 / 2 - what is the same for all keys: three more dimensions instead
    of a table of n x m. A fourth is the key of zero, with logit `nothing` (heads,) where |q|^2 / 2
    of the token itself stands for the distance.
    """
    heads, d = q.shape[1], q.shape[3]
    q, k, v = q.float(), k.float(), v.float()
    p = here[:, None] / near_px.view(1, -1, 1, 1)  # (B, heads, n, 2)
    at = there[:, None] / near_px.view(1, -1, 1, 1)
    half_p, half_at = (x.square().sum(-1, keepdim=True) / 2 for x in (p, at))
    # Not ones_like: ONNX would take the size for a constant.
    more_q = torch.cat([p, 0 * half_p + 1, half_p + nothing.view(1, heads, 1, 1)], -1) * d**0.5
    more_k = torch.cat([at, -half_at, 0 * half_at], -1)
    only_last = k.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*k.shape[:2], 1, -1)
    q, k = torch.cat([q, more_q], -1), torch.cat([k, more_k], -1)
    k = torch.cat([k, torch.cat([torch.zeros_like(k[:, :, :1, :d]), only_last], -1)], 2)
    v = F.pad(v, (0, 0, 0, 1))
    return scaled_dot_product_attention(q, k, v, scale=d**-0.5)
