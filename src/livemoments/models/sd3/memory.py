"""Choose device and arithmetic for the sd3 tier, check its memory, and move its parts there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from livemoments.errors import DeviceError
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.weights import Sd3Parts
from livemoments.networks.motion_encoder import PIXELS_PER_TOKEN
from livemoments.networks.sd3 import DualBranch

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}
# Per token and channel of one block at work: queries, keys, values, the fourfold feed-forward.
WORKING_COPIES = 16
# The autoencoder at its widest holds this many channels at full size, a few times over.
AUTOENCODER_CHANNELS = 2
AUTOENCODER_COPIES = 3
SPARE = 1.1  # of an estimate: the allocator's own losses


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the parts are and what they need."""

    device: torch.device
    dtype: torch.dtype  # of the transformers
    offload: bool  # blocks stay in main memory and visit the device one by one
    needs_gb: float  # estimated peak on the device, 10^9 bytes


def resolve_device(config: Sd3Config) -> torch.device:
    """Return the device a config asks for, or the best there is.

    Raises:
        DeviceError: it is not there.
    """
    there = ["cuda"] if torch.cuda.is_available() else []
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += ["cpu"]
    if config.device not in ("auto", *there):
        raise DeviceError(
            f"device {config.device}: PyTorch finds none here; there is {', '.join(there)}",
            settings=("device",),
        )
    return torch.device(there[0] if config.device == "auto" else config.device)


def resolve_dtype(config: Sd3Config, device: torch.device) -> torch.dtype:
    """Return the arithmetic a config asks for, or the device's best."""
    if config.precision != "auto":
        return DTYPES[config.precision]
    return torch.float16 if device.type == "mps" else torch.bfloat16


def autoencoder_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """Return the autoencoder's: with bfloat16's 8 bits, smooth places would show steps."""
    if dtype == torch.bfloat16:
        return torch.float32 if device.type == "cpu" else torch.float16
    return dtype


def weights_bytes(*modules: nn.Module) -> int:
    """Count the bytes of the parameters and buffers of modules."""
    return sum(tensor.nbytes for m in modules for tensor in (*m.parameters(), *m.buffers()))


def estimate_gb(
    parts: Sd3Parts, config: Sd3Config, dtype: torch.dtype, tile_px: int, *, offload: bool
) -> float:
    """Estimate the peak of memory on the device, in 10^9 bytes.

    It holds the weights; the reference's keys and values of every block; and one block at work, or
    the autoencoder at full size, whichever is larger.
    """
    net = parts.dual.restoration
    size = torch.finfo(dtype).bits // 8
    tokens = (tile_px // PIXELS_PER_TOKEN) ** 2 + parts.prompt.tokens.shape[1]
    width, blocks = net.inner_dim, len(net.transformer_blocks)
    handed = config.batch * 3 * blocks * tokens * width * size  # keys, values, motion's keys
    working = config.batch * WORKING_COPIES * tokens * width * size
    channels = AUTOENCODER_CHANNELS * parts.vae.config.block_out_channels[0]
    picture = AUTOENCODER_COPIES * channels * tile_px * tile_px * max(size, 2)
    resident = weights_bytes(parts.dual, parts.vae)
    if offload:
        moving = [*net.transformer_blocks, *parts.dual.reference.transformer_blocks]
        resident += 2 * weights_bytes(moving[0]) - weights_bytes(*moving)
    return SPARE * (resident + handed + max(working, picture)) / 1e9


def free_gb(device: torch.device) -> float | None:
    """Return the free memory of a device, in 10^9 bytes; for the CPU all of it; None: not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info()[0] / 1e9
    if device.type == "mps":
        return torch.mps.recommended_max_memory() / 1e9
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return None


def place(parts: Sd3Parts, config: Sd3Config, tile_px: int) -> Placement:
    """Move the parts to the device, all of them or, where they do not fit, block by block.

    Raises:
        DeviceError: the memory does not suffice either way.
    """
    device = resolve_device(config)
    dtype = resolve_dtype(config, device)
    has = free_gb(device)
    ways = {"none": [False], "blocks": [True], "auto": [False, True]}[config.offload]
    for offload in [False] if device.type == "cpu" else ways:  # on the CPU they are already
        needs = estimate_gb(parts, config, dtype, tile_px, offload=offload)
        if has is None or needs <= has:
            break
    else:
        raise too_little(config, device, needs, has)
    # Not diffusers' own `to`, which warns of a list of modules that is empty here.
    nn.Module.to(parts.vae, device, autoencoder_dtype(dtype, device))
    dual = parts.dual
    if offload:
        dual.visits = device
        _move_all_but_blocks(dual, device)
    else:
        dual.to(device)
    return Placement(device=device, dtype=dtype, offload=offload, needs_gb=needs)


def _move_all_but_blocks(dual: DualBranch, device: torch.device) -> None:
    """Move what is used once per tile or step, and leave the transformers' blocks where they are.

    Their projections of the motion, used once per tile, go along.
    """
    dual.motion_encoder.to(device)
    for net in (dual.restoration, dual.reference):
        for name, child in net.named_children():
            if name != "transformer_blocks":
                child.to(device)
    for block in dual.restoration.transformer_blocks:
        block.attn.processor.to(device)


def too_little(
    config: Sd3Config, device: torch.device, needs: float, has: float | None, why: str = ""
) -> DeviceError:
    """Return the error for memory that does not suffice, with what to do about it."""
    ways = {
        "batch": "one tile at a time" if config.batch > 1 else "",
        "offload": "offload blocks" if config.offload == "none" and device.type != "cpu" else "",
        "precision": "precision bf16" if config.precision == "float32" else "",
        "model": "the model compact, which runs on any computer",
    }
    there = "not so much is" if has is None else f"{has:.1f} GB are"
    return DeviceError(
        f"{why}device {device.type}: the sd3 model needs about {needs:.1f} GB of memory, {there}"
        f" there; try {' or '.join(filter(None, ways.values()))}",
        settings=[name for name, way in ways.items() if way],
    )


@contextmanager
def explain_out_of_memory(config: Sd3Config, placement: Placement) -> Iterator[None]:
    """Turn PyTorch's running out of memory into a DeviceError that says what to do."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        needs, has = placement.needs_gb, free_gb(placement.device)
        why = f"out of memory, though {needs:.1f} GB were expected to suffice; "
        raise too_little(config, placement.device, needs, has, why) from error
