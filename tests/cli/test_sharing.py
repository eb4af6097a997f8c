"""`convert` and `check` on the command line: exit codes, one line for errors, pure JSON."""

import json

import pytest
from support import makers
from typer.testing import CliRunner

from livemoments import cli


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def photo(tmp_path):
    return makers.apple_pair(tmp_path / "in", sound=True)[0]


def test_there_and_back_and_checked(tmp_path, photo):
    result = run("convert", photo, "--to", "google", "-o", tmp_path / "a.MP.jpg")
    assert result.exit_code == 0 and result.stderr == ""
    assert "still and clip copied as they were; key photo: 0.400 s" in result.stdout
    result = run("check", tmp_path / "a.MP.jpg")
    assert result.exit_code == 0 and result.stderr == ""
    assert "Motion Photo; " in result.stdout.splitlines()[-1]
    (tmp_path / "back").mkdir()
    result = run("convert", tmp_path / "a.MP.jpg", "--to", "apple", "-o", tmp_path / "back")
    assert "a.jpg and " in result.stdout
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == ["a.jpg", "a.mov"]
    assert run("check", tmp_path / "back").exit_code == 0


def test_json(tmp_path, photo):
    facts = json.loads(run("convert", photo, "--to", "samsung", "-o", tmp_path, "--json").stdout)
    assert facts["to"] == "samsung" and facts["still_copied"] and facts["movie"] is None
    facts = json.loads(run("check", facts["still"], "--json").stdout)
    assert facts["passed"] and facts["rules"][0]["result"] == "pass"


def test_a_broken_rule_is_exit_code_1_and_a_message(tmp_path):
    photo, video = makers.apple_pair(tmp_path, identifier=None, video_identifier=None)
    for more in ((), ("--video", video)):
        result = run("check", photo, *more)
        assert result.exit_code == 1
        assert result.stderr == f"livemoments: {photo.name} breaks a rule of its format\n"
        assert "FAIL   both name the same Live Photo" in result.stdout
    result = run("check", photo, "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["convert", "PHOTO", "--to", "sony"], "the format must be one of"),
        (["convert", "PHOTO", "--to", "apple", "-o", "PHOTO"], "input"),
        (["convert", "PHOTO", "--to", "google", "-o", "x.png"], "JPEG or HEIC"),
        (["convert", "nothing.jpg", "--to", "google"], "no such file"),
        (["check", "nothing.jpg"], "no such file"),
        (["check", "PHOTO", "--video", "nothing.mov"], "no such file"),
    ],
)
def test_errors_are_one_line(tmp_path, photo, arguments, message):
    arguments = [str(photo) if each == "PHOTO" else each for each in arguments]
    result = run(*arguments)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("livemoments: ") and message in line
    assert len(list(photo.parent.iterdir())) == 2
    result = run(*arguments, "--json")
    assert message in json.loads(result.stdout)["error"]


def test_the_form_must_be_named(photo):
    assert run("convert", photo).exit_code == 2
