"""Do the paper's experiments on sets of one's own, each under the name of its table.

table1, table2    methods compared, on real and on synthetic sets
table3, table7    parts of the method taken away, likewise; trains a network for each row
table8            degradations of training; trains a network for each
table9            noise in the flow, and other estimators of it, with a finished compact model

Sets with a truth are scored by fidelity too, whatever the paper's table has. (Table 5 is in
`livemoments.lab.speed.costs`, Table 6 in `study`.)
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from livemoments.errors import ConfigError
from livemoments.files import atomic_output
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.benchmark.config import EvaluateConfig
from livemoments.lab.benchmark.manifest import ImageSet, SetImage, open_set, write_picture
from livemoments.lab.benchmark.published import published
from livemoments.lab.benchmark.results import BenchmarkRun, MethodInfo, write_run
from livemoments.lab.benchmark.run import evaluate
from livemoments.lab.benchmark.run_folder import RunFolder
from livemoments.lab.experiments.ablation import NETWORK
from livemoments.lab.experiments.aligned import read_aligned
from livemoments.lab.experiments.published_rows import Experiment
from livemoments.lab.experiments.rows import (
    WHOLE_METHOD,
    Row,
    degradation_rows,
    design_rows,
    flow_rows,
)
from livemoments.lab.metrics.catalogue import Sources
from livemoments.lab.metrics.metric import as_stored
from livemoments.lab.report.write import write_report
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.run.config import TrainConfig
from livemoments.models.compact import SHIPPED, load_compact
from livemoments.progress import Progress

FIDELITY = ("PSNR-Y", "SSIM-Y", "LPIPS-AlexNet", "DISTS")  # where the truth is known
COMPARED = ("frame", "key", "restoration-only", WHOLE_METHOD, "span", "real-esrgan")
FEWEST_SCENES = 64  # to train on
MADE = "made"  # the folder of a run with what rows made
OURS = {WHOLE_METHOD: "LiveMoments", "sd3": "LiveMoments"}  # methods, and Tables 1 and 2


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A table of the paper as an experiment."""

    number: str  # of the table
    kind: str  # "comparison", "design", "degradation" or "flow"
    title: str

    def metrics(self, *, with_truth: bool) -> tuple[str, ...]:
        """Return the table's metrics, with those of fidelity before them where there is a truth."""
        names = [column.metric for column in published(self.number).columns if column.metric]
        return tuple(dict.fromkeys([*(FIDELITY if with_truth else ()), *names]))


PRESETS = {
    "table1": Preset(number="1", kind="comparison", title="Methods on real Live Photos"),
    "table2": Preset(number="2", kind="comparison", title="Methods on synthetic pairs"),
    "table3": Preset(number="3", kind="design", title="Ablation of the design, real Live Photos"),
    "table7": Preset(number="7", kind="design", title="Ablation of the design, synthetic pairs"),
    "table8": Preset(number="8", kind="degradation", title="Ablation of training's degradation"),
    "table9": Preset(number="9", kind="flow", title="Noise in the flow, and other estimators"),
}


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """What an experiment is done with."""

    set_folder: Path
    output: Path
    methods: tuple[str, ...] = ()  # of a comparison, besides COMPARED
    metrics: tuple[str, ...] = ()  # in place of the table's
    training: TrainConfig | None = None  # of each row's network, but for what makes it that row
    weights: Path = SHIPPED  # of the compact model whose flow is disturbed
    raft_weights: Path | None = None
    limit: int | None = None  # only so many images
    threads: int = 0  # 0: one per core
    seed: int = 0
    sources: Sources = field(default_factory=Sources)  # of the metrics' weights
    command: str = ""  # that asked for it, for the report


def run_experiment(
    name: str, config: ExperimentConfig, progress: Progress | None = None
) -> Experiment:
    """Do an experiment, or go on with it where it was stopped; writes its run and report.

    Raises:
        ConfigError: there is no such experiment, or it needs photographs to train on.
        LiveMomentsError: the set, the weights or the output cannot be used.
    """
    if name not in PRESETS:
        raise ConfigError(f"no experiment {name!r}; there are {', '.join(PRESETS)}, and table5")
    preset = PRESETS[name]
    found = open_set(config.set_folder, config.limit, progress)
    rows: list[Row] = []
    if preset.kind != "comparison":
        RunFolder(config.output)
        rows = list(_rows(preset, config, progress))
    methods = (*COMPARED, *config.methods)
    if rows:
        methods = ("frame", *_make(rows, found, config, progress))
    metrics = config.metrics or preset.metrics(with_truth=bool(found.with_truth))
    run = evaluate(_evaluation(preset, config, methods, metrics), progress)
    if rows:
        run = _named(run, rows)
        write_run(run, config.output)
        write_report(run, config.output, config.set_folder)
    paper_rows = {row.name: row.paper_row for row in rows if row.paper_row}
    return Experiment(table=preset.number, run=run, paper_rows=paper_rows or _ours(run.methods))


