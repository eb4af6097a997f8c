"""Training in several processes of this machine's CPU, as `accelerate launch` starts them."""

import os
import socket
from pathlib import Path

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from livemoments.lab.training import loop
from livemoments.lab.training.loop import accelerator_for, train
from livemoments.lab.training.run import distribute, monitor
from livemoments.lab.training.run.config import TrainConfig


def train_in_processes(
    config: TrainConfig, processes: int = 2, *, shards: bool = False
) -> list[dict]:
    """Run train() in so many processes; returns what each of them held at the end.

    With shards the weights are spread over them (FSDP), else each has them all (DDP).
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config.output.mkdir(parents=True, exist_ok=True)
    torch.multiprocessing.spawn(_train, (config, processes, port, shards), nprocs=processes)
    return [
        torch.load(config.output / f"process-{i}.pt", weights_only=True) for i in range(processes)
    ]


def _train(rank: int, config: TrainConfig, processes: int, port: int, shards: bool) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
        ACCELERATE_USE_CPU="true",
    )  # fmt: skip
    if shards:
        loop.accelerator_for = _for_shards
    save = distribute.save_once

    def save_in_each(run, path: Path, config, accelerator) -> None:
        save(run, path, config, accelerator)
        learned = distribute.gather_learned(run, accelerator)
        sharded = any(isinstance(p, DTensor) for p in run.model.parameters())
        held = {"model": learned and learned.model, "sharded": sharded}
        torch.save(held, config.output / f"process-{rank}.pt")

    monitor.save_once = save_in_each
    train(config)
    torch.distributed.destroy_process_group()


def _for_shards(config: TrainConfig, **settings) -> Accelerator:
    """accelerate asks for GPUs before it allows shards; what it then does, CPUs can do too."""
    accelerator = accelerator_for(config, **settings)
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
    for state in (accelerator.state, PartialState()):
        state.distributed_type = DistributedType.FSDP
    return accelerator
