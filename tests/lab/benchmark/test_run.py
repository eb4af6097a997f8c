"""The benchmark as a whole: what it keeps, how it goes on, and how it takes what goes wrong."""

import csv
import json
import re
import shlex
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.benchmark_sets import HEIGHT, WIDTH, contents, write_pairs, write_png
from support.pictures import scene
from support.report_runs import read_run

from livemoments.errors import ConfigError, DamagedFileError, InputError, OutputError
from livemoments.imaging.fidelity import psnr_y
from livemoments.lab.benchmark import scoring
from livemoments.lab.benchmark.config import EvaluateConfig
from livemoments.lab.benchmark.manifest import read_picture
from livemoments.lab.benchmark.methods import METHODS, Kind
from livemoments.lab.benchmark.restorers import LoadedMethod
from livemoments.lab.benchmark.run import evaluate
from livemoments.lab.metrics.metric import Metric, Missing, Score, SetMetric
from livemoments.lab.report.write import write_report

PYTHON = shlex.quote(sys.executable)


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs")


@pytest.fixture
def config(pairs, tmp_path):
    return EvaluateConfig(
        set_folder=pairs, output=tmp_path / "out", methods=("frame", "stub"),
        metrics=("PSNR-Y", "SSIM-Y"), threads=1,
    )  # fmt: skip


class Stub:
    """A method that blurs the frame, and does as it is told."""

    def __init__(self):
        self.restored, self.loads = [], 0
        self.version = 0
        self.does = lambda case, picture: picture

    def load(self, argument, settings):
        self.loads += 1

        def restore(case):
            self.restored.append(case.name)
            frame = case.fit(read_picture(case.frame))
            return self.does(case, cv2.GaussianBlur(frame, (0, 0), 1.0))

        return LoadedMethod(restore=restore, parameters_m=0.25)


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    stub = Stub()
    kind = Kind(
        label="stub", detail="Of this test", load=stub.load,
        identity=lambda argument, case: stub.version,
    )  # fmt: skip
    monkeypatch.setitem(METHODS, "stub", kind)
    return stub


def table(run) -> dict[tuple[str, str], dict[str, float | None]]:
    return {(score.method, score.image): dict(score.values) for score in run.scores}


class TestARun:
    def test_every_picture_is_kept_and_scored(self, config, pairs):
        run = evaluate(config)
        assert [*table(run)] == [(m, i) for m in ("frame", "stub") for i in "abc"]
        for score in run.scores:
            picture = read_picture(config.output / score.picture)
            truth = read_picture(pairs / score.image / "truth.png")
            assert picture.shape == (HEIGHT, WIDTH, 3)
            assert score.values["PSNR-Y"] == pytest.approx(psnr_y(picture, truth), abs=1e-4)
            assert score.seconds >= 0
        assert run.mean("frame", "PSNR-Y").mean > run.mean("stub", "PSNR-Y").mean

    def test_the_results_are_files(self, config):
        run = evaluate(replace(config, title="A title", command="livemoments evaluate ..."))
        found = read_run(config.output / "run.json")
        assert found.to_json() == run.to_json()
        assert (found.title, found.command) == ("A title", "livemoments evaluate ...")
        assert found.environment["livemoments"] and found.environment["processor"]
        rows = list(csv.DictReader((config.output / "scores.csv").read_text().splitlines()))
        assert len(rows) == 6 and {row["method"] for row in rows} == {"frame", "stub"}

    def test_methods_say_what_they_are_and_cost(self, config):
        frame, stub = evaluate(config).methods
        assert (frame.name, frame.label, frame.cost) == ("frame", "frame, bicubic", {})
        assert (stub.detail, stub.cost) == ("Of this test", {"parameters_m": 0.25})

    def test_a_method_is_loaded_once(self, config, stub):
        evaluate(config)
        assert stub.loads == 1

    def test_only_the_first_images_if_asked(self, config):
        assert [*table(evaluate(replace(config, limit=1)))] == [("frame", "a"), ("stub", "a")]

    def test_progress_counts_the_images(self, config):
        told = []
        evaluate(config, lambda *step: told.append(step))
        for stage in ("pictures: frame", "pictures: stub", "scores: frame", "scores: stub"):
            assert [(d, t) for s, d, t in told if s == stage] == [(1, 3), (2, 3), (3, 3)]

    def test_a_set_without_truths_has_other_metrics(self, config, tmp_path, monkeypatch):
        level = Metric(
            name="CLIP-Q", better="higher", against="key photo",
            measure=lambda a, b: Score(value=float(a.mean() - b.mean()), message="grey"),
        )  # fmt: skip
        monkeypatch.setattr(scoring, "make_metrics", lambda names, sources: [psnr(), level])
        folder = write_pairs(tmp_path / "real", truths=False)
        names = ("PSNR-Y", "CLIP-Q")
        run = evaluate(replace(config, set_folder=folder, metrics=names))
        assert {m.name: m.missing for m in run.metrics} == {
            "PSNR-Y": "the set has no truth", "CLIP-Q": ""
        }  # fmt: skip
        assert [*run.scores[0].values] == ["CLIP-Q"] and run.scores[0].messages == {
            "CLIP-Q": "grey"
        }
        assert run.images[0].truth is None

    def test_the_real_report_can_be_written(self, config, pairs):
        run = evaluate(replace(config, methods=("frame", "blurred=frame")))
        write_report(run, config.output, pairs)
        page = (config.output / "report.html").read_text()
        assert page.count("data:image/") > 6 and "no picture: " not in page


