"""Parse a command line, call the library, report.

Facts go to stdout; progress, advice and errors to stderr. Exit codes: 0 done, 1 an error, in
one line, 2 a command line that cannot be understood, 130 cancelled, 143 training cancelled by
SIGTERM. With --json, stdout holds one JSON object whatever happens; that of an error is {"error":
message, "kind": its class}.
"""

import sys

# Importing a module adds its commands, in the order in which --help lists them.
# ruff: isort: off
from livemoments.cli import photos as _photos  # noqa: F401
from livemoments.cli import restoring as _restoring  # noqa: F401
from livemoments.cli import faces as _faces  # noqa: F401
from livemoments.cli import sharing as _sharing  # noqa: F401
from livemoments.cli import demo as _demo  # noqa: F401
from livemoments.cli.lab import training as _training  # noqa: F401
from livemoments.cli.lab import speed as _speed  # noqa: F401
from livemoments.cli.lab import measuring as _measuring  # noqa: F401
from livemoments.cli.lab import evaluating as _evaluating  # noqa: F401
from livemoments.cli.lab import experiments as _experiments  # noqa: F401
from livemoments.cli.lab import sd3 as _sd3  # noqa: F401
from livemoments.cli.base import Command, add_lab, app
# ruff: isort: on

add_lab()

__all__ = ["Command", "app", "main"]


def main() -> None:
    """Run the command line; what the `livemoments` script calls."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name may hold any bytes
    app(prog_name="livemoments")
