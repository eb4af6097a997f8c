"""The paper's networks: two SD3 MM-DiTs, of which one hands the other its keys and values.

ReferenceNet and RestorationNet are diffusers' `SD3Transformer2DModel`, unchanged but for their
attention processors, so that the published checkpoints' names fit. Letters: B batch, h x w latent
cells, N = h/2 * w/2 image tokens of the frame, R as many of the reference, X text tokens, C
channels of the transformer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from livemoments.errors import ConfigError
from livemoments.networks.motion_encoder import MotionEncoder, normed

TIMESTEPS = 1000  # SD3's: the network takes 1000 t
SD3_MEDIUM: dict[str, Any] = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 24,
    "attention_head_dim": 64,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1536,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 192,
}


@dataclass(frozen=True)
class Prompt:
    """The text's embeddings; here always those of the empty prompt."""

    tokens: Tensor  # (1, X, joint_attention_dim)
    pooled: Tensor  # (1, pooled_projection_dim)


@dataclass(frozen=True)
class KeysAndValues:
    """What one block of ReferenceNet hands over: image tokens first, then text; (B, R + X, C)."""

    key: Tensor
    value: Tensor

    def moved_by(self, motion: Tensor) -> "KeysAndValues":
        """Add motion (B, R, C) to the image's keys: K_ref + E of Eq. 4."""
        image, text = self.key.split([motion.shape[1], self.key.shape[1] - motion.shape[1]], 1)
        return KeysAndValues(torch.cat([image + motion, text], 1), self.value)


def keys_and_values(attn: Attention, image: Tensor, text: Tensor) -> KeysAndValues:
    """Project normalised image (B, N, C) and text tokens (B, X, C) of one block."""
    return KeysAndValues(
        torch.cat([attn.to_k(image), attn.add_k_proj(text)], 1),
        torch.cat([attn.to_v(image), attn.add_v_proj(text)], 1),
    )


def joint_attention(
    attn: Attention, image: Tensor, text: Tensor, seen: KeysAndValues
) -> tuple[Tensor, Tensor]:
    """Let image (B, N, C) and text (B, X, C) look at all that is seen: SD3's joint attention.

    Eq. 3: seen holds their own keys and values, and may hold a reference's behind them.
    """

    def split(x: Tensor) -> Tensor:
        return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)  # (B, heads, tokens, head_dim)

    query = torch.cat([attn.to_q(image), attn.add_q_proj(text)], 1)
    mixed = scaled_dot_product_attention(split(query), split(seen.key), split(seen.value))
    mixed = mixed.transpose(1, 2).flatten(2).to(image.dtype)
    image_out, text_out = mixed.split([image.shape[1], text.shape[1]], 1)
    if not attn.context_pre_only:
        text_out = attn.to_add_out(text_out)
    return attn.to_out[0](image_out), text_out


class HandOver:
    """ReferenceNet's attention processor: SD3's own, whose keys and values are handed over."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        handed: list[KeysAndValues] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend as diffusers asks, and append the block's keys and values to handed."""
        own = keys_and_values(attn, hidden_states, encoder_hidden_states)
        if handed is not None:
            handed.append(own)
        return joint_attention(attn, hidden_states, encoder_hidden_states, own)


class MotionGuidedAttention(nn.Module):
    """RestorationNet's attention processor: Eq. 4, over [K, K_text, K_ref + E, K_ref_text].

    E = point_proj(LayerNorm(motion embedding)), without bias and zero before training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point_proj = nn.Linear(channels, channels, bias=False)
        nn.init.zeros_(self.point_proj.weight)

    def motion_key(self, embedding: Tensor) -> Tensor:
        """Compute E (B, R, C) of a motion embedding (B, R, C), the same at every step."""
        motion: Tensor = self.point_proj(normed(embedding))
        return motion

    # diffusers reads this method's signature, and would not see through nn.Module's own.
    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        *,
        reference: KeysAndValues | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend as diffusers asks; without a reference, as SD3 itself."""
        seen = keys_and_values(attn, hidden_states, encoder_hidden_states)
        if reference is not None:
            seen = KeysAndValues(
                torch.cat([seen.key, reference.key], 1), torch.cat([seen.value, reference.value], 1)
            )
        return joint_attention(attn, hidden_states, encoder_hidden_states, seen)


