"""Measure a tile with the sd3 model, next to a plain statement of the official loop, in one run.

Random weights will do: what is measured does not depend on them. Needs the extra "sd3".
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from livemoments import bridge
from livemoments.lab.speed.made import make_tile
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.memory import resolve_device, resolve_dtype
from livemoments.models.sd3.model import Sd3Model
from livemoments.models.sd3.weights import Sd3Parts, load_sd3
from livemoments.models.tile import TileConfig, TileInput
from livemoments.networks.motion_encoder import MotionEncoder, normed
from livemoments.networks.sd3 import (
    SD3_MEDIUM,
    TIMESTEPS,
    DualBranch,
    KeysAndValues,
    Prompt,
    joint_attention,
    keys_and_values,
    make_transformer,
)
from livemoments.progress import Progress
from livemoments.restoration.tiles import grid

PICTURE = (3072, 4096)  # height, width of the paper's Live Photos
PROMPT_TOKENS = 333  # of SD3's text encoders: 77 and 256
AUTOENCODER: dict[str, Any] = {  # SD3-medium's
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to restore the same tile."""

    name: str
    seconds: float  # per tile
    peak_gb: float | None  # 10^9 bytes on the device; None: not known
    differs: float  # largest difference of a value in [0, 1] from the official loop's picture

    def line(self, first: "Row") -> str:
        """Return it as a line for people; first is the row to compare with."""
        memory = "-" if self.peak_gb is None else f"{self.peak_gb:.1f} GB"
        return (
            f"{self.name:34s} {self.seconds:9.2f} s  {first.seconds / self.seconds:5.2f} times"
            f"  {memory:>8s}  differs by {self.differs:.4f}"
        )


@dataclass(frozen=True, kw_only=True)
class Sd3Bench:
    """All rows of one run."""

    device: str
    precision: str
    tile_px: int
    steps: int
    parameters_m: dict[str, float]
    tflops: float  # of one tile with the official loop
    tiles_of_picture: int  # of that side, in 3072 x 4096
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the same for people."""
        sizes = ", ".join(f"{name} {count:.2f} M" for name, count in self.parameters_m.items())
        best = min(self.rows, key=lambda row: row.seconds)
        return [
            f"{self.device}, {self.precision}, a tile of {self.tile_px} px in {self.steps} steps",
            f"parameters: {sizes}; {self.tflops:.2f} TFLOPs a tile",
            *(row.line(self.rows[0]) for row in self.rows),
            f"{PICTURE[1]} x {PICTURE[0]} is {self.tiles_of_picture} such tiles: "
            f"{self.tiles_of_picture * best.seconds:.0f} s with {best.name}",
        ]


def measure_sd3(
    config: Sd3Config,
    *,
    random: bool = True,
    tile_px: int = 1024,
    batch: int = 2,
    progress: Progress | None = None,
) -> Sd3Bench:
    """Restore one made-up tile in several ways, with random weights of full size or the config's.

    Raises:
        WeightsError: the config's weights cannot be used.
        DeviceError: no such device, or too little memory.
    """
    device = resolve_device(config)
    dtype = resolve_dtype(config, device)
    parts = random_parts(dtype) if random else load_sd3(config, dtype)
    model = Sd3Model(
        parts, replace(config, sampler="euler", flow="alignment", compile=False, batch=1)
    )
    tile = make_tile(tile_px)
    flops = FlopCounterMode(display=False)
    with flops, plain_attention(model.dual):
        official_tile(model, tile)
    ways: list[tuple[str, Sd3Config]] = [("ours", model.config)]
    ways.append((f"ours, {batch} tiles at a time", replace(model.config, batch=batch)))
    ways.append(("reference once per tile", replace(model.config, reference_per="tile")))
    if config.compile:
        ways.append(("ours, compiled", replace(model.config, compile=True)))
        both = replace(model.config, compile=True, reference_per="tile")
        ways.append(("compiled, reference once per tile", both))
    rows: list[Row] = []
    cut = TileConfig(size=tile_px, overlap=min(64, tile_px // 4))
    with plain_attention(model.dual):
        truth, seconds, peak = _timed(lambda: official_tile(model, tile), device)
    rows.append(Row(name="official loop", seconds=seconds, peak_gb=peak, differs=0.0))
    for at, (name, way) in enumerate(ways):
        if progress:
            progress("measuring", at + 1, len(ways) + 1)
        rows.append(_row(name, model, way, tile, truth, device))
    return Sd3Bench(
        device=_name(device),
        precision=str(dtype).removeprefix("torch."),
        tile_px=tile_px,
        steps=model.steps,
        parameters_m=parameters_m(parts),
        tflops=flops.get_total_flops() / 1e12,
        tiles_of_picture=len(grid(*PICTURE, cut)),
        rows=tuple(rows),
    )


def parameters_m(parts: Sd3Parts) -> dict[str, float]:
    """Count the millions of parameters of each part, as in the paper's Table 4."""
    dual = parts.dual
    modules: dict[str, nn.Module] = {
        "ReferenceNet": dual.reference,
        "RestorationNet": dual.restoration,
        "MotionEncoder": dual.motion_encoder,
        "autoencoder": parts.vae,
    }
    return {
        name: round(sum(p.numel() for p in module.parameters()) / 1e6, 2)
        for name, module in modules.items()
    }


