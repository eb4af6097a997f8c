"""What the loop knows of a model in training; each model says it in a file of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.checkpoint import Run
from livemoments.progress import Progress


@dataclass(frozen=True)
class Score:
    """What validation found."""

    losses: dict[str, float]  # of them `total` tells which weights are the best
    picture: Tensor | None  # frame, restored, truth, reference; (3, rows, columns)


Scorer = Callable[[Run, nn.Module], Score]  # of a run and its objective


class Task(Protocol):
    """One model in training: how it begins, what it is shown, what it minimises."""

    def new_run(self) -> Run:
        """A run at its first step."""
        ...

    def objective(self, run: Run, accelerator: Accelerator) -> nn.Module:
        """The losses of the run's model as a module, called with batch, seed and seen.

        The losses are a dataclass of scalars, of which `total` is minimised; seed draws what is
        random, seen asks for the terms that set in late.
        """
        ...

    def batches(
        self, scenes: SceneStore, run: Run, accelerator: Accelerator, progress: Progress | None
    ) -> IterableDataset:
        """This process's endless batches from the run's step on: dictionaries of tensors."""
        ...

    def validation(self, scenes: SceneStore, accelerator: Accelerator) -> Scorer:
        """What scores a run on crops of held-out scenes, the same every time."""
        ...


def hash_of(*numbers: int) -> int:
    """A seed out of several whole numbers: 62 bits."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % (1 << 62)
    return mixed
