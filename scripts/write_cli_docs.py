"""Write docs/cli.md: the --help page of every command. `make docs` runs it, a test checks it."""

import os
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from livemoments.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
HEAD = """# The command line

Written by `make docs` from the `--help` pages; do not edit it here.

Facts go to stdout; progress, advice and errors to stderr. With `--json`, stdout holds one JSON
object whatever happens; that of an error is `{"error": message, "kind": its class}`. No command
changes or overwrites an input. Exit codes: 0 done, 1 an error, in one line, 2 a command line
that cannot be understood, 130 cancelled, 143 training cancelled by SIGTERM.
"""


def render() -> str:
    """Return the whole page: a person's commands first, then those of the group `lab`."""
    sections = [HEAD, _section([])]
    for name, command in get_command(app).commands.items():
        if not command.hidden:
            sections.append(_section([name]))
            sections += [_section([name, inner]) for inner in getattr(command, "commands", ())]
    return "\n".join(sections)


def _section(command: list[str]) -> str:
    title = " ".join(["livemoments", *command])
    environment = {"COLUMNS": "88", "TERMINAL_WIDTH": "88", "NO_COLOR": "1"}
    result = CliRunner().invoke(
        app, [*command, "--help"], prog_name="livemoments", env=environment, catch_exceptions=False
    )
    return f"## {title}\n\n```text\n{result.stdout.rstrip()}\n```\n"


if __name__ == "__main__":
    os.makedirs(PAGE.parent, exist_ok=True)
    PAGE.write_text(render())
