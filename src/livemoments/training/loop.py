"""One training run of the compact model: to resume it, run the same command again."""

import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from livemoments.errors import ConfigError, WeightsError
from livemoments.networks.compact import CompactConfig
from livemoments.stages import Progress
from livemoments.training.objective import CompactModel, ObjectiveConfig, compact_losses
from livemoments.training.pairs import PairConfig, PairStream
from livemoments.training.perceptual import Lpips, fetch_vgg16
from livemoments.training.scenes import SceneStore, photographs

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run. Times in minutes of training, resumed runs counted together."""

    photographs: Path
    output: Path
    minutes: float = 60.0  # of training; ignored where steps are given
    steps: int | None = None  # so many steps: a run that repeats exactly, however fast the machine
    batch: int = 8
    learning_rate: float = 1e-3
    warm_up_steps: int = 200
    clip: float = 0.3  # of the gradient's norm
    decay_share: float = 0.4  # of the time, at the end, over which the rate falls to a hundredth
    perceptual_from: float = 0.55  # share of the run done when the perceptual term sets in
    ema: float = 0.999
    seed: int = 0
    workers: int = 1
    threads: int = 0  # 0: as many as there are cores
    compile: bool = False  # torch.compile: steps in 0.7 of the time, after a minute; needs g++
    checkpoint_every_s: float = 120.0
    resume: bool = True
    network: CompactConfig = field(default_factory=CompactConfig)
    pairs: PairConfig = field(default_factory=PairConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        for name in ("minutes", "steps", "batch"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be positive, got {value}")

    def share_done(self, step: int, minutes: float) -> float:
        """How much of the run is over, 0 to 1 or a little more."""
        return step / self.steps if self.steps else minutes / self.minutes

    def learning_rate_at(self, step: int, minutes: float) -> float:
        """Warm up, stay, then fall along a cosine in the last `decay_share` of the run."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        past = (self.share_done(step, minutes) - (1 - self.decay_share)) / self.decay_share
        fall = 0.505 + 0.495 * math.cos(math.pi * min(max(past, 0.0), 1.0))
        return self.learning_rate * warm * fall


@dataclass
class Run:
    """Everything a checkpoint holds."""

    model: CompactModel
    average: CompactModel  # exponential moving average of the weights: what is used
    optimiser: torch.optim.Optimizer
    noise: torch.Generator
    step: int = 0
    minutes: float = 0.0

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write beside and rename: a run killed here keeps its last checkpoint."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "noise": self.noise.get_state(),
            "position": {"step": self.step, "minutes": self.minutes},
            "config": json.loads(json.dumps(asdict(config), default=str)),
        }
        temporary = path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        """Take up a saved run."""
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.noise.set_state(state["noise"])
            self.step, self.minutes = state["position"]["step"], state["position"]["minutes"]
        except (
            RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, UnpicklingError,
        ) as error:  # fmt: skip
            reason = (str(error) or "it ends too early").splitlines()[0]
            raise WeightsError(
                f"{path}: not a checkpoint of this configuration: {reason}"
            ) from error


def new_run(config: TrainConfig) -> Run:
    """A run at its first step."""
    torch.manual_seed(config.seed)
    model = CompactModel(config.network)
    # PyTorch's stubs leave this form of `to` out.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = CompactModel(config.network)
    average.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-12, weight_decay=0.01
    )
    noise = torch.Generator().manual_seed(config.seed)
    return Run(model=model, average=average.requires_grad_(False), optimiser=optimiser, noise=noise)


def train_step(
    run: Run, batch: dict[str, Tensor], config: TrainConfig, lpips: Lpips | None = None
) -> dict[str, float]:
    """One step of optimisation; returns the losses as numbers."""
    for group in run.optimiser.param_groups:
        group["lr"] = config.learning_rate_at(run.step, run.minutes)
    with torch.autocast("cpu", torch.bfloat16):
        losses = compact_losses(
            run.model, batch, config.pairs.margin, config.objective, run.noise, lpips
        )
    run.optimiser.zero_grad(set_to_none=True)
    losses.total.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.optimiser.step()
    run.step += 1
    keep = min(config.ema, run.step / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - keep)
    return {name: float(value.detach()) for name, value in vars(losses).items()}


def train(config: TrainConfig, progress: Progress | None = None) -> Path:
    """Train until the steps or minutes are used up; returns the checkpoint, `last.pt` in output."""
    config.output.mkdir(parents=True, exist_ok=True)
    path = config.output / "last.pt"
    run = new_run(config)
    if config.resume and path.exists():
        run.load(path)
        if config.share_done(run.step, run.minutes) >= 1:
            return path  # it was finished: another step would only change it
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    if config.compile:
        for network in run.model.children():
            network.compile()
    lpips = None
    if config.objective.perceptual:
        lpips = Lpips(fetch_vgg16(config.output))
    scenes = SceneStore(
        config.output / "scenes",
        photographs(config.photographs),
        config.pairs.scene,
        seed=config.seed,
    )
    scenes.prepare(config.pairs.scenes, os.cpu_count() or 1, progress)
    stream = PairStream(scenes, config.pairs, batch=config.batch, first_step=run.step)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
    )
    clock = saved = time.monotonic()
    means: dict[str, float] = {}
    for batch in loader:
        share = config.share_done(run.step, run.minutes)
        # Costly, and of no use before there is detail to judge.
        judge = lpips if share >= config.perceptual_from else None
        for name, value in train_step(run, batch, config, judge).items():
            means[name] = value if name not in means else 0.99 * means[name] + 0.01 * value
        now = time.monotonic()
        run.minutes += (now - clock) / 60
        clock = now
        if run.step % 100 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in means.items())
            log.info("step %d, %.1f min: %s", run.step, run.minutes, shown)
        share = config.share_done(run.step, run.minutes)
        if progress:
            progress("training", int(1000 * min(share, 1.0)), 1000)
        if share >= 1 or now - saved > config.checkpoint_every_s:
            run.save(path, config)
            saved = now
        if share >= 1:
            return path
    raise ConfigError("the stream of training pairs ended")  # it is endless
