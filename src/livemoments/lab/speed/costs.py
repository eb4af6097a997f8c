"""Measure what a tile costs by each method, as in Table 5 of the paper: each in its own process.

Millions of parameters, 10^12 operations (flops.py), the most memory that the process held,
all that it loaded included, and seconds. Such a process is run as
`python -m livemoments.lab.speed.costs METHOD SIZE WEIGHTS`.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.errors import ConfigError, LiveMomentsError
from livemoments.files import cache_folder
from livemoments.jobs.workers import Workers
from livemoments.lab.benchmark.published import as_report_tables
from livemoments.lab.benchmark.results import (
    BenchmarkRun,
    ImageInfo,
    ImageScore,
    MethodInfo,
    write_run,
)
from livemoments.lab.benchmark.run import environment
from livemoments.lab.benchmark.run_folder import RunFolder
from livemoments.lab.experiments.published_rows import Experiment
from livemoments.lab.report.write import write_report
from livemoments.lab.speed.made import make_tile
from livemoments.lab.speed.process import seconds_of, watch
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.models.sd3.config import Sd3Config
from livemoments.progress import Progress

TABLES = ("5", "4")  # of the paper
PAPERS = "LiveMoments"  # as they call it
SIZE_MULTIPLE = 64  # of what the compact networks take
RUNS = 3  # of which the fastest counts
SLOW_S = 20.0  # a first run of more counts for itself: preparing is little of it
PAPER_STEPS = 6
RANDOM = "random"  # in place of sd3 weights: what is measured does not depend on them


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """What to measure."""

    output: Path  # a folder for run.json, scores.csv and the report
    size_px: int = 1024  # side of the tile
    weights: Path = SHIPPED  # of the compact model
    sd3: str | None = None  # a folder of weights, or "random"; None: not measured
    command: str = ""  # that asked for it

    def __post_init__(self) -> None:
        if self.size_px < SIZE_MULTIPLE or self.size_px % SIZE_MULTIPLE:
            raise ConfigError(f"size must be a multiple of {SIZE_MULTIPLE}, got {self.size_px}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A method."""

    label: str
    detail: str
    work: Callable[[int, Path], dict[str, float]]  # of the size and the compact model's folder
    steps: int = 0  # of the compact model; 0: another network, whose work counts for itself


def measure_costs(config: CostConfig, progress: Progress | None = None) -> Experiment:
    """Measure every method that can be had, one after the other; writes the run and its report.

    Raises:
        LiveMomentsError: the weights of the compact model or the output cannot be used.
    """
    RunFolder(config.output)
    measured: list[tuple[MethodInfo, float | None]] = []
    for done, (name, row) in enumerate(METHODS.items()):
        if progress:
            progress("measuring", done, len(METHODS) + bool(config.sd3))
        measured.append(_measured(name, row, config))
    if config.sd3:
        measured.append(_sd3(config, config.sd3, progress))
    run = _run(config, measured)
    write_run(run, config.output)
    write_report(run, config.output, config.output)
    return Experiment(
        table=TABLES[0], run=run, paper_rows=dict.fromkeys(["livemoments", "sd3"], PAPERS)
    )


def _run(config: CostConfig, measured: Sequence[tuple[MethodInfo, float | None]]) -> BenchmarkRun:
    """Put the run together: of each method its costs, and the seconds where it could be had."""
    side = config.size_px
    return BenchmarkRun(
        title=f"Cost of one tile of {side} x {side}",
        set_name="a made-up tile",
        set_folder="",
        command=config.command,
        environment=environment(Workers()),
        metrics=[],
        methods=[info for info, _ in measured],
        images=[ImageInfo(name="tile", width=side, height=side, frame="", key="", truth=None)],
        scores=[
            ImageScore(method=info.name, image="tile", values={}, seconds=seconds)
            for info, seconds in measured
            if seconds is not None
        ],
        notes=[
            "Real-ESRGAN and SPAN enlarge a frame of half the size.",
            "Memory is the whole process's, Python and packages included; sd3's is the device's.",
        ],
        published=as_report_tables(TABLES),
    )


