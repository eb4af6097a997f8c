"""What is minimised: warping, alignment, and losses that mean what they say."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.pictures import scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments import bridge
from livemoments.lab.training.compact.aligning import (
    align_batch,
    alignment_quality,
    predict_truth,
    texture,
    warp_with_margin,
    without_reference,
)
from livemoments.lab.training.compact.objective import compact_losses
from livemoments.lab.training.run.objective_config import ObjectiveConfig
from livemoments.networks.blocks import HEAD_SCALE, decode, encode
from livemoments.networks.compact import CompactNetworks

MARGIN, N = 16, 64
ALWAYS = ObjectiveConfig(no_reference=0.0, wrong_reference=0.0)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def batch_of(count: int, shift: tuple[int, int] = (0, 0)) -> dict[str, torch.Tensor]:
    """Crops whose truth lies in the key crop, moved by a whole-pixel shift (x, y)."""
    rows = []
    for i in range(count):
        key = scene(N + 2 * MARGIN, N + 2 * MARGIN, seed=i)
        x, y = MARGIN + shift[0], MARGIN + shift[1]
        truth = key[y : y + N, x : x + N]
        small = cv2.resize(truth, (N // 2, N // 2), interpolation=cv2.INTER_AREA)
        frame = np.clip(cv2.resize(small, (N, N), interpolation=cv2.INTER_CUBIC), 0, 1)
        flow = np.broadcast_to(np.float32(shift), (N, N, 2))
        ones = np.ones((N, N, 1), np.float32)
        rows.append(
            {
                "truth": truth,
                "frame": frame,
                "key": key,
                "flow": flow,
                "true_flow": flow,
                "confidence": ones,
                "visible": ones,
            }  # noqa: E501
        )
    return {name: torch.stack([tensor(row[name]) for row in rows]) for name in rows[0]}


def losses(model: CompactNetworks, batch: dict, config: ObjectiveConfig = ALWAYS, seed: int = 0):
    return compact_losses(model, batch, MARGIN, config, torch.Generator().manual_seed(seed))


def values(*arguments, **more) -> SimpleNamespace:
    """The losses as numbers."""
    found = vars(losses(*arguments, **more))
    return SimpleNamespace(**{name: float(value.detach()) for name, value in found.items()})


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model() -> CompactNetworks:
    torch.manual_seed(0)
    return CompactNetworks(TINY)


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-16, 16)])
def test_warping_a_crop_by_a_whole_shift_is_cutting_it_out(shift):
    batch = batch_of(2, shift)
    warped = warp_with_margin(batch["key"], batch["flow"], MARGIN)
    assert torch.allclose(warped, batch["truth"], atol=1e-4)


def test_warping_agrees_with_the_run_time():
    """OpenCV's remap has 32 steps to a pixel: exact at these positions."""
    from livemoments.align.flow import pixel_grid, sample

    key = scene(N + 2 * MARGIN, N + 2 * MARGIN)
    flow = np.random.default_rng(0).integers(-256, 256, (N, N, 2)).astype(np.float32) / 32
    expected = sample(key, pixel_grid(N, N) + flow + MARGIN)
    found = warp_with_margin(tensor(key)[None], tensor(flow)[None], MARGIN)[0]
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), expected, atol=2e-4)


