"""Commands that measure a model and what it is trained with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    list[Path] | None, option("FOLDER", "Pairs: FOLDER/NAME/{frame,key,truth}.png.", "--pairs")
]
HeldOut = Annotated[
    Path | None,
    option("FOLDER", "Scenes are made of those that training holds out.", "--photographs"),
]
SceneCount = Annotated[int, option("N", "How many.", "--scenes")]


@lab.command(cls=LongCommand)
def ablation(
    photographs: Annotated[Path, option("FOLDER", "What to learn from.", "--photographs")],
    output: Annotated[Path, option("FOLDER", "Where checkpoints go.", "-o", "--output")],
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    steps: Annotated[int, option("N", "Of training, for each row.")] = 2000,
    seed: Annotated[int, option("N", "Of the training.")] = 0,
    designs: Annotated[
        Path | None, option("MODEL", "Compare designs instead, each trained on from this model.")
    ] = None,
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
    photographs: HeldOut = None,
    pairs: Pairs = None,
    scenes: SceneCount = 16,
    weights: Annotated[
        Path | None, option("FOLDER", "A model of your own, from `livemoments lab export`.")
    ] = None,
    seed: Annotated[int, option("N", "Of the noise.")] = 0,
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
    photos: Annotated[
        list[Path], argument("FOLDER_OR_PHOTO...", "Live Photos, and folders with some below them.")
    ],
    output: Annotated[
        Path | None, option("PLOT", "Where to draw it: .png, .jpg.", "-o", "--output")
    ] = None,
    draws: Annotated[int, option("N", "Of each preset per frame.")] = 8,
    presets: Annotated[
        list[str] | None, option("NAME", "Only this one; may be given repeatedly.", "--preset")
    ] = None,
    seed: Annotated[int, option("N", "Of the draws.")] = 0,
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
