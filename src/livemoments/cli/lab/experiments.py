"""Commands that do the paper's experiments, and its study of metrics against people."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, LongCommand, lab
from livemoments.cli.lab.evaluating import Limit, MetricOptions
from livemoments.cli.options import Json, argument, command_line, option, with_groups
from livemoments.cli.printing import print_facts, say
from livemoments.errors import ConfigError
from livemoments.extras import need_torch

if TYPE_CHECKING:
    from livemoments.lab.experiments.published_rows import Experiment
    from livemoments.progress import Progress

COSTS = "table5"  # needs no set


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What some of the tables need."""

    photographs: Annotated[
        Path | None, option("FOLDER", "table3, 7, 8: to train on, as for `train`.")
    ] = None
    steps: Annotated[int, option("N", "table3, 7, 8: of training, for each row.")] = 2000
    weights: Annotated[Path | None, option("FOLDER", "table5, 9: a compact model of your own.")] = (
        None
    )
    raft: Annotated[Path | None, option("FILE", "table9: RAFT's weights. [torchvision's]")] = None
    size: Annotated[int, option("PX", "table5: side of the tile.")] = 1024
    sd3: Annotated[str | None, option("FOLDER|random", "table5: the paper's model too. [not]")] = (
        None
    )


@lab.command(cls=LongCommand)
@with_groups
def experiment(
    name: Annotated[str, argument("NAME", "table1, 2, 3, 5, 7, 8 or 9, as table3.")],
    output: Annotated[Path, option("OUT", "A folder for all that comes.", "-o", "--output")],
    folder: Annotated[
        Path | None, argument("[SET]", "As for `evaluate`; table5 needs none.")
    ] = None,
    methods: Annotated[
        list[str] | None, option("NAME", "table1, 2: one more; repeatable.", "--method")
    ] = None,
    *,
    metric: MetricOptions,
    table: TableOptions,
    limit: Limit = None,
    threads: Annotated[int, option("N", "0: one per core.")] = 0,
    seed: Annotated[int, option("N", "Of training, noise, bootstrap.")] = 0,
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
    from livemoments.lab.experiments import tables
    from livemoments.models.compact import SHIPPED

    weights = table.weights or SHIPPED
    with StageProgress() as progress:
        if name == COSTS:
            found = _costs(output, weights, table, progress)
        elif folder is None:
            raise ConfigError(f"{name} needs a set: give one from `livemoments lab make-set`")
        else:
            training = None
            if table.photographs:
                training = tables.usual_training(
                    table.photographs, output, steps=table.steps, seed=seed, threads=threads
                )
            config = tables.ExperimentConfig(
                set_folder=folder, output=output, methods=tuple(methods or ()),
                metrics=tuple(metric.metrics or ()), weights=weights, raft_weights=table.raft,
                limit=limit, threads=threads, seed=seed, sources=metric.sources(),
                command=command_line(), training=training,
            )  # fmt: skip
            found = tables.run_experiment(name, config, progress)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
    say(f"run and report: {output}")


def _costs(output: Path, weights: Path, table: TableOptions, progress: "Progress") -> "Experiment":
    from livemoments.lab.speed.costs import CostConfig, measure_costs

    config = CostConfig(
        output=output, size_px=table.size, weights=weights, sd3=table.sd3, command=command_line()
    )
    return measure_costs(config, progress)


@lab.command(cls=Command)
def correlate(
    rankings: Annotated[
        Path, argument("RANKINGS", "CSV: participant, image, method, rank (1: best).")
    ],
    scores: Annotated[Path, argument("SCORES", "The scores.csv of `evaluate`.")],
    higher: Annotated[
        list[str] | None, option("METRIC", "Of a metric of your own: more is better.", "--higher")
    ] = None,
    lower: Annotated[list[str] | None, option("METRIC", "Likewise: less is.", "--lower")] = None,
    seed: Annotated[int, option("N", "Of the intervals' draws.")] = 0,
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
