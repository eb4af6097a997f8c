"""Adapters: they change nothing at first, learn alone, and disappear into the weights."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")
pytest.importorskip("peft", reason="the sd3 extra is not installed")

from support.tiny.run import take_step
from support.tiny.sd3 import tiny_parts, write_tiny

from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.export import export
from livemoments.lab.training.run.config import Sd3TrainConfig, TrainConfig
from livemoments.lab.training.sd3.lora import TARGETS, add_lora, merge_lora
from livemoments.lab.training.sd3.task import Sd3Task, mark_trained
from livemoments.lab.training.sd3.velocity import VelocityObjective
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.weights import load_sd3

LORA = Sd3TrainConfig(lora=3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def config(tmp_path) -> TrainConfig:
    write_tiny(tmp_path / "tiny")
    begin = replace(LORA, weights=tmp_path / "tiny", base=tmp_path / "tiny")
    return TrainConfig(
        model="sd3", photographs=tmp_path, output=tmp_path, batch=2, warm_up_steps=1,
        learning_rate=1e-2, schedule="constant", ema=0.0, precision="no", sd3=begin,
        pairs=PairConfig(margin=0),
    )  # fmt: skip


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth, frame, key = torch.randn(3, 2, 16, 8, 8, generator=generator)
    flow = 3 * torch.randn(2, 2, 64, 64, generator=generator)
    return {"truth": truth, "frame": frame, "key": key, "flow": flow, "draw": torch.arange(2)}


def velocity(parts) -> torch.Tensor:
    given = batch()
    z = given["truth"]
    with torch.no_grad():
        return parts.dual(z, given["key"], given["flow"], parts.prompt, torch.tensor([0.1, 0.2]))


def test_new_adapters_change_nothing_and_only_they_and_motion_learn():
    parts = tiny_parts(0)
    before = velocity(parts)
    add_lora(parts.dual, 3)
    torch.testing.assert_close(velocity(parts), before)
    learned = {id(p) for p in mark_trained(parts.dual, LORA)}
    names = [name for name, p in parts.dual.named_parameters() if id(p) in learned]
    assert all(".lora_" in n or "motion_encoder." in n or "point_proj" in n for n in names)
    blocks = parts.dual.restoration.transformer_blocks
    # ReferenceNet's last block hands over keys and values, and nothing follows them.
    adapted = len(TARGETS) * len(blocks) + len(TARGETS) * (len(blocks) - 1) + 2
    assert sum(".lora_A" in name for name in names) == adapted
    assert not any("ff_context" in name or "add_" in name for name in names)


def test_every_adapter_gets_a_gradient(config):
    """None is left out, as copies of a run in several processes would wait for it for ever."""
    task = Sd3Task(config)
    run = task.new_run()
    for _ in range(2):  # at first the second matrix of each is zero, and the first gets nothing
        take_step(task, run, batch())
    assert all(p.grad is not None and p.grad.any() for p in run.parameters())


def test_merged_adapters_are_the_adapted_model(config):
    task = Sd3Task(config)
    run = task.new_run()
    for _ in range(3):
        take_step(task, run, batch())
    names = set(dict(tiny_parts(0).dual.named_parameters()))
    before = velocity(task.parts)
    merge_lora(task.parts.dual)
    torch.testing.assert_close(velocity(task.parts), before, atol=1e-5, rtol=1e-4)
    assert set(dict(task.parts.dual.named_parameters())) == names


@pytest.mark.slow
def test_a_checkpoint_is_small_resumes_and_is_exported_merged(config, tmp_path):
    task = Sd3Task(config)
    run = task.new_run()
    for _ in range(3):
        take_step(task, run, batch())
    run.save(config.last, config)
    state = torch.load(config.last, weights_only=True)
    assert not any("base_layer" in name for name in state["model"])
    resumed = Sd3Task(config)
    again = resumed.new_run()
    again.load(config.last, config)
    assert again.step == 3
    assert torch.equal(velocity(resumed.parts), velocity(task.parts))
    export(config.last, tmp_path / "model")
    loaded = load_sd3(Sd3Config(weights=tmp_path / "model"), torch.float32)
    torch.testing.assert_close(velocity(loaded), velocity(task.parts), atol=0.02, rtol=0.02)


@pytest.mark.slow
def test_frozen_weights_are_kept_in_half_precision(config):
    task = Sd3Task(replace(config, precision="bf16"))
    run = task.new_run()
    kinds = {True: set(), False: set()}
    for parameter in run.model.parameters():
        kinds[parameter.requires_grad].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}
    objective = VelocityObjective(run.model, task.parts.prompt, 0.0)
    found = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = objective(batch(), 0, False).total
        assert loss.dtype == torch.float32
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < found[0]
