"""One training run: it starts, stops, saves, and goes on as if nothing had happened."""

import copy
from dataclasses import replace
from itertools import islice

import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY
from support.tiny.run import take_step, tiny_config

from livemoments.errors import ConfigError, MissingFileError, WeightsError
from livemoments.lab.training import loop
from livemoments.lab.training.compact import task as compact_task
from livemoments.lab.training.compact.objective import compact_losses
from livemoments.lab.training.compact.task import CompactTask
from livemoments.lab.training.compact.validate import Validation
from livemoments.lab.training.data.pairs import PairConfig, PairStream
from livemoments.lab.training.data.scenes import PhotoScenes, SceneStore, photographs
from livemoments.lab.training.loop import train
from livemoments.lab.training.run.checkpoint import Run
from livemoments.lab.training.run.config import TrainConfig
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.lab.training.run.task import Score
from livemoments.lab.training.tasks import task_of
from livemoments.networks.blocks import LATENT

PAIRS = PairConfig(crop=64, margin=16, scene=128, scenes=5, crops_per_scene=2, scenes_mixed=2)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photographs"), [(260, 260)] * 3)


@pytest.fixture
def config(folder, kept, tmp_path) -> TrainConfig:
    return tiny_config(
        folder, tmp_path / "run", cache=kept.folder.parents[1], pairs=PAIRS, warm_up_steps=3,
        checkpoint_every_s=-1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def kept(folder, tmp_path_factory):
    """Scenes made once, for every run of these tests."""
    maker = PhotoScenes(photographs(folder), PAIRS.scene)
    store = SceneStore(tmp_path_factory.mktemp("kept") / "scenes", maker, seed=0)
    store.prepare(PAIRS.scenes, 1)
    return store


@pytest.fixture(scope="module")
def batches(kept) -> list[dict]:
    return list(islice(PairStream(kept, PAIRS, batch=2), 8))


def assert_same_weights(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def stop_after(steps: int):
    """A progress that cancels in the step after so many: their checkpoint is written by then."""
    seen = []

    def progress(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total))
        if len(seen) > steps:
            raise KeyboardInterrupt

    return progress


def cancelled(config: TrainConfig, steps: int) -> dict:
    with pytest.raises(KeyboardInterrupt):
        train(config, progress=stop_after(steps))
    return torch.load(config.output / "last.pt", weights_only=True)


def trained(config: TrainConfig) -> dict:
    return torch.load(train(config), weights_only=True)


# Steps, saving, loading


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config, batches, tmp_path):
    task = task_of(config)
    whole = task.new_run()
    for batch in batches[:4]:
        take_step(task, whole, batch)
    first = task.new_run()
    for batch in batches[:2]:
        take_step(task, first, batch)
    first.save(tmp_path / "half.pt", config)
    second = task_of(replace(config, seed=99)).new_run()  # nothing of this start may be left
    second.load(tmp_path / "half.pt", config)
    assert second.step == 2
    for batch in batches[2:4]:
        take_step(task, second, batch)
    assert_same_weights(whole.model.state_dict(), second.model.state_dict())
    assert_same_weights(whole.average.state_dict(), second.average.state_dict())


def test_three_steps_and_three_more_equal_six_bit_for_bit(config, tmp_path):
    """The whole of train(), stopped within the second of three groups of mixed scenes."""
    config = replace(config, steps=6)
    whole = trained(replace(config, output=tmp_path / "whole"))
    assert cancelled(config, 3)["position"]["step"] == 3
    resumed = trained(config)
    assert resumed["position"]["step"] == whole["position"]["step"] == 6
    for name in ("model", "average"):
        assert_same_weights(whole[name], resumed[name])
    moments = (state["optimiser"]["state"] for state in (whole, resumed))
    for first, second in zip(*(each.values() for each in moments), strict=True):
        assert torch.equal(first["exp_avg"], second["exp_avg"])


@pytest.mark.slow
def test_not_resuming_starts_anew(config):
    first = trained(replace(config, steps=2))
    again = trained(replace(config, steps=2, resume=False))
    assert again["position"]["step"] == 2
    assert_same_weights(first["model"], again["model"])


def test_training_ends_when_its_minutes_are_used_up(config):
    seen = []
    path = train(replace(config, minutes=1e-6), progress=lambda *step: seen.append(step))
    assert path == config.output / "last.pt" and path.exists() and len(seen) == 1
    assert not list(config.output.glob("*.tmp"))


