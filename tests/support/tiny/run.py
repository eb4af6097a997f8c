"""The shortest training run that still is one; needs PyTorch."""

from pathlib import Path

from torch import Tensor

from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.loop import accelerator_for, train_step
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.lab.training.run.task import Task
from support.tiny.compact import TINY


def tiny_config(photographs: Path, output: Path, **given) -> TrainConfig:
    """A run of two scenes by a tiny network, in this process alone."""
    usual = {
        "batch": 2, "workers": 0, "threads": 1, "warm_up_steps": 1, "network": TINY,
        "pairs": PairConfig(
            crop=64, margin=16, scene=128, scenes=2, crops_per_scene=2, scenes_mixed=2
        ),
        "objective": ObjectiveConfig(perceptual=0.0, dists=0.0),  # VGG16 would be fetched
        "validate_every": 0, "precision": "no",
    }  # fmt: skip
    return TrainConfig(photographs=photographs, output=output, **(usual | given))


def take_step(task: Task, run: Run, batch: dict[str, Tensor]) -> dict[str, float]:
    """One step of a run, without the perceptual terms; its losses."""
    accelerator = accelerator_for(task.config)
    return train_step(run, batch, task.config, task.objective(run, accelerator), accelerator)
