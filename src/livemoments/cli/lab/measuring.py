"""Commands that measure a model and what it is trained with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, LongCommand, lab
from livemoments.cli.options import Json, Overwrite, argument, option
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
SceneCount = Annotated[int, typer.Option("--scenes", metavar="N", help="How many.")]


@lab.command(cls=LongCommand)
def ablation(
    photographs: Path = option(..., "FOLDER", "What to learn from.", "--photographs"),
    output: Path = option(..., "FOLDER", "Where checkpoints go.", "-o", "--output"),
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    steps: int = option(2000, "N", "Of training, for each row."),
    seed: int = option(0, "N", "Of the training."),
    designs: Path | None = option(
        None, "MODEL", "Compare designs instead, each trained on from this model."
    ),
    as_json: Json = False,
) -> None:
    """Train with parts taken away: what each is worth.

    Needs the extra "train": pip install 'livemoments[train]'. Each row is trained in the same way;
    scores are on scenes made of photographs that training holds out, and on --pairs. Given again,
    the command goes on where it was stopped.
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
    photographs: Path | None = option(
        None, "FOLDER", "Scenes are made of those that training holds out."
    ),
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    weights: Path | None = option(
        None, "FOLDER", "A model of your own, from `livemoments lab export`."
    ),
    seed: int = option(0, "N", "Of the noise."),
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
    """Return sets of pairs by name: scenes that are made, and pairs from folders."""
    from livemoments.lab.benchmark.sets import stored_pairs, synthetic_pairs

    sets: dict[str, Sequence[TruthPair]] = {}
    if photographs:
        sets[f"{scenes} scenes"] = synthetic_pairs(photographs, scenes)
    for folder in pairs or []:
        sets[str(folder)] = stored_pairs(folder)
    if not sets:
        raise ConfigError("nothing to measure on", settings=("photographs", "pairs"))
    return sets


def _scorer() -> "Scorer":
    from livemoments.files import cache_folder
    from livemoments.lab.benchmark.sets import Scorer
    from livemoments.lab.metrics.perceptual import PerceptualMetrics, fetch_weights

    return Scorer(PerceptualMetrics(fetch_weights(cache_folder())))


@lab.command(cls=Command)
def degradation(
    photos: list[Path] = argument(
        ..., "FOLDER_OR_PHOTO...", "Live Photos, and folders with some below them."
    ),
    output: Path | None = option(None, "PLOT", "Where to draw it: .png, .jpg.", "-o", "--output"),
    draws: int = option(8, "N", "Of each preset per frame."),
    presets: list[str] | None = option(
        None, "NAME", "Only this one; may be given repeatedly.", "--preset"
    ),
    seed: int = option(0, "N", "Of the draws."),
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
