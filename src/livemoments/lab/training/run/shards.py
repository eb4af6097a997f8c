"""Train the sd3 tier in shards (FSDP), where each process holds a part of every weight."""

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from livemoments.errors import ConfigError
from livemoments.lab.training.run.checkpoint import Run
from livemoments.networks.sd3 import DualBranch


def distribute_in_shards(run: Run, objective: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Distribute weights, gradients and moments over the processes.

    Not by `accelerator.prepare`, which would make each block one unit: but the projections of
    motion are used before their blocks are, and of ReferenceNet's last block a part alone is.

    Raises:
        ConfigError: a run that cannot be distributed so.
    """
    if not accelerator.is_fsdp2:
        raise ConfigError("shards need FSDP's second version: accelerate launch --fsdp_version 2")
    if not isinstance(run.model, DualBranch) or run.average is not None:
        raise ConfigError("in shards (FSDP) only sd3 is trained, and without an average (ema 0)")
    if len({p.dtype for p in run.model.parameters()}) > 1:
        raise ConfigError("adapters need no shards: launch without FSDP", settings=("lora",))
    plugin = accelerator.state.fsdp_plugin
    half = accelerator.mixed_precision == "bf16"
    how: dict[str, Any] = {
        "reshard_after_forward": plugin.reshard_after_forward,
        "offload_policy": plugin.cpu_offload,
        "mp_policy": MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if half else None,
            reduce_dtype=torch.float32,
            cast_forward_inputs=False,  # latents and motion stay float32: autocast does the rest
        ),
    }
    names = {id(p): name for name, p in run.model.named_parameters()}
    order = [names[id(p)] for p in run.parameters()]
    moments = [run.optimiser.state.get(p) for p in run.parameters()]
    for unit in (*_units(run.model), objective):
        fully_shard(unit, **how)
    cut = dict(run.model.named_parameters())
    run.optimiser.state.clear()
    (group,) = run.optimiser.param_groups
    group["params"] = [cut[name] for name in order]
    for parameter, state in zip(group["params"], moments, strict=True):
        if state is not None:
            run.optimiser.state[parameter] = {n: _cut(v, parameter) for n, v in state.items()}
    return objective


def _cut(value: Tensor, like: DTensor) -> Tensor:
    """Cut this process's part of one of the optimiser's moments; its count of steps stays."""
    if not value.dim():
        return value
    cut: Tensor = distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return cut


def _units(model: DualBranch) -> Iterator[nn.Module]:
    """Yield what is gathered at a time: projections of motion, and blocks that are used whole."""
    for block in model.restoration.transformer_blocks:
        yield block.attn.processor.point_proj
        yield block
    yield from list(model.reference.transformer_blocks)[:-1]
