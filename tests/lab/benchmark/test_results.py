"""The results of a run as plain data: what they answer, and the way to files and back."""

import csv
import json
from dataclasses import replace

import pytest
from support.report_runs import read_run

from livemoments.lab.benchmark.results import (
    BenchmarkRun,
    ImageInfo,
    ImageScore,
    MethodInfo,
    MetricInfo,
    write_run,
)


def image(name: str, truth: bool = True) -> ImageInfo:
    return ImageInfo(
        name=name, width=64, height=48, frame=f"{name}/frame.png", key=f"{name}/key.png",
        truth=f"{name}/truth.png" if truth else None, source="clip.mp4; licence: CC0",
    )  # fmt: skip


def score(method: str, name: str, psnr: float | None, **others) -> ImageScore:
    values = {"PSNR-Y": psnr, "LPIPS": others.pop("lpips", 0.1)}
    picture = f"pictures/{method}/{name}.png"
    return ImageScore(method=method, image=name, values=values, picture=picture, **others)


PSNR = MetricInfo(name="PSNR-Y", better="higher", against="truth")
LPIPS = MetricInfo(name="LPIPS", better="lower", against="truth")


@pytest.fixture
def run():
    return BenchmarkRun(
        title="Zwei \"Methoden\", über alles",
        set_name="pairs",
        set_folder="/sets/pairs",
        command="livemoments evaluate",
        environment={"livemoments": "1"},
        metrics=[PSNR, LPIPS, MetricInfo(name="MUSIQ_re", better="lower", against="key photo",
                                         missing="not available: no pyiqa")],
        methods=[
            MethodInfo(name="frame", label="frame, bicubic"),
            MethodInfo(name="ours", label="Ours", cost={"parameters_m": 6.0}),
            MethodInfo(name="broken", label="Broken", failed="it broke"),
        ],
        images=[image("a"), image("b"), image("c", truth=False)],
        scores=[
            score("frame", "a", 30.0, seconds=0.1),
            score("frame", "b", 20.0, seconds=0.3),
            score("frame", "c", None, messages={"PSNR-Y": "no truth"}),
            score("ours", "a", 33.5, lpips=0.05, seconds=2.0),
            score("ours", "b", 24.5, lpips=0.20),
        ],
        set_scores={"frame": {"patch-FID": 12.5}, "ours": {"patch-FID": None}},
        notes=["a note"],
        published=[{"title": "Table 2", "columns": ["", "PSNR"], "rows": [["X", "1.0"]]}],
        seed=5,
    )  # fmt: skip


class TestRun:
    def test_values_leave_out_what_was_not_measured(self, run):
        assert run.values("frame", "PSNR-Y") == {"a": 30.0, "b": 20.0}
        assert run.values("broken", "PSNR-Y") == {} == run.values("frame", "MUSIQ_re")

    def test_means_are_of_what_there_is(self, run):
        found = run.mean("frame", "PSNR-Y")
        assert (found.mean, found.count) == (25.0, 2)
        assert run.mean("broken", "PSNR-Y") is None
        assert run.seconds("frame").mean == pytest.approx(0.2)
        assert run.seconds("ours").count == 1 and run.seconds("broken") is None

    def test_methods_are_compared_on_the_images_they_share(self, run):
        found = run.compared("ours", "frame", "PSNR-Y")
        assert found.difference.mean == 4.0 and found.wins == 2 and found.difference.count == 2
        shared = run.compared("ours", "frame", "LPIPS")
        assert shared.difference.count == 2
        assert run.compared("ours", "broken", "PSNR-Y") is None

    def test_the_worst_come_first_whichever_way_is_better(self, run):
        assert run.worst_first("frame", PSNR) == ["b", "a"]
        assert run.worst_first("ours", LPIPS) == ["b", "a"]

    def test_the_seed_is_that_of_the_bootstrap(self, run):
        wide = replace(run, seed=6)
        assert run.mean("frame", "PSNR-Y") == run.mean("frame", "PSNR-Y")
        assert run.mean("frame", "PSNR-Y").mean == wide.mean("frame", "PSNR-Y").mean


class TestFiles:
    def test_there_and_back(self, run, tmp_path):
        write_run(run, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "scores.csv"]
        found = read_run(tmp_path / "run.json")
        assert found.to_json() == run.to_json() and found.to_csv() == run.to_csv()
        assert list(found.scores) == list(run.scores) and list(found.methods) == list(run.methods)
        assert found.values("ours", "LPIPS") == run.values("ours", "LPIPS")

    def test_writing_again_replaces_it(self, run, tmp_path):
        write_run(run, tmp_path)
        write_run(replace(run, title="another"), tmp_path)
        assert read_run(tmp_path / "run.json").title == "another"

    def test_the_csv_has_a_line_for_each_score(self, run):
        rows = list(csv.DictReader(run.to_csv().splitlines()))
        assert len(rows) == 5 and [*rows[0]] == ["method", "image", "PSNR-Y", "LPIPS", "seconds"]
        assert float(rows[3]["PSNR-Y"]) == 33.5 and float(rows[3]["seconds"]) == 2
        assert rows[2]["PSNR-Y"] == rows[2]["seconds"] == ""

    def test_names_with_commas_and_quotes_survive_the_csv(self, run):
        method = 'program:a, "b"'
        odd = replace(run, scores=[score(method, "x,y", 1.0)])
        (row,) = csv.DictReader(odd.to_csv().splitlines())
        assert (row["method"], row["image"]) == (method, "x,y")

    def test_what_is_no_number_is_refused(self, run):
        with pytest.raises(ValueError, match="not JSON compliant"):
            replace(run, scores=[score("frame", "a", float("nan"))]).to_json()

    def test_it_is_plain_json(self, run):
        values = json.loads(run.to_json())
        assert values["format"] == 1 and values["images"][2]["truth"] is None
        assert values["scores"][2]["said"] == {"PSNR-Y": "no truth"}
