"""Commands that measure what a restoration costs."""

from pathlib import Path
from typing import Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, lab
from livemoments.cli.options import Json, OwnModel, Video, argument, option
from livemoments.cli.printing import print_facts
from livemoments.extras import need_torch


@lab.command(cls=Command)
def bench(
    photo: Annotated[Path | None, argument("[PHOTO]", "One of your own; else one is made.")] = None,
    video: Video = None,
    steps: Annotated[int, option("1..6", "As for restore.")] = 1,
    weights: OwnModel = None,
    megapixels: Annotated[float | None, option("MP", "Of the photo that is made; else 12.")] = None,
    against: Annotated[
        str | None, option("real-esrgan", "Measure that on the same frame, side by side.")
    ] = None,
    all_tiles: Annotated[
        bool, option(None, "Time all of its tiles, not a share: minutes.", "--all-tiles")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure seconds per stage and peak memory.

    It runs `livemoments restore` in a process of its own and writes only into a temporary folder.
    Without PHOTO it makes a Motion Photo of 12 megapixels first.

    With --against it measures the seconds of Real-ESRGAN x4plus too, for a picture of the same size
    on the same threads; that needs the extra "train", and fetches its weights once (34 MB).
    """
    from livemoments.lab.speed.restore import BenchJob, measure

    job = BenchJob(photo=photo, video=video, steps=steps, weights=weights, megapixels=megapixels)
    with StageProgress() as progress:
        if against or all_tiles:
            need_torch("measuring Real-ESRGAN")
            from livemoments.lab.speed.against import RivalJob, compare

            found = compare(RivalJob(name=against, all_tiles=all_tiles), job, progress)
            print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
        else:
            print_facts(measure(job, progress).to_dict(), as_json=as_json)
