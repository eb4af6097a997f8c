"""The main command: restore one moment of a photo, with either model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, flag, option, with_groups
from livemoments.cli.printing import print_facts

if TYPE_CHECKING:
    from livemoments.livephoto.writing.output import OutputChoice
    from livemoments.models.sd3.config import Sd3Config
    from livemoments.restoration.config import RestoreConfig


@dataclass(frozen=True, kw_only=True)
class MomentOptions:
    """Which moment is restored."""

    at_s: float | None = option(None, "SECONDS", "The frame at this time.", "--at")
    frame: int | None = option(None, "N", "The frame with this number, from 0.", "--frame")
    best: bool = flag(False, "The sharpest frame away from the key photo (advice).", "--best")


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result goes, and in which format."""

    output: Path | None = option(
        None,
        "OUT",
        "A .jpg, .png or .heic file, or a folder. Without it: a .jpg next to PHOTO, named"
        " after it and the moment.",
        "-o",
        "--output",
    )
    live: bool = flag(
        False, "Write a new Live Photo in PHOTO's format: the picture with its clip.", "--live"
    )
    to: str | None = option(
        None, "apple|google|samsung|microvideo", "A Live Photo in this format.", "--to"
    )
    quality: int = option(95, "1..100", "Of JPEG and HEIC.")
    subsampling: str = option("4:2:0", "4:2:0|4:4:4", "Of the colours in JPEG and HEIC.")
    overwrite: Overwrite = False

    def choice(self) -> "OutputChoice":
        """Return what the library calls this."""
        from livemoments.livephoto.writing.output import OutputChoice

        return OutputChoice(
            path=self.output, live=self.live or self.to is not None, format=self.to,
            quality=self.quality, subsampling=self.subsampling, overwrite=self.overwrite,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How the moment is restored."""

    look: str = option("key", "key|frame", "Tone and colour: of the key photo, or the clip.")
    hdr: bool = flag(True, "Keep HDR, where the key photo has it.", "--hdr/--no-hdr")
    faces: bool = flag(
        False,
        "Restore faces that the key photo shows by the frames around, too.",
        "--faces/--no-faces",
    )
    model: str = option("compact", "compact|sd3", "Ours; or the paper's, which needs a GPU.")
    steps: int | None = option(None, "1..6", "Of the restoration; more cost time. [1; sd3: 6]")
    seed: int = option(0, "N", "Of the noise: same seed, same picture.")
    no_reference: bool = flag(False, "Restore from the frame alone.", "--no-reference")
    weights: str | None = option(
        None,
        "FOLDER",
        "A model of your own, from `livemoments lab export`. For sd3, the published one: a"
        " folder, or its name in the Hugging Face cache.",
    )

    def config(self, sd3: "Sd3Options") -> "RestoreConfig":
        """Return what the library calls this."""
        from livemoments.restoration.config import RestoreConfig

        return RestoreConfig(
            model=self.model, steps=self.steps, seed=self.seed, look=self.look, hdr=self.hdr,
            use_reference=not self.no_reference, faces=self.faces, sd3=sd3.config(self.weights),
            weights=Path(self.weights) if self.weights else None,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Sd3Options:
    """What only the sd3 model is asked."""

    base: str | None = option(None, "FOLDER", "sd3: SD3-medium, for its autoencoder; likewise.")
    official: bool = flag(
        False, "sd3: the release's own choices, to reproduce its numbers.", "--official"
    )
    flow: str = option(
        "alignment", "alignment|dis|raft", "sd3: where each tile's motion comes from."
    )
    raft: Path | None = option(None, "FILE", "sd3: RAFT's weights, with --flow raft.")
    device: str = option("auto", "auto|cuda|mps|cpu", "sd3: where it runs.")
    precision: str = option("auto", "auto|bf16|fp16|float32", "sd3: arithmetic.")
    batch: int = option(1, "N", "sd3: tiles at a time; takes memory.", "--tile-batch")
    reference_per: str = option(
        "step",
        "step|tile",
        "sd3: how often the key photo is read; once per tile is faster, and an approximation.",
    )
    compile: bool = flag(False, "sd3: torch.compile; minutes first, then faster.", "--compile")
    offload: str = option(
        "auto", "auto|none|blocks", "sd3: send blocks to a small GPU one by one; slower."
    )

    def config(self, weights: str | None) -> "Sd3Config":
        """Return what the library calls this."""
        from livemoments.models.sd3.config import PUBLISHED, SD3_MEDIUM, Sd3Config

        given = {**vars(self), "base": self.base or SD3_MEDIUM}
        return Sd3Config(weights=weights or PUBLISHED, **given)


@app.command(cls=Command)
@with_groups
def restore(
    photo: Photo,
    *,
    moment: MomentOptions,
    output: OutputOptions,
    model: ModelOptions,
    video: Video = None,
    as_json: Json = False,
    sd3: Sd3Options,
) -> None:
    """Restore one moment at the key photo's quality.

    Pick it with --at, --frame or --best; `livemoments frames` shows what there is. PHOTO itself is
    never changed. Where the key photo shows something else than the picked frame, the frame is
    restored without it, and the output says so. --live and --to also copy the clip, bit for bit, so
    that phones show the result as a Live Photo.

    --model sd3 is the model of the LiveMoments paper; the options from --base on are for it alone.
    It needs the extra "sd3", the published weights and, to be of use, a GPU: docs/sd3.md.
    """
    from livemoments.jobs.restore import restore_file
    from livemoments.moments.choice import MomentChoice

    choice, target, config = MomentChoice(**vars(moment)), output.choice(), model.config(sd3)
    with StageProgress() as progress:
        done = restore_file(photo, choice, target, video=video, config=config, progress=progress)
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())
