"""`make-set` and `evaluate` as commands: what they print, how they end, being stopped."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.benchmark_sets import HEIGHT, WIDTH, contents, write_pairs, write_png, write_video
from support.makers import apple_pair
from support.pictures import scene
from support.report_runs import read_run
from typer.testing import CliRunner

from livemoments import cli
from livemoments.lab.benchmark.manifest import open_set
from livemoments.lab.metrics.metric import Missing


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs")


@pytest.fixture
def no_report(monkeypatch):
    monkeypatch.setattr("livemoments.lab.report.write.write_report", lambda *args: [])


def fast(pairs, output, *others):
    metrics = ("--metric", "PSNR-Y", "--metric", "SSIM-Y", "--threads", "1")
    return ("lab", "evaluate", pairs, "-o", output, *metrics, *others)


class TestMakeSet:
    def test_synthetic(self, tmp_path):
        write_video(tmp_path / "videos" / "a.mp4")
        made = tmp_path / "set"
        arguments = ("lab", "make-set", "synthetic", tmp_path / "videos", "-o", made, "--count", 2)
        result = run(*arguments, "--licence", "CC0", "--seed", 5, "--size", 96, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {"set": str(made), "images": 2, "notes": []}
        found = open_set(made)
        assert (found.seed, found.images[0].size) == (5, (96, 96))

    def test_real(self, tmp_path):
        apple_pair(tmp_path / "photos")
        result = run(
            "lab", "make-set", "real", tmp_path / "photos", "-o", tmp_path / "set", "--moments", 1
        )
        assert result.exit_code == 0 and "1" in result.stdout.splitlines()[1]
        assert open_set(tmp_path / "set").kind == "real"

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (("synthetic", "nowhere", "--licence", "x"), "nowhere: no clips found"),
            (("synthetic", "nowhere"), "say under which licence"),
            (("odd", "nowhere"), "no set of the kind 'odd'"),
            (("real", "nowhere"), "nowhere"),
        ],
    )
    def test_what_goes_wrong_is_one_line(self, tmp_path, monkeypatch, arguments, why):
        monkeypatch.chdir(tmp_path)
        result = run("lab", "make-set", *arguments, "-o", "set")
        assert result.exit_code == 1 and result.stdout == ""
        assert why in result.stderr.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []


class TestEvaluate:
    def test_a_table_is_printed(self, pairs, tmp_path, no_report):
        output = tmp_path / "out"
        result = run(*fast(pairs, output, "--method", "frame", "--method", "near=frame"))
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[0] == "pairs: 3 images, 2 methods"
        assert "PSNR-Y" in lines[2] and lines[3].startswith("frame") and "*" in lines[3]
        assert read_run(output / "run.json").methods[1].name == "near"
        assert "pictures: frame" in result.stderr

    def test_missing_metrics_are_said_with_their_reasons(
        self, pairs, tmp_path, no_report, monkeypatch
    ):
        def make_metrics(names, sources):
            assert sources.inception == Path("no.pt") and sources.clip == "a" == sources.dino
            return [Missing(name=name, reason="not available: no reason") for name in names]

        monkeypatch.setattr("livemoments.lab.benchmark.scoring.make_metrics", make_metrics)
        sources = ("--inception", "no.pt", "--clip", "a", "--dino", "a")
        result = run(*fast(pairs, tmp_path / "out", "--method", "frame", *sources))
        missing = [x for x in result.stdout.splitlines() if x.startswith("not measured: ")]
        assert missing[0] == "not measured: PSNR-Y: not available: no reason" and len(missing) == 2

    def test_json_holds_means_and_intervals(self, pairs, tmp_path, no_report):
        result = run(*fast(pairs, tmp_path / "out", "--method", "frame", "--json"))
        found = json.loads(result.stdout)
        mean = found["methods"]["frame"]["means"]["PSNR-Y"]
        assert mean["low"] <= mean["mean"] <= mean["high"] and mean["count"] == 3
        assert found["failed"] == {} and found["methods"]["frame"]["seconds"]["mean"] >= 0
        assert (found["set"], found["images"]) == ("pairs", 3)

    def test_the_best_is_named(self, pairs, tmp_path, no_report):
        for name in "abc":
            write_png(tmp_path / "bad" / f"{name}.png", scene(HEIGHT, WIDTH, seed=9))
        methods = ("--method", "frame", "--method", f"bad=folder:{tmp_path / 'bad'}")
        found = json.loads(run(*fast(pairs, tmp_path / "out", *methods, "--json")).stdout)
        assert found["best"] == {"PSNR-Y": ["frame"], "SSIM-Y": ["frame"]}

    def test_one_failed_method_ends_with_1_and_keeps_the_rest(self, pairs, tmp_path, no_report):
        methods = ("--method", "frame", "--method", f"x=folder:{tmp_path / 'none'}")
        result = run(*fast(pairs, tmp_path / "out", *methods))
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == "livemoments: 1 of 2 methods failed: x"
        assert "failed: x: " in result.stdout and "frame" in result.stdout
        assert (tmp_path / "out" / "scores.csv").read_text().count("frame,") == 3

    def test_all_of_them_failed(self, pairs, tmp_path, no_report):
        result = run(*fast(pairs, tmp_path / "out", "--method", "program:nothing {frame} {output}"))
        assert result.exit_code == 1 and "cannot be started" in result.stdout

    @pytest.mark.parametrize(
        ("others", "why"),
        [
            (("--method", "magic"), "no method 'magic'"),
            (("--metric", "magic"), "no metric 'magic'"),
            (("--method", "program:x {frame}"), "{output} is not in it"),
            (("--jobs", "0"), "jobs must be 1"),
        ],
    )
    def test_what_goes_wrong_is_one_line(self, pairs, tmp_path, others, why):
        result = run(*fast(pairs, tmp_path / "out", *others))
        assert result.exit_code == 1 and why in result.stderr.splitlines()[-1]

    def test_the_set_is_not_changed(self, pairs, tmp_path, no_report):
        before = contents(pairs)
        run(*fast(pairs, tmp_path / "out", "--method", "frame", "--method", "key"))
        assert contents(pairs) == before


@pytest.mark.skipif(os.name == "nt", reason="signals are another matter on Windows")
def test_stopped_and_given_again_it_goes_on(pairs, tmp_path):
    """The real program is killed while a method runs, and then ends as if it had not been."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import pathlib, shutil, sys, time\n"
        "frame, key, output = sys.argv[1:]\n"
        "count = pathlib.Path(__file__).with_name('count')\n"
        "seen = len(count.read_text()) if count.exists() else 0\n"
        "time.sleep(60 if seen == 1 else 0)\n"
        "count.write_text('x' * (seen + 1))\n"
        "shutil.copy(key, output)\n"
    )
    counted = tmp_path / "count"
    python = shlex.quote(sys.executable)
    method = f"slow=program:{python} -S {slow} {{frame}} {{key}} {{output}}"
    output = tmp_path / "out"
    arguments = [str(x) for x in fast(pairs, output, "--method", "frame", "--method", method)]
    command = [sys.executable, "-m", "livemoments", *arguments]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # It is ignored where a shell runs the tests behind, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        record = output / "scores" / "slow" / "a.json"
        waited_s = time.monotonic() + 60
        while not record.exists() and time.monotonic() < waited_s:
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate()
    assert process.returncode == 130, message
    assert message.decode().splitlines()[-1] == "livemoments: cancelled; what was finished stays"
    assert counted.read_text() == "x" and not (output / "run.json").exists()
    counted.write_text("xx")  # it will not sleep again
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert counted.read_text() == "xxxx", "two images were left"
    assert len(read_run(output / "run.json").scores) == 6