def _evaluation(
    preset: Preset, config: ExperimentConfig, methods: tuple[str, ...], metrics: tuple[str, ...]
) -> EvaluateConfig:
    """Return the settings of the benchmark."""
    return EvaluateConfig(
        set_folder=config.set_folder, output=config.output, methods=methods, metrics=metrics,
        threads=config.threads, limit=config.limit, seed=config.seed, sources=config.sources,
        title=f"{preset.title}, as in Table {preset.number}", published=(preset.number,),
        command=config.command,
    )  # fmt: skip


def usual_training(
    photographs: Path, output: Path, *, steps: int, seed: int = 0, threads: int = 0
) -> TrainConfig:
    """Return how rows' networks are trained on photographs, in the folder of an experiment."""
    # A batch has as many crops as a scene gives: a short run needs no more scenes than steps.
    scenes = min(PairConfig().scenes, max(FEWEST_SCENES, steps))
    return TrainConfig(
        photographs=photographs, output=output / "training", steps=steps, seed=seed,
        threads=threads, network=NETWORK, pairs=PairConfig(scenes=scenes),
    )  # fmt: skip


def _rows(preset: Preset, config: ExperimentConfig, progress: Progress | None) -> Iterable[Row]:
    """Make the rows of an experiment; train them where they are networks of their own."""
    if preset.kind == "flow":
        model = load_compact(config.weights, config.threads)
        return flow_rows(model, raft_weights=config.raft_weights, seed=config.seed)
    if config.training is None:
        message = "this experiment trains networks: give photographs to train them on"
        raise ConfigError(message, settings=("photographs",))
    make = design_rows if preset.kind == "design" else degradation_rows
    return make(config.training, progress)


def _make(
    rows: Sequence[Row], found: ImageSet, config: ExperimentConfig, progress: Progress | None
) -> list[str]:
    """Make what is missing of the rows' pictures; returns the rows as methods of the benchmark."""
    able = {row.name: row.restore for row in rows if row.restore is not None}
    folders = {}
    for row in rows:
        if row.name in able:
            folder = config.output / MADE / f"{row.name}-{_digest(row.identity)}"
            folder.mkdir(parents=True, exist_ok=True)
            folders[row.name] = folder
    for done, image in enumerate(found.images, 1):
        missing = [name for name in able if not _is_made(folders[name], image)]
        if missing:
            aligned = read_aligned(config.set_folder, image)
            for name in missing:
                _store(folders[name], image, as_stored(able[name](aligned), name))
        if progress:
            progress("restoring", done, len(found.images))
    return [f"{name}=folder:{folder}" for name, folder in folders.items()]


def _is_made(folder: Path, image: SetImage) -> bool:
    """Return whether a row's picture of an image is there, and of that very image."""
    try:
        of = (folder / f"{image.name}.of").read_text(encoding="utf-8")
    except OSError:
        return False
    return of == _of(image) and (folder / f"{image.name}.png").exists()


def _store(folder: Path, image: SetImage, picture: np.ndarray) -> None:
    """Write a row's picture of an image, and after it what it is of."""
    with atomic_output(folder / f"{image.name}.png", overwrite=True) as temporary:
        write_picture(temporary, as_bytes(picture))
    with atomic_output(folder / f"{image.name}.of", overwrite=True) as temporary:
        temporary.write_text(_of(image), encoding="utf-8")


def _of(image: SetImage) -> str:
    return _digest([image.size, sorted((name, f.sha256) for name, f in image.files.items())])


def _named(run: BenchmarkRun, rows: Sequence[Row]) -> BenchmarkRun:
    """Give the run the rows' labels, those that cannot be had too."""
    methods = {method.name: method for method in run.methods}
    for row in rows:
        unmade = MethodInfo(name=row.name, label=row.label, failed=row.failed)
        method = methods.get(row.name, unmade)
        methods[row.name] = replace(method, label=row.label, detail=row.detail)
    return replace(run, methods=list(methods.values()))


def _ours(methods: Sequence[MethodInfo]) -> dict[str, str]:
    """Return which methods of a comparison are the paper's own, or ours in its place."""
    return {m.name: OURS[kind] for m in methods if (kind := m.name.split(":")[0]) in OURS}


def _digest(values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:12]
