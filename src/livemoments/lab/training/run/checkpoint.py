"""Save everything that a training run needs to go on, and read it back."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from livemoments.errors import ConfigError, WeightsError, first_line
from livemoments.files import atomic_output
from livemoments.lab.training.run.config import TrainConfig, fixed

log = logging.getLogger(__name__)
UNREADABLE = (
    RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, UnpicklingError,
)  # fmt: skip
POSITION = ("step", "minutes", "best", "scenes", "finish_from")  # of a `Run`
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Learned:
    """What training changes: weights by name, and the optimiser's moments."""

    model: dict[str, Tensor]
    average: dict[str, Tensor] | None
    optimiser: dict[str, Any]


@dataclass
class Run:
    """Everything a checkpoint holds. Its random draws follow from seed and step alone.

    A checkpoint has those weights alone that training changes, and their part of the optimiser.
    """

    model: nn.Module
    average: nn.Module | None  # exponential moving average of the weights: what is used
    optimiser: torch.optim.Optimizer
    step: int = 0
    minutes: float = 0.0
    best: float | None = None  # the lowest validation loss so far
    scenes: str = ""  # which scenes it learns from: `SceneStore.name`
    finish_from: int | None = None  # the step at which its finish began; None: it is in none

    def save(self, path: Path, config: TrainConfig, learned: Learned | None = None) -> None:
        """Write the run whole or not at all: one that is killed here has its last checkpoint.

        learned is what is written where the weights of this process are only a part of all.
        """
        self._write(path, config, vars(learned or self.learned()))

    def save_average(self, path: Path, config: TrainConfig) -> None:
        """Write the averaged weights alone: enough to export them, or to begin a run with."""
        if self.average is None:
            raise ConfigError("this run has no average of its weights (ema 0)")
        self._write(path, config, {"average": trained(self.average, self.model)})

    def _write(self, path: Path, config: TrainConfig, what: dict[str, Any]) -> None:
        position = {name: getattr(self, name) for name in POSITION}
        with atomic_output(path, overwrite=True) as temporary:
            torch.save({**what, "position": position, "config": config.to_dict()}, temporary)

    def learned(self) -> Learned:
        """Return what training has made so far."""
        return Learned(
            model=trained(self.model, self.model),
            average=None if self.average is None else trained(self.average, self.model),
            optimiser=self.optimiser.state_dict(),
        )

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained, in the optimiser's order."""
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
            position = {"finish_from": None} | state["position"]  # older ones know of no finish
            for name in POSITION:
                setattr(self, name, position[name])
            before, now = fixed(state["config"]), config.fixed()
            other = [name for name in now if before[name] != now[name]]
        except UNREADABLE as error:
            raise WeightsError(
                f"{path}: not a checkpoint of this configuration: {first_line(error)}"
            ) from error
        if other:
            name = other[0]
            raise ConfigError(
                f"{path}: made with another {name} ({_short(before[name], now[name])}); "
                "give the same settings, another output, or do not resume",
                settings=("output", "resume"),
            )


def trained(model: nn.Module, like: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model whose counterparts in like ask for a gradient."""
    names = {name for name, weight in like.named_parameters() if weight.requires_grad}
    return {name: weight for name, weight in model.state_dict().items() if name in names}


def take_trained(
    model: nn.Module, weights: dict[str, Tensor], *, like: nn.Module | None = None
) -> None:
    """Give a model all the weights that are trained, and no others; RuntimeError if they differ."""
    changing = trained(model, like or model)
    frozen = {name: w for name, w in model.state_dict().items() if name not in changing}
    model.load_state_dict(frozen | weights)


def take_weights(model: nn.Module, path: Path) -> None:
    """Begin with other weights where names and shapes are the same.

    They are the averaged ones of another run's checkpoint, or those of an exported model's folder.

    Raises:
        WeightsError: they cannot be read, or none of them fits.
    """
    own = model.state_dict()
    try:
        weights = _weights_of(path)
        fitting = {n: w for n, w in weights.items() if n in own and w.shape == own[n].shape}
    except UNREADABLE as error:
        raise WeightsError(
            f"{path}: not a checkpoint to begin with: {first_line(error)}"
        ) from error
    if not fitting:
        raise WeightsError(f"{path}: none of its weights fits this network")
    log.info("%s: %d of %d weights taken", path, len(fitting), len(own))
    model.load_state_dict(own | fitting)


def _weights_of(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        from livemoments.lab.training.run.exported import read_exported

        return read_exported(path)
    return average_of(torch.load(path, map_location="cpu", weights_only=True))


def average_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the averaged weights of a checkpoint, or the last ones where it has no average."""
    weights: dict[str, Tensor] = state["model"] if state["average"] is None else state["average"]
    return weights


def read_average(
    checkpoint: Path, make: Callable[[dict[str, Any]], tuple[Network, dict[str, Any]]], what: str
) -> tuple[Network, dict[str, Any]]:
    """Read the averaged network of a checkpoint, in evaluation mode, with its step and minutes.

    make turns a configuration into a network and a description of its sizes, which is returned too;
    what the checkpoint should be, is for the message of the WeightsError where it is not.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        model, about = make(state["config"])
        model.load_state_dict(state["average"])
        position = {name: state["position"][name] for name in ("step", "minutes")}
    except UNREADABLE as error:
        raise WeightsError(f"{checkpoint}: not {what}: {first_line(error)}") from error
    return model.eval(), about | position


def _short(before: object, now: object) -> str:
    """Describe in a few words how two settings differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [name for name in now if before.get(name) != now[name]]
        return ", ".join(f"{name}: {_short(before.get(name), now[name])}" for name in names)
    return f"{before}, now {now}"