def test_a_new_models_alignment_is_the_estimated_flow(model):
    batch = batch_of(2, (4, 2))
    aligned = align_batch(model, batch, MARGIN)
    assert torch.equal(aligned.flow, batch["flow"])
    assert torch.allclose(aligned.reference, batch["truth"], atol=1e-4)
    assert torch.allclose(aligned.confidence(), torch.tensor(3.0).sigmoid())  # of a sure flow
    doubtful = align_batch(model, dict(batch, confidence=batch["confidence"] / 2), MARGIN)
    assert torch.allclose(doubtful.confidence(), torch.tensor(0.5))
    assert aligned.motion().shape == (2, 3, N // 4, N // 4)


def test_motion_is_what_remains_after_the_mean(model):
    batch = batch_of(1)
    ramp = torch.linspace(-8, 8, N).expand(1, N, N)
    aligned = replace(
        align_batch(model, batch, MARGIN), flow=torch.stack([ramp + 3, 0 * ramp + 5], 1)
    )
    motion = aligned.motion()
    assert motion[:, :2].mean((2, 3)).abs().max() < 1e-5
    assert motion[:, 1].abs().max() < 1e-5
    assert (
        motion[0, 0, 0, 0] > 7 and motion[0, 0, 0, -1] < -7
    )  # towards the frame: against the flow


def test_taking_the_reference_away_leaves_the_frame(model):
    batch = batch_of(2)
    aligned = align_batch(model, batch, MARGIN)
    gone = without_reference(aligned, batch["frame"], torch.tensor([True, False]))
    assert torch.equal(gone.reference[0], batch["frame"][0])
    assert torch.equal(gone.reference[1], aligned.reference[1])
    assert gone.confidence()[0].max() < 1e-4 and gone.flow[0].abs().max() == 0
    z, t = encode(batch["frame"]), torch.full((2,), bridge.HORIZON)
    restored = decode(predict_truth(model, gone, batch["frame"], z, t))
    assert torch.allclose(restored[0], batch["frame"][0], atol=1e-5)
    assert not torch.allclose(restored[1], batch["frame"][1], atol=1e-3)


def test_losses_are_zero_where_nothing_is_wrong(model):
    batch = batch_of(2)
    batch["frame"] = batch["truth"].clone()
    found = values(model, batch)
    assert found.pixel < 1e-3 and found.frequency < 1e-2 and found.flow < 0.02
    assert found.trust == pytest.approx(np.log1p(np.exp(-3)), abs=1e-3)  # says 0.95, everywhere


def test_the_flow_loss_is_the_distance_in_pixels_where_visible(model):
    batch = batch_of(2)
    batch["true_flow"] = batch["true_flow"] + torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    assert values(model, batch).flow == pytest.approx(5, abs=0.01)
    batch["visible"] = batch["visible"].clone()
    batch["visible"][..., : N // 2] = 0
    batch["true_flow"] = batch["true_flow"].clone()
    batch["true_flow"][..., : N // 2] += 100
    assert values(model, batch).flow == pytest.approx(5, abs=0.01)
    batch["true_flow"] += 100
    assert values(model, batch).flow == pytest.approx(8, abs=0.01)  # capped


def test_the_total_is_the_weighted_sum(model):
    config = replace(ALWAYS, frequency=0.3, flow=0.5, trust=0.7)
    found = values(model, batch_of(2), config)
    expected = found.pixel + 0.3 * found.frequency + 0.5 * found.flow + 0.7 * found.trust
    assert found.total == pytest.approx(expected, rel=1e-5)


def test_a_wrong_reference_is_not_to_be_trusted(model):
    """The target is 0 there: a model that says 1 pays."""
    with torch.no_grad():
        model.refiner.out.bias[2] = 6.0 / HEAD_SCALE
    wrong = values(model, batch_of(2), replace(ALWAYS, wrong_reference=1.0))
    assert wrong.trust > 5 and values(model, batch_of(2)).trust < 0.01
    assert wrong.flow == 0


def best_trust(model, batch, moved_px: float = 0.0, visible: float = 1.0) -> float:
    """What a model that is equally sure everywhere should say, to pay the least."""
    moved = batch["true_flow"] + torch.tensor([moved_px, 0.0]).view(1, 2, 1, 1)
    seen = dict(batch, true_flow=moved, visible=batch["visible"] * visible)
    alone = replace(ALWAYS, kind="alignment")  # without restoring, which changes nothing of it
    costs = {}
    for trust in np.linspace(0.06, 0.94, 23):
        confidence = (np.log(trust / (1 - trust)) + 3) / 6
        asked = dict(seen, confidence=torch.full_like(batch["confidence"], confidence))
        costs[float(trust)] = values(model, asked, alone).trust
    return min(costs, key=costs.get)


@pytest.mark.slow
def test_hidden_and_misaligned_places_are_not_to_be_trusted(model):
    batch = batch_of(2)
    assert best_trust(model, batch) == pytest.approx(0.94)
    assert best_trust(model, batch, visible=0.0) == pytest.approx(0.06)
    assert best_trust(model, batch, visible=0.5) == pytest.approx(0.5, abs=0.03)
    misaligned = [best_trust(model, batch, moved_px=px) for px in (0.5, 1.5, 6.0)]
    assert misaligned[0] > 0.6 and sorted(misaligned, reverse=True) == misaligned
    assert misaligned[2] < 0.4


def test_an_astray_flow_does_harm_only_where_there_is_texture():
    n = 64
    busy = torch.rand(1, 3, n, n, generator=torch.Generator().manual_seed(0))
    plain = torch.full((1, 3, n, n), 0.5)
    image = torch.cat([busy[..., : n // 2], plain[..., n // 2 :]], -1)
    still, astray = torch.zeros(1, 2, n, n), torch.full((1, 2, n, n), 5.0)
    torch.testing.assert_close(alignment_quality(image, still), torch.ones(1, 1, n, n))
    quality = alignment_quality(image, astray)[0, 0]
    assert quality.min() >= 0 and quality.max() <= 1
    assert quality[:, 8:20].max() < 0.1 and quality[:, -20:-8].min() > 0.99


def test_texture_is_the_deviation_from_the_surroundings():
    flat = torch.full((1, 3, 64, 64), 0.3)
    assert float(texture(flat).max()) < 1e-3
    noise = flat + 0.05 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    assert float(texture(noise).mean()) == pytest.approx(0.05, rel=0.1)


def test_without_references_a_new_model_costs_what_the_frame_costs(model):
    batch = batch_of(2)
    found = values(model, batch, replace(ALWAYS, no_reference=1.0))
    errors = (batch["frame"] - batch["truth"]).abs().mean((1, 2, 3))
    assert found.pixel == pytest.approx(float((0.03 * errors / (errors + 0.005)).mean()), rel=1e-3)


def test_the_perceptual_term_sees_the_same_part_of_both(model):
    batch, seen = batch_of(2), []

    def lpips(restored, truth):
        seen.append((restored.detach(), truth))
        return (restored - truth).abs().mean(), (restored.mean() - truth.mean()).abs()

    config = replace(ALWAYS, perceptual=2.0, dists=3.0, perceptual_px=32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found = compact_losses(model, batch, MARGIN, config, generator, lpips)
    ((restored, truth),) = seen
    assert restored.shape == truth.shape == (2, 3, 32, 32)
    places = batch["truth"].unfold(2, 32, 1).unfold(3, 32, 1).permute(2, 3, 0, 1, 4, 5)
    assert ((places - truth).abs().amax((2, 3, 4, 5)) == 0).any()
    plain = values(model, batch)
    assert float(found.total) == pytest.approx(
        plain.total + 2.0 * float(found.perceptual) + 3.0 * float(found.dists), rel=1e-3
    )
    assert plain.perceptual == 0


def test_losses_repeat_by_their_generator(model):
    batch, config = batch_of(3), ObjectiveConfig(no_reference=0.5, wrong_reference=0.3)
    with torch.no_grad():
        model.restoration.out.weight.normal_(std=0.05)
    first, again, other = (losses(model, batch, config, seed).total for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_every_parameter_receives_a_gradient(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    losses(model, batch_of(2)).total.backward()
    without = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0
    ]
    assert not without


@pytest.mark.slow
def test_a_tiny_model_learns_one_batch(model):
    """From the start of the bridge, forty steps take away most of what the frame lacks."""
    batch, config = batch_of(1, (3, -2)), replace(ALWAYS, at_start=1.0)
    at_first = values(model, batch, config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    for step in range(40):
        optimiser.zero_grad()
        losses(model, batch, config, seed=step).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    at_last = values(model, batch, config)
    assert at_last.total < at_first.total / 2
    assert at_last.pixel < at_first.pixel / 2
    assert at_last.trust < at_first.trust / 3