class TestGoingOn:
    def test_given_again_nothing_is_done_anew(self, config, stub):
        first = evaluate(config)
        pictures = contents(config.output / "pictures")
        stub.restored.clear()
        second = evaluate(config)
        assert stub.restored == [] and table(first) == table(second)
        assert contents(config.output / "pictures") == pictures
        assert [s.seconds for s in first.scores] == [s.seconds for s in second.scores]

    def test_killed_in_the_middle_only_the_rest_is_done(self, config, stub, tmp_path):
        def die_once(case, picture):
            if case.name == "b":
                raise KeyboardInterrupt
            return picture

        expected = evaluate(replace(config, output=tmp_path / "whole"))
        stub.restored.clear()
        stub.does = die_once
        with pytest.raises(KeyboardInterrupt):
            evaluate(config)
        assert not (config.output / "run.json").exists()
        assert stub.restored == ["a", "b"]
        stub.restored.clear()
        stub.does = lambda case, picture: picture
        assert table(evaluate(config)) == table(expected)
        assert stub.restored == ["b", "c"]

    def test_killed_while_scoring_only_the_rest_is_scored(self, config, monkeypatch):
        asked = []

        def measure(die, result, truth):
            asked.append(1)
            if die and len(asked) == 3:
                raise KeyboardInterrupt
            return float(result.mean())

        def metrics(die):
            made = Metric(
                name="PSNR-Y", better="higher", against="truth",
                measure=lambda a, b: measure(die, a, b),
            )  # fmt: skip
            monkeypatch.setattr(scoring, "make_metrics", lambda names, sources: [made])

        only = replace(config, metrics=("PSNR-Y",))
        metrics(die=True)
        with pytest.raises(KeyboardInterrupt):
            evaluate(only)
        asked.clear()
        metrics(die=False)
        assert len(table(evaluate(only))) == 6 and len(asked) == 4

    def test_another_metric_needs_no_pictures_anew(self, config, stub):
        evaluate(replace(config, metrics=("PSNR-Y",)))
        stub.restored.clear()
        run = evaluate(config)
        assert stub.restored == [] and run.mean("stub", "SSIM-Y").count == 3

    def test_another_method_leaves_the_others(self, config, stub):
        evaluate(replace(config, methods=("stub",)))
        stub.restored.clear()
        run = evaluate(config)
        assert stub.restored == [] and len(run.scores) == 6

    def test_a_changed_frame_is_done_anew(self, config, stub, pairs):
        before = table(evaluate(config))
        stub.restored.clear()
        write_png(pairs / "b" / "frame.png", scene(HEIGHT // 2, WIDTH // 2, seed=50))
        after = table(evaluate(config))
        assert stub.restored == ["b"]
        assert (
            after["stub", "b"] != before["stub", "b"] and after["stub", "a"] == before["stub", "a"]
        )

    def test_a_changed_truth_is_scored_anew(self, config, stub, pairs):
        before = table(evaluate(config))
        stub.restored.clear()
        write_png(pairs / "b" / "truth.png", scene(HEIGHT, WIDTH, seed=50))
        after = table(evaluate(config))
        assert stub.restored == [] and after["stub", "b"] != before["stub", "b"]

    def test_other_settings_of_a_method_are_done_anew(self, config, stub):
        evaluate(config)
        stub.restored.clear()
        stub.version = 2
        evaluate(config)
        assert stub.restored == ["a", "b", "c"]
        stub.restored.clear()
        evaluate(replace(config, seed=1))
        assert stub.restored == ["a", "b", "c"]

    @pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"")])
    @pytest.mark.parametrize("place", ["pictures/stub/b.png", "scores/stub/b.json"])
    def test_what_was_lost_is_done_anew(self, config, stub, damage, place):
        before = table(evaluate(config))
        stub.restored.clear()
        damage(config.output / place)
        assert table(evaluate(config)) == before
        assert stub.restored == ["b"]

    def test_what_others_keep_stays(self, config, tmp_path):
        config.output.mkdir()
        (config.output / "thesis.tex").write_text("x")
        with pytest.raises(OutputError, match="out: is not empty, and what it holds is no run"):
            evaluate(config)
        with pytest.raises(OutputError, match="this is the set"):
            evaluate(replace(config, output=config.set_folder))


