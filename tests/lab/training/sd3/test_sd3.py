"""The sd3 tier in training: its objective, its runs, and that it learns."""

import json
import shutil
from dataclasses import replace

import pytest
from support.pictures import write_photographs
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")

from support.tiny.run import take_step
from support.tiny.sd3 import TRANSFORMER, tiny_parts, write_tiny

from livemoments import bridge, cli
from livemoments.errors import ConfigError, WeightsError
from livemoments.lab.training import loop
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.export import export
from livemoments.lab.training.loop import train
from livemoments.lab.training.run.config import Sd3TrainConfig, TrainConfig, settings
from livemoments.lab.training.run.objective_config import EARLIEST
from livemoments.lab.training.sd3.task import Sd3Task, mark_trained
from livemoments.lab.training.sd3.velocity import VelocityObjective, drawn, sample
from livemoments.models.sd3.config import Sd3Config
from livemoments.models.sd3.weights import load_sd3
from livemoments.networks.compact_config import SECOND
from livemoments.networks.motion_encoder import MotionEncoder, MotionEncoderConfig
from livemoments.networks.sd3 import DualBranch, make_transformer

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = PairConfig(
    crop=64, margin=0, scene=128, scenes=4, crops_per_scene=2, scenes_mixed=2, trembling=0.0
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"), [(260, 260)] * 3)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    write_tiny(folder)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Scenes and latents, made once for every run of these tests."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def config(photographs, weights, kept, tmp_path) -> TrainConfig:
    return TrainConfig(
        model="sd3", photographs=photographs, output=tmp_path / "run", cache=kept, batch=2,
        workers=0, threads=1, warm_up_steps=1, learning_rate=1e-3, schedule="constant", ema=0.0,
        checkpoint_every_s=-1.0, pairs=PAIRS, validate_every=0, precision="no",
        sd3=Sd3TrainConfig(weights=weights, base=weights),
    )  # fmt: skip


def made_up(count: int = 4, cells: int = 8, size: float = 1.0) -> dict[str, torch.Tensor]:
    """Latents whose key is the truth moved by two cells, and the flow that says so."""
    generator = torch.Generator().manual_seed(0)
    truth = size * torch.randn(count, 16, cells, cells, generator=generator)
    flow = torch.zeros(count, 2, 8 * cells, 8 * cells)
    flow[:, 0] = -16
    return {
        "truth": truth,
        "frame": torch.nn.functional.avg_pool2d(truth, 3, 1, 1),
        "key": truth.roll(2, 3),
        "flow": flow,
        "draw": torch.arange(count),
    }


def trained(config: TrainConfig) -> dict:
    return torch.load(train(config), weights_only=True)


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert not [name for name in first if not torch.equal(first[name], second[name])]


# The objective


def test_draws_follow_from_the_crops_seed_alone():
    like = torch.zeros(3, 16, 4, 4)
    three, one = drawn(torch.tensor([5, 6, 7]), like, 0.5), drawn(torch.tensor([6]), like[:1], 0.5)
    assert torch.equal(three.noise[1:2], one.noise)
    assert three.t[1] == one.t[0] and three.gone[1] == one.gone[0]


def test_times_are_uniform_and_references_go_as_often_as_asked():
    draws = drawn(torch.arange(4000), torch.zeros(4000, 1, 1, 1), 0.1)
    assert EARLIEST <= draws.t.min() < 0.004 and 0.199 < draws.t.max() <= bridge.HORIZON
    assert draws.t.mean() == pytest.approx((EARLIEST + bridge.HORIZON) / 2, rel=0.02)
    assert draws.gone.float().mean() == pytest.approx(0.1, abs=0.02)


class Oracle(torch.nn.Module):
    """In the dual branch's place: remembers what it is given, and says what it is told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, z, key, flow, prompt, t):
        self.seen = z, key, flow, t
        return self.answer


def test_the_loss_is_the_squared_error_of_the_bridges_velocity():
    batch, prompt = made_up(), tiny_parts(0).prompt
    draws = drawn(batch["draw"], batch["truth"], 0.0)
    t = draws.t.view(-1, 1, 1, 1)
    wanted = bridge.velocity(batch["truth"], batch["frame"], draws.noise, t)
    found = VelocityObjective(Oracle(wanted + 2), prompt, 0.0)(batch, 0, False)
    assert float(found.total) == float(found.velocity) == pytest.approx(4.0, rel=1e-5)
    # Along the path, the velocity is its derivative.
    z = [bridge.bridge_point(batch["truth"], batch["frame"], draws.noise, t + d) for d in (0, 1e-3)]
    torch.testing.assert_close((z[1] - z[0]) / 1e-3, wanted, atol=0.1, rtol=0.02)


def test_without_a_reference_the_frame_stands_in_and_nothing_moves():
    batch, prompt = made_up(), tiny_parts(0).prompt
    for share in (0.0, 1.0):
        oracle = Oracle(torch.zeros_like(batch["truth"]))
        VelocityObjective(oracle, prompt, share)(batch, 0, False)
        _, key, flow, _ = oracle.seen
        assert torch.equal(key, batch["frame" if share else "key"])
        assert bool(flow.any()) is (share == 0.0)


def test_image_branches_and_motion_get_gradients_and_nothing_else_does():
    parts = tiny_parts(0)
    learned = mark_trained(parts.dual, Sd3TrainConfig())
    for block in parts.dual.restoration.transformer_blocks:
        torch.nn.init.normal_(block.attn.processor.point_proj.weight)
    VelocityObjective(parts.dual, parts.prompt, 0.0)(made_up(), 0, False).total.backward()
    assert all(p.grad is not None and p.grad.any() for p in learned)
    others = {id(p) for p in parts.dual.parameters()} - {id(p) for p in learned}
    assert others and all(p.grad is None for p in parts.dual.parameters() if id(p) in others)


def wide_enough() -> DualBranch:
    """Tokens of the tiny one hold less than a patch of latents: it could not restore them."""
    values = TRANSFORMER | {
        "num_layers": 2, "num_attention_heads": 8, "attention_head_dim": 16,
        "caption_projection_dim": 128,
    }  # fmt: skip
    torch.manual_seed(0)
    return DualBranch(
        make_transformer(values, guided=True),
        make_transformer(values, guided=False),
        MotionEncoder(MotionEncoderConfig(channels=(4, 8, 32, 128), embeddings=1)),
    )


@pytest.mark.slow
def test_four_pairs_are_learned_and_restored():
    """The loss falls to less than a tenth, and the official sampler leads to the truths."""
    dual, prompt = wide_enough(), tiny_parts(0).prompt
    batch, steps = made_up(4, cells=4, size=2.0), 120  # of such a size that the noise is small
    learned = mark_trained(dual, Sd3TrainConfig())
    objective = VelocityObjective(dual, prompt, 0.0)

    def loss_at(step: int) -> torch.Tensor:
        return objective(dict(batch, draw=torch.arange(4) + 4 * step), 0, False).total

    def mean_loss() -> float:
        with torch.no_grad():
            return float(torch.stack([loss_at(10**9 + i) for i in range(10)]).mean())

    before = mean_loss()
    optimiser = torch.optim.AdamW(learned, lr=6e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 6e-3 * min(1, 2 * (1 - step / steps))
        optimiser.zero_grad()
        loss_at(step).backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
    assert mean_loss() < before / 10
    restored = sample(dual, prompt, batch, steps=6)
    left, lost = ((z - batch["truth"]).square().mean() for z in (restored, batch["frame"]))
    assert left < lost / 20


# Runs


def test_three_steps_and_three_more_equal_six_bit_for_bit(config, tmp_path):
    config = replace(config, steps=6)
    whole = trained(replace(config, output=tmp_path / "whole"))
    seen = []

    def stop(*said) -> None:
        seen.append(said)
        if len([one for one in seen if one[0] == "training"]) > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, progress=stop)
    assert torch.load(config.last, weights_only=True)["position"]["step"] == 3
    resumed = trained(config)
    assert resumed["position"]["step"] == whole["position"]["step"] == 6
    assert_same(whole["model"], resumed["model"])
    moments = (state["optimiser"]["state"] for state in (whole, resumed))
    for first, second in zip(*(each.values() for each in moments), strict=True):
        assert torch.equal(first["exp_avg"], second["exp_avg"])


def test_a_checkpoint_holds_what_is_trained_and_where_it_began(config, weights):
    state = trained(replace(config, steps=1))
    dual = tiny_parts(0).dual
    assert set(state["model"]) == {name for name, _ in dual.trained()}
    assert len(state["optimiser"]["state"]) == len(state["model"])
    assert state["average"] is None
    assert state["config"]["sd3"]["weights"] == str(weights)


@pytest.mark.slow
def test_a_batch_in_parts_trains_alike(config):
    for precise in (False, True):
        runs = []
        for parts in (1, 2):
            asked = replace(
                config, sd3=replace(config.sd3, accumulate=parts, checkpointing=precise)
            )
            task = Sd3Task(asked)
            run = task.new_run()
            batch = made_up(2)
            for _ in range(2):
                found = take_step(task, run, batch)
            runs.append((run, found))
        assert runs[0][1]["total"] == pytest.approx(runs[1][1]["total"], rel=1e-4)
        for one, other in zip(*(run.parameters() for run, _ in runs), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_memory_may_be_spared_in_a_resumed_run_and_nothing_else_change(config):
    trained(replace(config, steps=1))
    spared = replace(config.sd3, accumulate=2, checkpointing=True)
    assert trained(replace(config, steps=2, sd3=spared))["position"]["step"] == 2
    with pytest.raises(ConfigError, match="another sd3"):
        train(replace(config, steps=3, sd3=replace(config.sd3, no_reference=0.5)))


@pytest.mark.slow
def test_validation_keeps_the_best_weights_and_draws_a_board(config):
    train(replace(config, steps=2, validate_every=1))
    best = torch.load(config.output / "best.pt", weights_only=True)
    assert best["position"]["best"] > 0
    assert next((config.output / "board").glob("events*")).stat().st_size > 10_000


def test_an_average_is_kept_where_asked_for(config):
    state = trained(replace(config, steps=3, ema=0.9))
    assert state["average"].keys() == state["model"].keys()
    name = "restoration.proj_out.weight"
    assert not torch.equal(state["average"][name], state["model"][name])


@pytest.mark.slow
def test_a_run_may_begin_with_sd3_alone(config, weights, tmp_path):
    """Both branches are then SD3's transformer, and motion is said nothing of."""
    base = tmp_path / "base"
    shutil.copytree(weights, base)
    shutil.rmtree(base / "transformer")
    shutil.move(base / "transformer_ref", base / "transformer")
    (base / "motion_encoder.safetensors").unlink()
    task = Sd3Task(replace(config, sd3=Sd3TrainConfig(base=base)))
    dual = task.parts.dual
    for block in dual.restoration.transformer_blocks:
        assert not block.attn.processor.point_proj.weight.any()
    one, other = (net.state_dict() for net in (dual.restoration, dual.reference))
    assert_same(other, {name: one[name] for name in other})
    for file in base.glob("*prompt*"):
        file.unlink()
    with pytest.raises(WeightsError, match="embed-prompt"):
        Sd3Task(replace(config, sd3=Sd3TrainConfig(base=base)))


def test_the_plan_counts_what_is_trained(config):
    found = loop.plan(config)
    dual = tiny_parts(0).dual
    assert found["trained"] == sum(p.numel() for _, p in dual.trained())
    assert found["trained"] + found["frozen"] == sum(found["parameters"].values())
    assert set(found["parameters"]) == {"restoration", "reference", "motion_encoder"}


def test_the_command_line_plans_the_tier_with_its_usual_settings(photographs, weights, tmp_path):
    asked = ["train", "--model", "sd3", "--dry-run", "--precision", "no", "--accumulate", "4"]
    asked += ["--photographs", photographs, "-o", tmp_path, "--weights", weights, "--base", weights]
    result = CliRunner().invoke(cli.app, [str(word) for word in [*asked, "--crop", 512]])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    settings = found["config"]
    assert (settings["learning_rate"], settings["schedule"], settings["batch"]) == (
        5e-5, "constant", 8
    )  # fmt: skip
    assert (settings["pairs"]["crop"], settings["pairs"]["scene"]) == (512, 768)
    assert settings["sd3"]["accumulate"] == 4 and found["trained"] < found["frozen"] * 10
    asked[2] = "compact"
    result = CliRunner().invoke(cli.app, [str(word) for word in asked])
    assert result.exit_code == 1 and "are settings of the model sd3 alone" in result.stderr


# What becomes of it


@pytest.mark.slow
def test_an_exported_run_is_what_was_trained(config, tmp_path):
    config = replace(config, steps=2)
    state = trained(config)
    files = export(config.last, tmp_path / "model")
    assert {"transformer", "transformer_ref", "vae"} <= {file.parent.name for file in files}
    loaded = load_sd3(Sd3Config(weights=tmp_path / "model"), torch.float32)
    found = loaded.dual.state_dict()
    for name, weight in state["model"].items():
        torch.testing.assert_close(found[name], weight, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_what_does_not_fit_where_it_began_is_not_exported(config, tmp_path):
    path = train(replace(config, steps=1))
    state = torch.load(path, weights_only=True)
    state["model"].pop("restoration.proj_out.weight")
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"last\.pt: does not fit what it began with"):
        export(path, tmp_path / "model")


# Settings


def test_usual_settings_are_the_papers_unless_given(tmp_path):
    usual = settings("sd3", preset="live-photo", output=tmp_path, photographs=tmp_path)
    assert (usual.learning_rate, usual.batch, usual.pairs.crop) == (5e-5, 8, 1024)
    assert usual.schedule == "constant" and usual.ema == 0
    given = settings(
        "sd3", preset="seesr", output=tmp_path, photographs=tmp_path, batch=4, learning_rate=None
    )
    assert (given.batch, given.learning_rate, given.pairs.preset) == (4, 5e-5, "seesr")
    compact = settings("compact", preset="live-photo", output=tmp_path, photographs=tmp_path)
    assert compact == TrainConfig(output=tmp_path, photographs=tmp_path, network=SECOND)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "sdxl"}, "model must be one of compact, sd3"),
        ({"pairs": replace(PAIRS, margin=16)}, "margin must be 0"),
        ({"sd3": Sd3TrainConfig(accumulate=3)}, "batch must be a multiple of accumulate=3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(config, change, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **change)


@pytest.mark.parametrize("given", [{"lora": -1}, {"accumulate": 0}, {"no_reference": 1.5}])
def test_impossible_settings_of_the_tier_are_refused(given):
    with pytest.raises(ConfigError, match=next(iter(given))):
        Sd3TrainConfig(**given)
