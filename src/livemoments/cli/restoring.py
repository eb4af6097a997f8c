"""The main command: restore one moment of a photo, with either model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, option, with_groups
from livemoments.cli.printing import print_facts

if TYPE_CHECKING:
    from livemoments.livephoto.writing.output import OutputChoice
    from livemoments.models.sd3.config import Sd3Config
    from livemoments.restoration.config import RestoreConfig


@dataclass(frozen=True, kw_only=True)
class MomentOptions:
    """Which moment is restored."""

    at_s: Annotated[float | None, option("SECONDS", "The frame at this time.", "--at")] = None
    frame: Annotated[int | None, option("N", "The frame with this number, from 0.", "--frame")] = (
        None
    )
    best: Annotated[
        bool, option(None, "The sharpest frame away from the key photo (advice).", "--best")
    ] = False


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result goes, and in which format."""

    output: Annotated[Path | None, option(
        "OUT", "A .jpg, .png or .heic file, or a folder. Without it: a .jpg next to PHOTO, named"
        " after it and the moment.", "-o", "--output",
    )] = None  # fmt: skip
    live: Annotated[bool, option(
        None, "Write a new Live Photo in PHOTO's format: the picture with its clip.", "--live",
    )] = False  # fmt: skip
    to: Annotated[
        str | None,
        option("apple|google|samsung|microvideo", "A Live Photo in this format.", "--to"),
    ] = None
    quality: Annotated[int, option("1..100", "Of JPEG and HEIC.")] = 95
    subsampling: Annotated[str, option("4:2:0|4:4:4", "Of the colours in JPEG and HEIC.")] = "4:2:0"
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

    look: Annotated[str, option("key|frame", "Tone and colour: of the key photo, or the clip.")] = (
        "key"
    )
    hdr: Annotated[
        bool, option(None, "Keep HDR, where the key photo has it.", "--hdr/--no-hdr")
    ] = True
    faces: Annotated[bool, option(
        None, "Restore faces that the key photo shows by the frames around, too.",
        "--faces/--no-faces",
    )] = False  # fmt: skip
    model: Annotated[str, option("compact|sd3", "Ours; or the paper's, which needs a GPU.")] = (
        "compact"
    )
    steps: Annotated[
        int | None, option("1..6", "Of the restoration; more cost time. [1; sd3: 6]")
    ] = None
    seed: Annotated[int, option("N", "Of the noise: same seed, same picture.")] = 0
    no_reference: Annotated[
        bool, option(None, "Restore from the frame alone.", "--no-reference")
    ] = False
    weights: Annotated[str | None, option(
        "FOLDER", "A model of your own, from `livemoments lab export`. For sd3, the published one:"
        " a folder, or its name in the Hugging Face cache.",
    )] = None  # fmt: skip

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

    base: Annotated[
        str | None, option("FOLDER", "sd3: SD3-medium, for its autoencoder; likewise.")
    ] = None
    official: Annotated[
        bool,
        option(None, "sd3: the release's own choices, to reproduce its numbers.", "--official"),
    ] = False
    flow: Annotated[
        str, option("alignment|dis|raft", "sd3: where each tile's motion comes from.")
    ] = "alignment"
    raft: Annotated[Path | None, option("FILE", "sd3: RAFT's weights, with --flow raft.")] = None
    device: Annotated[str, option("auto|cuda|mps|cpu", "sd3: where it runs.")] = "auto"
    precision: Annotated[str, option("auto|bf16|fp16|float32", "sd3: arithmetic.")] = "auto"
    batch: Annotated[int, option("N", "sd3: tiles at a time; takes memory.", "--tile-batch")] = 1
    reference_per: Annotated[str, option(
        "step|tile",
        "sd3: how often the key photo is read; once per tile is faster, and an approximation.",
    )] = "step"  # fmt: skip
    compile: Annotated[
        bool, option(None, "sd3: torch.compile; minutes first, then faster.", "--compile")
    ] = False
    offload: Annotated[
        str, option("auto|none|blocks", "sd3: send blocks to a small GPU one by one; slower.")
    ] = "auto"

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
