"""Define the program: how its commands end, the group `lab`, and the old names of its commands."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from livemoments.cli.printing import print_json, say
from livemoments.errors import LiveMomentsError
from livemoments.progress import Terminated
from livemoments.version import __version__

CANCELLED = 130  # what shells expect of a program stopped by Ctrl-C
TERMINATED = 143  # and of one stopped by SIGTERM


class Command(TyperCommand):
    """A command whose every end is an exit code and at most one line, never a traceback."""

    when_cancelled = "cancelled; nothing was written"

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own types differ by version
        """Run the command and translate what it raises."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            say(f"livemoments: {self.when_cancelled}")
            terminated = isinstance(error, Terminated)
            raise typer.Exit(TERMINATED if terminated else CANCELLED) from None
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise  # typer ends these well
        except LiveMomentsError as error:
            self.fail(ctx, error, f"{error}{self._flags(error)}")
        except Exception as error:  # the last resort belongs to the program, never to the library
            if ctx.find_root().params.get("traceback"):
                raise
            name = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            cure = "run again with --traceback (livemoments --traceback COMMAND ...)"
            self.fail(ctx, error, f"{name}; this is a fault of livemoments; {cure}")

    def _flags(self, error: LiveMomentsError) -> str:
        """Return the options of this command for the settings that an error names, in brackets."""
        options = {each.name: max(each.opts, key=len) for each in self.params}
        named = [options[name] for name in error.settings if name in options]
        return f" ({', '.join(named)})" if named else ""

    def fail(self, ctx: Any, error: Exception, message: str) -> None:  # noqa: ANN401
        """Say what went wrong in one line, and in JSON where JSON was asked for; exit with 1."""
        line = " ".join(message.split())
        say(f"livemoments: {line}")
        if ctx.params.get("as_json"):
            print_json({"error": line, "kind": type(error).__name__})
        raise typer.Exit(1) from error


class LongCommand(Command):
    """A command that writes as it goes, and keeps that when it is cancelled."""

    when_cancelled = "cancelled; what was finished stays"


app = typer.Typer(
    name="livemoments",
    help="Pick a better moment of a Live Photo and get it at the key photo's quality.",
    epilog="Exit codes: 0 done, 1 an error, in one line, 2 wrong usage, 130 cancelled, "
    "143 cancelled by SIGTERM (training).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

lab = typer.Typer(
    name="lab",
    help="Train, measure and experiment: the laboratory.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"livemoments {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print it.", is_eager=True, callback=_print_version)
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="On a fault of livemoments, show where it happened.")
    ] = False,
) -> None:
    """Options that stand before the command; Command reads them."""


def add_lab() -> None:
    """Add the group `lab`, and its commands by the names that they had before it, hidden.

    The old names go with version 1.1.
    """
    app.add_typer(lab)
    for registered in lab.registered_commands:
        function, kind = registered.callback, registered.cls
        if function is None or kind is None:
            continue
        name = registered.name or function.__name__
        app.command(name, cls=_moved(kind, name), hidden=True)(function)


def _moved(kind: Any, name: str) -> type[TyperCommand]:  # noqa: ANN401 - mypy takes no base that is a variable
    """Return the command's class, whose every call first says the command's new name."""

    class Moved(kind):  # type: ignore[misc]
        def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as Command.invoke
            say(f"livemoments: `livemoments {name}` is `livemoments lab {name}` now; see --help")
            return super().invoke(ctx)

    return Moved
