"""One run spread over processes: copies that agree on gradients (DDP), or shards (FSDP)."""

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from livemoments.lab.training.run.checkpoint import Learned, Run
from livemoments.lab.training.run.config import TrainConfig


def sharded(accelerator: Accelerator) -> bool:
    """Whether every process holds a part of each weight, and not all of them."""
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def in_shards(objective: nn.Module) -> bool:
    """Whether this module's weights are spread over processes, so that only its call has them."""
    return any(_is_shard(weight) for weight in objective.parameters())


def _is_shard(value: Tensor) -> bool:
    """Whether it is a DTensor; not by its class, which some builds of PyTorch do not have."""
    return hasattr(value, "full_tensor")


def spread(run: Run, objective: nn.Module, accelerator: Accelerator) -> nn.Module:
    """The objective of a run on its device, spread over the processes; and the run with it.

    Raises:
        ConfigError: a run that cannot be spread so.
    """
    if sharded(accelerator):
        from livemoments.lab.training.run.shards import spread_in_shards

        return spread_in_shards(run, objective, accelerator)
    if run.average is not None:
        run.average.to(accelerator.device)
    # The optimiser's moments follow the weights to their device when they are first used.
    prepared: nn.Module = accelerator.prepare_model(objective)
    for state in run.optimiser.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim():
                state[name] = value.to(accelerator.device)
    return prepared


def clipped(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients, which are made shorter where it is beyond the limit."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit).detach()
    return _gathered(norm)


def _gathered(value: Tensor) -> Tensor:
    """A whole tensor; where it is in shards, all processes must come here."""
    return value.full_tensor() if _is_shard(value) else value  # type: ignore[attr-defined]


def agreed(number: float, accelerator: Accelerator) -> float:
    """The main process's number, so that all processes stop and save at the same step."""
    if accelerator.num_processes == 1:
        return number
    shared = torch.tensor([number], device=accelerator.device, dtype=torch.float64)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


def whole(run: Run, accelerator: Accelerator) -> Learned | None:
    """What training has made, gathered in the main process; all of them must come here."""
    learned = run.learned()
    if not in_shards(run.model):
        return learned
    main = accelerator.is_main_process

    def gathered(value: Tensor) -> Tensor:
        value = _gathered(value)
        return value.cpu() if main else value.new_empty(0)

    model = {name: gathered(weight) for name, weight in learned.model.items()}
    state = {
        index: {name: gathered(value) for name, value in moments.items()}
        for index, moments in learned.optimiser["state"].items()
    }
    if not main:
        return None
    return Learned(model, None, learned.optimiser | {"state": state})


def save(run: Run, path: Path, config: TrainConfig, accelerator: Accelerator) -> None:
    """Save the run once, whatever the processes; all of them must come here."""
    learned = whole(run, accelerator)
    if accelerator.is_main_process:
        run.save(path, config, learned)
