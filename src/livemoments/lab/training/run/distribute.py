"""Distribute one run over processes: copies that agree on gradients (DDP), or shards (FSDP)."""

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

from livemoments.lab.training.run.checkpoint import Learned, Run
from livemoments.lab.training.run.config import TrainConfig


def in_shards(objective: nn.Module) -> bool:
    """Check whether a module's weights lie in shards, so that only its call has them whole."""
    return any(_is_shard(weight) for weight in objective.parameters())


def _is_shard(value: Tensor) -> bool:
    """Check whether it is a DTensor; not by its class, which some builds of PyTorch lack."""
    return hasattr(value, "full_tensor")


def distribute(run: Run, objective: nn.Module, accelerator: Accelerator) -> nn.Module:
    """Bring a run and its objective to their device and distribute them; returns the objective.

    Raises:
        ConfigError: a run that cannot be distributed so.
    """
    if accelerator.distributed_type == DistributedType.FSDP:
        from livemoments.lab.training.run.shards import distribute_in_shards

        return distribute_in_shards(run, objective, accelerator)
    if run.average is not None:
        run.average.to(accelerator.device)
    # The optimiser's moments follow the weights to their device when they are first used.
    prepared: nn.Module = accelerator.prepare_model(objective)
    for state in run.optimiser.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim():
                state[name] = value.to(accelerator.device)
    return prepared


def clip_gradients(parameters: list[nn.Parameter], limit: float) -> Tensor:
    """Shorten the gradients where their norm is beyond the limit; returns the norm before."""
    return _gather(torch.nn.utils.clip_grad_norm_(parameters, limit).detach())


def _gather(value: Tensor) -> Tensor:
    """Return a whole tensor; where it is in shards, all processes must come here."""
    return value.full_tensor() if _is_shard(value) else value  # type: ignore[attr-defined]


def agree(number: float, accelerator: Accelerator) -> float:
    """Return the main process's number, so that all processes stop and save at the same step."""
    if accelerator.num_processes == 1:
        return number
    shared = torch.tensor([number], device=accelerator.device, dtype=torch.float64)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


def gather_learned(run: Run, accelerator: Accelerator) -> Learned | None:
    """Gather what training has made in the main process; all of them must come here."""
    learned = run.learned()
    if not in_shards(run.model):
        return learned
    main = accelerator.is_main_process

    def gathered(value: Tensor) -> Tensor:
        value = _gather(value)
        return value.cpu() if main else value.new_empty(0)

    model = {name: gathered(weight) for name, weight in learned.model.items()}
    state = {
        index: {name: gathered(value) for name, value in moments.items()}
        for index, moments in learned.optimiser["state"].items()
    }
    return Learned(model, None, learned.optimiser | {"state": state}) if main else None


def save_once(run: Run, path: Path, config: TrainConfig, accelerator: Accelerator) -> None:
    """Save the run once, whatever the processes; all of them must come here."""
    learned = gather_learned(run, accelerator)
    if accelerator.is_main_process:
        run.save(path, config, learned)
