"""One training run of the compact model: to resume it, run the same command again.

accelerate brings devices, precision and several processes (`accelerate launch -m livemoments train
...`). A run killed at any moment goes on from its last checkpoint, at most `checkpoint_every_s`
back, as if nothing had happened: crops and draws follow from the seed and the step.
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader

from livemoments.errors import ConfigError, OutputError
from livemoments.stages import Progress
from livemoments.training.checkpoint import Run, new_run
from livemoments.training.clips import ClipScenes
from livemoments.training.config import TrainConfig
from livemoments.training.objective import Losses, compact_losses
from livemoments.training.pairs import PairStream
from livemoments.training.perceptual import Perceptual, fetch_vgg16
from livemoments.training.scenes import PhotoScenes, SceneMaker, SceneStore, TurnsOf, photographs
from livemoments.training.validate import Validation

log = logging.getLogger(__name__)
MAKERS = 8  # processes that make scenes, at most: each holds all photographs in memory
LOST_STEPS = 50  # in a row, whose gradients were not finite: then a run has failed


class Objective(nn.Module):
    """The losses as one module, so that accelerate can spread it over devices and processes."""

    def __init__(self, run: Run, config: TrainConfig) -> None:
        super().__init__()
        self.model = run.model
        self.config = config
        self.judge: list[Perceptual] = []  # in a list: its weights are none of the model's

    def forward(self, batch: dict[str, Tensor], seed: int, seen: bool) -> Losses:
        """The losses of a batch; seed draws its noise, seen asks for the perceptual terms."""
        return compact_losses(
            self.model,
            batch,
            self.config.pairs.margin,
            self.config.objective,
            torch.Generator().manual_seed(seed),
            self.judge[0] if seen and self.judge else None,
        )


def train_step(
    run: Run,
    batch: dict[str, Tensor],
    config: TrainConfig,
    objective: nn.Module | None = None,
    accelerator: Accelerator | None = None,
    *,
    seen: bool = False,
) -> dict[str, float]:
    """One step of optimisation; returns the losses as numbers."""
    accelerator = accelerator or accelerator_for(config)
    objective = objective or Objective(run, config)
    for group in run.optimiser.param_groups:
        group["lr"] = config.learning_rate_at(run.step, run.minutes)
    draw = hash_of(config.seed, run.step, accelerator.process_index)
    with accelerator.autocast():
        losses = objective(batch, draw, seen)
    run.optimiser.zero_grad(set_to_none=True)
    accelerator.backward(losses.total)
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.step += 1
    numbers = torch.stack([norm.detach(), *(v.detach().float() for v in vars(losses).values())])
    found = numbers.tolist()  # one wait for the device, not one for each
    if math.isfinite(found[0]):
        run.optimiser.step()
        keep = min(config.ema, run.step / (10 + run.step))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(run.average.parameters()), list(run.model.parameters()), 1 - keep
            )
    return dict(zip(vars(losses), found[1:], strict=True))


def hash_of(*numbers: int) -> int:
    """A seed out of several whole numbers: 62 bits."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % (1 << 62)
    return mixed


def accelerator_for(config: TrainConfig) -> Accelerator:
    """The device, precision and processes of this run, as accelerate finds them.

    Raises:
        ConfigError: the device cannot do that precision, or this process has begun with another.
    """
    parts = config.objective.parts
    idle = not (parts.refine and parts.reference and parts.motion and parts.beside)
    try:
        return Accelerator(
            mixed_precision=config.precision,
            # Warping, bicubic, is not there for Apple's graphics processors.
            cpu=torch.backends.mps.is_available(),
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=idle),
                # While one process makes the scenes, the others wait.
                InitProcessGroupKwargs(timeout=timedelta(hours=6)),
            ],
        )
    except ValueError as error:
        raise ConfigError(f"precision {config.precision}: {error}; try --precision no") from error


