"""The paper's experiments: rows made, scored, resumed, and printed with the paper's beside them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, scene, write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.report_runs import read_run
from support.tiny.compact import TINY

from livemoments.errors import ConfigError, OutputError
from livemoments.lab.benchmark.manifest import open_set, read_picture
from livemoments.lab.benchmark.methods import parse_method
from livemoments.lab.benchmark.published import OTHER_DATA, published
from livemoments.lab.benchmark.run import evaluate
from livemoments.lab.experiments import ablation, rows
from livemoments.lab.experiments import tables as experiments
from livemoments.lab.experiments.aligned import read_aligned, realigned
from livemoments.lab.experiments.estimators import ESTIMATORS, make_estimator
from livemoments.lab.experiments.published_rows import Experiment
from livemoments.lab.experiments.safety import NOISE_SHARES
from livemoments.lab.experiments.tables import (
    COMPARED,
    PRESETS,
    ExperimentConfig,
    run_experiment,
    usual_training,
)
from livemoments.lab.metrics.catalogue import METRICS
from livemoments.lab.report import write as report
from livemoments.lab.training.data.degrade import PRESETS as DEGRADATIONS
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.models.compact import load_compact
from livemoments.restoration.moment import restore_frame

N, SHIFT = 160, 6
SCORED = ("PSNR-Y", "SSIM-Y")


def write_set(folder: Path, names=("one", "two"), truth: bool = True) -> Path:
    """Frames of half the size whose key photos are seen from a few pixels aside."""
    for seed, name in enumerate(names):
        wide = cv2.GaussianBlur(scene(N, N + SHIFT, seed=seed + 5), (0, 0), 0.7)
        pictures = {"truth": wide[:, :N], "key": wide[:, SHIFT:]}
        pictures["frame"] = cv2.resize(wide[:, :N], (N // 2, N // 2), interpolation=cv2.INTER_AREA)
        (folder / name).mkdir(parents=True)
        for what, picture in pictures.items():
            if what != "truth" or truth:
                path = str(folder / name / f"{what}.png")
                cv2.imwrite(path, np.ascontiguousarray(as_bytes(picture)[..., ::-1]))
    return folder


@pytest.fixture
def config(tmp_path, monkeypatch) -> ExperimentConfig:
    """A small set, and a training of one step; without reports, which take a while."""
    threads = torch.get_num_threads()
    for room in (experiments, report):
        monkeypatch.setattr(room, "write_report", lambda run, folder, set_folder: [])
    folder = write_set(tmp_path / "set")
    (tmp_path / "photographs").mkdir()
    output = tmp_path / "out"
    yield ExperimentConfig(
        set_folder=folder, output=output, metrics=SCORED, threads=1,
        training=TrainConfig(
            photographs=write_photographs(tmp_path / "photographs", [(260, 260)] * 3),
            output=output / "training", batch=2, workers=0, threads=1, steps=1, precision="no",
            network=TINY, objective=ObjectiveConfig(perceptual=0.0, dists=0.0),
            pairs=PairConfig(
                crop=64, margin=16, scene=128, scenes=2, crops_per_scene=2, scenes_mixed=2
            ),
        ),
    )  # fmt: skip
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> tuple[ExperimentConfig, Experiment]:
    """Table 9 with the shipped model, done once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("flow")
    config = ExperimentConfig(
        set_folder=write_set(folder / "set"), output=folder / "out", metrics=SCORED, threads=1,
        raft_weights=folder / "raft.pth",
    )  # fmt: skip
    return config, run_experiment("table9", config)


# What the presets say


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_table_and_metrics(name):
    preset = PRESETS[name]
    assert name == f"table{preset.number}"
    of_table = {column.metric for column in published(preset.number).columns}
    assert {*preset.metrics(with_truth=False)} == of_table <= {*METRICS}
    assert preset.metrics(with_truth=True)[:4] == experiments.FIDELITY
    assert len({*preset.metrics(with_truth=True)}) == len(preset.metrics(with_truth=True))


def test_every_table_of_results_has_an_experiment():
    # Table 4 is of parts, 5 is measured by livemoments.lab.speed.costs, 6 is of people.
    assert [preset.number for preset in PRESETS.values()] == ["1", "2", "3", "7", "8", "9"]
    for method in COMPARED:
        assert parse_method(method).name == method