@pytest.mark.slow
def test_training_ends_after_its_steps_and_does_nothing_more_when_run_again(config):
    seen = []
    config = replace(config, steps=3, minutes=1e-6)  # the minutes do not count
    path = train(config, progress=lambda *step: seen.append(step))
    assert seen == [("training", 333, 1000), ("training", 666, 1000), ("training", 1000, 1000)]
    before = torch.load(path, weights_only=True)
    train(config)
    assert_same_weights(before["model"], torch.load(path, weights_only=True)["model"])


def test_a_checkpoint_holds_plain_values(config, batches):
    task = task_of(config)
    run = task.new_run()
    take_step(task, run, batches[0])
    config.output.mkdir()
    run.save(config.last, config)
    state = torch.load(config.last, weights_only=True)
    assert state["position"] == {
        "step": 1, "minutes": 0.0, "best": None, "scenes": "", "finish_from": None,
    }  # fmt: skip
    assert state["config"]["network"]["channels"] == [16, 24, 32]
    assert state["config"]["photographs"] == str(config.photographs)


def test_a_step_repeats_by_its_seed_and_moves_the_weights(config, batches):
    tasks = [task_of(each) for each in (config, config, replace(config, seed=1))]
    runs = [task.new_run() for task in tasks]
    before = copy.deepcopy(runs[0].model.state_dict())
    assert_same_weights(before, runs[1].model.state_dict())
    found = [take_step(t, r, batches[0]) for t, r in zip(tasks, runs, strict=True)]
    assert found[0] == found[1] != found[2]
    assert {"total", "pixel", "frequency", "perceptual", "flow", "trust"} < set(found[0])
    assert_same_weights(runs[0].model.state_dict(), runs[1].model.state_dict())
    assert any(not torch.equal(before[k], v) for k, v in runs[0].model.state_dict().items())


def test_the_average_follows_the_model(config, batches):
    task = task_of(config)
    run = task.new_run()
    before = run.average.state_dict()["refiner.enter.weight"].clone()
    for batch in batches[:3]:
        take_step(task, run, batch)
    now, average = (m.state_dict()["refiner.enter.weight"] for m in (run.model, run.average))
    assert 0 < (average - now).abs().mean() < (before - now).abs().mean()
    assert not any(p.requires_grad for p in run.average.parameters())


# The learning rate


def test_the_rate_warms_up_stays_and_falls(config):
    config = replace(config, minutes=10.0, learning_rate=1e-3, warm_up_steps=100, decay_share=0.4)
    assert config.learning_rate_at(0, 0) == pytest.approx(1e-5)
    assert config.learning_rate_at(49, 0.1) == pytest.approx(5e-4)
    assert (
        config.learning_rate_at(100, 1) == config.learning_rate_at(9999, 6) == pytest.approx(1e-3)
    )
    assert config.learning_rate_at(9999, 8) == pytest.approx(0.505e-3)
    assert (
        config.learning_rate_at(9999, 10)
        == config.learning_rate_at(9999, 99)
        == pytest.approx(1e-5)
    )
    rates = [config.learning_rate_at(9999, 6 + i / 10) for i in range(41)]
    assert all(a >= b for a, b in zip(rates, rates[1:], strict=False))


def test_with_steps_the_rate_follows_them_and_not_the_clock(config):
    config = replace(config, steps=100, minutes=1.0, warm_up_steps=1, decay_share=0.4)
    rate = config.learning_rate
    assert config.learning_rate_at(60, 99.0) == pytest.approx(rate)
    assert config.learning_rate_at(80, 0.0) == pytest.approx(0.505 * rate)
    assert config.learning_rate_at(100, 0.0) == pytest.approx(0.01 * rate)


# Errors


def test_a_folder_without_photographs_is_named(config, tmp_path):
    with pytest.raises(MissingFileError, match="nothing"):
        train(replace(config, photographs=tmp_path / "nothing"))


def assert_not_loaded(run: Run, path, config: TrainConfig) -> None:
    with pytest.raises(WeightsError) as caught:
        run.load(path, config)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkpoint_of_another_network_is_refused(config, tmp_path):
    task_of(config).new_run().save(tmp_path / "last.pt", config)
    other = task_of(replace(config, network=replace(TINY, channels=(16, 16, 16)))).new_run()
    assert_not_loaded(other, tmp_path / "last.pt", config)


def test_a_damaged_checkpoint_is_refused(config, tmp_path):
    path, run = tmp_path / "last.pt", task_of(config).new_run()
    run.save(path, config)
    for content in (b"", b"no checkpoint at all", b"PK\x03\x04 broken", path.read_bytes()[:5000]):
        path.write_bytes(content)
        assert_not_loaded(run, path, config)


