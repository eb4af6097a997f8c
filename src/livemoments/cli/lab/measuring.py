"""Commands that measure a model and what it is trained with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, Json, LongCommand, Overwrite, lab
from livemoments.cli.printing import print_facts
from livemoments.errors import ConfigError
from livemoments.extras import need_torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livemoments.lab.benchmark.sets import Scorer, TruthPair

Pairs = Annotated[
    list[Path] | None,
    typer.Option("--pairs", metavar="FOLDER", help="Pairs: FOLDER/NAME/{frame,key,truth}.png."),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        "--photographs", metavar="FOLDER", help="Scenes are made of those that training holds out."
    ),
]
SceneCount = Annotated[int, typer.Option("--scenes", metavar="N", help="How many.")]


@lab.command(cls=LongCommand)
def ablation(
    photographs: Annotated[
        Path, typer.Option("--photographs", metavar="FOLDER", help="What to learn from.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where checkpoints go.")
    ],
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    steps: Annotated[int, typer.Option(metavar="N", help="Of training, for each row.")] = 2000,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the training.")] = 0,
    designs: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Compare designs instead, each trained on from this model."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train with parts taken away: what each is worth.

    Needs the extra "train": pip install 'livemoments[train]'. Each row is trained alike; scores are
    on scenes made of photographs that training holds out, and on --pairs. Given again, the command
    goes on where it was stopped.
    """
    need_torch("an ablation")
    from livemoments.lab.experiments.ablation import NETWORK, ablate, ablate_designs
    from livemoments.lab.training.run.config import TrainConfig

    config = TrainConfig(
        photographs=photographs, output=output, steps=steps, seed=seed, network=NETWORK,
        start=designs, learning_rate=5e-4 if designs else 1e-3,
    )  # fmt: skip
    with StageProgress() as progress:
        sets = _sets(photographs, scenes, pairs)
        found = (ablate_designs if designs else ablate)(config, sets, _scorer(), progress)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())


@lab.command(cls=Command)
def safety(
    photographs: HeldOut = None,
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A model of your own, from `livemoments export`."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the noise.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure whether a reference can do harm.

    A wrong one, a disturbed flow, and places that it does not show. Scored with LPIPS and DISTS,
    which need the extra "train": pip install 'livemoments[train]'.
    """
    need_torch("scoring")
    from livemoments.lab.experiments.safety import measure_safety
    from livemoments.models.compact import SHIPPED, load_compact

    model, scorer = load_compact(weights or SHIPPED), _scorer()
    found = {}
    with StageProgress() as progress:
        for name, each in _sets(photographs, scenes, pairs).items():
            found[name] = measure_safety(model, each, scorer, seed=seed, progress=progress)
    lines = [line for name, one in found.items() for line in (name, *one.lines(), "")]
    print_facts({n: one.to_dict() for n, one in found.items()}, as_json=as_json, lines=lines)


def _sets(
    photographs: Path | None, scenes: int, pairs: list[Path] | None
) -> dict[str, "Sequence[TruthPair]"]:
    """Sets of pairs by name: made scenes, and pairs that are kept."""
    from livemoments.lab.benchmark.sets import stored_pairs, synthetic_pairs

    sets: dict[str, Sequence[TruthPair]] = {}
    if photographs:
        sets[f"{scenes} scenes"] = synthetic_pairs(photographs, scenes)
    for folder in pairs or []:
        sets[str(folder)] = stored_pairs(folder)
    if not sets:
        raise ConfigError("nothing to measure on: give --photographs or --pairs, or both")
    return sets


def _scorer() -> "Scorer":
    from livemoments.files import cache_folder
    from livemoments.lab.benchmark.sets import Scorer
    from livemoments.lab.metrics.perceptual import PerceptualMetrics, fetch_weights

    return Scorer(PerceptualMetrics(fetch_weights(cache_folder())))


@lab.command(cls=Command)
def degradation(
    photos: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER_OR_PHOTO...", help="Live Photos, and folders with some below them."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="PLOT", help="Where to draw it: .png, .jpg."),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="Of each preset per frame.")] = 8,
    presets: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="NAME", help="Only this one; may be given repeatedly."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the draws.")] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Check training's degradation against real clips.

    Key photos, degraded as in training, are compared with frames of their own clips in the same
    places: noise, sharpness, blocks, halos. A preset is like reality where the real value lies
    within the range of its draws. PLOT shows every clip and preset.
    """
    from livemoments.lab.reality.measure import COMPARED, RealityConfig, check_files

    config = RealityConfig(presets=tuple(presets or COMPARED), draws=draws, seed=seed)
    with StageProgress() as progress:
        found = check_files(photos, config, plot=output, overwrite=overwrite, progress=progress)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
