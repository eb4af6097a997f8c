"""One training run: to resume it, run the same command again.

accelerate brings devices, precision and several processes (`accelerate launch -m livemoments train
...`). A run killed at any moment goes on from its last checkpoint, at most `checkpoint_every_s`
back, as if nothing had happened: crops and draws follow from the seed and the step.
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from livemoments.errors import ConfigError, OutputError
from livemoments.stages import Progress
from livemoments.training import spread
from livemoments.training.checkpoint import Run
from livemoments.training.clips import ClipScenes
from livemoments.training.config import TrainConfig
from livemoments.training.faces_clips import FaceClips, FaceStore, face_clips
from livemoments.training.scenes import PhotoScenes, SceneMaker, SceneStore, TurnsOf, photographs
from livemoments.training.task import Scorer, Task, hash_of, task_of

log = logging.getLogger(__name__)
MAKERS = 8  # processes that make scenes, at most: each holds all photographs in memory
LOST_STEPS = 50  # in a row, whose gradients were not finite: then a run has failed


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
    objective = objective or task_of(config).objective(run, accelerator)
    for group in run.optimiser.param_groups:
        # A task may want a part of the weights to learn more slowly.
        group["lr"] = group.get("share", 1.0) * config.learning_rate_at(run.step, run.minutes)
    draw = hash_of(config.seed, run.step, accelerator.process_index)
    run.optimiser.zero_grad(set_to_none=True)
    parts = _parts(batch, config.parts)
    means: dict[str, Tensor] = {}
    for at, part in enumerate(parts, 1):
        # Processes agree on the gradients once, when all parts have given theirs.
        alone = nullcontext() if at == len(parts) else accelerator.no_sync(objective)
        with alone:
            with accelerator.autocast():
                losses = objective(part, draw, seen)
            accelerator.backward(losses.total / len(parts))
        for name, value in vars(losses).items():
            means[name] = means.get(name, 0.0) + value.detach().float() / len(parts)
    norm = spread.clipped(run.parameters(), config.clip)
    run.step += 1
    found = torch.stack([norm, *means.values()]).tolist()  # one wait for the device
    if math.isfinite(found[0]):
        run.optimiser.step()
        _follow(run, config.ema)
    return dict(zip(means, found[1:], strict=True))


def _parts(batch: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """A batch cut into parts of equal size."""
    cut = {name: plane.chunk(count) for name, plane in batch.items()}
    return [{name: planes[i] for name, planes in cut.items()} for i in range(count)]


def _follow(run: Run, ema: float) -> None:
    """Draw the average, where one is kept, towards the weights."""
    if run.average is None:
        return
    keep = min(ema, run.step / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - keep)


def accelerator_for(config: TrainConfig) -> Accelerator:
    """The device, precision and processes of this run, as accelerate finds them.

    Raises:
        ConfigError: the device cannot do that precision, or this process has begun with another.
    """
    parts = config.objective.parts
    whole = parts.refine and parts.reference and parts.motion and parts.beside
    idle = config.model == "compact" and not whole
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
    if config.model == "faces":
        return face_clips(config.faces, config.photographs, held_out=held_out)
    makers: list[SceneMaker] = []
    size, preset = config.pairs.scene, config.pairs.preset
    if config.photographs is not None:
        makers.append(PhotoScenes(photographs(config.photographs, held_out=held_out), size, preset))
    if config.clips is not None:
        makers.append(ClipScenes.of(config.clips, size, preset, held_out=held_out))
    return makers[0] if len(makers) == 1 else TurnsOf(tuple(makers))


def scene_store(config: TrainConfig, *, held_out: bool = False) -> SceneStore:
    """Where this run's scenes, or clips of faces, are kept."""
    folder = config.keeps / "scenes"
    # Another seed, so that even where a handful of files serves both, scenes differ.
    seed = config.seed + 1 if held_out else config.seed
    maker = scene_maker(config, held_out=held_out)
    return (FaceStore if config.model == "faces" else SceneStore)(folder, maker, seed=seed)


def plan(config: TrainConfig) -> dict[str, object]:
    """What `train` would do: the whole configuration, and what it finds. Trains nothing."""
    run = _begun(config, task_of(config))
    accelerator = accelerator_for(config)
    found: dict[str, object] = {"config": config.to_dict()}
    for name, held_out in (("learns_from", False), ("validates_on", True)):
        found[name] = [path.name for path in scene_files(scene_maker(config, held_out=held_out))]
    found["parameters"] = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in run.model.named_children()
    }
    learned = sum(p.numel() for p in run.parameters())
    found["trained"] = learned
    found["frozen"] = sum(p.numel() for p in run.model.parameters()) - learned
    found["device"] = str(accelerator.device)
    found["processes"] = accelerator.num_processes
    found["resumes_at"] = {"step": run.step, "minutes": run.minutes} if run.step else None
    return found


