"""Options that commands share, and groups of options that fill one argument of a command."""

import inspect
import shlex
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer


def option(metavar: str | None, help: str, *names: str) -> Any:  # noqa: ANN401 - what typer wants in an annotation
    """Describe an option: what its value is called, its help, and its names (else the field's)."""
    return typer.Option(*names, metavar=metavar, help=help)


def argument(metavar: str, help: str) -> Any:  # noqa: ANN401
    """Describe an argument: what its value is called, and its help."""
    return typer.Argument(metavar=metavar, help=help)


Photo = Annotated[
    Path,
    argument(
        "PHOTO", "A Live Photo or Motion Photo: its still, its video, or the name both share."
    ),
]
Video = Annotated[
    Path | None, option("FILE", "The clip, where PHOTO does not lead to it.", "--video")
]
Json = Annotated[bool, option(None, "Print one JSON object instead of text.", "--json")]
Overwrite = Annotated[bool, option(None, "Replace OUT where it exists.", "--overwrite")]
OwnModel = Annotated[
    Path | None,
    option("FOLDER", "A model of your own, from `livemoments lab export`.", "--weights"),
]


def command_line() -> str:
    """Return the command that runs now, as a shell would take it again."""
    return shlex.join(["livemoments", *sys.argv[1:]])


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Spread out the parameters of a command that are groups of options.

    A group is a frozen dataclass whose fields are annotated as options, with their defaults. The
    command gets one object of it; --help lists its fields as if they were parameters.
    """
    signature = inspect.signature(function)
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    flat = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            flat.append(parameter.replace(annotation=hints[name]))
            continue
        of_fields = get_type_hints(groups[name], include_extras=True)
        flat += [
            inspect.Parameter(
                field.name, parameter.kind, default=field.default, annotation=of_fields[field.name]
            )
            for field in fields(groups[name])
        ]

    @wraps(function)
    def command(**values: Any) -> None:  # noqa: ANN401 - the values of all options
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        function(**values)

    command.__signature__ = signature.replace(parameters=flat)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in flat}
    return command
