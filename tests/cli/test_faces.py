"""`livemoments faces` on the command line: exit codes, one line for errors, pure JSON."""

import json
import subprocess
import sys

import pytest
from support.faces_stage import hashes, pair, photograph, stand_ins  # noqa: F401
from typer.testing import CliRunner

from livemoments import cli
from livemoments.jobs.polish import polish as polishing


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def test_said_to_people(tmp_path, pair):  # noqa: F811
    out, side = tmp_path / "out.mov", tmp_path / "side.mp4"
    result = run("faces", pair, "-o", out, "--preview", side)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"{out}: 12 frames of 256 x 192, 1 of 1 people restored"
    assert lines[1].startswith("person 1, 6") and "12 frames restored by IMG_1.JPG" in lines[1]
    assert lines[2] == f"before and after: {side}"
    assert "restoring faces" in result.stderr and "writing" in result.stderr


def test_json(tmp_path, pair):  # noqa: F811
    mine = photograph(tmp_path / "mine.png", 50)
    result = run("faces", pair, "-o", tmp_path / "out.mov", "--json", "--reference", mine)
    facts = json.loads(result.stdout)
    assert facts["output"] == str(tmp_path / "out.mov") and facts["frames"] == 12
    (person,) = facts["people"]
    assert sorted(person["references"]) == ["IMG_1.JPG", "mine.png"]
    assert person["frames_seen"] == person["frames_restored"] == 12


def test_a_stranger_is_exit_code_1_and_nothing_is_written(tmp_path, pair):  # noqa: F811
    stranger = photograph(tmp_path / "stranger.png", 250)
    result = run("faces", stranger, "--video", pair.with_suffix(".MOV"), "-o", tmp_path / "a.mov")
    assert result.exit_code == 1 and result.stdout == ""
    message = result.stderr.splitlines()[-1]
    assert "nothing was written: person 1: a stranger: 0.8" in message
    assert not (tmp_path / "a.mov").exists()
    # Whom a face may belong to is a setting.
    result = run(
        "faces", stranger, "--video", pair.with_suffix(".MOV"), "-o", tmp_path / "a.mov",
        "--limit", 0.9,
    )  # fmt: skip
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PHOTO", "-o", "PHOTO"], "this is an input"),
        (["PHOTO", "-o", "a.avi"], "end it in .mov or .mp4"),
        (["nothing.jpg", "-o", "a.mov"], "no such file"),
        (["PHOTO", "-o", "a.mov", "--reference", "nothing.jpg"], "no such file"),
        (["PHOTO", "-o", "a.mov", "--scale", "3"], "scale must be one of 1, 2, 4"),
        (["PHOTO", "-o", "a.mov", "--rest", "blur"], "rest must be one of keep, model"),
        (["PHOTO", "-o", "a.mov", "--strength", "2"], "strength must be in [0, 1]"),
        (["PHOTO", "-o", "a.mov", "--limit", "0"], "limit must be above 0"),
        (["PHOTO", "-o", "a.mov", "--crf", "99"], "crf must be from 0"),
        (["PHOTO", "-o", "a.mov", "--threads", "-1"], "threads must not be negative"),
        (["PHOTO", "-o", "a.mov", "--seed", "-1"], "seed must not be negative"),
    ],
)
def test_errors_are_one_line(tmp_path, pair, arguments, message):  # noqa: F811
    before = hashes(pair.parent)
    places = {"PHOTO": pair, "a.mov": tmp_path / "a.mov", "a.avi": tmp_path / "a.avi"}
    arguments = [places.get(each, each) for each in arguments]
    result = run("faces", *arguments)
    assert result.exit_code == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("livemoments: ") and message in line
    assert hashes(pair.parent) == before and not (tmp_path / "a.mov").exists()
    assert message in json.loads(run("faces", *arguments, "--json").stdout)["error"]


def test_an_output_must_be_named(pair):  # noqa: F811
    assert run("faces", pair).exit_code == 2


def test_without_the_extra(tmp_path, pair, monkeypatch):  # noqa: F811
    monkeypatch.undo()  # the real dlib, which is not there
    monkeypatch.setitem(sys.modules, "dlib", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("faces", pair, "-o", tmp_path / "a.mov")
    assert result.exit_code == 1
    assert "pip install 'livemoments[faces]'" in result.stderr


def test_without_weights(tmp_path, pair, monkeypatch):  # noqa: F811
    from livemoments.models import faces

    monkeypatch.setattr(polishing, "load_faces", faces.load_faces)
    result = run("faces", pair, "-o", tmp_path / "a.mov", "--weights", tmp_path / "none")
    assert result.exit_code == 1
    assert "no weights of face restoration there" in result.stderr.splitlines()[-1]


PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
sys.path.insert(0, "tests")
from support import faces
from support.tiny.faces import FakeFaces
from livemoments import cli
from livemoments.jobs.polish import polish as polishing
models = faces.FakeModels()
polishing.FaceModels = lambda: models
class Slow(FakeFaces):
    def align(self, face, prompt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.5)
        return super().align(face, prompt)
polishing.load_faces = lambda folder, threads: Slow()
cli.main()
"""


def test_ctrl_c_leaves_nothing(tmp_path, pair):  # noqa: F811
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-c", PROGRAM, "faces", str(pair), "-o", str(folder / "a.mov")]
    root = __file__.rpartition("/tests/")[0]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=root, timeout=60, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "livemoments: cancelled; nothing was written"
    assert list(folder.iterdir()) == []
