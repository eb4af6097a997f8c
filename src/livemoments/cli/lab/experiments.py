"""Commands that do the paper's experiments, and its study of metrics against people."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, Json, LongCommand, lab
from livemoments.cli.lab.evaluating import Clip, Dino, Inception, Limit, MetricsDevice
from livemoments.cli.printing import print_facts, say
from livemoments.errors import ConfigError
from livemoments.extras import need_torch

if TYPE_CHECKING:
    from livemoments.lab.experiments.published_rows import Experiment
    from livemoments.progress import Progress

COSTS = "table5"  # needs no set


@lab.command(cls=LongCommand)
def experiment(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="table1, 2, 3, 5, 7, 8 or 9, as table3.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="A folder for all that comes.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[SET]", help="As for `evaluate`; table5 needs none."),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", metavar="NAME", help="table1, 2: one more; repeatable."),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Only this one; repeatable. [the table's]"),
    ] = None,
    photographs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="table3, 7, 8: to train on, as for `train`."),
    ] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", help="table3, 7, 8: of training, for each row.")
    ] = 2000,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="table5, 9: a compact model of your own."),
    ] = None,
    raft: Annotated[
        Path | None, typer.Option(metavar="FILE", help="table9: RAFT's weights. [torchvision's]")
    ] = None,
    size: Annotated[int, typer.Option(metavar="PX", help="table5: side of the tile.")] = 1024,
    sd3: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|random", help="table5: the paper's model too. [not]"),
    ] = None,
    clip: Clip = None,
    dino: Dino = None,
    inception: Inception = None,
    device: MetricsDevice = "cpu",
    limit: Limit = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: one per core.")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of training, noise, bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Do an experiment of the paper on a set of your own.

    table1 and table2 compare methods, on real and on synthetic sets. table3 and table7 take parts
    of the method away, table8 changes training's degradation: they train a network for each row.
    table9 puts noise into the flow and takes other estimators of it. table5 measures what a tile
    costs. The paper's figures stand below ours, marked: they are of other models on other data.
    Needs the extra "train": pip install 'livemoments[train]'. Given again, the command goes on
    where it was stopped.
    """
    need_torch("an experiment of the paper")
    from livemoments.lab.experiments import tables as experiments
    from livemoments.lab.metrics.catalogue import Sources
    from livemoments.models.compact import SHIPPED

    command = shlex.join(["livemoments", *sys.argv[1:]])
    sources = Sources(clip=clip, dino=dino, inception=inception, device=device)
    with StageProgress() as progress:
        if name == COSTS:
            found = _costs(output, weights or SHIPPED, size, sd3, command, progress)
        elif folder is None:
            raise ConfigError(f"{name} needs a set: give one from `livemoments make-set`")
        else:
            usual = experiments.usual_training
            config = experiments.ExperimentConfig(
                set_folder=folder, output=output, methods=tuple(methods or ()),
                metrics=tuple(metrics or ()), weights=weights or SHIPPED, raft_weights=raft,
                limit=limit, threads=threads, seed=seed, sources=sources, command=command,
                training=usual(photographs, output, steps=steps, seed=seed, threads=threads)
                if photographs else None,
            )  # fmt: skip
            found = experiments.run_experiment(name, config, progress)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
    say(f"run and report: {output}")


def _costs(
    output: Path, weights: Path, size: int, sd3: str | None, command: str, progress: "Progress"
) -> "Experiment":
    from livemoments.lab.speed.costs import CostConfig, measure_costs

    config = CostConfig(output=output, size_px=size, weights=weights, sd3=sd3, command=command)
    return measure_costs(config, progress)


@lab.command(cls=Command)
def correlate(
    rankings: Annotated[
        Path,
        typer.Argument(metavar="RANKINGS", help="CSV: participant, image, method, rank (1: best)."),
    ],
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="The scores.csv of `evaluate`.")],
    higher: Annotated[
        list[str] | None,
        typer.Option("--higher", metavar="METRIC", help="Of a metric of your own: more is better."),
    ] = None,
    lower: Annotated[
        list[str] | None, typer.Option("--lower", metavar="METRIC", help="Likewise: less is.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the intervals' draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Correlate metrics with people's rankings.

    Every participant ranks all methods' pictures of some images; equal ranks are ties. Preference
    is the mean rank; positive correlations mean that the metric agrees with it, whichever way it
    counts. What is printed is taken within each image and averaged over images; --json has the one
    of all pictures together, too, each image's values brought to mean 0 and deviation 1.
    """
    from livemoments.lab.experiments import study

    better = dict.fromkeys(higher or (), "higher") | dict.fromkeys(lower or (), "lower")
    found = study.correlate(rankings, scores, better=better, seed=seed)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
