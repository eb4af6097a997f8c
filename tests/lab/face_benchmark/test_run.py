"""The benchmark of faces: measured once, kept, taken up; clips and sheets."""

import json

import cv2
import numpy as np
import pytest
from support.face_bench import HEIGHT, WIDTH, frames, measures, write_clip

from livemoments.errors import ConfigError, DamagedFileError, InputError, MissingFileError
from livemoments.faces.crops import SIZE_PX
from livemoments.lab.face_benchmark import run as face_benchmark
from livemoments.lab.face_benchmark.run import (
    BenchmarkConfig,
    Results,
    measure,
    read_results,
    write_results,
)
from livemoments.lab.face_benchmark.sheets import HEAD_PX, SHOWN, FaceSheets
from livemoments.lab.face_benchmark.strengths import MILD, SEVERE
from livemoments.lab.face_benchmark.truths import clips_of, degrade_clip, read_truth

COUNT = 10
CONFIG = BenchmarkConfig(frames=COUNT, strengths=(MILD,))


class Counting:
    """Gives the enlarged clip, or the truth, and counts how often."""

    def __init__(self, name, truth=False, about="plain"):
        self.name, self.about, self.truth, self.runs = name, about, truth, 0

    def borders(self, count):
        return [8]

    def restore(self, clip, progress=None):
        self.runs += 1
        yield from frames(len(clip.frames)) if self.truth else clip.frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "red", COUNT)


@pytest.fixture(scope="module")
def truth(clip):
    held = measures()
    return read_truth("red", clip, COUNT, held.finder, held.embedder)


def test_a_clip_and_who_is_in_it(truth):
    assert len(truth.frames) == COUNT and truth.frames[0].shape == (HEIGHT, WIDTH, 3)
    (person,) = truth.people
    assert person.name == "red" and set(person.views) == set(range(1, COUNT))
    assert person.reference.shape == (SIZE_PX, SIZE_PX, 3)
    poor = degrade_clip(truth, SEVERE, 0)
    assert poor.small[0].shape == (HEIGHT // 4, WIDTH // 4, 3) and poor.strength == "severe"
    assert poor.frames[0].shape == (HEIGHT, WIDTH, 3) and poor.bits_per_pixel > 0
    assert np.array_equal(poor.key_photo, truth.frames[0])


def test_clips_by_name(clip, tmp_path):
    assert clips_of([clip.parent]) == clips_of([clip]) == {"red": clip}
    with pytest.raises(MissingFileError, match="no clip found"):
        clips_of([tmp_path])
    other = write_clip(tmp_path / "red", 6)
    with pytest.raises(InputError, match="have one name"):
        clips_of([clip, other])


def test_a_clip_without_a_face_in_its_first_frame(tmp_path):
    folder = write_clip(tmp_path / "none", 6)
    cv2.imwrite(str(folder / "0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    held = measures()
    with pytest.raises(InputError, match="the first frame shows no face"):
        read_truth("none", folder, 6, held.finder, held.embedder)


@pytest.mark.slow
def test_what_was_measured_is_not_measured_again(clip, tmp_path):
    out = tmp_path / "out.json"
    poor, best = Counting("input"), Counting("best", truth=True)

    def run(*methods, config=CONFIG):
        return measure({"red": clip}, methods, measures(), config, out)

    found = run(poor)
    assert len(found.found) == 1 and read_results(out).found == found.found
    found = run(poor, best)
    assert (poor.runs, best.runs) == (1, 1) and len(found.found) == 2
    run(poor, best)
    assert (poor.runs, best.runs) == (1, 1)
    poor.about = "another"
    run(poor, best)
    assert (poor.runs, best.runs) == (2, 1)
    run(poor, best, config=BenchmarkConfig(frames=COUNT, strengths=(MILD,), seed=1))
    assert (poor.runs, best.runs) == (3, 2)
    means = run(poor, best).means("mild", ["input", "best"])
    assert means["best"]["identity"] == 0 and means["best"]["unrest"] == 0
    assert means["input"]["identity"] > 0 and means["input"]["PSNR-Y"] < means["best"]["PSNR-Y"]
    assert means["best"]["to_reference"] == means["best"]["own_to_reference"]
    assert means["best"]["border_jump"] == 0
    assert len(run(best).found) == 1 and len(read_results(out).found) == 2  # the file keeps all


def test_a_run_that_was_stopped_goes_on(clip, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    poor, best = Counting("input"), Counting("best", truth=True)
    whole = face_benchmark.write_results

    def stops(results, path):
        whole(results, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(face_benchmark, "write_results", stops)
    with pytest.raises(KeyboardInterrupt):
        measure({"red": clip}, [poor, best], measures(), CONFIG, out)
    monkeypatch.setattr(face_benchmark, "write_results", whole)
    measure({"red": clip}, [poor, best], measures(), CONFIG, out)
    assert (poor.runs, best.runs) == (1, 1)


def test_sheets_are_of_what_was_measured(clip, tmp_path):
    sheets, out = FaceSheets(tmp_path / "sheets"), tmp_path / "out.json"
    method = Counting("input")
    results = measure({"red": clip}, [method], measures(), CONFIG, out, sheets=sheets)
    (path,) = sheets.make(list(results.figures("mild", ["input"])), "mild", ["input", "none"])
    picture = cv2.imread(str(path))
    assert picture.shape == (HEAD_PX + SHOWN * SIZE_PX, 3 * SIZE_PX, 3)
    measure({"red": clip}, [method], measures(), CONFIG, out, sheets=sheets)
    assert method.runs == 1
    another = FaceSheets(tmp_path / "others")  # which has no pictures yet
    measure({"red": clip}, [method], measures(), CONFIG, out, sheets=another)
    assert method.runs == 2 and another.has("red", "mild", "input")


def test_means_are_over_faces_that_every_method_has(clip, tmp_path):
    results = Results()
    assert results.means("mild", ["input"]) == {"input": {}}
    found = measure({"red": clip}, [Counting("input")], measures(), CONFIG, tmp_path / "o.json")
    assert found.means("mild", ["input", "other"]) == {"input": {}, "other": {}}
    assert found.get("red", "mild", "other") is None


def test_settings_and_files_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="frames must be 10 or more"):
        BenchmarkConfig(frames=5)
    with pytest.raises(ConfigError, match="seed must not be negative"):
        BenchmarkConfig(seed=-1)
    path = tmp_path / "results.json"
    write_results(Results(), path)
    assert read_results(path).found == []
    for text in ("{", json.dumps({"format": 0}), json.dumps({"format": 1, "measured": [{}]})):
        path.write_text(text)
        with pytest.raises(DamagedFileError, match="no results of the benchmark"):
            read_results(path)
