"""Commands that look at one's own photos."""

from pathlib import Path
from typing import Annotated

from livemoments.cli.bars import StageProgress
from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, option
from livemoments.cli.printing import print_facts


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
        Path | None, option("OUT", "Where to draw the sheet: .png, .jpg.", "-o", "--output")
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
    from livemoments.jobs.survey import survey_file

    with StageProgress() as progress:
        found = survey_file(
            photo, video=video, sheet=output, overwrite=overwrite, progress=progress
        )
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
