"""The ablation: every row trains, is scored, and is taken up again where it was left."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments.lab.benchmark.sets import Scorer, synthetic_pairs
from livemoments.lab.experiments.ablation import DESIGNS, ROWS, SAMPLERS, ablate, ablate_designs
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.run.config import TrainConfig, settings
from livemoments.lab.training.run.objective_config import ObjectiveConfig, Parts
from livemoments.lab.training.tasks import task_of
from livemoments.networks.compact_config import SECOND


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


SCORER = Scorer(SimpleNamespace(lpips=error, dists=error))


@pytest.fixture
def base(tmp_path) -> TrainConfig:
    threads = torch.get_num_threads()
    (tmp_path / "photographs").mkdir()
    yield TrainConfig(
        photographs=write_photographs(tmp_path / "photographs", [(260, 260)] * 3),
        output=tmp_path / "runs", batch=2, workers=0, threads=1, steps=1, precision="no",
        network=TINY, objective=ObjectiveConfig(perceptual=0.0, dists=0.0),
        pairs=PairConfig(
            crop=64, margin=16, scene=128, scenes=2, crops_per_scene=2, scenes_mixed=2
        ),
    )  # fmt: skip
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_every_row_is_trained_alike_and_scored(base):
    pairs = synthetic_pairs(base.photographs, 1, size=128)
    found = ablate(base, {"one scene": pairs}, SCORER)
    (rows,) = found.tables.values()
    assert list(rows)[0] == "the frame, enlarged"
    assert {*ROWS, *SAMPLERS} < {*rows} and "+ ReferenceNet, without PCR" in rows
    assert all(np.isfinite(list(vars(quality).values())).all() for quality in rows.values())
    assert len(found.lines()) == 3 + len(rows)
    scenes = list((base.output / "scenes").rglob("*.npz"))
    assert len(scenes) == 2  # made once, for all rows
    folders = [path.parent for path in base.output.glob("*/last.pt")]
    parts = [
        torch.load(path / "last.pt", weights_only=True)["config"]["objective"]["parts"]
        for path in folders
    ]
    stored = [ObjectiveConfig(parts=each) for each in ROWS.values()]
    stored = [replace(base, objective=each).to_dict()["objective"]["parts"] for each in stored]
    assert len(parts) == len(ROWS) and all(each in parts for each in stored)
    again = ablate(replace(base, steps=1), {"one scene": pairs}, SCORER)
    assert again == found


@pytest.mark.slow
def test_designs_are_trained_on_from_one_model_and_scored_alone_too(base):
    first = task_of(replace(base, output=base.output / "first"))
    start = base.output / "first.pt"
    base.output.mkdir()
    first.new_run().save(start, first.config)
    designs = {"windows": {}, "none": {"network": replace(TINY, branch="none")}}
    pairs = synthetic_pairs(base.photographs, 1, size=128)
    base = replace(base, start=start)
    found = ablate_designs(base, {"one scene": pairs}, SCORER, designs=designs)
    (rows,) = found.tables.values()
    assert list(rows) == ["the frame, enlarged", "windows", "windows, alone", "none", "none, alone"]
    # Both begin with layers that are zero, so after one step they have hardly moved apart.
    assert rows["windows"] != rows["windows, alone"]


def test_designs_end_in_the_one_that_is_trained():
    usual = settings("compact", preset="live-photo", photographs=Path("p"), output=Path("o"))
    last = list(DESIGNS.values())[-1]
    assert usual.network == last["network"] == SECOND
    assert usual.objective == last.get("objective", ObjectiveConfig())


def test_the_rows_differ_in_their_parts_and_end_in_the_whole():
    assert len(set(ROWS.values())) == len(ROWS)
    assert list(ROWS.values())[-1] == Parts()
    assert not list(ROWS.values())[0].reference
