"""Commands on one's own photos: look, pick, restore, measure."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from livemoments.cli.base import (
    Command,
    Json,
    LongCommand,
    Overwrite,
    Photo,
    Video,
    app,
    need_torch,
)
from livemoments.printing import print_facts
from livemoments.progress import StageProgress

if TYPE_CHECKING:
    from livemoments.evaluation.fidelity import Scores


@app.command(cls=Command)
def info(photo: Photo, video: Video = None, as_json: Json = False) -> None:
    """Say what kind of Live Photo it is.

    Make, sizes, codec, number of frames, the key photo's time and how it is known, identifiers, and
    what is unusual.
    """
    from livemoments.livephoto import open_live_photo

    print_facts(open_live_photo(photo, video).to_dict(), as_json=as_json)


@app.command(cls=Command)
def frames(
    photo: Photo,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", help="Where to draw the sheet: .png, .jpg."),
    ] = None,
    video: Video = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """List the moments; with -o, draw a contact sheet.

    Each has its number, its time and its sharpness relative to the sharpest of this clip. The key
    photo's moment and the sharpest one away from it are marked. This is advice: sharpness knows
    nothing of smiles. At most about 48 frames are drawn; all are listed.
    """
    from livemoments.job import survey_file

    with StageProgress() as progress:
        found = survey_file(
            photo, video=video, sheet=output, overwrite=overwrite, progress=progress
        )
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())


@app.command(cls=Command)
def restore(
    photo: Photo,
    at_s: Annotated[
        float | None, typer.Option("--at", metavar="SECONDS", help="The frame at this time.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option("--frame", metavar="N", help="The frame with this number, from 0.")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="The sharpest frame away from the key photo (advice).")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A .jpg, .png or .heic file, or a folder. Without it: a .jpg beside PHOTO, named"
            " after it and the moment.",
        ),
    ] = None,
    video: Video = None,
    steps: Annotated[
        int, typer.Option(metavar="1..6", help="Of the restoration; more cost time.")
    ] = 1,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the noise: same seed, same picture.")
    ] = 0,
    no_reference: Annotated[
        bool, typer.Option("--no-reference", help="Restore from the frame alone.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A model of your own, from `livemoments export`."),
    ] = None,
    quality: Annotated[int, typer.Option(metavar="1..100", help="Of JPEG and HEIC.")] = 95,
    subsampling: Annotated[
        str, typer.Option(metavar="4:2:0|4:4:4", help="Of the colours in JPEG and HEIC.")
    ] = "4:2:0",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Restore one moment at the key photo's quality.

    Pick it with --at, --frame or --best; `livemoments frames` shows what there is. PHOTO itself is
    never changed. Where the key photo shows something else than the picked frame, the frame is
    restored without it, and that is said.
    """
    from livemoments.job import OutputChoice, restore_file
    from livemoments.moments import MomentChoice
    from livemoments.restore import RestoreConfig

    moment = MomentChoice(at_s=at_s, frame=frame, best=best)
    target = OutputChoice(
        path=output, quality=quality, subsampling=subsampling, overwrite=overwrite
    )
    config = RestoreConfig(steps=steps, seed=seed, use_reference=not no_reference, weights=weights)
    with StageProgress() as progress:
        done = restore_file(photo, moment, target, video=video, config=config, progress=progress)
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())


@app.command(cls=LongCommand)
def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Where to put the pictures.")
    ] = Path("demo-output"),
    as_json: Json = False,
) -> None:
    """Restore a moment of a Live Photo made here.

    It is made from a free photograph, so the truth is known and the result is scored against it.
    """
    from livemoments.demo import run_demo

    with StageProgress() as progress:
        done = run_demo(folder, progress)
    lines = [
        f"before and after: {done.before_after_path}",
        f"the frame, enlarged: {_scored(done.frame_scores)}",
        f"the moment, restored: {_scored(done.restored_scores)}",
    ]
    print_facts(done.to_dict(), as_json=as_json, lines=lines)


def _scored(scores: "Scores") -> str:
    return f"PSNR {scores.psnr_y:.2f} dB, SSIM {scores.ssim_y:.3f} against the truth (luma)"


@app.command(cls=Command)
def bench(
    photo: Annotated[
        Path | None, typer.Argument(metavar="[PHOTO]", help="One of your own; else one is made.")
    ] = None,
    video: Video = None,
    steps: Annotated[int, typer.Option(metavar="1..6", help="As for restore.")] = 1,
    against: Annotated[
        str | None,
        typer.Option(metavar="real-esrgan", help="Measure that on the same frame, side by side."),
    ] = None,
    all_tiles: Annotated[
        bool, typer.Option("--all-tiles", help="Time all of its tiles, not a share: minutes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure seconds per stage and peak memory.

    It runs `livemoments restore` in a process of its own and writes only into a temporary folder.
    Without PHOTO it makes a Motion Photo of 12 megapixels first.

    With --against it measures the seconds of Real-ESRGAN x4plus too, for a picture of the same size
    on the same threads; that needs the extra "train", and fetches its weights once (34 MB).
    """
    if against or all_tiles:
        need_torch("measuring Real-ESRGAN")
        from livemoments.against import RivalJob, compare

        job = RivalJob(name=against, all_tiles=all_tiles)
        with StageProgress() as progress:
            found = compare(job, photo, video=video, steps=steps, progress=progress)
        print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
        return
    from livemoments.bench import measure

    with StageProgress() as progress:
        result = measure(photo, video=video, steps=steps, progress=progress)
    print_facts(result.to_dict(), as_json=as_json)