class TestProcesses:
    def check(self, config, *methods) -> None:
        """One process and two make the same pictures and the same table."""
        runs = [
            evaluate(replace(config, methods=methods, jobs=jobs, output=config.output / str(jobs)))
            for jobs in (1, 2)
        ]
        assert table(runs[0]) == table(runs[1]) and len(runs[0].scores) == 3 * len(methods)
        pictures = [contents(config.output / str(jobs) / "pictures") for jobs in (1, 2)]
        assert pictures[0] == pictures[1]
        assert runs[1].notes == ["seconds were taken with 2 processes side by side"]
        assert not any(method.failed for method in runs[1].methods)

    @pytest.mark.slow
    def test_the_table_is_the_same_whatever_their_number(self, config, tmp_path):
        blur = tmp_path / "swap.py"
        blur.write_text("import shutil, sys\nshutil.copy(*sys.argv[2:])\n")
        program = f"swap=program:{PYTHON} -S {blur} {{frame}} {{key}} {{output}}"
        self.check(config, "frame", "key", program)

    @pytest.mark.slow
    def test_so_it_is_of_our_model(self, config):
        self.check(config, "restoration-only", "livemoments")


def psnr() -> Metric:
    return Metric(
        name="PSNR-Y", better="higher", against="truth",
        measure=lambda a, b: float(-np.log10(np.mean((a - b) ** 2) + 1e-9)),
    )  # fmt: skip


