"""The commands of experiments and of the study: they translate, and say what is wrong."""

import importlib.util
import json

import pytest
from typer.testing import CliRunner

from livemoments import cli
from livemoments.lab.benchmark.published import OTHER_DATA, as_report_tables
from livemoments.lab.benchmark.results import (
    BenchmarkRun,
    ImageInfo,
    ImageScore,
    MethodInfo,
    MetricInfo,
)
from livemoments.lab.experiments.published_rows import Experiment

METHODS = ("ours", "other", "third")


def run(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def assert_one_line(result, match):
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("livemoments: ") and match in lines[0], lines
    assert result.stdout == ""


def found(table: str = "3") -> Experiment:
    return Experiment(
        table=table,
        run=BenchmarkRun(
            title="An experiment", set_name="set", set_folder="set", command="", environment={},
            metrics=[MetricInfo(name="DINO-Q", better="higher", against="key photo")],
            methods=[MethodInfo(name="RestorationNet", label="RestorationNet")],
            images=[ImageInfo(name="one", width=8, height=8, frame="", key="", truth=None)],
            scores=[ImageScore(method="RestorationNet", image="one", values={"DINO-Q": 0.75})],
            published=as_report_tables([table]),
        ),
        paper_rows={"RestorationNet": "RestorationNet"},
    )  # fmt: skip


@pytest.fixture
def asked(monkeypatch) -> list:
    """What the library was asked for."""
    pytest.importorskip("torch", reason="the train extra is not installed")
    from livemoments.lab.experiments import tables as experiments
    from livemoments.lab.speed import costs

    calls = []

    def run_experiment(name, config, progress):
        calls.append((name, config))
        return found()

    def measure_costs(config, progress):
        calls.append(("table5", config))
        return found("5")

    monkeypatch.setattr(experiments, "run_experiment", run_experiment)
    monkeypatch.setattr(costs, "measure_costs", measure_costs)
    return calls


# --- experiment ------------------------------------------------------------------------------


def test_an_experiment_prints_the_papers_rows_below_ours(asked, tmp_path):
    result = run("lab", "experiment", "table3", tmp_path / "set", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "> RestorationNet, vivoLive144" in result.stdout and "0.9081" in result.stdout
    assert OTHER_DATA in result.stdout and str(tmp_path / "out") in result.stderr
    ((name, config),) = asked
    assert name == "table3" and config.set_folder == tmp_path / "set" and config.training is None


def test_every_option_arrives(asked, tmp_path):
    result = run("lab", "experiment", "table8", tmp_path, "-o", tmp_path / "out",
        "--photographs", tmp_path,
        "--steps", 7, "--seed", 3, "--threads", 1, "--limit", 2, "--metric", "PSNR-Y", "--method",
        "sd3:folder", "--raft", tmp_path / "raft.pth", "--weights", tmp_path / "model", "--dino",
        "dino", "--clip", "clip", "--inception", tmp_path / "inception.pt", "--device", "cuda",
        "--json",
    )  # fmt: skip
    facts = json.loads(result.stdout)
    assert facts["methods"]["RestorationNet"]["means"]["DINO-Q"]["mean"] == 0.75
    assert facts["published"]["note"] == OTHER_DATA
    ((_, config),) = asked
    training = config.training
    assert (training.steps, training.seed, training.threads) == (7, 3, 1)
    assert training.photographs == tmp_path and training.output == tmp_path / "out" / "training"
    assert (config.seed, config.limit, config.threads) == (3, 2, 1)
    assert config.metrics == ("PSNR-Y",) and config.methods == ("sd3:folder",)
    assert config.raft_weights == tmp_path / "raft.pth" and config.weights == tmp_path / "model"
    sources = config.sources
    assert (sources.dino, sources.clip, sources.device) == ("dino", "clip", "cuda")
    assert sources.inception == tmp_path / "inception.pt" and "livemoments" in config.command


def test_costs_need_no_set(asked, tmp_path):
    result = run("lab", "experiment", "table5", "-o", tmp_path, "--size", 256, "--sd3", "random")
    assert result.exit_code == 0, result.output
    ((_, config),) = asked
    assert (config.size_px, config.sd3, config.output) == (256, "random", tmp_path)


def test_what_is_missing_is_named(tmp_path):
    pytest.importorskip("torch", reason="the train extra is not installed")
    out = ("-o", tmp_path / "out")
    assert_one_line(run("lab", "experiment", "table3", *out), "table3 needs a set")
    assert_one_line(run("lab", "experiment", "table6", tmp_path, *out), "no experiment 'table6'")
    assert_one_line(
        run("lab", "experiment", "table9", tmp_path / "none", *out), "no set of the benchmark"
    )
    assert_one_line(run("lab", "experiment", "table5", *out, "--size", 100), "multiple of 64")
    assert not (tmp_path / "out").exists()


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("lab", "experiment", "table9", tmp_path, "-o", tmp_path / "out")
    assert_one_line(result, "pip install 'livemoments[train]'")


# --- correlate -------------------------------------------------------------------------------


def write_study(folder):
    ranks = [
        f"{who},i{image},{method},{rank}"
        for who in "ab"
        for image in range(3)
        for rank, method in enumerate(METHODS, 1)
    ]
    scores = [f"{m},i{i},{0.1 * at},{5 - at},2" for at, m in enumerate(METHODS) for i in range(3)]
    (folder / "ranks.csv").write_text("\n".join(["participant,image,method,rank", *ranks]))
    head = "method,image,NIQE_re,quality,seconds"
    (folder / "scores.csv").write_text("\n".join([head, *scores]))
    return folder / "ranks.csv", folder / "scores.csv"


@pytest.mark.slow
def test_correlate_prints_the_agreement_and_the_papers(tmp_path):
    result = run("lab", "correlate", *write_study(tmp_path), "--higher", "quality")
    assert result.exit_code == 0, result.output
    for words in ("2 participants, 3 images, 3 methods", "1.000 [1.000, 1.000]", "ours 1.00",
                  "within each image", "published", "0.493"):  # fmt: skip
        assert words in result.stdout


@pytest.mark.slow
def test_correlate_as_json_has_both_ways(tmp_path):
    given = write_study(tmp_path)
    facts = json.loads(run("lab", "correlate", *given, "--lower", "quality", "--json").stdout)
    assert facts["metrics"]["NIQE_re"]["pooled_spearman"]["mean"] == pytest.approx(1)
    assert facts["metrics"]["quality"]["spearman"]["mean"] == pytest.approx(-1)
    assert facts["participants"] == 2 and facts["kendall_w"]["mean"] == pytest.approx(1)


def test_correlate_says_what_is_wrong(tmp_path):
    ranks, scores = write_study(tmp_path)
    assert_one_line(run("lab", "correlate", ranks, scores), "(--higher, --lower)")
    assert_one_line(
        run("lab", "correlate", tmp_path / "none.csv", scores), "none.csv: no such file"
    )
    ranks.write_text(ranks.read_text().replace("rank\n", "place\n"))
    assert_one_line(
        run("lab", "correlate", ranks, scores, "--higher", "quality"), "no column 'rank'"
    )
