"""Everything a training run needs to go on: written beside and renamed, read back whole."""

import logging
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from livemoments.errors import ConfigError, WeightsError
from livemoments.files import atomic_output
from livemoments.lab.training.run.config import TrainConfig, fixed

log = logging.getLogger(__name__)
UNREADABLE = (
    RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, UnpicklingError,
)  # fmt: skip
POSITION = ("step", "minutes", "best", "scenes", "finish_from")  # of a `Run`


@dataclass(frozen=True)
class Learned:
    """What training changes: weights by name, and the optimiser's moments."""

    model: dict[str, Tensor]
    average: dict[str, Tensor] | None
    optimiser: dict[str, Any]


@dataclass
class Run:
    """Everything a checkpoint holds. Its random draws follow from seed and step alone.

    Of the weights it holds those that training changes, of the optimiser what is theirs.
    """

    model: nn.Module
    average: nn.Module | None  # exponential moving average of the weights: what is used
    optimiser: torch.optim.Optimizer
    step: int = 0
    minutes: float = 0.0
    best: float | None = None  # the lowest validation loss so far
    scenes: str = ""  # which scenes it learns from: `SceneStore.name`
    finish_from: int | None = None  # the step at which its finish began; None: it is in none

    def save(self, path: Path, config: TrainConfig, learned: "Learned | None" = None) -> None:
        """Write beside, to the disk, and rename: a run killed here keeps its last checkpoint.

        learned is what is written where the weights of this process are only a part of all.
        """
        learned = learned or self.learned()
        self._write(path, config, vars(learned))

    def save_average(self, path: Path, config: TrainConfig) -> None:
        """Write the averaged weights alone: enough to export them, or to begin a run with."""
        if self.average is None:
            raise ConfigError("this run keeps no average of its weights (ema 0)")
        self._write(path, config, {"average": trained(self.average, self.model)})

    def _write(self, path: Path, config: TrainConfig, what: dict[str, Any]) -> None:
        position = {name: getattr(self, name) for name in POSITION}
        with atomic_output(path, overwrite=True) as temporary:
            torch.save({**what, "position": position, "config": config.to_dict()}, temporary)

    def learned(self) -> "Learned":
        """What training has made so far."""
        return Learned(
            model=trained(self.model, self.model),
            average=None if self.average is None else trained(self.average, self.model),
            optimiser=self.optimiser.state_dict(),
        )

    def parameters(self) -> list[nn.Parameter]:
        """What is trained, in the optimiser's order."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def load(self, path: Path, config: TrainConfig) -> None:
        """Take up a saved run.

        Raises:
            WeightsError: it is no checkpoint, or of another network.
            ConfigError: it was made with other settings.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            take_trained(self.model, state["model"])
            if self.average is not None:
                take_trained(self.average, state["average"], like=self.model)
            self.optimiser.load_state_dict(state["optimiser"])
            position = state["position"]
            self.step, self.minutes = position["step"], position["minutes"]
            self.best, self.scenes = position["best"], position["scenes"]
            self.finish_from = position.get("finish_from")  # older checkpoints know of none
            before, now = fixed(state["config"]), config.fixed()
            other = [name for name in now if before[name] != now[name]]
        except UNREADABLE as error:
            raise WeightsError(
                f"{path}: not a checkpoint of this configuration: {said(error)}"
            ) from error
        if other:
            name = other[0]
            raise ConfigError(
                f"{path}: made with another {name} ({_short(before[name], now[name])}); "
                "give the same settings, another output, or do not resume",
                settings=("output", "resume"),
            )


def trained(model: nn.Module, like: nn.Module) -> dict[str, Tensor]:
    """The weights of a model, of which those in like are trained that ask for a gradient."""
    names = {name for name, weight in like.named_parameters() if weight.requires_grad}
    return {name: weight for name, weight in model.state_dict().items() if name in names}


def take_trained(
    model: nn.Module, given: dict[str, Tensor], *, like: nn.Module | None = None
) -> None:
    """Give a model all the weights that are trained, and no others; RuntimeError if they differ."""
    changing = trained(model, like or model)
    frozen = {name: w for name, w in model.state_dict().items() if name not in changing}
    model.load_state_dict(frozen | given)


def take_weights(model: nn.Module, path: Path) -> None:
    """Begin with other weights where names and shapes are the same.

    They are the averaged ones of another run's checkpoint, or those of an exported model's folder.
    """
    own = model.state_dict()
    try:
        given = _given(path)
        fitting = {n: w for n, w in given.items() if n in own and w.shape == own[n].shape}
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not a checkpoint to begin with: {said(error)}") from error
    if not fitting:
        raise WeightsError(f"{path}: none of its weights fits this network")
    log.info("%s: %d of %d weights taken", path, len(fitting), len(own))
    model.load_state_dict(own | fitting)


def _given(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        from livemoments.lab.training.run.exported import read_exported

        return read_exported(path)
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    given: dict[str, Tensor] = state["model"] if state["average"] is None else state["average"]
    return given


def said(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error) or "it ends too early").splitlines()[0]


def _short(before: object, now: object) -> str:
    """How two settings differ, in a few words."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [name for name in now if before.get(name) != now[name]]
        return ", ".join(f"{name}: {_short(before.get(name), now[name])}" for name in names)
    return f"{before}, now {now}"
