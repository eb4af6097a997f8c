"""Everything a training run needs to go on: written beside and renamed, read back whole."""

import logging
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from livemoments.errors import ConfigError, WeightsError
from livemoments.livephoto.atomic import atomic_output
from livemoments.training.aligning import CompactModel
from livemoments.training.config import TrainConfig

log = logging.getLogger(__name__)
UNREADABLE = (
    RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, UnpicklingError,
)  # fmt: skip


@dataclass
class Run:
    """Everything a checkpoint holds. Its random draws follow from seed and step alone."""

    model: CompactModel
    average: CompactModel  # exponential moving average of the weights: what is used
    optimiser: torch.optim.Optimizer
    step: int = 0
    minutes: float = 0.0
    best: float | None = None  # the lowest validation loss so far
    scenes: str = ""  # which scenes it learns from: `SceneStore.name`

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write beside, to the disk, and rename: a run killed here keeps its last checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "position": {
                "step": self.step,
                "minutes": self.minutes,
                "best": self.best,
                "scenes": self.scenes,
            },
            "config": config.to_dict(),
        }
        with atomic_output(path, overwrite=True) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path, config: TrainConfig) -> None:
        """Take up a saved run.

        Raises:
            WeightsError: it is no checkpoint, or of another network.
            ConfigError: it was made with other settings.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            position = state["position"]
            self.step, self.minutes = position["step"], position["minutes"]
            self.best, self.scenes = position["best"], position["scenes"]
            before, now = state["config"], config.fixed()
            other = [name for name in now if before[name] != now[name]]
        except UNREADABLE as error:
            raise WeightsError(
                f"{path}: not a checkpoint of this configuration: {_said(error)}"
            ) from error
        if other:
            name = other[0]
            raise ConfigError(
                f"{path}: made with another {name} ({_short(before[name], now[name])}); "
                "give the same settings, another --output, or --no-resume"
            )


def new_run(config: TrainConfig) -> Run:
    """A run at its first step."""
    torch.manual_seed(config.seed)
    model = CompactModel(config.network)
    # PyTorch's stubs leave this form of `to` out.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.start and not config.resumes:
        take_weights(model, config.start)
    average = CompactModel(config.network)
    average.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-12, weight_decay=0.01
    )
    return Run(model=model, average=average.requires_grad_(False), optimiser=optimiser)


def take_weights(model: CompactModel, path: Path) -> None:
    """Begin with the averaged weights of another run, where names and shapes are the same."""
    try:
        given: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)["average"]
        own = model.state_dict()
        fitting = {n: w for n, w in given.items() if n in own and w.shape == own[n].shape}
    except UNREADABLE as error:
        raise WeightsError(f"{path}: not a checkpoint to begin with: {_said(error)}") from error
    if not fitting:
        raise WeightsError(f"{path}: none of its weights fits this network")
    log.info("%s: %d of %d weights taken", path, len(fitting), len(own))
    model.load_state_dict(own | fitting)


def _said(error: BaseException) -> str:
    return (str(error) or "it ends too early").splitlines()[0]


def _short(before: object, now: object) -> str:
    """How two settings differ, in a few words."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [name for name in now if before.get(name) != now[name]]
        return ", ".join(f"{name}: {_short(before.get(name), now[name])}" for name in names)
    return f"{before}, now {now}"