def _measured(name: str, row: Measured, config: CostConfig) -> tuple[MethodInfo, float | None]:
    """Measure a method in a process of its own; return its costs and its seconds."""
    command = [sys.executable, "-m", "livemoments.lab.speed.costs", name, str(config.size_px)]
    try:
        found, _, memory = watch([*command, str(config.weights)])
    except LiveMomentsError as error:
        if name.startswith("livemoments"):
            raise
        return MethodInfo(name=name, label=row.label, detail=row.detail, failed=str(error)), None
    seconds, cost = found.pop("seconds"), found
    if row.steps:  # counted here, so that the memory it takes is not the method's
        from livemoments.lab.speed.flops import compact_costs

        cost |= compact_costs(config.weights, config.size_px, row.steps)
    if memory is not None:
        cost["peak_gb"] = memory
    return MethodInfo(name=name, label=row.label, detail=row.detail, cost=cost), seconds


def _sd3(
    config: CostConfig, weights: str, progress: Progress | None
) -> tuple[MethodInfo, float | None]:
    """Measure the paper's model as `livemoments lab bench-sd3` does by default."""
    label, detail = "LiveMoments sd3", f"the paper's model, {PAPER_STEPS} steps"
    try:
        from livemoments.lab.speed.sd3 import measure_sd3

        given = Sd3Config() if weights == RANDOM else Sd3Config(weights=weights)
        found = measure_sd3(
            given, random=weights == RANDOM, tile_px=config.size_px, batch=1, progress=progress
        )
    except (LiveMomentsError, ImportError) as error:
        return MethodInfo(name="sd3", label=label, detail=detail, failed=str(error)), None
    row = next(row for row in found.rows if row.name == "ours")
    cost = {"parameters_m": sum(found.parameters_m.values()), "tflops": found.tflops}
    if row.peak_gb is not None:
        cost["peak_gb"] = row.peak_gb
    detail = f"{detail}, {found.precision}, on {found.device}"
    return MethodInfo(name="sd3", label=label, detail=detail, cost=cost), row.seconds


# --- in the process that is watched ---------------------------------------------------------


def main(name: str, size: str, folder: str) -> None:
    """Measure one method and print what it takes."""
    json.dump(METHODS[name].work(int(size), Path(folder)), sys.stdout)


def _compact(size_px: int, folder: Path, *, steps: int) -> dict[str, float]:
    model = load_compact(folder)
    tile = make_tile(size_px)
    return {"seconds": _fastest(lambda: model.restore_tile(tile, steps, np.random.default_rng(0)))}


def _real_esrgan(size_px: int, folder: Path) -> dict[str, float]:
    from livemoments.lab.benchmark.baselines import fetch_real_esrgan, read_real_esrgan

    return _enlarging(read_real_esrgan(fetch_real_esrgan(cache_folder())), size_px)


def _span(size_px: int, folder: Path) -> dict[str, float]:
    from livemoments.lab.benchmark.span import fetch_span, read_span

    return _enlarging(read_span(fetch_span(cache_folder())), size_px)


def _enlarging(network: Any, size_px: int) -> dict[str, float]:  # noqa: ANN401 - see their rooms
    """Enlarge a frame of half the size; count its operations in the first run."""
    from livemoments.lab.benchmark.baselines import use_threads
    from livemoments.lab.speed.flops import torch_tflops

    use_threads()
    frame = np.random.default_rng(0).random((size_px // 2, size_px // 2, 3), np.float32)

    def work() -> None:
        network.enlarge(frame, size_px, size_px)

    counted: list[float] = []
    seconds = seconds_of(lambda: counted.append(torch_tflops(work)))
    if seconds < SLOW_S:
        seconds = _fastest(work)
    return {"parameters_m": network.parameters_m, "tflops": counted[0], "seconds": seconds}


def _fastest(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs: the first also prepares."""
    return min(seconds_of(work) for _ in range(RUNS))


METHODS = {
    "livemoments": Measured(
        label="LiveMoments compact", detail="our model, 1 step", work=partial(_compact, steps=1),
        steps=1,
    ),
    f"livemoments-{PAPER_STEPS}": Measured(
        label=f"LiveMoments compact, {PAPER_STEPS} steps", detail="with as many as the paper's",
        work=partial(_compact, steps=PAPER_STEPS), steps=PAPER_STEPS,
    ),
    "span": Measured(label="SPAN", detail="on the frame alone, twice its size", work=_span),
    "real-esrgan": Measured(
        label="Real-ESRGAN x4plus", detail="on the frame alone, brought down", work=_real_esrgan
    ),
}  # fmt: skip

if __name__ == "__main__":
    main(*sys.argv[1:])
