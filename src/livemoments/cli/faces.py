"""The command that polishes the faces of a whole clip."""

from pathlib import Path
from typing import Annotated

import typer

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, Json, Overwrite, Photo, Video, app
from livemoments.cli.printing import print_facts


@app.command(cls=Command)
def faces(
    photo: Photo,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="The clip: .mov or .mp4. The whole Live Photo, with its photo as it was: .jpg or"
            " .heic.",
        ),
    ],
    references: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference",
            metavar="FILE",
            help="A photograph of someone in the clip, besides the key photo; repeatable.",
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="SIDE.mp4", help="A video of before and after, side by side."),
    ] = None,
    video: Video = None,
    limit: Annotated[
        float | None,
        typer.Option(
            metavar="DISTANCE",
            help="How far a face may be from a photograph's to be that person's; lower is stricter."
            " [0.45]",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(metavar="0..1", help="How much of the change is made.")
    ] = 1.0,
    spare_sharp: Annotated[
        bool,
        typer.Option(
            "--spare-sharp/--all",
            help="Leave faces alone that are as sharp as their photograph, or restore all.",
        ),
    ] = True,
    scale: Annotated[
        int, typer.Option(metavar="1|2|4", help="Enlarge the pictures, by cubic interpolation.")
    ] = 1,
    rest: Annotated[
        str,
        typer.Option(
            metavar="keep|model",
            help="Outside the faces: as it was; or restored with the key photo, which takes"
            " seconds a frame.",
        ),
    ] = "keep",
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the noise: same seed, same faces.")
    ] = 0,
    crf: Annotated[
        float | None,
        typer.Option(
            metavar="0..51",
            help="Quality of the coding, lower is better and larger. [14: nothing is seen of it]",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="0: one per core.")] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A face model of your own, from `livemoments export`."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Polish the faces of the whole clip.

    Needs the extra "faces": pip install 'livemoments[faces]'. The key photo shows who is who, and
    so does every --reference; with one, PHOTO may be a video alone. A face that is nobody's there
    is left alone. Times, sound and metadata stay as they are, and so do the pictures outside the
    faces but for being coded once more. Who was restored by what is said, with advice; where nobody
    is, nothing is written and the exit code is 1.
    """
    from livemoments.faces.identity import TRUSTED
    from livemoments.faces.settings import PolishConfig
    from livemoments.jobs.polish import ClipFacesConfig, polish_clip

    polish = PolishConfig(
        limit=TRUSTED if limit is None else limit, strength=strength, seed=seed,
        spare_sharp=spare_sharp,
    )  # fmt: skip
    config = ClipFacesConfig(
        polish=polish, scale=scale, rest=rest, crf=crf, threads=threads, weights=weights
    )
    with StageProgress() as progress:
        done = polish_clip(
            photo, output, video=video, references=references or (), preview=preview,
            config=config, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())