class TestFailing:
    """One method fails; the other's results are there all the same."""

    def failed(self, config, **changes) -> str:
        run = evaluate(replace(config, **changes))
        assert {score.method for score in run.scores} == {"frame"} and len(run.scores) == 3
        frame, other = run.methods
        assert not frame.failed and read_run(config.output / "run.json").methods[1].failed
        return other.failed

    @pytest.mark.parametrize(
        ("does", "why"),
        [
            (lambda c, p: p[:-1], "the picture of b is 64 x 47 pixels, 64 x 48 are wanted"),
            (lambda c, p: p * np.nan, "the picture of b holds NaN or infinity in 3072 pixels"),
            (lambda c, p: p * 255, "the picture of b holds values from .* give them in"),
            (lambda c, p: p[..., 0], "the picture of b is an array of shape"),
            (lambda c, p: (_ for _ in ()).throw(MemoryError()), "b: MemoryError"),
            (lambda c, p: {}["x"], "b: KeyError: 'x'"),
        ],
    )
    def test_a_picture_that_is_none(self, config, stub, does, why):
        stub.does = lambda case, picture: does(case, picture) if case.name == "b" else picture
        assert re.search(why, self.failed(config))
        assert "c" not in stub.restored, "after the first failure there is no second"

    def test_a_method_that_cannot_be_loaded(self, config, tmp_path):
        why = self.failed(config, methods=("frame", f"livemoments:{tmp_path}"))
        assert "compact.json" in why

    def test_a_folder_without_one_of_the_pictures(self, config, tmp_path):
        for name in "ab":
            write_png(tmp_path / "made" / f"{name}.png", scene(HEIGHT, WIDTH))
        why = self.failed(config, methods=("frame", f"folder:{tmp_path / 'made'}"))
        assert "c.png: cannot be read" in why

    def test_a_folder_of_pictures_of_another_size(self, config, tmp_path):
        for name in "abc":
            write_png(tmp_path / "made" / f"{name}.png", scene(HEIGHT, WIDTH + 2))
        why = self.failed(config, methods=("frame", f"folder:{tmp_path / 'made'}"))
        assert why == "the picture of a is 66 x 48 pixels, 64 x 48 are wanted"

    def test_mended_it_goes_on(self, config, stub):
        def fail(case, picture):
            raise InputError("not today")

        stub.does = fail
        assert self.failed(config) == "not today"
        stub.does = lambda case, picture: picture
        run = evaluate(config)
        assert len(run.scores) == 6 and not run.methods[1].failed

    def test_of_none_there_are_no_scores(self, config, tmp_path):
        run = evaluate(replace(config, methods=(f"folder:{tmp_path / 'none'}",)))
        assert run.scores == [] and "no such folder" in run.methods[0].failed

    def test_pictures_of_a_folder_have_no_seconds(self, config, tmp_path):
        for name in "abc":
            write_png(tmp_path / "made" / f"{name}.png", scene(HEIGHT, WIDTH))
        run = evaluate(replace(config, methods=(f"mine=folder:{tmp_path / 'made'}",)))
        assert run.seconds("mine") is None and run.scores[0].picture == "pictures/mine/a.png"


class TestTheSet:
    def test_a_damaged_one_is_said_before_any_work(self, config, stub, pairs):
        (pairs / "c" / "key.png").write_bytes(b"nonsense")
        with pytest.raises(DamagedFileError, match=r"c.key\.png: not a picture"):
            evaluate(config)
        assert stub.restored == [] and not config.output.exists()

    def test_images_without_truth_are_scored_by_the_rest(self, config, pairs):
        (pairs / "b" / "truth.png").unlink()
        run = evaluate(config)
        score = next(s for s in run.scores if (s.method, s.image) == ("frame", "b"))
        assert score.values["PSNR-Y"] is None
        assert score.messages["PSNR-Y"] == "the set has no truth"
        assert run.mean("frame", "PSNR-Y").count == 2


