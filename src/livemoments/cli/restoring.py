"""The main command: restore one moment of a photo, with either model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, with_groups
from livemoments.cli.printing import print_facts

if TYPE_CHECKING:
    from livemoments.livephoto.writing.output import OutputChoice
    from livemoments.models.sd3.config import Sd3Config
    from livemoments.restoration.config import RestoreConfig


@dataclass(frozen=True, kw_only=True)
class MomentOptions:
    """Which moment is restored."""

    at_s: Annotated[
        float | None, typer.Option("--at", metavar="SECONDS", help="The frame at this time.")
    ] = None
    frame: Annotated[
        int | None, typer.Option("--frame", metavar="N", help="The frame with this number, from 0.")
    ] = None
    best: Annotated[
        bool, typer.Option("--best", help="The sharpest frame away from the key photo (advice).")
    ] = False


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where the result goes, and in which format."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A .jpg, .png or .heic file, or a folder. Without it: a .jpg next to PHOTO, named"
            " after it and the moment.",
        ),
    ] = None
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Write a new Live Photo in PHOTO's format: the picture with its clip."
        ),
    ] = False
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="apple|google|samsung|microvideo", help="A Live Photo in this format."
        ),
    ] = None
    quality: Annotated[int, typer.Option(metavar="1..100", help="Of JPEG and HEIC.")] = 95
    subsampling: Annotated[
        str, typer.Option(metavar="4:2:0|4:4:4", help="Of the colours in JPEG and HEIC.")
    ] = "4:2:0"
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

    look: Annotated[
        str,
        typer.Option(metavar="key|frame", help="Tone and colour: of the key photo, or the clip."),
    ] = "key"
    hdr: Annotated[
        bool, typer.Option("--hdr/--no-hdr", help="Keep HDR, where the key photo has it.")
    ] = True
    faces: Annotated[
        bool,
        typer.Option(
            "--faces/--no-faces",
            help="Restore faces that the key photo shows by the frames around, too.",
        ),
    ] = False
    model: Annotated[
        str, typer.Option(metavar="compact|sd3", help="Ours; or the paper's, which needs a GPU.")
    ] = "compact"
    steps: Annotated[
        int | None,
        typer.Option(metavar="1..6", help="Of the restoration; more cost time. [1; sd3: 6]"),
    ] = None
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the noise: same seed, same picture.")
    ] = 0
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Restore from the frame alone.")
    ] = False
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="A model of your own, from `livemoments lab export`. For sd3, the published one: a"
            " folder, or its name in the Hugging Face cache.",
        ),
    ] = None

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
        str | None,
        typer.Option(metavar="FOLDER", help="sd3: SD3-medium, for its autoencoder; likewise."),
    ] = None
    official: Annotated[
        bool,
        typer.Option(
            "--official", help="sd3: the release's own choices, to reproduce its numbers."
        ),
    ] = False
    flow: Annotated[
        str,
        typer.Option(
            metavar="alignment|dis|raft", help="sd3: where each tile's motion comes from."
        ),
    ] = "alignment"
    raft: Annotated[
        Path | None, typer.Option(metavar="FILE", help="sd3: RAFT's weights, with --flow raft.")
    ] = None
    device: Annotated[
        str, typer.Option(metavar="auto|cuda|mps|cpu", help="sd3: where it runs.")
    ] = "auto"
    precision: Annotated[
        str, typer.Option(metavar="auto|bf16|fp16|float32", help="sd3: arithmetic.")
    ] = "auto"
    batch: Annotated[
        int, typer.Option("--tile-batch", metavar="N", help="sd3: tiles at a time; takes memory.")
    ] = 1
    reference_per: Annotated[
        str,
        typer.Option(
            metavar="step|tile",
            help="sd3: how often the key photo is read; once per tile is faster, and an"
            " approximation.",
        ),
    ] = "step"
    compile: Annotated[
        bool, typer.Option("--compile", help="sd3: torch.compile; minutes first, then faster.")
    ] = False
    offload: Annotated[
        str,
        typer.Option(
            metavar="auto|none|blocks", help="sd3: send blocks to a small GPU one by one; slower."
        ),
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
