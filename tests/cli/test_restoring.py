"""`livemoments restore` from file to file, with the model that the package ships."""

import json
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from PIL import Image
from support import makers
from typer.testing import CliRunner

from livemoments import cli
from livemoments.lab.speed import restore as bench

EXIF_DETAILS, DATE, SUBSECONDS = 0x8769, 0x9003, 0x9291


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def pair(tmp_path):
    """An Apple pair, key photo at 0.4 s: the still's path."""
    return makers.apple_pair(tmp_path / "pair")[0]


def taken(path):
    with Image.open(path) as picture:
        details = picture.getexif().get_ifd(EXIF_DETAILS)
    moment = datetime.strptime(details[DATE], "%Y:%m:%d %H:%M:%S")
    return moment + timedelta(seconds=float(f"0.{details.get(SUBSECONDS, '0').strip()}"))


def test_the_moment_at_the_key_photos_size(tmp_path, pair):
    out = tmp_path / "better.jpg"
    result = run("restore", pair, "--at", 0.1, "-o", out, "--json")
    facts = json.loads(result.stdout)
    assert (result.exit_code, facts["output"], facts["time_s"]) == (0, str(out), 0.1)
    with Image.open(out) as picture, Image.open(pair) as still:
        assert picture.size == (facts["width"], facts["height"]) == still.size
        assert picture.getexif()[0x010F] == "Apple"
    assert set(facts["seconds"]) >= {"aligning", "restoring"}
    assert taken(out) - taken(pair) == pytest.approx(
        timedelta(seconds=-0.3), abs=timedelta(0, 0.02)
    )


def test_said_to_people(tmp_path, pair):
    result = run("restore", pair, "--best", "-o", tmp_path / "a.png")
    assert result.exit_code == 0
    assert f"{tmp_path / 'a.png'}: 384 x 288" in result.stdout
    assert "the sharpest away from the key photo (advice)" in result.stdout


def test_without_an_output_it_lies_beside_the_photo(pair):
    assert run("restore", pair, "--frame", 2).exit_code == 0
    assert pair.with_name("IMG_0001-0.100s.jpg").exists()
    again = run("restore", pair, "--frame", 2)
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    assert run("restore", pair, "--frame", 2, "--overwrite").exit_code == 0


def test_a_folder_as_output(tmp_path, pair):
    folder = tmp_path / "results"
    folder.mkdir()
    facts = json.loads(run("restore", pair, "--at", 0.25, "-o", folder, "--json").stdout)
    assert facts["output"] == str(folder / "IMG_0001-0.250s.jpg")


def test_the_same_seed_gives_the_same_picture(tmp_path, pair):
    for name in ("a", "b"):
        run("restore", pair, "--at", 0.1, "--seed", 3, "-o", tmp_path / f"{name}.png")
    with Image.open(tmp_path / "a.png") as a, Image.open(tmp_path / "b.png") as b:
        assert a.tobytes() == b.tobytes()


def test_without_the_reference(tmp_path, pair):
    result = run("restore", pair, "--at", 0.1, "--no-reference", "--json", "-o", tmp_path / "a.jpg")
    facts = json.loads(result.stdout)
    assert facts["reference_used"] is False and facts["reason"]
    assert facts["share_from_reference"] == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path):
    photo = bench.make_motion_photo(tmp_path / "made.jpg")
    command = [sys.executable, "-m", "livemoments", "restore", str(photo), "--frame", "26"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("restoring"):
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines() == ["livemoments: cancelled; nothing was written"]
    assert [path.name for path in tmp_path.iterdir()] == ["made.jpg"]
