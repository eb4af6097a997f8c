"""The command line's manners: exit codes, one-line errors, pure JSON, nothing left behind."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import makers
from typer.testing import CliRunner

from livemoments import cli
from livemoments.jobs import restore as job
from livemoments.jobs import survey
from livemoments.version import __version__

CANCELLED = 130


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A small Apple pair: the still's path. Nobody may change it."""
    photo, _ = makers.apple_pair(tmp_path_factory.mktemp("pair"))
    before = listing(photo.parent)
    yield photo
    assert listing(photo.parent) == before


def assert_one_line(result, match=""):
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("livemoments: ")
    assert match in lines[0], lines[0]
    assert result.stdout == ""


# --- the program ----------------------------------------------------------------------------


def test_version():
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"livemoments {__version__}\n")


def test_running_as_a_module():
    command = [sys.executable, "-m", "livemoments", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"livemoments {__version__}\n", "")


def test_no_command_shows_help():
    assert "Usage: " in run().output


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["info"], ["restore", "a", "--at", "soon"], ["info", "a", "--at=1"]]
)
def test_wrong_usage_is_exit_code_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2 and "Usage: " in result.stderr and not result.stdout


# --- info and frames ------------------------------------------------------------------------


def test_info_says_what_it_is(pair):
    result = run("info", pair)
    assert result.exit_code == 0 and not result.stderr
    for fact in ("apple-pair", "iPhone 99", "384", "192", "h264", "0.4", "still-image-time"):
        assert fact in result.stdout


def test_info_as_json(pair):
    result = run("info", pair, "--json")
    facts = json.loads(result.stdout)
    assert facts["video"]["frames"] == 12 and facts["key_time_s"] == pytest.approx(0.4, abs=0.01)


def test_a_video_given_by_hand(tmp_path, pair):
    still = makers.save_still(tmp_path / "other.png", makers.enlarged(makers.scene()))
    result = run("info", still, "--video", pair.with_suffix(".MOV"), "--json")
    assert json.loads(result.stdout)["kind"] == "pair-by-hand"


def test_frames_lists_and_draws(tmp_path, pair):
    sheet = tmp_path / "sheet.png"
    result = run("frames", pair, "-o", sheet)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 1 + 12 + 1
    assert sum("key photo" in line for line in lines) == 1
    assert sum("sharpest away from it" in line for line in lines) == 1
    with Image.open(sheet) as picture:
        assert picture.mode == "RGB" and picture.width > 500


def test_frames_as_json_with_its_progress_elsewhere(tmp_path, pair):
    result = run("frames", pair, "--json", "-o", tmp_path / "a.jpg")
    facts = json.loads(result.stdout)
    assert len(facts["moments"]) == 12
    assert max(moment["sharpness"] for moment in facts["moments"]) == 1.0
    assert facts["best"] in facts["moments"] and not facts["best"]["is_key"]
    assert facts["sheet"] == str(tmp_path / "a.jpg")
    assert "looking at frames" in result.stderr


# --- errors ---------------------------------------------------------------------------------


def bad_inputs(folder: Path, pair: Path) -> dict[str, list]:
    """Command lines that must fail, by what is wrong with them."""
    still, video = pair, pair.with_suffix(".MOV")
    folder.mkdir()
    empty = folder / "empty.jpg"
    empty.touch()
    text = folder / "text.mov"
    text.write_text("no video\n" * 500)
    alone = makers.save_still(folder / "alone.jpg", makers.scene())
    cut = folder / "cut.jpg"
    cut.write_bytes(still.read_bytes()[:400])
    cut_video = folder / "cut.mov"
    cut_video.write_bytes(video.read_bytes()[:3000])
    pixel = makers.save_still(folder / "pixel.png", np.zeros((1, 1, 3), np.uint8))
    other, _ = makers.apple_pair(folder / "other", video_identifier=makers.OTHER_IDENTIFIER)
    at = ["--at", "0.1", "-o", folder / "out.jpg"]
    return {
        "missing": ["restore", folder / "nothing.jpg", *at],
        "a folder": ["restore", folder, *at],
        "empty": ["restore", empty, *at],
        "alone": ["restore", alone, *at],
        "truncated still": ["restore", cut, "--video", video, *at],
        "truncated video": ["restore", still, "--video", cut_video, *at],
        "text as video": ["restore", still, "--video", text, *at],
        "text as still": ["restore", text, "--video", video, *at],
        "one pixel": ["restore", pixel, "--video", video, *at],
        "mismatch": ["restore", other, *at],
        "time after": ["restore", still, "--at", "99", "-o", folder / "out.jpg"],
        "time before": ["restore", still, "--at", "-1", "-o", folder / "out.jpg"],
        "no number": ["restore", still, "--at", "nan", "-o", folder / "out.jpg"],
        "frame": ["restore", still, "--frame", "12", "-o", folder / "out.jpg"],
        "no moment": ["restore", still, "-o", folder / "out.jpg"],
        "two moments": ["restore", still, "--best", *at],
        "steps": ["restore", still, *at, "--steps", "7"],
        "seed": ["restore", still, *at, "--seed", "-1"],
        "quality": ["restore", still, *at, "--quality", "0"],
        "subsampling": ["restore", still, *at, "--subsampling", "4:1:1"],
        "output format": ["restore", still, "--at", "0.1", "-o", folder / "out.bmp"],
        "no such folder": ["restore", still, "--at", "0.1", "-o", folder / "no" / "out.jpg"],
        "sheet format": ["frames", still, "-o", folder / "sheet.pdf"],
        "sheet is input": ["frames", still, "-o", still, "--overwrite"],
    }