def make_transformer(config: dict[str, Any], *, guided: bool) -> SD3Transformer2DModel:
    """Make a ReferenceNet, or, guided, a RestorationNet, of diffusers' configuration values.

    Raises:
        ConfigError: a model of another kind than SD3-medium's.
    """
    if config.get("qk_norm") or config.get("dual_attention_layers"):
        raise ConfigError(
            "this is an SD3.5 transformer (qk_norm or dual_attention_layers are set); "
            "LiveMoments is built on SD3-medium"
        )
    transformer = SD3Transformer2DModel(**config)
    blocks = transformer.transformer_blocks
    width = transformer.inner_dim
    # One for each block: diffusers takes a processor given to all to be shared.
    transformer.set_attn_processor(
        {
            name: MotionGuidedAttention(width) if guided else HandOver()
            for name in (f"transformer_blocks.{i}.attn.processor" for i in range(len(blocks)))
        }
    )
    return transformer


class DualBranch(nn.Module):
    """ReferenceNet, RestorationNet and MotionEncoder at work: G_theta of the paper."""

    def __init__(
        self,
        restoration: SD3Transformer2DModel,
        reference: SD3Transformer2DModel,
        motion_encoder: MotionEncoder,
    ) -> None:
        super().__init__()
        self.restoration, self.reference = restoration, reference
        self.motion_encoder = motion_encoder
        self.checkpointing = False  # in training: activations of a block are worked out twice
        self.visits: torch.device | None = None  # where blocks stored elsewhere go, one by one

    def motion_keys(self, flow_key_to_frame: Tensor) -> list[Tensor]:
        """Compute E of every block, (B, R, C), of a flow (B, 2, H, W) in pixels; once per tile."""
        embeddings = self.motion_encoder(flow_key_to_frame)
        blocks = self.restoration.transformer_blocks
        return [
            block.attn.processor.motion_key(embedding)
            for block, embedding in zip(blocks, embeddings, strict=False)
        ]

    def read_reference(self, z_key: Tensor, prompt: Prompt, t: Tensor) -> list[KeysAndValues]:
        """Compute every block's keys and values for the clean reference latent (B, 16, h, w) at t.

        ReferenceNet sees no noise, but the bridge's time (B,). Of its last block only the
        projections are needed: what would follow them is used by nothing.
        """
        image, text, time = self._enter(self.reference, z_key, prompt, t)
        read: list[KeysAndValues] = []
        *blocks, last = self.reference.transformer_blocks
        for block in blocks:
            image, text, key, value = self._run(_reference_block, block, image, text, time)
            read.append(KeysAndValues(key, value))
        key, value = self._run(_last_reference_block, last, image, text, time)
        return [*read, KeysAndValues(key, value)]

    def velocity(
        self, z: Tensor, prompt: Prompt, t: Tensor, read: list[KeysAndValues], motion: list[Tensor]
    ) -> Tensor:
        """Predict dz_t/dt (B, 16, h, w) at the bridge's points z (B, 16, h, w) and times t (B,).

        read and motion hold one entry for each block, from `read_reference` and `motion_keys`.
        """
        net = self.restoration
        image, text, time = self._enter(net, z, prompt, t)
        for block, seen, moved in zip(net.transformer_blocks, read, motion, strict=True):
            image, text = self._run(
                _restoration_block, block, image, text, time, seen.key, seen.value, moved
            )
        image = net.proj_out(net.norm_out(image, time))
        patch = net.config.patch_size
        rows, columns = (side // patch for side in z.shape[-2:])
        cells = image.unflatten(1, (rows, columns)).unflatten(3, (patch, patch, -1))
        return cells.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)

    def forward(
        self, z: Tensor, z_key: Tensor, flow_key_to_frame: Tensor, prompt: Prompt, t: Tensor
    ) -> Tensor:
        """Predict the velocity at z (B, 16, h, w), with everything before it: for training."""
        read = self.read_reference(z_key, prompt, t)
        return self.velocity(z, prompt, t, read, self.motion_keys(flow_key_to_frame))

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterate over names and parameters that training changes (paper, B.2).

        These are the image branches and motion; not the text stream, nor the part of ReferenceNet
        after the last keys and values that it hands over.
        """
        last = f"reference.transformer_blocks.{len(self.reference.transformer_blocks) - 1}."
        idle = [last + part for part in ("attn.to_q", "attn.to_out", "ff.")]
        idle += ["reference.norm_out.", "reference.proj_out."]
        for name, parameter in self.named_parameters():
            text = any(part in name for part in TEXT_STREAM)
            if not text and not name.startswith(tuple(idle)):
                yield name, parameter

    def _enter(
        self, net: SD3Transformer2DModel, z: Tensor, prompt: Prompt, t: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return image tokens (B, N, C), text tokens (B, X, C) and the time's embedding (B, C)."""
        count = len(z)
        time = net.time_text_embed(TIMESTEPS * t, prompt.pooled.expand(count, -1))
        text = net.context_embedder(prompt.tokens).expand(count, -1, -1)
        return net.pos_embed(z).contiguous(), text, time

    def _run(self, step: Any, block: nn.Module, *given: Tensor) -> Any:  # noqa: ANN401
        """Run one block, with its weights brought to the device if they are elsewhere."""
        if self.visits is not None:
            weights = {
                f"block.{name}": weight.to(self.visits, non_blocking=True)
                for name, weight in block.named_parameters()
            }
            return functional_call(_Step(step, block), weights, given)
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(step, block, *given, use_reentrant=False)
        return step(block, *given)


