"""Groups of options, and the options that errors name."""

import ast
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import livemoments
from livemoments.cli import app as program
from livemoments.cli.base import Command
from livemoments.cli.options import Json, argument, flag, option, with_groups
from livemoments.cli.printing import print_facts
from livemoments.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Size:
    width: int = option(..., "PX", "Of the picture.", "--width")
    tall: bool = flag(False, "Twice as high.", "--tall")
    names: list[str] | None = option(None, "NAME", "One of them; repeatable.", "--name")


@dataclass(frozen=True, kw_only=True)
class Way:
    best_of: int = option(3, "N", "How many are tried.")
    as_json: Json = False


@pytest.fixture
def run():
    app = typer.Typer(rich_markup_mode=None)

    @app.command(cls=Command)
    @with_groups
    def make(name: str = argument(..., "NAME", "Whose."), *, size: Size, way: Way) -> None:
        """Make one."""
        if way.best_of < 1:
            raise ConfigError("try one or more", settings=("best_of", "not_an_option"))
        if not size.width:
            raise ConfigError("it must be wide, of a name", settings=("width", "names"))
        print_facts({"name": name, **vars(size), "best_of": way.best_of}, as_json=way.as_json)

    return lambda *words: CliRunner().invoke(app, list(words))


def test_a_command_gets_its_groups_with_values_and_defaults(run):
    given = ("--width", "8", "--tall", "--name", "a", "--name", "b", "--best-of", "5")
    found = run("me", "--json", *given)
    assert json.loads(found.stdout) == {
        "name": "me", "width": 8, "tall": True, "names": ["a", "b"], "best_of": 5,
    }  # fmt: skip
    found = run("me", "--json", "--width", "8")
    assert json.loads(found.stdout) == {
        "name": "me", "width": 8, "tall": False, "names": None, "best_of": 3,
    }  # fmt: skip


def test_the_help_lists_them_in_order_as_if_they_were_parameters(run):
    page = run("--help").stdout
    names = ["--width PX", "--tall", "--name NAME", "--best-of N", "--json"]
    places = [page.index(name) for name in names]
    assert places == sorted(places) and "How many are tried.  [default: 3]" in page
    assert "size" not in page.lower() and "--no-tall" not in page


def test_an_option_without_a_default_must_be_given(run):
    found = run("me")
    assert found.exit_code == 2 and "Missing option '--width'" in found.stderr


def test_an_error_names_the_options_of_its_settings_that_the_command_has(run):
    found = run("me", "--width", "8", "--best-of", "0", "--json")
    assert found.stderr == "livemoments: try one or more (--best-of)\n"
    assert json.loads(found.stdout)["error"] == "try one or more (--best-of)"
    found = run("me", "--width", "0")
    assert found.stderr == "livemoments: it must be wide, of a name (--width, --name)\n"


def test_every_setting_that_an_error_names_is_an_option_of_some_command():
    commands = get_command(program).commands
    commands |= commands["lab"].commands
    options = {each.name for command in commands.values() for each in command.params}
    for path in Path(livemoments.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "settings":
                if isinstance(node.value, ast.Tuple):
                    assert {ast.literal_eval(each) for each in node.value.elts} <= options, path
