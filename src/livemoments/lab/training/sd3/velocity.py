"""Work out what the sd3 tier minimises: the error of the bridge's velocity (Eq. 2).

B crops, n x n pixels, h = n/8 latent cells a side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from livemoments import bridge
from livemoments.lab.training.run.objective_config import EARLIEST
from livemoments.networks.sd3 import DualBranch, Prompt


@dataclass(frozen=True, kw_only=True)
class VelocityLosses:
    """The terms of one batch, each a scalar tensor."""

    total: Tensor
    velocity: Tensor  # the mean squared error of dz_t/dt


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is random about a batch."""

    t: Tensor  # (B,), in [EARLIEST, HORIZON]
    noise: Tensor  # (B, 16, h, h)
    gone: Tensor  # (B,), true where the frame stands in as its own reference


def drawn(seeds: Tensor, like: Tensor, no_reference: float) -> Draws:
    """Draw what is random about crops by their seeds (B,); latents are as like (B, 16, h, h).

    Crop by crop and on the CPU: the same in whatever batch, part of one, process or device.
    """
    t, gone, noise = [], [], []
    for seed in seeds.tolist():
        generator = torch.Generator().manual_seed(seed)
        first, second = torch.rand(2, generator=generator)
        t.append(EARLIEST + (bridge.HORIZON - EARLIEST) * first)
        gone.append(second < no_reference)
        noise.append(torch.randn(like.shape[1:], generator=generator))
    return Draws(
        t=torch.stack(t).to(like.device),
        noise=torch.stack(noise).to(like.device),
        gone=torch.stack(gone).to(like.device),
    )


class VelocityObjective(nn.Module):
    """The loss as one module, so that accelerate can distribute it."""

    def __init__(self, model: DualBranch, prompt: Prompt, no_reference: float) -> None:
        super().__init__()
        self.model, self.no_reference = model, no_reference
        # As buffers they follow the model to its device.
        self.register_buffer("tokens", prompt.tokens.float(), persistent=False)
        self.register_buffer("pooled", prompt.pooled.float(), persistent=False)

    @property
    def prompt(self) -> Prompt:
        """The empty prompt, where the model is."""
        return Prompt(self.get_buffer("tokens"), self.get_buffer("pooled"))

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> VelocityLosses:
        """Work out the loss of a batch of `latents.LatentStream`, which brings its own seeds."""
        truth, frame = batch["truth"], batch["frame"]
        draws = drawn(batch["draw"], truth, self.no_reference)
        t, gone = draws.t.view(-1, 1, 1, 1), draws.gone.view(-1, 1, 1, 1)
        key = torch.where(gone, frame, batch["key"])
        flow = torch.where(gone, torch.zeros_like(batch["flow"]), batch["flow"])
        z = bridge.bridge_point(truth, frame, draws.noise, t)
        found = self.model(z, key, flow, self.prompt, draws.t).float()
        error = (found - bridge.velocity(truth, frame, draws.noise, t)).square().mean()
        return VelocityLosses(total=error, velocity=error)


@torch.no_grad()
def sample(
    model: DualBranch, prompt: Prompt, batch: dict[str, Tensor], *, steps: int = 6
) -> Tensor:
    """Restore latents (B, 16, h, h) as the official release does, by Euler steps."""
    frame = batch["frame"]
    z = bridge.start(frame, drawn(batch["draw"], frame, 0.0).noise)
    motion = model.motion_keys(batch["flow"])
    times = bridge.official_times(steps)
    for t, t_next in zip(times, times[1:], strict=False):
        at = torch.full((len(z),), t, device=z.device)
        read = model.read_reference(batch["key"], prompt, at)
        velocity = model.velocity(z, prompt, at, read, motion).float()
        z = bridge.euler_step(z, velocity, t, t_next)
    return z
