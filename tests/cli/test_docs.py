"""The written help pages are the ones the commands print, and every command has a good one."""

import importlib.util

import pytest
import typer
from support import ROOT
from typer.main import get_command

from livemoments.cli import Command, app

COMMANDS = get_command(app).commands


def write_cli_docs():
    spec = importlib.util.spec_from_file_location(
        "write_cli_docs", ROOT / "scripts" / "write_cli_docs.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date():
    docs = write_cli_docs()
    if not typer.__version__.startswith(pinned("typer").rpartition(".")[0]):
        pytest.skip("another typer words its pages otherwise")
    assert docs.PAGE.read_text() == docs.render(), "run `make docs`"


def pinned(name):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}==")).partition("==")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name):
    command = COMMANDS[name]
    assert isinstance(command, Command), "without it, an error is a traceback"
    first = command.help.splitlines()[0]
    assert first.endswith(".") and len(first) <= 60, "one short sentence: it stands in the list"
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name}: {parameter.name} is not explained"


def test_facts_can_be_had_as_json():
    for name, command in COMMANDS.items():
        assert any("--json" in parameter.opts for parameter in command.params), name
