"""Describe what the loop knows of a model in training; each model has a task of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from livemoments.lab.training.data.clips import ClipScenes
from livemoments.lab.training.data.scenes import (
    PhotoScenes,
    SceneMaker,
    SceneStore,
    TurnsOf,
    photographs,
)
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.progress import Progress


@dataclass(frozen=True)
class Score:
    """What validation found."""

    losses: dict[str, float]  # the weights with the lowest `total` are the best
    picture: Tensor | None  # frame, restored, truth, reference; (3, rows, columns)


Scorer = Callable[[Run, nn.Module], Score]  # of a run and its objective


class Objective(nn.Module):
    """The losses of a model as one module, so that accelerate can distribute it."""

    def __init__(self, model: nn.Module, losses: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.losses = model, losses

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> Any:  # noqa: ANN401
        """Work out the losses of a batch; see `Task.objective`."""
        return self.losses(batch, torch.Generator().manual_seed(seed), seen)


class Task(ABC):
    """One model in training: how it begins, what it is shown, what it minimises."""

    store: ClassVar[type[SceneStore]] = SceneStore

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    @property
    def unused_parameters(self) -> bool:
        """Whether some of the weights get no gradient."""
        return False

    def scene_maker(self, *, held_out: bool = False) -> SceneMaker:
        """Make scenes of photographs, of clips, or of one after the other."""
        config, makers = self.config, list[SceneMaker]()
        size, preset = config.pairs.scene, config.pairs.preset
        if config.photographs is not None:
            chosen = photographs(config.photographs, held_out=held_out)
            makers.append(PhotoScenes(chosen, size, preset))
        if config.clips is not None:
            makers.append(ClipScenes.of(config.clips, size, preset, held_out=held_out))
        return makers[0] if len(makers) == 1 else TurnsOf(tuple(makers))

    def scenes(self, *, held_out: bool = False) -> SceneStore:
        """Store the scenes to learn from, or those to validate on."""
        # Another seed, so that even where a handful of files serves both, scenes differ.
        seed = self.config.seed + 1 if held_out else self.config.seed
        folder = self.config.cache_folder / "scenes"
        return self.store(folder, self.scene_maker(held_out=held_out), seed=seed)

    @abstractmethod
    def new_run(self) -> Run:
        """Make a run at its first step."""

    @abstractmethod
    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """Make the losses of the run's model a module, called with batch, seed and seen.

        The losses are a dataclass of scalars, of which `total` is minimised; seed draws what is
        random, seen asks for the terms that set in late.
        """

    @abstractmethod
    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """Stream this process's endless batches from the run's step on: dictionaries of tensors."""

    @abstractmethod
    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """Make the scorer of a run on crops of held-out scenes, the same every time."""


def move_batch(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch's tensors to a device."""
    return {name: plane.to(device) for name, plane in batch.items()}


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model."""
    return next(model.parameters()).device


def mean_losses(
    batches: list[dict[str, Tensor]], losses: Callable[[dict[str, Tensor], torch.Generator], Any]
) -> dict[str, float]:
    """Average each term of the losses of batches, with the same draws every time."""
    found = [losses(batch, torch.Generator().manual_seed(at)) for at, batch in enumerate(batches)]
    return mean_terms([{name: float(v) for name, v in vars(terms).items()} for terms in found])


def mean_terms(found: list[dict[str, float]]) -> dict[str, float]:
    """Average the terms of several batches, by name."""
    names = found[0] if found else ()
    return {name: sum(one[name] for one in found) / len(found) for name in names}


def hash_of(*numbers: int) -> int:
    """Mix whole numbers into a seed of 62 bits."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % (1 << 62)
    return mixed
