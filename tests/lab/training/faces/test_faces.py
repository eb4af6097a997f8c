"""Clips of faces made up of portraits, what is minimised on them, and a run of the face tier."""

import json
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest
from support.pictures import assert_same_scene, write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY
from support.tiny.run import take_step

from livemoments.align.flow import pixel_grid, sample
from livemoments.errors import ConfigError, DamagedFileError, MissingFileError
from livemoments.lab.training.data.pairs import PairConfig
from livemoments.lab.training.faces import synthesis
from livemoments.lab.training.faces.clips import (
    FaceStore,
    FaceStream,
    crop_of,
    face_clips,
    read_portraits,
)
from livemoments.lab.training.faces.objective import (
    Judges,
    face_losses,
    identity_reward,
    suffix_weights,
    unrest,
)
from livemoments.lab.training.faces.validate import FaceValidation, restore_by_compact, restore_clip
from livemoments.lab.training.loop import train
from livemoments.lab.training.run.config import FaceTrainConfig, TrainConfig, settings
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.lab.training.tasks import task_of
from livemoments.networks.face_identity import FaceIdentity
from livemoments.networks.faces import FaceNet

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = 3
PAIRS = PairConfig(crop=64, margin=0, scene=256, scenes=2, crops_per_scene=2, scenes_mixed=2)
PLAIN = ObjectiveConfig(perceptual=0.0, dists=0.0)


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    side = synthesis.SIZE_PX + 2 * synthesis.MARGIN_PX
    folder = write_photographs(tmp_path_factory.mktemp("portraits"), [(side, side)] * 3)
    rows = [
        {
            "file": path.name, "person": 7 + at, "identity": [0.1] * 128, "yaw": 15.0,
            "pitch": 0.0, "roll": 0.0, "sharpness": 1.0,
        }
        for at, path in enumerate(sorted(folder.glob("*.png")))
    ]  # fmt: skip
    (folder / "faces.json").write_text(json.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def config(portraits, tmp_path_factory):
    return TrainConfig(
        output=tmp_path_factory.mktemp("run"), model="faces", steps=2, batch=2, network=TINY,
        workers=0, threads=1, precision="no", validate_every=0, pairs=PAIRS, objective=PLAIN,
        faces=FaceTrainConfig(portraits=portraits, frames=FRAMES),
    )  # fmt: skip


@pytest.fixture(scope="module")
def clips(config):
    return task_of(config).scenes()


@pytest.fixture(scope="module")
def batch(clips, config):
    return next(iter(FaceStream(clips, PAIRS, batch=2)))


def losses_of(batch, *, objective=PLAIN, judges=None, model=None, **faces):
    torch.manual_seed(0)
    model = model or FaceNet(TINY, FaceTrainConfig().network)
    usual = {
        "unaligned": 0.0,
        "no_image": 0.0,
        "no_identity": 0.0,
        "no_attributes": 0.0,
        "low_quality": 0.0,
    }
    return face_losses(
        model, batch, objective, FaceTrainConfig(**(usual | faces)),
        torch.Generator().manual_seed(1), judges or Judges(),
    )  # fmt: skip


def test_a_face_that_does_not_turn_does_not_move():
    assert not synthesis.head_turn(64, 0.0, 0.0).any()
    assert not synthesis.expression(64, np.zeros(len(synthesis.BUMPS))).any()
    assert not synthesis.placement(64, np.zeros(2), 0.0, 0.0).any()


def test_the_middle_of_a_turning_head_leads_its_sides():
    moved = synthesis.head_turn(128, np.radians(20), 0.0)
    row = moved[int(128 * synthesis.HEAD_MIDDLE[1]), :, 0]
    assert row[64] > row[64 - 40] + 1
    assert row[64] > row[64 + 40] + 1
    assert np.abs(moved[0]).max() == 0


def test_time_runs_smoothly():
    found = synthesis.course(60, np.random.default_rng(0))
    assert found.shape == (61,)
    assert np.abs(np.diff(found[:-1])).max() < 1


@pytest.mark.slow
def test_flows_and_steps_lead_to_what_is_the_same(clips):
    clip = clips[0]
    grid = pixel_grid(256, 256)
    inner = (slice(40, -40), slice(40, -40))
    for at in range(FRAMES - 1):
        there = sample(clip.truths[at + 1], grid + clip.steps[at])
        assert np.abs(there - clip.truths[at])[inner].mean() < 0.03
    field = synthesis.draw_fields(256, 2, np.random.default_rng(3))
    content = cv2.GaussianBlur(np.random.default_rng(0).random((320, 320, 3)), (0, 0), 5)
    face = synthesis.Content(
        picture=content.astype(np.float32), identity=np.ones(128), attributes=np.zeros(4)
    )
    assert np.isfinite(field).all()
    made = synthesis.make_face_clip(face, content, 2, np.random.default_rng(5))
    assert made.truths.shape == (2, 256, 256, 3)


def test_strengths_are_what_they_are_called():
    rng = np.random.default_rng(0)
    mild = [synthesis.draw_strength(rng, 0.0) for _ in range(50)]
    severe = [synthesis.draw_strength(rng, 1.0) for _ in range(50)]
    for name in ("scale", "noise", "blur_px"):
        assert np.mean([getattr(x, name) for x in mild]) < np.mean(
            [getattr(x, name) for x in severe]
        )


@pytest.mark.slow
def test_a_clip_is_the_same_kept_or_made_again(clips, config, tmp_path):
    kept = clips[1]
    again = FaceStore(tmp_path, clips.maker, seed=config.seed)[1]
    assert_same_scene(kept, again)


def test_portraits_say_who_they_show(portraits, clips):
    trained, held = read_portraits(portraits), read_portraits(portraits, held_out=True)
    assert {p.path for p in trained}.isdisjoint(p.path for p in held)
    assert len(held) == 1
    assert clips[0].identity.any()
    assert np.abs(clips[0].attributes[0]) == pytest.approx(0.5)


def test_portraits_that_cannot_be_read(portraits, tmp_path):
    with pytest.raises(MissingFileError, match=r"faces\.json: not there"):
        read_portraits(tmp_path)
    (tmp_path / "faces.json").write_text("[{}]")
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_portraits(tmp_path)
    (tmp_path / "faces.json").write_text((portraits / "faces.json").read_text())
    with pytest.raises(DamagedFileError, match="not a portrait of 320 x 320"):
        face_clips(FaceTrainConfig(portraits=tmp_path), None).scene(0, 0)


def test_a_crop_leads_into_the_whole_reference(clips):
    whole = crop_of(clips[0], 0, 0, 256)
    part = crop_of(clips[0], 64, 32, 128)
    here = (..., slice(32, 160), slice(64, 192))
    for name in ("truth", "frame", "visible", "steps"):
        assert torch.equal(part[name], whole[name][here])
    moved = part["true_flow"] - whole["true_flow"][here]
    assert torch.allclose(moved, torch.tensor([64.0, 32.0])[None, :, None, None].expand_as(moved))
    assert torch.equal(part["reference"], whole["reference"])
    assert part["corner"].tolist() == [64, 32]


def test_a_stream_goes_on_where_it_stopped(clips):
    first = list(islice(FaceStream(clips, PAIRS, batch=2), 3))
    after = next(iter(FaceStream(clips, PAIRS, batch=2, first_step=2)))
    assert first[2].keys() == after.keys()
    assert all(torch.equal(first[2][name], after[name]) for name in after)


@pytest.mark.parametrize("frames", [1, 2, 24])
def test_suffix_weights_rise_and_share_out_one(frames):
    weights = suffix_weights(frames)
    assert float(weights.sum()) == pytest.approx(1)
    assert (weights.diff() > 0).all()


def test_a_later_stranger_costs_more():
    person = torch.tensor([[1.0, 0.0]])
    same, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    early = identity_reward(torch.stack([other, same, same])[None], person)
    late = identity_reward(torch.stack([same, same, other])[None], person)
    assert float(identity_reward(same.expand(1, 3, 2), person)) == pytest.approx(1)
    assert float(late) < float(early) < 1


def test_an_error_that_moves_along_is_at_rest():
    error = torch.rand(1, 1, 3, 32, 32).repeat(1, 3, 1, 1, 1)
    still = torch.zeros(1, 2, 2, 32, 32)
    assert float(unrest(error, still)) < 1e-5
    shifted = torch.stack([error[0, 0], error[0, 0].roll(2, -1)])[None]
    steps = torch.zeros(1, 1, 2, 32, 32)
    steps[:, :, 0] = 2
    inner = (unrest(shifted[..., 8:-8, 8:-8], steps[..., 8:-8, 8:-8]), unrest(shifted, 0 * steps))
    assert float(inner[0]) < 0.2 * float(inner[1])
    assert float(unrest(error[:, :1], still[:, :0])) == 0


def test_what_is_spoilt_is_the_target_of_the_low_quality_stream(batch):
    alone = replace(PLAIN, no_reference=1.0)
    with torch.no_grad():
        asked = losses_of(batch, objective=alone, low_quality=1.0)
        usual = losses_of(batch, objective=alone)
    # Untrained and without a reference, the network gives back the frame: what is asked for.
    assert float(asked.pixel) < 1e-3
    assert float(usual.pixel) > 0.01


def test_every_module_learns(batch):
    torch.manual_seed(0)
    model = FaceNet(TINY, FaceTrainConfig().network)
    for name, weight in model.named_parameters():
        if "out" in name or "quality" in name:
            torch.nn.init.normal_(weight, std=0.05)
    nothing_gone = replace(PLAIN, no_reference=0.0, wrong_reference=0.0)
    losses_of(batch, model=model, objective=nothing_gone).total.backward()
    without = [n for n, w in model.named_parameters() if w.grad is None or not w.grad.any()]
    # A low-rank path of which both factors are new learns by its second from the first step on.
    added = [name for name in without if name.startswith(("time.", "prompted."))]
    assert [name for name in added if ".down." not in name] == []


def test_feedback_reaches_the_restored_face(batch):
    torch.manual_seed(0)
    judge = FaceIdentity().requires_grad_(False)
    model = FaceNet(TINY, FaceTrainConfig().network)
    found = losses_of(
        batch, model=model, judges=Judges(None, judge), identity_reward=1.0, identity_network="x"
    )
    assert 0 < float(found.identity.detach()) < 2
    assert float((found.total - found.identity).detach()) > 0
    found.identity.backward()
    assert model.restoration.out.weight.grad.any()


@pytest.mark.slow
def test_the_compact_model_is_where_it_begins(config, batch, tmp_path):
    compact = task_of(
        replace(config, model="compact", photographs=config.faces.portraits)
    ).new_run()
    with torch.no_grad():
        torch.nn.init.normal_(compact.model.restoration.out.weight, std=0.05)
        compact.average.load_state_dict(compact.model.state_dict())
    compact.save(tmp_path / "c.pt", config)
    task = task_of(replace(config, start=tmp_path / "c.pt"))
    run = task.new_run()
    clip = {name: plane[:1] for name, plane in batch.items()}
    with torch.no_grad():
        ours, theirs = restore_clip(run.model, clip), restore_by_compact(compact.average, clip)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    rates = [group["share"] for group in run.optimiser.param_groups]
    assert rates == [1.0, config.faces.compact_share]
    take_step(task, run, batch)
    first, second = (group["lr"] for group in run.optimiser.param_groups)
    assert second == pytest.approx(first * config.faces.compact_share)


def test_a_run_goes_on_as_if_it_had_not_stopped(config, tmp_path):
    whole = replace(config, output=tmp_path / "a", cache=config.output, steps=2)
    parts = replace(config, output=tmp_path / "b", cache=config.output, steps=2)
    at_once = torch.load(train(whole), weights_only=True)
    train(replace(parts, steps=1))
    resumed = torch.load(train(parts), weights_only=True)
    assert at_once["position"]["step"] == resumed["position"]["step"] == 2
    # The rate of a run by steps hangs on how many there are to be: same shapes, finite values.
    for name, weight in resumed["model"].items():
        assert weight.shape == at_once["model"][name].shape
        assert weight.isfinite().all()
    again = torch.load(train(replace(whole, output=tmp_path / "c")), weights_only=True)
    for name, weight in again["model"].items():
        assert torch.equal(weight, at_once["model"][name]), name


@pytest.mark.slow
def test_validation_sets_the_three_side_by_side(config, clips, caplog, monkeypatch):
    monkeypatch.setattr("livemoments.lab.training.faces.validate.CLIPS", 1)
    run = task_of(config).new_run()
    with caplog.at_level("INFO"):
        validation = FaceValidation(clips, config)
        found = validation.losses(run.average, Judges())
    assert found["total"] > 0
    assert "held-out faces, severe, face tier: PSNR" in caplog.text
    assert "held-out faces, severe, frame: PSNR" in caplog.text
    assert validation.picture(run.average).shape == (3, 256, 4 * 256)
    assert task_of(config).validation is not None


def test_settings_that_make_no_sense(tmp_path):
    with pytest.raises(ConfigError, match="no faces to learn from"):
        settings("faces", preset="live-photo", output=tmp_path)
    with pytest.raises(ConfigError, match="frames must be at least 1"):
        FaceTrainConfig(frames=0)
    with pytest.raises(ConfigError, match=r"low_quality must be in \[0, 1\]"):
        FaceTrainConfig(low_quality=2.0)
    with pytest.raises(ConfigError, match="needs dlib's network"):
        FaceTrainConfig(identity_reward=0.1)
    faces = FaceTrainConfig(portraits=tmp_path)
    with pytest.raises(ConfigError, match="margin must be 0 for the face tier"):
        TrainConfig(output=tmp_path, model="faces", faces=faces)
    usual = settings("faces", preset="live-photo", output=tmp_path, faces=faces, crop=192, scenes=9)
    assert (usual.pairs.crop, usual.pairs.scene, usual.pairs.scenes) == (192, 256, 9)
