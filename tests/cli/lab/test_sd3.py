"""The commands on the sd3 tier's weights."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image
from support import makers
from typer.testing import CliRunner

from livemoments import cli


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def assert_one_line(result, match):
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("livemoments: ") and match in lines[0], lines
    assert result.stdout == ""


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    pytest.importorskip("diffusers", reason="the sd3 extra is not installed")
    from support.tiny.sd3 import write_tiny

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return write_tiny(tmp_path / "tiny")


@pytest.mark.parametrize(
    "command", [["lab", "check-weights"], ["lab", "embed-prompt", "base", "-o", "file"]]
)
def test_without_the_extra_it_is_named(command, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line(run(*command), "pip install 'livemoments[sd3]'")


def test_check_weights_says_what_they_are(tiny):
    result = run("lab", "check-weights", tiny)
    assert result.exit_code == 0 and not result.stderr
    for fact in ("transformer ref:", "million parameters:", "float32", "channels:", "Stability AI"):
        assert fact in result.stdout


def test_check_weights_as_json(tiny):
    facts = json.loads(run("lab", "check-weights", tiny, "--json").stdout)
    assert facts["weights"] == str(tiny) and facts["transformer"]["blocks"] == 3


def test_weights_that_will_not_do_are_one_line(tiny):
    (tiny / "empty_prompt.safetensors").unlink()
    assert_one_line(run("lab", "check-weights", tiny), f"-o {tiny / 'empty_prompt.safetensors'}")
    (tiny / "transformer" / "config.json").write_text("{")
    assert_one_line(run("lab", "check-weights", tiny), "config.json")


def test_what_was_not_downloaded_is_told_with_the_command(tiny):
    assert_one_line(run("lab", "check-weights"), "hf download Clara-7/LiveMoments")
    (tiny / "vae").rename(tiny / "elsewhere")
    assert_one_line(run("lab", "check-weights", tiny), "https://huggingface.co/stabilityai/")
    assert_one_line(run("lab", "check-weights", tiny, "--base", tiny), "vae")
    result = run("lab", "embed-prompt", "stabilityai/nothing", "-o", tiny / "new", "--json")
    assert result.exit_code == 1 and json.loads(result.stdout)["kind"] == "WeightsError"


def test_embed_prompt_makes_what_check_weights_wants(tmp_path, tiny):
    pytest.importorskip("transformers", reason="the sd3 extra is not installed")
    from support.tiny.weights import write_encoders

    base, output = write_encoders(tmp_path / "base"), tiny / "empty_prompt.safetensors"
    assert_one_line(run("lab", "embed-prompt", base, "-o", output), "--overwrite")
    result = run("lab", "embed-prompt", base, "-o", output, "--overwrite", "--json")
    assert result.exit_code == 0 and not result.stderr
    assert json.loads(result.stdout)["tokens"] == 333
    facts = json.loads(run("lab", "check-weights", tiny, "--json").stdout)
    assert facts["prompt"]["tokens"] == 333


def test_a_moment_restored_by_the_papers_model(tmp_path, tiny):
    still = makers.apple_pair(tmp_path / "pair")[0]
    out = tmp_path / "better.jpg"
    result = run(
        "restore", still, "--at", 0.1, "-o", out, "--model", "sd3", "--weights", tiny,
        "--steps", 2, "--device", "cpu", "--precision", "float32", "--json",
    )  # fmt: skip
    facts = json.loads(result.stdout)
    assert result.exit_code == 0 and facts["model"] == "sd3" and facts["steps"] == 2
    with Image.open(out) as picture, Image.open(still) as before:
        assert picture.size == before.size


def test_a_model_that_is_not_there_writes_nothing(tmp_path, tiny):
    still = makers.apple_pair(tmp_path / "pair")[0]
    given = ("restore", still, "--at", 0.1, "-o", tmp_path / "out.jpg", "--model")
    for arguments, said in (
        (["sd3"], "hf download Clara-7/LiveMoments"),
        (["sd4"], "compact, sd3"),
        (["sd3", "--flow", "farneback"], "alignment, dis, raft"),
    ):
        result = run(*given, *arguments)
        assert result.exit_code == 1 and said in result.stderr.splitlines()[-1]
    assert not (tmp_path / "out.jpg").exists()


@pytest.mark.slow
def test_bench_sd3_prints_its_rows(tiny):
    result = run("lab", "bench-sd3", "--weights", tiny, "--tile", 64, "--precision", "float32")
    assert result.exit_code == 0 and "official loop" in result.stdout
    assert "ReferenceNet 0.12 M" in result.stdout