class TestMetrics:
    def use(self, monkeypatch, *made):
        monkeypatch.setattr(scoring, "make_metrics", lambda names, sources: list(made))

    def test_one_that_is_missing_says_why(self, config, monkeypatch):
        self.use(monkeypatch, psnr(), Missing(name="SSIM-Y", reason="not available: no network"))
        run = evaluate(config)
        assert run.metrics[1].missing == "not available: no network"
        assert [*run.scores[0].values] == ["PSNR-Y"] and "SSIM" not in run.to_csv()

    @pytest.mark.parametrize(
        ("measure", "said"),
        [
            (lambda a, b: float("nan"), "it gave nan"),
            (lambda a, b: Score(value=float("inf"), message="odd"), r"it gave inf (odd)"),
            (lambda a, b: Score(value=None, message="no face"), "no face"),
        ],
    )
    def test_no_number_is_none_and_says_why(self, config, monkeypatch, measure, said):
        made = Metric(name="SSIM-Y", better="higher", against="truth", measure=measure)
        self.use(monkeypatch, psnr(), made)
        score = evaluate(config).scores[0]
        assert score.values["SSIM-Y"] is None and score.messages["SSIM-Y"] == said
        assert score.values["PSNR-Y"] is not None

    @pytest.mark.parametrize(("error", "again"), [(InputError("small"), 0), (MemoryError(), 6)])
    def test_a_passing_failure_is_tried_again(self, config, monkeypatch, error, again):
        asked = []

        def measure(a, b):
            asked.append(1)
            raise error

        made = Metric(name="SSIM-Y", better="higher", against="truth", measure=measure)
        self.use(monkeypatch, psnr(), made)
        assert evaluate(config).scores[0].messages["SSIM-Y"] in ("small", "MemoryError")
        assert len(asked) == 6
        asked.clear()
        evaluate(config)
        assert len(asked) == again

    def test_a_metric_of_sets_compares_all_pictures_with_all_truths(
        self, config, monkeypatch, pairs
    ):
        looked = []

        def extract(picture):
            looked.append(picture)
            return picture.mean((0, 1))[None]

        means = SetMetric(
            name="patch-FID", extract=extract,
            distance=lambda a, b: Score(value=float(np.abs(a - b).sum()), message=f"of {len(a)}"),
        )  # fmt: skip
        self.use(monkeypatch, psnr(), means)
        asked = replace(config, metrics=("PSNR-Y", "patch-FID"))
        run = evaluate(asked)
        expected = 0.0
        for name in "abc":
            result = read_picture(config.output / "pictures" / "stub" / f"{name}.png") / 255
            truth = read_picture(pairs / name / "truth.png") / 255
            expected += np.abs(result.mean((0, 1)) - truth.mean((0, 1))).sum()
        assert run.set_scores["stub"]["patch-FID"] == pytest.approx(expected, abs=1e-4)
        assert run.notes == ["frame, stub: patch-FID: of 3"]
        assert "patch-FID" not in run.scores[0].values
        assert len(looked) == 9, "each picture and each truth once"
        assert evaluate(asked).set_scores == run.set_scores and len(looked) == 9

    def test_one_of_sets_that_fails_says_why(self, config, monkeypatch):
        def extract(picture):
            raise InputError("too small for this")

        made = SetMetric(name="patch-FID", extract=extract, distance=lambda a, b: Score(value=0))
        self.use(monkeypatch, psnr(), made)
        run = evaluate(replace(config, metrics=("PSNR-Y", "patch-FID")))
        assert run.set_scores["frame"] == {"patch-FID": None}
        assert run.notes == ["frame, stub: patch-FID: too small for this"]


class TestConfig:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"limit": 0}, "limit must be 1 or more, got 0"),
            ({"seed": -1}, "seed must be 0"),
            ({"methods": ()}, "name at least one method"),
            ({"methods": ("frame", "frame")}, "a method is named twice"),
            ({"metrics": ("PSNR",)}, "no metric 'PSNR'; there are PSNR-Y"),
            ({"metrics": ("PSNR-Y", "PSNR-Y")}, "a metric is named twice"),
        ],
    )
    def test_what_cannot_be_is_refused(self, config, options, why):
        with pytest.raises(ConfigError, match=why):
            replace(config, **options)

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"methods": ("a=frame", "a=key")}, "two methods have one name"),
            ({"methods": ("magic",)}, "no method 'magic'"),
            ({"jobs": 0}, "jobs must be 1"),
            ({"published": ("99",)}, "no published table '99'"),
        ],
    )
    def test_and_before_any_work(self, config, options, why, stub):
        with pytest.raises(ConfigError, match=why):
            evaluate(replace(config, **options))
        assert stub.restored == [] and not (config.output / "pictures").exists()

    def test_a_table_of_the_paper_may_stand_beside(self, config):
        run = evaluate(replace(config, methods=("frame",), published=("2",)))
        assert run.published and "Table 2" in run.published[0]["title"]
        json.loads((config.output / "run.json").read_text())
