"""The command that restores the faces of a whole clip."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, option, with_groups
from livemoments.cli.printing import print_facts

if TYPE_CHECKING:
    from livemoments.jobs.polish import ClipFacesConfig


@dataclass(frozen=True, kw_only=True)
class FaceOptions:
    """How faces are restored, and the clip coded."""

    limit: Annotated[float | None, option(
        "DISTANCE",
        "How far a face may be from a photograph's to be that person's; lower is stricter. [0.45]",
    )] = None  # fmt: skip
    strength: Annotated[float, option("0..1", "How much of the change is made.")] = 1.0
    spare_sharp: Annotated[bool, option(
        None, "Leave faces alone that are as sharp as their photograph, or restore all.",
        "--spare-sharp/--all",
    )] = True  # fmt: skip
    scale: Annotated[int, option("1|2|4", "Enlarge the pictures, by cubic interpolation.")] = 1
    rest: Annotated[str, option(
        "keep|model", "Outside the faces: as it was; or restored with the key photo, which takes"
        " seconds a frame.",
    )] = "keep"  # fmt: skip
    seed: Annotated[int, option("N", "Of the noise: same seed, same faces.")] = 0
    crf: Annotated[float | None, option(
        "0..51", "Quality of the coding, lower is better and larger. [14: nothing is seen of it]",
    )] = None  # fmt: skip
    threads: Annotated[int, option("N", "0: one per core.")] = 0
    weights: Annotated[
        Path | None, option("FOLDER", "A face model of your own, from `livemoments lab export`.")
    ] = None

    def config(self) -> "ClipFacesConfig":
        """Return what the library calls this."""
        from livemoments.faces.identity import TRUSTED
        from livemoments.faces.settings import PolishConfig
        from livemoments.jobs.polish import ClipFacesConfig

        polish = PolishConfig(
            limit=TRUSTED if self.limit is None else self.limit, strength=self.strength,
            seed=self.seed, spare_sharp=self.spare_sharp,
        )  # fmt: skip
        return ClipFacesConfig(
            polish=polish, scale=self.scale, rest=self.rest, crf=self.crf, threads=self.threads,
            weights=self.weights,
        )  # fmt: skip


@app.command(cls=Command)
@with_groups
def faces(
    photo: Photo,
    *,
    output: Annotated[
        Path,
        option(
            "OUT",
            "The clip: .mov or .mp4. The whole Live Photo, with its photo as it was: .jpg or"
            " .heic.",
            "-o",
            "--output",
        ),
    ],
    references: Annotated[
        list[Path] | None,
        option(
            "FILE",
            "A photograph of someone in the clip, besides the key photo; repeatable.",
            "--reference",
        ),
    ] = None,
    preview: Annotated[
        Path | None, option("SIDE.mp4", "A video of before and after, side by side.")
    ] = None,
    video: Video = None,
    options: FaceOptions,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Polish the faces of the whole clip.

    Needs the extra "faces": pip install 'livemoments[faces]'. The key photo shows who is who, and
    so does every --reference; with one, PHOTO may be a video alone. A face that none of them
    shows is left alone. Times, sound and metadata stay as they are, and so do the pictures
    outside the faces but for being coded once more. The output names who was restored by what, with
    advice; where nobody was, nothing is written and the exit code is 1.
    """
    from livemoments.jobs.polish import polish_clip

    with StageProgress() as progress:
        done = polish_clip(
            photo, output, video=video, references=references or (), preview=preview,
            config=options.config(), overwrite=overwrite, progress=progress,
        )  # fmt: skip
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())
