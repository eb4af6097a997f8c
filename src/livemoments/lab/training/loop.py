"""One training run: to resume it, run the same command again.

accelerate brings devices, precision and several processes (`accelerate launch -m livemoments lab
train ...`). A run killed at any moment goes on from its last checkpoint, at most
`checkpoint_every_s` back, as if nothing had happened: crops and draws follow from the seed and the
step. Ctrl-C and SIGTERM let it save first.
"""

import math
import os
import time
from collections.abc import Generator
from contextlib import closing, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from livemoments.errors import ConfigError, OutputError
from livemoments.jobs.child_processes import follow_parent
from livemoments.lab.training.data.clips import ClipScenes
from livemoments.lab.training.data.scenes import (
    PhotoScenes,
    SceneMaker,
    SceneStore,
    TurnsOf,
    photographs,
)
from livemoments.lab.training.faces.clips import FaceClips, FaceStore, face_clips
from livemoments.lab.training.run import distribute as spread
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.monitor import Watch
from livemoments.lab.training.run.stopping import Stop, stopped_by
from livemoments.lab.training.run.task import Task, hash_of
from livemoments.lab.training.tasks import task_of
from livemoments.progress import Progress

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
    rate = config.learning_rate_at(run.step, run.minutes, run.finish_from)
    for group in run.optimiser.param_groups:
        # A task may want a part of the weights to learn more slowly.
        group["lr"] = group.get("share", 1.0) * rate
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
        message = f"precision {config.precision}: {error}; try no"
        raise ConfigError(message, settings=("precision",)) from error


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
    """Train until steps, minutes or finish are used up; returns the checkpoint, `last.pt`.

    Raises:
        ConfigError: settings that contradict each other or a run that is to be resumed.
        WeightsError: a checkpoint that cannot be taken up.
        MissingFileError: no photographs or clips.
        KeyboardInterrupt: it was asked to stop, and is saved.
    """
    try:
        config.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{config.output}: cannot make this folder: {error.strerror}") from error
    task = task_of(config)
    run = _begun(config, task)
    if run.step and _share_done(run, config) >= 1:
        return config.last  # it was finished: another step would only change it
    accelerator = accelerator_for(config)
    cores = os.cpu_count() or 1
    torch.set_num_threads(config.threads or max(1, cores // accelerator.num_processes))
    if not accelerator.is_main_process:
        progress = None
    with Stop() as stop:
        scenes = _scenes(config, run)
        bare = task.objective(run, accelerator)
        with accelerator.main_process_first():
            scenes.prepare(config.pairs.scenes, min(cores, MAKERS), progress)
        stream = task.batches(scenes, run, accelerator, progress)
        objective = spread.spread(run, bare, accelerator)
        held_out = scene_store(config, held_out=True) if config.validate_every else None
        everywhere = spread.in_shards(objective)
        watch = Watch(config, task, held_out, accelerator, run, everywhere=everywhere)
        with closing(watch):
            _go(run, config, objective, stream, watch, stop, progress)
    return config.last


def _go(
    run: Run,
    config: TrainConfig,
    objective: nn.Module,
    stream: IterableDataset,
    watch: Watch,
    stop: Stop,
    progress: Progress | None,
) -> None:
    """Take step after step to the end of the run, or until it is asked to stop, and save."""
    accelerator = watch.accelerator
    lost = 0
    saved = time.monotonic()
    with closing(_steps(run, config, objective, accelerator, stream)) as steps:
        stop.waits = True
        for losses in steps:
            lost = 0 if math.isfinite(losses["total"]) else lost + 1
            if lost >= LOST_STEPS:
                raise ConfigError(
                    f"training has failed: {lost} steps in a row without finite losses; "
                    "try a lower learning rate",
                    settings=("learning_rate",),
                )
            share = _share_done(run, config)
            watch.step(run, losses, objective, done=share >= 1)
            if progress:
                progress("training", int(1000 * min(share, 1.0)), 1000)
            late = time.monotonic() - saved > config.checkpoint_every_s
            asked = int(spread.agreed(stop.asked, accelerator))
            if share >= 1 or asked or spread.agreed(late, accelerator):
                watch.save(run, config.last)
                saved = time.monotonic()
            if asked and share < 1:
                raise stopped_by(asked)


def _scenes(config: TrainConfig, run: Run) -> SceneStore:
    """The scenes that the run learns from, and may not exchange."""
    scenes = scene_store(config)
    if run.scenes not in ("", scenes.name):
        raise ConfigError(
            f"{config.last}: it learned from other photographs, clips or another way to degrade "
            "them; give the same, another output, or do not resume",
            settings=("output", "resume"),
        )
    run.scenes = scenes.name
    return scenes


def _begun(config: TrainConfig, task: Task) -> Run:
    """A new run, or the one that is to be resumed."""
    run = task.new_run()
    if config.resumes:
        run.load(config.last, config)
    if config.finish is None:
        run.finish_from = None
    elif run.finish_from is None:
        run.finish_from = run.step
    return run


def _share_done(run: Run, config: TrainConfig) -> float:
    return config.share_done(run.step, run.minutes, run.finish_from)


def _steps(
    run: Run,
    config: TrainConfig,
    objective: nn.Module,
    accelerator: Accelerator,
    stream: IterableDataset,
) -> Generator[dict[str, float]]:
    """Step after step to the end of the run, whose clock goes on; yields each step's losses."""
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
        # A forked worker would wait for ever for threads that this process has used before.
        multiprocessing_context="spawn" if config.workers else None,
        worker_init_fn=follow_parent,
    )
    clock = time.monotonic()
    for batch in loader:
        seen = config.judges_at(run.step, run.minutes)
        moved = {name: plane.to(accelerator.device) for name, plane in batch.items()}
        losses = train_step(run, moved, config, objective, accelerator, seen=seen)
        now = time.monotonic()
        run.minutes = spread.agreed(run.minutes + (now - clock) / 60, accelerator)
        clock = now
        yield losses
        if _share_done(run, config) >= 1:
            return
