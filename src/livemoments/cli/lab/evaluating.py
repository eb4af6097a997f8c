"""Commands of the benchmark: make a set, and compare methods on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import LongCommand, lab
from livemoments.cli.options import Json, argument, command_line, option, with_groups
from livemoments.cli.printing import print_facts, say
from livemoments.errors import ConfigError

if TYPE_CHECKING:
    from livemoments.lab.metrics.catalogue import Sources

Limit = Annotated[int | None, option("N", "Only the first N images.", "--limit")]


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """Which metrics are measured, and where their networks are."""

    metrics: Annotated[
        list[str] | None, option("NAME", "Only this one; repeatable. [all there are]", "--metric")
    ] = None
    clip: Annotated[str | None, option("FOLDER", "CLIP for CLIP-Q. [ViT-B/32]")] = None
    dino: Annotated[str | None, option("FOLDER", "DINO for DINO-Q. [ViT-S/16]")] = None
    inception: Annotated[Path | None, option("FILE", "inception-2015-12-05.pt for patch-FID.")] = (
        None
    )
    device: Annotated[str, option("cpu|cuda", "Where metrics' networks run.")] = "cpu"

    def sources(self) -> "Sources":
        """Return where the metrics' networks are, as the library takes it."""
        from livemoments.lab.metrics.catalogue import Sources

        return Sources(clip=self.clip, dino=self.dino, inception=self.inception, device=self.device)


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """How a synthetic set is made."""

    count: Annotated[int, option("N", "synthetic: images.")] = 260
    preset: Annotated[str, option("NAME", "synthetic: degradation, as of `train`.")] = (
        "live-photo-x2"
    )
    interval: Annotated[
        int, option("N", "synthetic: pictures between truth and key photo, times 1, 2 or 3.")
    ] = 5
    size: Annotated[int, option("PX", "synthetic: side of a crop; 0: whole pictures.")] = 0
    side: Annotated[
        int,
        option("PX", "synthetic: videos are reduced to this shorter side, to be sharp; 0: never."),
    ] = 1080


@lab.command("make-set", cls=LongCommand)
@with_groups
def make_set(
    kind: Annotated[
        str, argument("synthetic|real", "Of sharp videos, with truths; or of Live Photos.")
    ],
    source: Annotated[
        Path, argument("SOURCE", "A folder of videos, or of Live Photos; or one of them.")
    ],
    output: Annotated[Path, option("SET", "A folder that is not there yet.", "-o", "--output")],
    licence: Annotated[
        str, option("TEXT", "What SOURCE may be used for; must be given for synthetic.")
    ] = "",
    seed: Annotated[int, option("N", "Same seed, same bytes.")] = 0,
    *,
    synthetic: SyntheticOptions,
    moments: Annotated[
        int, option("N", "real: of each photo; the sharpest, then some at drawn times.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """Make a set to compare methods on.

    synthetic: of each video two pictures some time apart are the truth and the key photo, and the
    truth degraded is the frame. real: moments of Live Photos with their key photos; there is no
    truth. The set's manifest.json says where each image comes from, with its files' SHA-256.
    """
    from livemoments.lab.benchmark import set_builder

    with StageProgress() as progress:
        if kind == "synthetic":
            own = set_builder.SyntheticConfig(licence=licence, seed=seed, **vars(synthetic))
            made = set_builder.make_synthetic(source, output, own, progress)
        elif kind == "real":
            config = set_builder.RealConfig(licence=licence, seed=seed, moments=moments)
            made = set_builder.make_real(source, output, config, progress)
        else:
            raise ConfigError(f"no set of the kind {kind!r}; there are synthetic and real")
    facts = {"set": str(output), "images": len(made.images), "notes": list(made.notes)}
    print_facts(facts, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How the benchmark runs."""

    jobs: Annotated[int, option("N", "Processes.")] = 1
    threads: Annotated[int, option("N", "Of all of them together; 0: one per core.")] = 0
    limit: Limit = None
    title: Annotated[str, option("TEXT", "Of the report.")] = ""
    seed: Annotated[int, option("N", "Of noise and of the bootstrap.")] = 0


@lab.command(cls=LongCommand)
@with_groups
def evaluate(
    folder: Annotated[
        Path, argument("SET", "From `make-set`, or any folder of NAME/{frame,key[,truth]}.png.")
    ],
    output: Annotated[Path, option("OUT", "A folder for pictures and results.", "-o", "--output")],
    methods: Annotated[
        list[str] | None,
        option(
            "NAME",
            "frame, key, restoration-only, livemoments[:FOLDER], sd3[:FOLDER], real-esrgan, span,"
            " folder:FOLDER with NAME.png of each image, or program:COMMAND with {frame}, {key} and"
            " {output} in it; repeatable. LABEL=NAME names it otherwise. [the first 4]",
            "--method",
        ),
    ] = None,
    *,
    metric: MetricOptions,
    run_options: RunOptions,
    published: Annotated[
        list[str] | None, option("N", "A table of the paper to stand in the report; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare methods on a set, with a report.

    OUT gets every picture, run.json, scores.csv and the report. Given again, the command goes on
    where it was stopped, and does anew only what has changed. A method that fails is left out, and
    the exit code is then 1. Metrics that need more than is installed are left out with the reason.
    """
    from livemoments.lab.benchmark.config import DEFAULT_METHODS, EvaluateConfig
    from livemoments.lab.benchmark.run import evaluate as run_benchmark
    from livemoments.lab.metrics.catalogue import METRICS
    from livemoments.lab.report.summary import summary, summary_lines
    from livemoments.lab.report.write import write_report

    config = EvaluateConfig(
        set_folder=folder, output=output, methods=tuple(methods or DEFAULT_METHODS),
        metrics=tuple(metric.metrics or METRICS), sources=metric.sources(),
        published=tuple(published or ()), command=command_line(), **vars(run_options),
    )  # fmt: skip
    with StageProgress() as progress:
        run = run_benchmark(config, progress)
    if run.scores:
        write_report(run, output, folder)
    print_facts(summary(run), as_json=as_json, lines=summary_lines(run))
    failed = [method.name for method in run.methods if method.failed]
    if failed:
        say(f"livemoments: {len(failed)} of {len(run.methods)} methods failed: {', '.join(failed)}")
        raise typer.Exit(1)