def test_rows_stand_beside_rows_that_the_paper_has():
    for number in ("3", "7"):
        assert {*rows.DESIGN_PAPER_ROWS.values()} == {*published(number).rows}
    assert {*rows.DESIGN_PAPER_ROWS} < {*ablation.ROWS}
    assert {*rows.DEGRADATION_PAPER_ROWS.values()} == {*published("8").rows}
    assert {*rows.DEGRADATION_PAPER_ROWS} < {*DEGRADATIONS}
    assert {f"LiveMoments + {share:.0%} noise" for share in NOISE_SHARES} < {*published("9").rows}


def test_names_of_rows_are_names_of_methods():
    for label in ablation.ROWS:
        assert parse_method(f"{rows.slug(label)}=folder:x").name == rows.slug(label)
    assert len({rows.slug(label) for label in ablation.ROWS}) == len(ablation.ROWS)


# Noise and estimators


@pytest.mark.slow
def test_noise_in_the_flow_and_other_estimators(flow):
    config, found = flow
    run = read_run(config.output / "run.json")
    assert run == replace(found.run, scores=run.scores, methods=run.methods, metrics=run.metrics,
                          images=run.images, notes=run.notes, published=run.published)  # fmt: skip
    labels = {method.name: method.label for method in run.methods}
    assert list(labels)[:3] == ["frame", "livemoments", "without-reference"]
    assert {f"noise-{100 * share:.0f}" for share in NOISE_SHARES} | {*ESTIMATORS} < {*labels}
    assert labels["noise-200"] == "+ 200% noise"
    scores = {name: run.mean(name, "PSNR-Y") for name in labels}
    assert scores["livemoments"].mean > scores["without-reference"].mean + 1
    assert scores["livemoments"].mean > scores["noise-40"].mean > scores["noise-200"].mean
    # A shift of a few pixels is found by every estimator; the usual one is medium, but smoother.
    for name in ("dis-ultrafast", "dis-fast", "dis-medium", "farneback"):
        assert scores[name].mean == pytest.approx(scores["livemoments"].mean, abs=1.5)
    assert {path.name for path in config.output.glob("report.*")} == {"report.html", "report.md"}


@pytest.mark.slow
def test_raft_is_told_where_it_cannot_be_had(flow):
    _, found = flow
    raft = next(method for method in found.run.methods if method.name == "raft")
    assert "raft.pth: no such file" in raft.failed and raft.label == "flow by raft"
    assert any("flow by raft: " in line and "no such file" in line for line in found.lines())


@pytest.mark.slow
def test_what_was_made_is_not_made_again(flow, tmp_path, monkeypatch):
    config, first = flow
    shutil.copytree(config.output, tmp_path / "out")
    config = replace(config, output=tmp_path / "out", limit=1)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "restore_compact", None)  # would fail
        again = run_experiment("table9", replace(config, limit=None))
    assert again.run.scores == first.run.scores
    made = {path.parent.name for path in config.output.glob("made/*/*.png")}
    run_experiment("table9", replace(config, seed=1))  # other noise, nothing else
    other = {path.parent.name for path in config.output.glob("made/*/*.png")} - made
    noisy = {f"noise-{100 * share:.0f}" for share in NOISE_SHARES}
    assert {name.rsplit("-", 1)[0] for name in other} == noisy


def test_a_picture_of_another_image_is_made_again(config):
    image, other = open_set(config.set_folder).images
    config.output.mkdir()
    assert not experiments._is_made(config.output, image)
    experiments._store(config.output, image, np.zeros((8, 8, 3), np.float32))
    assert experiments._is_made(config.output, image)
    assert not experiments._is_made(config.output, replace(other, name=image.name))
    (config.output / f"{image.name}.png").unlink()
    assert not experiments._is_made(config.output, image)


@pytest.mark.slow
def test_a_set_without_truths_is_scored_against_key_photos(config, tmp_path):
    folder = write_set(tmp_path / "real", ("moment",), truth=False)
    metrics = ("PSNR-Y", "NIQE_re")
    found = run_experiment("table9", replace(config, set_folder=folder, metrics=metrics))
    assert found.run.metrics[0].missing == "the set has no truth"
    assert {method.name for method in found.run.methods if not method.failed} >= {"livemoments"}


