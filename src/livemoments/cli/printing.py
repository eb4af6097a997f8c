"""Print facts to stdout, as text or as one JSON object, and messages to stderr."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer


def say(line: str) -> None:
    """Print one line to stderr: advice, or what went wrong."""
    typer.echo(line, err=True)


def print_json(facts: Mapping[str, Any]) -> None:
    """Print one JSON object to stdout, in ASCII so that any terminal and any file name will do."""
    typer.echo(json.dumps(facts, indent=2, allow_nan=False, default=str))


def print_facts(
    facts: Mapping[str, Any], *, as_json: bool, lines: Sequence[str] | None = None
) -> None:
    """Print facts to stdout: as JSON, or as these lines, or as `name: value` lines."""
    if as_json:
        print_json(facts)
        return
    for line in fact_lines(facts) if lines is None else lines:
        typer.echo(line)


def fact_lines(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Lay facts out as aligned `name: value` lines; groups indented, lists one item a line."""
    width = max((len(name) for name in facts), default=0) + 2
    for name, value in facts.items():
        label = f"{indent}{name.replace('_', ' ') + ':':<{width}}"
        if isinstance(value, Mapping) and value:
            yield label.rstrip()
            yield from fact_lines(value, indent + "  ")
        elif isinstance(value, list | tuple) and value:
            yield label.rstrip()
            yield from (f"{indent}  - {_words(item)}" for item in value)
        else:
            yield label + _words(value)


def _words(value: object) -> str:
    if value is None or value in ({}, [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "  ".join(_words(item) for item in value)
    return str(value)