def scene_files(maker: SceneMaker) -> list[Path]:
    """The photographs and clips of a maker."""
    if isinstance(maker, TurnsOf):
        return [path for each in maker.makers for path in scene_files(each)]
    if isinstance(maker, (PhotoScenes, ClipScenes, FaceClips)):
        return list(maker.paths)
    return []


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
    task = task_of(config)
    run = _begun(config, task)
    if run.step and config.share_done(run.step, run.minutes) >= 1:
        return path  # it was finished: another step would only change it
    accelerator = accelerator_for(config)
    cores = os.cpu_count() or 1
    torch.set_num_threads(config.threads or max(1, cores // accelerator.num_processes))
    if not accelerator.is_main_process:
        progress = None
    scenes = _scenes(config, run)
    bare = task.objective(run, accelerator)
    with accelerator.main_process_first():
        scenes.prepare(config.pairs.scenes, min(cores, MAKERS), progress)
    stream = task.batches(scenes, run, accelerator, progress)
    objective = spread.spread(run, bare, accelerator)
    watch = _Watch(config, task, accelerator, run.step, everywhere=spread.in_shards(objective))
    lost = 0
    saved = time.monotonic()
    for losses in _steps(run, config, objective, accelerator, stream):
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
        if share >= 1 or spread.agreed(late, accelerator):
            spread.save(run, path, config, accelerator)
            saved = time.monotonic()
    watch.end()
    return path


def _scenes(config: TrainConfig, run: Run) -> SceneStore:
    """The scenes that the run learns from, and may not exchange."""
    scenes = scene_store(config)
    if run.scenes not in ("", scenes.name):
        raise ConfigError(
            f"{config.last}: it learned from other photographs, clips or another way to degrade "
            "them; give the same, another --output, or --no-resume"
        )
    run.scenes = scenes.name
    return scenes


def _begun(config: TrainConfig, task: Task) -> Run:
    """A new run, or the one that is to be resumed."""
    run = task.new_run()
    if config.resumes:
        run.load(config.last, config)
    return run


def _steps(
    run: Run,
    config: TrainConfig,
    objective: nn.Module,
    accelerator: Accelerator,
    stream: IterableDataset,
) -> Iterator[dict[str, float]]:
    """Step after step to the end of the run, whose clock goes on; yields each step's losses."""
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
        run.minutes = spread.agreed(run.minutes + (now - clock) / 60, accelerator)
        clock = now
        yield losses
        if config.share_done(run.step, run.minutes) >= 1:
            return


class _Watch:
    """What a run tells while it goes: the log, TensorBoard, validation and its best weights."""

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        accelerator: Accelerator,
        first_step: int,
        *,
        everywhere: bool,
    ) -> None:
        self.config, self.accelerator = config, accelerator
        self.means: dict[str, float] = {}
        self.board = None
        self.score: Scorer | None = None
        # A model in shards restores nothing in one process alone: everywhere, then.
        if config.validate_every and (accelerator.is_main_process or everywhere):
            self.score = task.validation(scene_store(config, held_out=True), accelerator)
        if not accelerator.is_main_process:
            return
        from torch.utils.tensorboard import SummaryWriter

        board = str(config.output / "board")
        self.board = SummaryWriter(board, purge_step=first_step + 1 if first_step else None)

    def step(self, run: Run, losses: dict[str, float], objective: nn.Module, *, done: bool) -> None:
        """After every step; losses are that step's."""
        for name, value in losses.items():
            self.means[name] = 0.99 * self.means.get(name, value) + 0.01 * value
        if run.step % 100 == 0:
            shown = " ".join(f"{name} {value:.4f}" for name, value in self.means.items() if value)
            log.info("step %d, %.1f min: %s", run.step, run.minutes, shown)
            self._write(run, "train", self.means)
        if self.score and (done or run.step % self.config.validate_every == 0):
            self._validate(run, objective, self.score)

    def _validate(self, run: Run, objective: nn.Module, score: Scorer) -> None:
        with self.accelerator.autocast():
            found = score(run, self.accelerator.unwrap_model(objective))
        total = found.losses["total"]
        self._write(run, "validation", found.losses)
        if self.board and found.picture is not None:
            self.board.add_image("frame, restored, truth, reference", found.picture, run.step)
        log.info("step %d, validation: %.4f", run.step, total)
        if math.isfinite(total) and (run.best is None or total < run.best):
            run.best = total
            spread.save(run, self.config.output / "best.pt", self.config, self.accelerator)

    def _write(self, run: Run, kind: str, values: dict[str, float]) -> None:
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, run.step)

    def end(self) -> None:
        """Everything is on the disk."""
        if self.board:
            self.board.close()