def test_the_usual_row_is_what_users_have(config):
    (image, _) = open_set(config.set_folder).images
    aligned = read_aligned(config.set_folder, image)
    model = load_compact(threads=1)
    place = config.set_folder / image.name
    frame, key = (read_picture(place / f"{name}.png") for name in ("frame", "key"))
    theirs = restore_frame(frame, key, model=model).image
    ours = rows.restore_compact(model, aligned)
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours - aligned.views.frame).mean() > 4 / 255


def test_an_image_of_another_size_is_brought_to_the_one_that_is_wanted(config):
    (image, _) = open_set(config.set_folder).images
    aligned = replace(read_aligned(config.set_folder, image), size=(100, 90))
    picture = rows.restore_compact(load_compact(threads=1), aligned)
    assert picture.shape == (100, 90, 3) and 0 <= picture.min() and picture.max() <= 1


def test_a_key_photo_of_something_else_is_done_without(config):
    (image, _) = open_set(config.set_folder).images
    aligned = read_aligned(config.set_folder, image)
    other = np.full_like(aligned.views.key_photo, 0.5)
    wrong = realigned(replace(aligned, views=replace(aligned.views, key_photo=other)))
    assert wrong.reason and not wrong.views.confidence.any()
    model = load_compact(threads=1)
    np.testing.assert_array_equal(
        rows.restore_compact(model, wrong), rows.restore_compact(model, wrong, reference=False)
    )


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "raft"])
def test_an_estimator_finds_a_shift(name):
    first = as_bytes(scene(160, 200, seed=3))[..., 1]
    second = np.roll(first, (2, 4), (0, 1))
    flow = make_estimator(name)(first, second)
    assert flow.dtype == np.float32 and flow.shape == (160, 200, 2)
    inner = np.median(flow[24:-24, 24:-24].reshape(-1, 2), 0)
    np.testing.assert_allclose(inner, [4, 2], atol=0.3)


def test_an_estimator_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="no flow estimator 'spynet'; there are dis-ultrafast"):
        make_estimator("spynet")


# Networks of their own


@pytest.mark.slow
def test_training_degradations_are_compared(config, monkeypatch):
    few = {name: rows.DEGRADATION_PAPER_ROWS[name] for name in ("seesr", "live-photo")}
    monkeypatch.setattr(rows, "DEGRADATION_PAPER_ROWS", few)
    found = run_experiment("table8", replace(config, limit=1))
    run = found.run
    assert [m.name for m in run.methods] == ["frame", "seesr", "livemoments"]
    presets = []
    for path in sorted((config.output / "training").glob("*/last.pt")):
        trained = torch.load(path, weights_only=True)
        presets.append(trained["config"]["pairs"]["preset"])
        assert trained["position"]["step"] == 1
    assert sorted(presets) == ["live-photo", "seesr"]
    assert found.paper_rows["livemoments"] == "Customized Live Photo Degradation"
    assert all(run.values(method.name, "PSNR-Y") for method in run.methods)
    # Given again, nothing is trained or made: the networks' files stay as they are.
    before = {path: path.stat().st_mtime_ns for path in config.output.rglob("*.p[tn]*")}
    run_experiment("table8", replace(config, limit=1))
    assert {path: path.stat().st_mtime_ns for path in config.output.rglob("*.p[tn]*")} == before


@pytest.mark.slow
def test_parts_of_the_design_are_compared(config, monkeypatch):
    few = ("RestorationNet", "+ ReferenceNet", "  and copy gate: the whole method")
    monkeypatch.setattr(rows, "ROWS", {name: ablation.ROWS[name] for name in few})
    found = run_experiment("table7", replace(config, limit=1))
    assert [(m.name, m.label) for m in found.run.methods[1:]] == [
        ("RestorationNet", "RestorationNet"),
        ("ReferenceNet", "+ ReferenceNet"),
        ("ReferenceNet-without-PCR", "+ ReferenceNet, without PCR"),
        ("livemoments", "and copy gate: the whole method"),
    ]
    assert found.paper_rows == {
        "RestorationNet": "RestorationNet", "ReferenceNet": "RestorationNet + ReferenceNet",
    }  # fmt: skip
    assert len({*map(str, (config.output / "training").glob("*/last.pt"))}) == 3


