"""The written help pages are the ones the commands print, and every command has a good one."""

import importlib.util

import pytest
import typer
from support import ROOT
from typer.main import get_command
from typer.testing import CliRunner

from livemoments.cli import Command, app

PROGRAM = get_command(app).commands
LAB = PROGRAM["lab"].commands
PERSONAL = ["info", "frames", "restore", "faces", "convert", "check", "demo"]
COMMANDS = {name: PROGRAM[name] for name in PERSONAL} | LAB


def test_a_persons_commands_come_first_and_old_names_are_hidden():
    assert [name for name in PROGRAM if not PROGRAM[name].hidden] == [*PERSONAL, "lab"]
    assert {name for name in PROGRAM if PROGRAM[name].hidden} == {*LAB}


@pytest.mark.parametrize("name", LAB)
def test_an_old_name_still_works_and_names_the_new_one(name, monkeypatch):
    """Both take the same options; the old one says on stderr what it is called now."""
    assert [p.name for p in PROGRAM[name].params] == [p.name for p in LAB[name].params]
    called = []
    monkeypatch.setattr(Command, "invoke", lambda self, context: called.append(self.name))
    required = [p for p in LAB[name].params if p.required]
    words = []
    for parameter in required:
        flag = [max(parameter.opts, key=len)] if parameter.param_type_name == "option" else []
        words += [*flag, "somewhere"]
    result = CliRunner().invoke(app, [name, *words])
    assert (
        result.stderr
        == f"livemoments: `livemoments {name}` is `livemoments lab {name}` now; see --help\n"
    )
    assert called == [name] and not result.stdout
    assert not CliRunner().invoke(app, ["lab", name, *words]).stderr


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