def scene_maker(config: TrainConfig, *, held_out: bool = False) -> SceneMaker:
    """Where this run's scenes come from: photographs, clips, or one after the other."""
    makers: list[SceneMaker] = []
    size, preset = config.pairs.scene, config.pairs.preset
    if config.photographs is not None:
        makers.append(PhotoScenes(photographs(config.photographs, held_out=held_out), size, preset))
    if config.clips is not None:
        makers.append(ClipScenes.of(config.clips, size, preset, held_out=held_out))
    return makers[0] if len(makers) == 1 else TurnsOf(tuple(makers))


def plan(config: TrainConfig) -> dict[str, object]:
    """What `train` would do: the whole configuration, and what it finds. Trains nothing."""
    run = _begun(config)
    accelerator = accelerator_for(config)
    found: dict[str, object] = {"config": config.to_dict()}
    for name, held_out in (("learns_from", False), ("validates_on", True)):
        found[name] = [path.name for path in scene_files(scene_maker(config, held_out=held_out))]
    found["parameters"] = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in run.model.named_children()
    }
    found["device"] = str(accelerator.device)
    found["processes"] = accelerator.num_processes
    found["resumes_at"] = {"step": run.step, "minutes": run.minutes} if run.step else None
    return found


def scene_files(maker: SceneMaker) -> list[Path]:
    """The photographs and clips of a maker."""
    if isinstance(maker, TurnsOf):
        return [path for each in maker.makers for path in scene_files(each)]
    return list(maker.paths) if isinstance(maker, (PhotoScenes, ClipScenes)) else []


