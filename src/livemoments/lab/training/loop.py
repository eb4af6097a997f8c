"""Run one training; to resume it, run the same command again.

accelerate brings devices, precision and several processes (`accelerate launch -m livemoments lab
train ...`). A run killed at any moment goes on from its last checkpoint, at most
`checkpoint_every_s` back, as if nothing had happened: crops and draws follow from the seed and the
step. Ctrl-C and SIGTERM let it save first.
"""

import math
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from livemoments.errors import ConfigError, OutputError
from livemoments.jobs.child_processes import follow_parent
from livemoments.lab.training.data.scenes import SceneStore
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.distribute import agree, clip_gradients, distribute, in_shards
from livemoments.lab.training.run.monitor import Monitor
from livemoments.lab.training.run.stopping import Stop, hearing_signals, stopped_by
from livemoments.lab.training.run.task import Task, hash_of, move_batch
from livemoments.lab.training.tasks import task_of
from livemoments.progress import Progress

# Processes that make scenes: each holds all photographs in memory.
MAX_SCENE_PROCESSES = 8
# Steps in a row without finite gradients, after which a run has failed: single ones are skipped.
MAX_FAILED_STEPS = 50


def train_step(
    run: Run,
    batch: dict[str, Tensor],
    config: TrainConfig,
    objective: nn.Module,
    accelerator: Accelerator,
    *,
    seen: bool = False,
) -> dict[str, float]:
    """Take one step of optimisation; returns the losses as numbers.

    seen asks for the perceptual terms.
    """
    rate = config.learning_rate_at(run.step, run.minutes, run.finish_from)
    for group in run.optimiser.param_groups:
        # A task may want a part of the weights to learn more slowly.
        group["lr"] = group.get("share", 1.0) * rate
    draw = hash_of(config.seed, run.step, accelerator.process_index)
    run.optimiser.zero_grad(set_to_none=True)
    chunks = {name: plane.chunk(config.parts) for name, plane in batch.items()}
    means: dict[str, Tensor] = {}
    for at in range(config.parts):
        part = {name: planes[at] for name, planes in chunks.items()}
        # Processes agree on the gradients once, when all parts have given theirs.
        alone = nullcontext() if at == config.parts - 1 else accelerator.no_sync(objective)
        with alone:
            with accelerator.autocast():
                losses = objective(part, draw, seen)
            accelerator.backward(losses.total / config.parts)
        for name, value in vars(losses).items():
            means[name] = means.get(name, 0.0) + value.detach().float() / config.parts
    norm = clip_gradients(run.parameters(), config.clip)
    run.step += 1
    found = torch.stack([norm, *means.values()]).tolist()  # one wait for the device
    if math.isfinite(found[0]):
        run.optimiser.step()
        _follow(run, config.ema)
    return dict(zip(means, found[1:], strict=True))


def _follow(run: Run, ema: float) -> None:
    """Draw the average, where there is one, towards the weights."""
    if run.average is None:
        return
    left = min(ema, run.step / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.model.parameters()), 1 - left)


def accelerator_for(config: TrainConfig, *, unused_parameters: bool = False) -> Accelerator:
    """Take the device, precision and processes of this run, as accelerate finds them.

    Raises:
        ConfigError: the device cannot do that precision, or this process has begun with another.
    """
    try:
        return Accelerator(
            mixed_precision=config.precision,
            # Warping, bicubic, is not there for Apple's graphics processors.
            cpu=torch.backends.mps.is_available(),
            kwargs_handlers=[
                DistributedDataParallelKwargs(find_unused_parameters=unused_parameters),
                # While one process makes the scenes, the others wait.
                InitProcessGroupKwargs(timeout=timedelta(hours=6)),
            ],
        )
    except ValueError as error:
        message = f"precision {config.precision}: {error}; try no"
        raise ConfigError(message, settings=("precision",)) from error


