"""Commands that convert a Live Photo for another phone, and check its files."""

from pathlib import Path
from typing import Annotated

import typer

from livemoments.cli.base import Command, app
from livemoments.cli.options import Json, Overwrite, Photo, Video, option
from livemoments.cli.printing import print_facts, say


@app.command(cls=Command)
def convert(
    photo: Photo,
    to: Annotated[str, option("apple|google|samsung|microvideo", "The format.", "--to")],
    output: Annotated[
        Path | None,
        option(
            "OUT",
            "The photo's file, or a folder. Without it: next to PHOTO, under a name that galleries"
            " know.",
            "-o",
            "--output",
        ),
    ] = None,
    video: Video = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Bring a Live Photo into another maker's format.

    apple: photo and MOV, paired by a fresh identifier. google: one file, Motion Photo 1.0. samsung:
    the same with Samsung's trailer. microvideo: Google's older format. Video and sound are copied
    bit for bit, and so is the photo where it stays a JPEG or a HEIC; OUT's suffix may ask for the
    other one, which encodes it anew. What could not stay is listed. docs/sharing.md has the table.
    """
    from livemoments.livephoto.writing.convert import convert_file

    done = convert_file(photo, output, to=to, video=video, overwrite=overwrite)
    print_facts(done.to_dict(), as_json=as_json, lines=done.lines())


@app.command(cls=Command)
def check(photo: Photo, video: Video = None, as_json: Json = False) -> None:
    """Check a Live Photo against the rules of its format.

    One line a rule: pass, FAIL, quirk (broken as phones themselves do, which does no harm), or -
    where it does not apply; a summary last. The exit code is 1 where a rule is broken.
    """
    from livemoments.livephoto.checking.check import check_file

    found = check_file(photo, video)
    print_facts(found.to_dict(), as_json=as_json, lines=found.lines())
    if not found.passed:
        say(f"livemoments: {found.files[0].name} breaks a rule of its format")
        raise typer.Exit(1)