def random_parts(dtype: torch.dtype) -> Sd3Parts:
    """Make the full-size model with random weights, on the CPU."""
    with torch.device("meta"):
        dual = DualBranch(
            make_transformer(SD3_MEDIUM, guided=True),
            make_transformer(SD3_MEDIUM, guided=False),
            MotionEncoder(),
        )
    dual.to(dtype).to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*dual.parameters(), *dual.buffers()):
            tensor.normal_(0, 0.02)
    parts = Sd3Parts(
        dual=dual,
        vae=AutoencoderKL(**AUTOENCODER),
        prompt=Prompt(
            torch.randn(1, PROMPT_TOKENS, 4096, dtype=dtype), torch.randn(1, 2048, dtype=dtype)
        ),
    )
    dual.requires_grad_(False)
    parts.vae.requires_grad_(False)
    return parts


class PlainAttention(nn.Module):
    """A block's attention as the release has it: everything by name, everything at every step."""

    def __init__(
        self, block: int, noted: dict[int, KeysAndValues], projection: nn.Module | None
    ) -> None:
        super().__init__()
        self.block, self.noted = block, noted
        self.projection = projection
        self.embeddings: list[Tensor] = []

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Note keys and values in the reference branch (no projection); read them in the other."""
        own = keys_and_values(attn, hidden_states, encoder_hidden_states)
        if self.projection is None:
            self.noted[self.block] = own
        else:
            moved = self.noted[self.block].moved_by(
                self.projection(normed(self.embeddings[self.block]))
            )
            own = KeysAndValues(
                torch.cat([own.key, moved.key], 1), torch.cat([own.value, moved.value], 1)
            )
        return joint_attention(attn, hidden_states, encoder_hidden_states, own)


@contextmanager
def plain_attention(dual: DualBranch) -> Iterator[None]:
    """Run the two transformers whole, by diffusers' own forward, as the release does."""
    noted: dict[int, KeysAndValues] = {}
    before = []
    for net, guided in ((dual.reference, False), (dual.restoration, True)):
        before.append((net, dict(net.attn_processors)))
        plain = {
            f"transformer_blocks.{i}.attn.processor": PlainAttention(
                i, noted, block.attn.processor.point_proj if guided else None
            )
            for i, block in enumerate(net.transformer_blocks)
        }
        net.set_attn_processor(plain)
    try:
        yield
    finally:
        for net, processors in before:
            net.set_attn_processor(processors)


@torch.inference_mode()
def official_tile(model: Sd3Model, tile: TileInput) -> np.ndarray:
    """Run the release's loop over one tile, with the latents' means and our seeded noise."""
    dual, prompt = model.dual, model.prompt
    latents = model.latents(tile, np.random.default_rng(0))
    embeddings = dual.motion_encoder(latents.flow)
    for block in dual.restoration.transformer_blocks:
        block.attn.processor.embeddings = embeddings
    z = bridge.start(latents.frame, latents.noise)
    dtype = model.placement.dtype
    times = bridge.official_times()
    for t, t_next in zip(times, times[1:], strict=False):
        at = torch.full((1,), TIMESTEPS * t, device=z.device)
        given = {"encoder_hidden_states": prompt.tokens, "pooled_projections": prompt.pooled}
        dual.reference(latents.key.to(dtype), timestep=at, **given)
        velocity = dual.restoration(z.to(dtype), timestep=at, **given).sample.float()
        z = bridge.euler_step(z, velocity, t, t_next)
    return model.decode(z)[0]


def _row(
    name: str,
    model: Sd3Model,
    config: Sd3Config,
    tile: TileInput,
    truth: np.ndarray,
    device: torch.device,
) -> Row:
    """Measure our own way over the same tile, from the same noise, with Euler's steps."""
    model = model.with_config(config)

    def restore() -> np.ndarray:
        rngs = [np.random.default_rng(0) for _ in range(config.batch)]
        return model.restore_tiles([tile] * config.batch, model.steps, rngs)[0].image

    found, seconds, peak = _timed(restore, device, warm_up=config.compile)
    differs = float(np.abs(found - truth[: found.shape[0], : found.shape[1]]).max())
    return Row(name=name, seconds=seconds / config.batch, peak_gb=peak, differs=differs)


def _timed(
    work: Callable[[], np.ndarray], device: torch.device, *, warm_up: bool = False
) -> tuple[np.ndarray, float, float | None]:
    """Return the result, the seconds and the peak of memory on the device (10^9 bytes)."""
    on_cuda = device.type == "cuda"
    if on_cuda or warm_up:
        work()  # the first run chooses kernels, or compiles them
    if on_cuda:
        torch.cuda.reset_peak_memory_stats(device)
    began_s = time.perf_counter()
    result = work()  # ends with a copy to the CPU, which waits for the device
    seconds = time.perf_counter() - began_s
    peak = torch.cuda.max_memory_allocated(device) / 1e9 if on_cuda else None
    return result, seconds, peak


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
