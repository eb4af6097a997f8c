"""One run in two processes: it learns what one process with their batches together would."""

from dataclasses import replace

import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")

from support.processes import train_in_processes
from support.tiny.sd3 import write_tiny

from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.loop import train
from livemoments.lab.training.run.config import Sd3TrainConfig, TrainConfig

PAIRS = PairConfig(
    crop=64, margin=0, scene=128, scenes=4, crops_per_scene=2, scenes_mixed=2, trembling=0.0
)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> TrainConfig:
    """Of one process, with a batch of 4."""
    folder = tmp_path_factory.mktemp("spread")
    (folder / "photographs").mkdir()
    write_photographs(folder / "photographs", [(260, 260)] * 3)
    write_tiny(folder / "weights")
    weights = folder / "weights"
    return TrainConfig(
        model="sd3", photographs=folder / "photographs", output=folder / "one",
        cache=folder / "kept", batch=4, steps=2, workers=0, threads=1, warm_up_steps=1,
        learning_rate=1e-3, schedule="constant", ema=0.0, pairs=PAIRS, validate_every=0,
        precision="no", sd3=Sd3TrainConfig(weights=weights, base=weights),
    )  # fmt: skip


@pytest.fixture(scope="module")
def alone(config) -> dict:
    return torch.load(train(config), weights_only=True)["model"]


def in_two(config: TrainConfig, name: str) -> TrainConfig:
    """The same, with half the batch in each of two processes, cut in parts to spare memory."""
    spared = replace(config.sd3, accumulate=2, checkpointing=True)
    return replace(config, batch=2, output=config.output / name, sd3=spared)


def assert_close(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_with_both_batches(config, alone):
    one, other = train_in_processes(in_two(config, "copies"))
    assert not one["sharded"]
    assert_close(one["model"], alone)
    assert all(torch.equal(weight, other["model"][name]) for name, weight in one["model"].items())


@pytest.mark.slow
def test_shards_of_the_weights_train_as_one_and_resume(config, alone):
    """FSDP; validation and saving need both processes, and what is saved is whole."""
    two = replace(in_two(config, "shards"), validate_every=2)
    train_in_processes(replace(two, steps=1), shards=True)
    assert torch.load(two.last, weights_only=True)["position"]["step"] == 1
    one, other = train_in_processes(two, shards=True)
    assert one["sharded"] and other["sharded"]
    assert_close(one["model"], alone)
    assert_close(torch.load(two.last, weights_only=True)["model"], alone)
    assert (two.output / "best.pt").exists()
