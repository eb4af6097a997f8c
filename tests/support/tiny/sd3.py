"""The smallest sd3 model that still has every part, with random weights; needs diffusers."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL

from livemoments.models.sd3.weights import Sd3Parts, save_sd3
from livemoments.networks.motion_encoder import MotionEncoder, MotionEncoderConfig
from livemoments.networks.sd3 import DualBranch, Prompt, make_transformer

TRANSFORMER: dict[str, Any] = {
    "sample_size": 32,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "joint_attention_dim": 24,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 40,
    "out_channels": 16,
    "pos_embed_max_size": 24,
}
AUTOENCODER: dict[str, Any] = {
    "latent_channels": 16,
    "block_out_channels": (8, 8, 8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 64,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}
MOTION = MotionEncoderConfig(channels=(4, 8, 32, 32), embeddings=2)
TOKENS = 7


def tiny_parts(seed: int = 0, dtype: torch.dtype = torch.float32) -> Sd3Parts:
    """Make the parts on the CPU, in evaluation mode, frozen; no weight is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dual = DualBranch(
            make_transformer(TRANSFORMER, guided=True),
            make_transformer(TRANSFORMER, guided=False),
            MotionEncoder(MOTION),
        )
        for block in dual.restoration.transformer_blocks:
            torch.nn.init.normal_(block.attn.processor.point_proj.weight, std=0.2)
        vae = AutoencoderKL(**AUTOENCODER).eval().requires_grad_(False)
        prompt = Prompt(torch.randn(1, TOKENS, 24).to(dtype), torch.randn(1, 40).to(dtype))
    dual.to(dtype).eval().requires_grad_(False)
    if dtype != vae.dtype:
        vae.to(dtype)
    return Sd3Parts(dual=dual, vae=vae, prompt=prompt)


def write_tiny(folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Write a folder of such weights, with autoencoder and prompt; `load_sd3` reads it."""
    parts = tiny_parts(seed, dtype)
    save_sd3(folder, parts.dual, vae=parts.vae, prompt=parts.prompt)
    return folder