def plan(config: TrainConfig) -> dict[str, object]:
    """Describe what a run would do, and what it finds, without training."""
    task = task_of(config)
    run = _begin(config, task)
    accelerator = accelerator_for(config)
    trained = sum(p.numel() for p in run.parameters())
    sizes = {
        name: sum(p.numel() for p in network.parameters())
        for name, network in run.model.named_children()
    }
    return {
        "config": config.to_dict(),
        "learns_from": [path.name for path in task.scene_maker().paths],
        "validates_on": [path.name for path in task.scene_maker(held_out=True).paths],
        "parameters": sizes,
        "trained": trained,
        "frozen": sum(p.numel() for p in run.model.parameters()) - trained,
        "device": str(accelerator.device),
        "processes": accelerator.num_processes,
        "resumes_at": {"step": run.step, "minutes": run.minutes} if run.step else None,
    }


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
    run = _begin(config, task)
    if run.step and _share_done(run, config) >= 1:
        return config.last  # it was finished: another step would only change it
    accelerator = accelerator_for(config, unused_parameters=task.unused_parameters)
    if not accelerator.is_main_process:
        progress = None
    cores = os.cpu_count() or 1
    threads = config.threads or max(1, cores // accelerator.num_processes)
    with _threads(threads), hearing_signals() as stop:
        scenes = _scenes(task, run)
        bare = task.objective(run, accelerator)
        with accelerator.main_process_first():
            scenes.prepare(config.pairs.scenes, min(cores, MAX_SCENE_PROCESSES), progress)
        stream = task.batches(scenes, run, accelerator, progress)
        objective = distribute(run, bare, accelerator)
        held_out = task.scenes(held_out=True) if config.validate_every else None
        everywhere = in_shards(objective)
        monitor = Monitor(config, task, held_out, accelerator, run, everywhere=everywhere)
        with closing(monitor):
            _take_steps(run, config, objective, stream, monitor, stop, progress)
    return config.last


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _take_steps(
    run: Run,
    config: TrainConfig,
    objective: nn.Module,
    stream: IterableDataset,
    monitor: Monitor,
    stop: Stop,
    progress: Progress | None,
) -> None:
    """Take step after step to the end of the run, or until it is asked to stop, and save."""
    accelerator = monitor.accelerator
    failed = 0
    saved = time.monotonic()
    with closing(_steps(run, config, objective, accelerator, stream)) as steps:
        stop.waits = True
        for losses in steps:
            failed = 0 if math.isfinite(losses["total"]) else failed + 1
            if failed >= MAX_FAILED_STEPS:
                raise ConfigError(
                    f"training has failed: {failed} steps in a row without finite losses; "
                    "try a lower learning rate",
                    settings=("learning_rate",),
                )
            share = _share_done(run, config)
            monitor.step(run, losses, objective, done=share >= 1)
            if progress:
                progress("training", int(1000 * min(share, 1.0)), 1000)
            late = time.monotonic() - saved > config.checkpoint_every_s
            asked = int(agree(stop.asked, accelerator))
            if share >= 1 or asked or agree(late, accelerator):
                monitor.save(run, config.last)
                saved = time.monotonic()
            if asked and share < 1:
                raise stopped_by(asked)


def _scenes(task: Task, run: Run) -> SceneStore:
    """Return the scenes that the run learns from, and may not exchange."""
    scenes = task.scenes()
    if run.scenes not in ("", scenes.name):
        raise ConfigError(
            f"{task.config.last}: it learned from other photographs, clips or another way to "
            "degrade them; give the same, another output, or do not resume",
            settings=("output", "resume"),
        )
    run.scenes = scenes.name
    return scenes


def _begin(config: TrainConfig, task: Task) -> Run:
    """Make a new run, or load the one that is to be resumed."""
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
    """Take step after step to the end of the run, whose clock goes on; yields each one's losses."""
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
        batch = move_batch(batch, accelerator.device)
        losses = train_step(run, batch, config, objective, accelerator, seen=seen)
        now = time.monotonic()
        run.minutes = agree(run.minutes + (now - clock) / 60, accelerator)
        clock = now
        yield losses
        if _share_done(run, config) >= 1:
            return