def train(config: TrainConfig, progress: Progress | None = None) -> Path:
    """Train until the steps or minutes are used up; returns the checkpoint, `last.pt` in output.

    Raises:
        ConfigError: settings that contradict each other or a run that is to be resumed.
        WeightsError: a checkpoint that cannot be taken up.
        MissingFileError: no photographs or clips.
    """
    try:
        config.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{config.output}: cannot make this folder: {error.strerror}") from error
    path = config.last
    run = _begun(config)
    if run.step and config.share_done(run.step, run.minutes) >= 1:
        return path  # it was finished: another step would only change it
    accelerator = accelerator_for(config)
    cores = os.cpu_count() or 1
    torch.set_num_threads(config.threads or max(1, cores // accelerator.num_processes))
    if not accelerator.is_main_process:
        progress = None
    scenes = SceneStore(_kept(config) / "scenes", scene_maker(config), seed=config.seed)
    if run.scenes not in ("", scenes.name):
        raise ConfigError(
            f"{path}: it learned from other photographs, clips or another way to degrade them; "
            "give the same, another --output, or --no-resume"
        )
    run.scenes = scenes.name
    objective = _prepared(run, config, accelerator)
    with accelerator.main_process_first():
        scenes.prepare(config.pairs.scenes, min(cores, MAKERS), progress)
    watch = _Watch(config, accelerator, run.step)
    lost = 0
    saved = time.monotonic()
    for losses in _steps(run, config, objective, accelerator, scenes):
        lost = 0 if math.isfinite(losses["total"]) else lost + 1
        if lost >= LOST_STEPS:
            raise ConfigError(
                f"training has failed: {lost} steps in a row without finite losses; "
                "try a lower --learning-rate"
            )
        share = config.share_done(run.step, run.minutes)
        watch.step(run, losses, objective, done=share >= 1)
        if progress:
            progress("training", int(1000 * min(share, 1.0)), 1000)
        late = time.monotonic() - saved > config.checkpoint_every_s
        if accelerator.is_main_process and (share >= 1 or late):
            run.save(path, config)
            saved = time.monotonic()
    watch.end()
    return path


def _begun(config: TrainConfig) -> Run:
    """A new run, or the one that is to be resumed."""
    run = new_run(config)
    if config.resumes:
        run.load(config.last, config)
    return run


def _kept(config: TrainConfig) -> Path:
    """Where scenes and the weights of VGG16 are kept."""
    return config.kept or config.output


def _steps(
    run: Run,
    config: TrainConfig,
    objective: nn.Module,
    accelerator: Accelerator,
    scenes: SceneStore,
) -> Iterator[dict[str, float]]:
    """Step after step to the end of the run, whose clock goes on; yields each step's losses."""
    stream = PairStream(
        scenes, config.pairs, batch=config.batch, first_step=run.step,
        process=accelerator.process_index, processes=accelerator.num_processes,
    )  # fmt: skip
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
        # A forked worker would wait for ever for threads that this process has used before.
        multiprocessing_context="spawn" if config.workers else None,
    )
    clock = time.monotonic()
    for batch in loader:
        # The perceptual terms are costly, and of no use before there is detail to judge.
        seen = config.share_done(run.step, run.minutes) >= config.perceptual_from
        moved = {name: plane.to(accelerator.device) for name, plane in batch.items()}
        losses = train_step(run, moved, config, objective, accelerator, seen=seen)
        now = time.monotonic()
        run.minutes = _agreed(run.minutes + (now - clock) / 60, accelerator)
        clock = now
        yield losses
        if config.share_done(run.step, run.minutes) >= 1:
            return


def _prepared(run: Run, config: TrainConfig, accelerator: Accelerator) -> nn.Module:
    """The objective on its device and spread over the processes."""
    whole = Objective(run, config)
    wanted = config.objective
    if wanted.kind == "restoration" and (wanted.perceptual or wanted.dists):
        with accelerator.main_process_first():
            weights = fetch_vgg16(_kept(config))
        whole.judge.append(Perceptual(weights).to(accelerator.device))
    run.average.to(accelerator.device)
    if config.compile:
        for network in run.model.children():
            network.compile()
    # The optimiser's moments follow the weights to their device when they are first used.
    prepared: nn.Module = accelerator.prepare_model(whole)
    for state in run.optimiser.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.dim():
                state[name] = value.to(accelerator.device)
    return prepared


def _agreed(minutes: float, accelerator: Accelerator) -> float:
    """The main process's clock, so that all processes stop at the same step."""
    if accelerator.num_processes == 1:
        return minutes
    shared = torch.tensor([minutes], device=accelerator.device, dtype=torch.float64)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


class _Watch:
    """What a run tells while it goes: the log, TensorBoard, validation and its best weights."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, first_step: int) -> None:
        self.config, self.accelerator = config, accelerator
        self.means: dict[str, float] = {}
        self.board = None
        self.validation: Validation | None = None
        if not accelerator.is_main_process:
            return
        from torch.utils.tensorboard import SummaryWriter

        board = str(config.output / "board")
        self.board = SummaryWriter(board, purge_step=first_step + 1 if first_step else None)
        if config.validate_every:
            # Another seed, so that even where a handful of files serves both, scenes differ.
            maker = scene_maker(config, held_out=True)
            store = SceneStore(_kept(config) / "scenes", maker, seed=config.seed + 1)
            self.validation = Validation(store, config.pairs)

    def step(self, run: Run, losses: dict[str, float], objective: nn.Module, *, done: bool) -> None:
        """After every step; losses are that step's."""
        for name, value in losses.items():
            self.means[name] = 0.99 * self.means.get(name, value) + 0.01 * value
        if run.step % 100 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self.means.items() if value)
            log.info("step %d, %.1f min: %s", run.step, run.minutes, shown)
            self._write(run, "train", self.means)
        if self.validation and (done or run.step % self.config.validate_every == 0):
            self._validate(run, objective)

    def _validate(self, run: Run, objective: nn.Module) -> None:
        whole = self.accelerator.unwrap_model(objective)
        if self.validation is None:
            return
        judge = whole.judge[0] if whole.judge else None
        with self.accelerator.autocast():
            found = self.validation.loss(run.average, self.config.objective, judge)
            picture = self.validation.picture(run.average, self.config.objective)
        self._write(run, "validation", found)
        if self.board:
            self.board.add_image("frame, restored, truth, reference", picture, run.step)
        log.info("step %d, validation: %.4f", run.step, found["total"])
        better = run.best is None or found["total"] < run.best
        if better and math.isfinite(found["total"]):
            run.best = found["total"]
            run.save(self.config.output / "best.pt", self.config)

    def _write(self, run: Run, kind: str, values: dict[str, float]) -> None:
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, run.step)

    def end(self) -> None:
        """Everything is on the disk."""
        if self.board:
            self.board.close()