TEXT_STREAM = (
    "context_embedder", "norm1_context", "ff_context", "add_q_proj", "add_k_proj", "add_v_proj",
    "to_add_out", "text_embedder",
)  # fmt: skip


class _Step(nn.Module):
    """A function of a block and tensors as a module, for functional_call."""

    def __init__(self, step: Any, block: nn.Module) -> None:  # noqa: ANN401
        super().__init__()
        self.step, self.block = step, block

    def forward(self, *given: Tensor) -> Any:  # noqa: ANN401
        return self.step(self.block, *given)


def _reference_block(
    block: nn.Module, image: Tensor, text: Tensor, time: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return image and text after the block, and the keys and values it made on the way."""
    handed: list[KeysAndValues] = []
    text, image = block(
        hidden_states=image,
        encoder_hidden_states=text,
        temb=time,
        joint_attention_kwargs={"handed": handed},
    )
    return image, text, handed[0].key, handed[0].value


def _last_reference_block(
    block: Any,  # noqa: ANN401 - diffusers' block
    image: Tensor,
    text: Tensor,
    time: Tensor,
) -> tuple[Tensor, Tensor]:
    """Compute the keys and values of ReferenceNet's last block, and nothing more."""
    own = keys_and_values(
        block.attn, block.norm1(image, emb=time)[0], block.norm1_context(text, time)
    )
    return own.key, own.value


def _restoration_block(
    block: nn.Module,
    image: Tensor,
    text: Tensor,
    time: Tensor,
    key: Tensor,
    value: Tensor,
    motion: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return image and text after the block, which saw the reference's moved keys and values."""
    seen = KeysAndValues(key, value).moved_by(motion)
    text, image = block(
        hidden_states=image,
        encoder_hidden_states=text,
        temb=time,
        joint_attention_kwargs={"reference": seen},
    )
    return image, text