class Judge(torch.nn.Module):
    """In VGG16's place: remembers what it was shown."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.seen = weights, []

    def forward(self, restored, truth):
        self.seen.append(tuple(restored.shape))
        return (restored - truth).abs().mean(), (restored - truth).square().mean()


@pytest.fixture
def judges(monkeypatch) -> list[Judge]:
    made = []

    def make(weights):
        made.append(Judge(weights))
        return made[-1]

    monkeypatch.setattr(compact_task, "fetch_vgg16", lambda folder: folder / "vgg16.ckpt")
    monkeypatch.setattr(compact_task, "Perceptual", make)
    return made


@pytest.mark.slow
def test_the_perceptual_terms_set_in_late(config, judges):
    objective = ObjectiveConfig(perceptual=0.1, perceptual_px=32, perceptual_crops=1)
    train(replace(config, steps=4, perceptual_from=0.5, objective=objective))
    (judge,) = judges
    assert judge.weights == config.cache_folder / "vgg16.ckpt"
    assert judge.seen == [(1, 3, 32, 32)] * 2  # the last two steps of four


@pytest.mark.slow
def test_a_process_of_its_own_cuts_the_crops(config):
    """Also in a process that has used its threads before: there a forked one waits for ever."""
    torch.set_num_threads(2)
    torch.randn(400, 400) @ torch.randn(400, 400)
    alone = trained(replace(config, steps=2))
    helped = trained(replace(config, steps=2, workers=1, output=config.output / "helped"))
    assert_same_weights(alone["model"], helped["model"])


# Watching


@pytest.mark.slow
def test_validation_keeps_the_best_weights_and_draws_a_board(config):
    train(replace(config, steps=4, validate_every=2))
    last, best = (
        torch.load(config.output / f"{n}.pt", weights_only=True) for n in ("last", "best")
    )
    assert last["position"]["best"] == pytest.approx(best["position"]["best"])
    events = list((config.output / "board").glob("events*"))
    assert events and events[0].stat().st_size > 10_000  # with a picture


def scored(monkeypatch, *totals: float) -> None:
    """Let validation find these losses, one after the other."""
    left = list(totals)
    monkeypatch.setattr(
        CompactTask, "validation", lambda *_: lambda *_: Score({"total": left.pop(0)}, None)
    )


@pytest.mark.parametrize(
    ("totals", "best"),
    [
        ((float("nan"), 5.0, 4.0), 3),
        pytest.param((3.0, 1.0, 2.0), 2, marks=pytest.mark.slow),
        pytest.param((1.0, 2.0, 3.0), 1, marks=pytest.mark.slow),
    ],
)
def test_the_best_weights_are_those_of_the_lowest_finite_loss(config, monkeypatch, totals, best):
    """In one run, and where it is resumed between."""
    scored(monkeypatch, *totals)
    train(replace(config, steps=1, validate_every=1))
    train(replace(config, steps=3, validate_every=1))
    state = torch.load(config.output / "best.pt", weights_only=True)
    assert state["position"]["step"] == best


@pytest.mark.slow
def test_the_validation_loss_repeats_and_is_of_the_weights(config, kept):
    run = task_of(config).new_run()
    validation = Validation(kept, PAIRS)
    first, again = (validation.loss(run.average, config.objective, None) for _ in range(2))
    assert first == again and first["perceptual"] == 0
    with torch.no_grad():
        run.average.restoration.out.bias[:LATENT] += 20
    assert validation.loss(run.average, config.objective, None)["total"] > first["total"]
    picture = validation.picture(run.average, config.objective)
    assert picture.shape == (3, 4 * 64, 4 * 64)


# Resuming as something else


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_settings(config, tmp_path):
    train(replace(config, steps=1))
    for change, message in (
        ({"seed": 7}, "another seed (0, now 7)"),
        ({"batch": 3}, "another batch (2, now 3)"),
        ({"objective": ObjectiveConfig(perceptual=0, dists=0, flow=0.5)}, "objective (flow: 0.02"),
    ):
        with pytest.raises(ConfigError) as caught:
            train(replace(config, steps=2, **change))
        assert message in str(caught.value) and "do not resume" in str(caught.value)
    (tmp_path / "others").mkdir()
    others = write_photographs(tmp_path / "others", [(300, 260)] * 2)
    with pytest.raises(ConfigError, match="learned from other photographs"):
        train(replace(config, steps=2, photographs=others))


def test_what_may_change_is_left_out_of_what_is_fixed(config):
    """By the names that checkpoints have for settings: two of them were renamed since."""
    plain = config.to_dict()
    assert plain["kept"] == str(config.cache) and plain["objective"]["parts"]["beside"] is True
    changed = replace(
        config, output=config.output / "x", cache=None, photographs=None, clips=config.output,
        minutes=5.0, steps=9, resume=False, start=config.output, threads=3, compile=True,
        checkpoint_every_s=1.0, validate_every=7, snapshot_every=7, finish=3,
    )  # fmt: skip
    assert changed.fixed() == config.fixed()
    assert list(config.fixed()) == [
        "perceptual_from_step", "batch", "learning_rate", "schedule", "warm_up_steps", "clip",
        "decay_share", "perceptual_from", "ema", "seed", "workers", "precision", "network", "pairs",
        "objective",
    ]  # fmt: skip


def test_a_step_without_finite_gradients_changes_nothing(config, batches):
    task = task_of(config)
    run = task.new_run()
    before = copy.deepcopy(run.model.state_dict())
    broken = dict(batches[0], truth=batches[0]["truth"] * float("nan"))
    found = take_step(task, run, broken)
    assert found["total"] != found["total"]
    assert_same_weights(before, run.model.state_dict())


def test_the_plan_says_what_would_be_done(config):
    found = loop.plan(config)
    assert found["config"]["batch"] == 2 and found["resumes_at"] is None
    assert found["learns_from"] and found["parameters"]["refiner"] > 1000
    assert not (config.output / "last.pt").exists()
    train(replace(config, steps=1))
    assert loop.plan(config)["resumes_at"]["step"] == 1


# Beginning with other weights, and other objectives


def test_a_run_may_begin_with_the_weights_of_another(config, tmp_path):
    other = task_of(replace(config, seed=5)).new_run()
    other.save(tmp_path / "other.pt", config)
    begun = task_of(replace(config, start=tmp_path / "other.pt")).new_run()
    assert_same_weights(begun.model.state_dict(), other.average.state_dict())
    assert_same_weights(begun.average.state_dict(), other.average.state_dict())
    wide = replace(TINY, channels=(16, 24, 48))
    wider = task_of(replace(config, network=wide, start=tmp_path / "other.pt")).new_run()
    name = "restoration.enter.weight"
    assert torch.equal(wider.model.state_dict()[name], other.average.state_dict()[name])


def test_what_is_no_checkpoint_to_begin_with_is_named(config, tmp_path):
    (tmp_path / "other.pt").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match=r"other\.pt: not a checkpoint to begin with"):
        task_of(replace(config, start=tmp_path / "other.pt")).new_run()
    torch.save({"average": {"alien": torch.zeros(3)}}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt: none of its weights fits"):
        task_of(replace(config, start=tmp_path / "other.pt")).new_run()


@pytest.mark.slow
def test_the_papers_objective_trains_too(config, batches):
    velocity = replace(config, objective=ObjectiveConfig(kind="velocity"), learning_rate=6e-3)
    task = task_of(velocity)
    run = task.new_run()

    def loss() -> float:
        draws = torch.Generator().manual_seed(0)
        found = compact_losses(run.model, batches[0], PAIRS.margin, velocity.objective, draws)
        return float(found.velocity.detach())

    before = loss()
    found = [take_step(task, run, batches[0]) for _ in range(12)]
    assert found[0]["pixel"] == 0 and found[0]["velocity"] > 0
    assert loss() < before


def test_unknown_settings_are_refused(config):
    for settings, message in (
        ({"schedule": "linear"}, "schedule must be one of cosine, constant"),
        ({"precision": "fp16"}, "precision must be one of bf16, no"),
        ({"ema": 1.5}, "ema must be in"),
        ({"objective": ObjectiveConfig(perceptual_px=256)}, "perceptual_px must be at most"),
        ({"minutes": -1}, "minutes must be positive"),
        ({"batch": 0}, "batch must be positive"),
        ({"steps": 0}, "steps must be positive"),
        ({"warm_up_steps": 0}, "warm_up_steps must be positive"),
        ({"validate_every": -1}, "validate_every must not be negative"),
        ({"photographs": None}, "nothing to learn from"),
    ):
        with pytest.raises(ConfigError, match=message):
            replace(config, **settings)


def test_a_constant_rate_only_warms_up(config):
    config = replace(config, schedule="constant", steps=100, warm_up_steps=10, learning_rate=1e-3)
    assert config.learning_rate_at(4, 0) == pytest.approx(5e-4)
    assert config.learning_rate_at(10, 0) == config.learning_rate_at(99, 0) == pytest.approx(1e-3)