BAD = (
    "missing,a folder,empty,alone,truncated still,truncated video,text as video,text as still,"
    "one pixel,mismatch,time after,time before,no number,frame,no moment,two moments,steps,seed,"
    "quality,subsampling,output format,no such folder,sheet format,sheet is input"
).split(",")


@pytest.fixture(scope="module")
def bad(tmp_path_factory, pair):
    return bad_inputs(tmp_path_factory.mktemp("bad") / "files", pair)


def test_all_bad_inputs_are_tried(bad):
    assert sorted(bad) == sorted(BAD)


@pytest.fixture
def no_restoring(monkeypatch):
    """A bad command line must be refused before the work, not after it."""

    def refuse(*arguments, **options):
        pytest.fail("the work began")

    monkeypatch.setattr(job, "restore_moment", refuse)


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(bad, what, request):
    if what not in ("one pixel", "truncated still", "truncated video"):  # seen when decoded
        request.getfixturevalue("no_restoring")
    folder = next(path for path in bad["missing"] if isinstance(path, Path)).parent
    before = listing(folder)
    result = run(*bad[what])
    assert_progress_then_one_line(result)
    assert listing(folder) == before


def assert_progress_then_one_line(result):
    """Stages may have been reported before; the last line is the error, and the only one."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("livemoments: ")
    assert sum(line.startswith("livemoments: ") for line in lines) == 1
    assert "Traceback" not in result.stderr and "fault of livemoments" not in result.stderr
    assert result.stdout == ""


def test_an_error_as_json(tmp_path):
    result = run("info", tmp_path / "nothing.jpg", "--json")
    assert result.exit_code == 1
    error = json.loads(result.stdout)
    assert error["kind"] == "MissingFileError" and "nothing.jpg" in error["error"]
    assert result.stderr == f"livemoments: {error['error']}\n"


def test_a_message_of_several_lines_becomes_one(tmp_path):
    assert_one_line(run("info", tmp_path / "two\nlines.jpg"), "two lines.jpg")


def test_an_output_that_exists_is_kept(tmp_path, pair, no_restoring):
    mine = tmp_path / "mine.jpg"
    mine.write_text("precious")
    assert_one_line(run("restore", pair, "--at", 0.1, "-o", mine), "--overwrite")
    assert_one_line(run("frames", pair, "-o", mine), "--overwrite")
    assert mine.read_text() == "precious"


def test_an_input_is_never_replaced(tmp_path, no_restoring):
    still, video = makers.apple_pair(tmp_path / "pair")
    before = listing(tmp_path)
    for target in (still, video.rename(video.with_suffix(".jpg.mov"))):
        result = run(
            "restore", still, "--video", video.with_suffix(".jpg.mov"), "--at", 0.1,
            "-o", target, "--overwrite",
        )  # fmt: skip
        assert_one_line(result)
    assert sorted(before.values()) == sorted(listing(tmp_path).values())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is unwritable for root")
def test_an_unwritable_folder(tmp_path, pair, no_restoring):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    assert_one_line(run("restore", pair, "--at", 0.1, "-o", locked / "a.jpg"), "permission")


def test_ctrl_c_leaves_nothing(tmp_path, pair, monkeypatch):
    def cancelled(*arguments, progress, **options):
        progress("restoring", 1, 9)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "restore_moment", cancelled)
    result = run("restore", pair, "--at", 0.1, "-o", tmp_path / "a.jpg")
    assert result.exit_code == CANCELLED
    assert result.stderr.splitlines()[-1] == "livemoments: cancelled; nothing was written"
    assert not result.stdout and not list(tmp_path.iterdir())


def test_a_fault_is_one_line_unless_the_traceback_is_asked_for(pair, monkeypatch):
    def broken(*arguments, **options):
        raise ZeroDivisionError("a slip")

    monkeypatch.setattr(survey, "survey_file", broken)
    assert_one_line(
        run("frames", pair), "ZeroDivisionError: a slip; this is a fault of livemoments"
    )
    result = run("--traceback", "frames", pair)
    assert isinstance(result.exception, ZeroDivisionError)


def test_training_without_torch_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("lab", "train", "--photographs", tmp_path, "-o", tmp_path / "run")
    assert_one_line(result, "pip install 'livemoments[train]'")


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe whose reader is gone")
def test_a_closed_pipe_is_quiet(pair):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "livemoments", "info", str(pair), "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == "" and done.returncode != 0