@pytest.mark.slow
def test_every_part_of_the_design_is_compared(config):
    found = run_experiment("table3", replace(config, metrics=("PSNR-Y", "NIQE_re"), limit=1))
    assert len(found.run.methods) == 1 + len(ablation.ROWS) + 1
    assert {*found.paper_rows.values()} == {*published("3").rows}


def test_training_takes_photographs(config, tmp_path):
    with pytest.raises(ConfigError, match="give photographs"):
        run_experiment("table8", replace(config, training=None))
    usual = usual_training(tmp_path, tmp_path / "out", steps=7, seed=3, threads=1)
    assert usual.output == tmp_path / "out" / "training" and usual.network == ablation.NETWORK
    assert (usual.steps, usual.seed, usual.pairs.preset) == (7, 3, "live-photo")
    assert usual.pairs.scenes == 64  # a trial needs no 1500
    long = usual_training(tmp_path, tmp_path / "out", steps=9000)
    assert long.pairs == PairConfig() and long.batch == long.pairs.crops_per_scene


# Methods compared


@pytest.mark.slow
def test_a_comparison_goes_to_the_benchmark(config, monkeypatch):
    given = []

    def two_methods(asked, progress):
        given.append(asked)
        return evaluate(replace(asked, methods=("frame", "livemoments"), metrics=SCORED), progress)

    monkeypatch.setattr(experiments, "evaluate", two_methods)
    config = replace(config, metrics=(), methods=("sd3:weights",), command="livemoments it")
    found = run_experiment("table2", config)
    (asked,) = given
    assert asked.methods == (*COMPARED, "sd3:weights") and asked.published == ("2",)
    assert asked.metrics == PRESETS["table2"].metrics(with_truth=True)
    assert "patch-FID" in asked.metrics and asked.command == "livemoments it"
    assert found.paper_rows == {"livemoments": "LiveMoments"}
    lines = "\n".join(found.lines())
    assert "> LiveMoments, SynLive260" in lines and "31.65" in lines and "> TTSR" in lines


def test_an_experiment_that_is_not_there_is_named(config):
    with pytest.raises(ConfigError, match="no experiment 'table6'; there are table1, table2"):
        run_experiment("table6", config)


def test_what_is_no_run_is_not_written_into(config):
    config.output.mkdir()
    (config.output / "letter.txt").write_text("keep")
    with pytest.raises(OutputError, match="no run of the benchmark"):
        run_experiment("table9", config)
    assert [path.name for path in config.output.iterdir()] == ["letter.txt"]


# What is printed


def test_the_papers_rows_stand_below_ours_and_are_marked(flow):
    _, small = flow
    lines = small.lines()
    at = next(i for i, line in enumerate(lines) if line.startswith("+ 40% noise"))
    assert lines[at].split()[3:5] != lines[at - 1].split()[3:5]
    text = "\n".join(lines)
    assert OTHER_DATA in text and "NIQE" not in text  # of PSNR and SSIM the paper has nothing
    everything = replace(
        small, run=replace(small.run, metrics=[replace(m, name=n) for m, n in zip(
            small.run.metrics, ("NIQE_re", "DINO-Q"), strict=True)],
            scores=[replace(s, values={"NIQE_re": 0.25, "DINO-Q": 0.5}) for s in small.run.scores]),
    )  # fmt: skip
    lines = everything.lines()
    at = next(i for i, line in enumerate(lines) if line.startswith("+ 40% noise"))
    assert lines[at + 1].startswith("> LiveMoments + 40% noise, vivoLive144")
    assert lines[at].split()[-3:-1] == ["0.2500", "0.5000"]
    assert lines[at + 1].split()[-2:] == ["0.1082", "0.9591"]
    assert any(line.startswith("> LiveMoments (SPyNet), vivoLive144") for line in lines)


def test_json_keeps_ours_and_the_papers_apart(flow):
    _, small = flow
    found = json.loads(json.dumps(small.to_dict(), allow_nan=False))
    assert found["methods"]["noise-10"]["means"]["PSNR-Y"]["count"] == 2
    paper = found["published"]
    assert paper["note"] == OTHER_DATA and paper["table"] == "9"
    assert paper["beside"]["noise-10"] == "LiveMoments + 10% noise"
    assert paper["sets"]["vivoLive144"]["LiveMoments + 10% noise"]["NIQE_re"] == 0.0999
    assert found["labels"]["noise-10"] == "+ 10% noise" and "noise-10" in found["costs"]
