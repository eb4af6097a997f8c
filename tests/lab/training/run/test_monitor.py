"""What a run reports while it goes: lines, and files of its averaged weights."""

import logging
import os
import re

import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.run import tiny_config

from livemoments.lab.training.compact.export import load_average
from livemoments.lab.training.loop import train
from livemoments.lab.training.run import monitor
from livemoments.lab.training.run.config import USUAL
from livemoments.lab.training.tasks import task_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"), [(260, 260)] * 3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.mark.slow
def test_it_logs_losses_pace_and_files_in_lines(folder, kept, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(monitor, "LINE_EVERY", 2)
    config = tiny_config(folder, tmp_path / "run", cache=kept, steps=3, validate_every=3)
    with caplog.at_level(logging.INFO, "livemoments"):
        train(config)
    losses, validation, best, last = caplog.messages
    assert re.fullmatch(r"step 2, \d\.\d min, \d+\.\d steps/s: total \d\.\d{4} pixel .*", losses)
    assert re.fullmatch(r"step 3, validation: \d+\.\d{4}", validation)
    assert (best, last) == ("step 3, best.pt written", "step 3, last.pt written")


def test_it_logs_where_its_finish_began(folder, kept, tmp_path, caplog):
    config = tiny_config(folder, tmp_path / "run", cache=kept, finish=2)
    with caplog.at_level(logging.INFO, "livemoments"):
        train(config)
    assert caplog.messages[0] == "step 0, the rate falls from step 0 to the end at 2"


@pytest.mark.slow
def test_the_newest_averages_are_kept(folder, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(monitor, "SNAPSHOTS", 2)
    config = tiny_config(folder, tmp_path / "run", cache=kept, steps=7, snapshot_every=2)
    config.output.mkdir()
    earlier = config.output / "average-000099000.pt"  # of a run that this one takes the place of
    earlier.write_bytes(b"old")
    os.utime(earlier, (1, 1))
    train(config)
    found = sorted(path.name for path in config.output.glob("average-*"))
    assert found == ["average-000000004.pt", "average-000000006.pt"]


@pytest.mark.slow
def test_an_average_can_be_exported_and_begun_with(folder, kept, tmp_path):
    config = tiny_config(folder, tmp_path / "run", cache=kept, steps=2, snapshot_every=2)
    last = torch.load(train(config), weights_only=True)
    path = config.output / "average-000000002.pt"
    assert set(torch.load(path, weights_only=True)) == {"average", "position", "config"}
    model, about = load_average(path)
    assert about["step"] == 2
    begun = task_of(tiny_config(folder, tmp_path / "next", start=path, seed=4)).new_run()
    for name, weight in last["average"].items():
        assert torch.equal(model.state_dict()[name], weight)
        assert torch.equal(begun.model.state_dict()[name], weight)


def test_without_an_average_or_asked_for_none_no_file_is_written(folder, kept, tmp_path):
    train(tiny_config(folder, tmp_path / "run", cache=kept, steps=2, snapshot_every=0))
    assert not list((tmp_path / "run").glob("average-*"))
    assert USUAL["sd3"]["ema"] == 0
