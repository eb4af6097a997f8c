"""Turn pictures into scaled latents of SD3's autoencoder, and back."""

from typing import Any

from torch import Tensor


def encode(vae: Any, pictures: Tensor, draw: Tensor | None = None) -> Tensor:  # noqa: ANN401 - diffusers' AutoencoderKL
    """Encode pictures (B, 3, 8 h, 8 w) in [0, 1] as latents (B, 16, h, w) float32: their mode.

    With draw (B, 16, h, w), standard normal, they are sampled, as the official release does.
    """
    weight = next(vae.parameters())
    given = (2 * pictures - 1).clamp(-1, 1).to(weight.device, weight.dtype)
    found = vae.encode(given).latent_dist
    latent = found.mean.float()
    if draw is not None:
        latent = latent + found.std.float() * draw.to(latent.device)
    scaled: Tensor = (latent - vae.config.shift_factor) * vae.config.scaling_factor
    return scaled


def decode(vae: Any, latents: Tensor) -> Tensor:  # noqa: ANN401
    """Undo `encode`: pictures (B, 3, 8 h, 8 w) float32, not clipped."""
    weight = next(vae.parameters())
    given = latents / vae.config.scaling_factor + vae.config.shift_factor
    pictures: Tensor = vae.decode(given.to(weight.device, weight.dtype)).sample.float() / 2 + 0.5
    return pictures
