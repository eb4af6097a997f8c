"""The compact networks: shapes, what they are at the start, and motion-guided attention."""

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments import bridge
from livemoments.networks.attention import MotionGuidedAttention, from_windows, to_windows
from livemoments.networks.blocks import (
    HEAD_SCALE,
    LATENT,
    decode,
    disagreement,
    encode,
    low_frequencies,
    normalised,
    seen,
)
from livemoments.networks.compact import (
    CORRECTION,
    ReferenceNet,
    RestorationNet,
    known_correction,
    same_light,
)
from livemoments.networks.compact_config import CompactConfig
from livemoments.networks.refiner import FlowRefiner

SIZES = [(1, 64, 64), (2, 64, 128), (2, 192, 64)]


@pytest.fixture(autouse=True)
def seeded_and_single():
    """Small tensors: threads would only wait for each other."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(batch, 3, height, width), torch.rand(batch, 3, height, width)


def restore(
    net: RestorationNet, frame, reference, *, motion=None, t: float = 0.2, z=None
) -> torch.Tensor:
    batch, _, height, width = frame.shape
    motion = torch.zeros(batch, 3, height // 4, width // 4) if motion is None else motion
    features = ReferenceNet(TINY)(reference, torch.ones(batch, 1, height, width))
    z = encode(frame) if z is None else z
    return net(z, frame, reference, features, motion, torch.full((batch,), t))


def visible(share: float) -> torch.Tensor:
    """Motion for 64 x 64 pixels: none, and a reference seen to that share everywhere."""
    motion = torch.zeros(1, 3, 16, 16)
    motion[:, 2] = share
    return motion


def perturbed(net: torch.nn.Module) -> torch.nn.Module:
    """With no weight left at its starting zero."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize("size", SIZES)
def test_the_codec_is_lossless(size):
    image, _ = pictures(*size)
    latent = encode(image)
    assert latent.shape == (size[0], 48, size[1] // 4, size[2] // 4)
    assert torch.equal(decode(latent), image)


@pytest.mark.parametrize("size", SIZES)
def test_shapes(size):
    (frame, reference), (b, h, w) = pictures(*size), size
    refined = FlowRefiner(TINY)(frame, reference, torch.ones(b, 1, h, w))
    assert refined.shape == (b, 3, h // 4, w // 4)
    maps = ReferenceNet(TINY)(reference, torch.ones(b, 1, h, w))
    assert [tuple(m.shape) for m in maps] == [
        (b, c, h // k, w // k) for c, k in zip(TINY.channels, (4, 8, 16), strict=True)
    ]
    assert restore(perturbed(RestorationNet(TINY)), frame, reference).shape == (
        b,
        48,
        h // 4,
        w // 4,
    )


def test_at_the_start_a_frame_without_reference_is_returned():
    """Without a reference, the frame stands in its place: nothing to copy."""
    frame, _ = pictures(2, 64, 128)
    assert torch.allclose(decode(restore(RestorationNet(TINY), frame, frame)), frame, atol=1e-6)


def test_at_the_start_only_the_references_detail_is_added_to_the_frame():
    """Not its colour or tone: a constant difference is nothing to copy."""
    frame, reference = (0.4 + 0.2 * picture for picture in pictures(1, 64, 64))
    net, shown = RestorationNet(TINY), visible(1.0)
    restored = restore(net, frame, frame + 0.2, motion=shown)
    assert torch.allclose(decode(restored), frame, atol=1e-5)
    added = decode(restore(net, frame, reference, motion=shown)) - frame
    detail = reference - frame - low_frequencies(reference - frame, 16)
    share = (torch.sigmoid(torch.tensor(-1.0)) - 0.03) / 0.97  # a gate closes below 0.03
    assert torch.allclose(added, share * detail, atol=1e-5)


def test_what_the_key_photo_does_not_show_is_not_copied():
    """Zero visibility and zero last layer: the frame itself, whatever the reference holds."""
    frame, reference = pictures(1, 64, 64)
    net = perturbed(RestorationNet(TINY))
    with torch.no_grad():
        net.out.weight.zero_()
        net.out.bias.zero_()
    assert torch.equal(decode(restore(net, frame, reference, motion=visible(0.0))), frame)
    in_part = visible(1.0)
    in_part[..., :8] = 0
    restored = decode(restore(net, frame, reference, motion=in_part))
    assert torch.equal(restored[..., :32], frame[..., :32])
    assert (restored[..., 32:] - frame[..., 32:]).abs().mean() > 0.01


def test_at_the_start_the_refiner_adds_nothing():
    frame, warped = pictures(1, 64, 64)
    confidence = torch.rand(1, 1, 64, 64)
    confidence[..., :8, :8] = 1
    refined = FlowRefiner(TINY)(frame, warped, confidence)
    assert refined[:, :2].abs().max() == 0
    cells = torch.nn.functional.avg_pool2d(confidence, 4)
    assert torch.allclose(refined[:, 2:], 6 * cells - 3)  # trust follows the flow's confidence
    assert torch.allclose(refined[0, 2, :2, :2], torch.tensor(3.0))


def test_each_picture_of_a_batch_is_restored_alone():
    frame, reference = pictures(2, 64, 64)
    net, references = perturbed(RestorationNet(TINY)).eval(), ReferenceNet(TINY)

    def run(rows: slice) -> torch.Tensor:
        count = len(frame[rows])
        maps = references(reference[rows], torch.ones(count, 1, 64, 64))
        motion = torch.zeros(count, 3, 16, 16)
        return net(
            encode(frame[rows]),
            frame[rows],
            reference[rows],
            maps,
            motion,
            torch.full((count,), 0.1),
        )

    assert torch.allclose(run(slice(0, 2))[1:], run(slice(1, 2)), atol=1e-5)


@pytest.mark.parametrize("what", ["z", "t", "reference", "confidence", "flow"])
def test_every_input_counts_once_trained(what):
    frame, reference = pictures(1, 64, 64)
    net = perturbed(RestorationNet(TINY))
    torch.manual_seed(1)  # restore() makes a ReferenceNet: the same one each time
    plain = restore(net, frame, reference, t=0.1)
    motion = torch.zeros(1, 3, 16, 16)
    motion[:, 2 if what == "confidence" else 0] = 1
    changes = {
        "z": {"z": encode(frame) + 0.1},
        "t": {"t": 0.05},
        "confidence": {"motion": motion},
        "flow": {"motion": motion},
    }.get(what, {})
    changes = {"t": 0.1} | changes
    torch.manual_seed(1)
    other = restore(net, frame, reference.flip(-1) if what == "reference" else reference, **changes)
    assert (other - plain).abs().max() > 1e-6


def test_at_the_bridges_start_its_noise_does_not_count():
    """z at t = T holds nothing that the frame does not: one step depends on no draw."""
    frame, reference = pictures(1, 64, 64)
    net = perturbed(RestorationNet(TINY))
    found = []
    for z in (encode(frame), torch.randn(1, 48, 16, 16)):
        torch.manual_seed(1)
        found.append(restore(net, frame, reference, t=0.2, z=z))
    assert torch.equal(*found)


def test_the_bridges_point_tells_the_correction_the_better_the_smaller_t():
    z_frame = torch.rand(1, 48, 16, 16)
    correction = CORRECTION * torch.randn(1, 48, 16, 16)
    errors = []
    for t in (1e-6, 0.01, 0.05, 0.15, 0.2):
        when = torch.tensor([t])
        z = bridge.bridge_point(z_frame + correction, z_frame, torch.randn_like(z_frame), t)
        estimate = CORRECTION * known_correction(z, z_frame, when)
        errors.append(float((estimate - correction).square().mean().sqrt()) / CORRECTION)
    assert (
        errors[0] < 1e-3 and errors == sorted(errors) and errors[-1] == pytest.approx(1, abs=0.05)
    )


def test_own_detail_is_sharpened_or_smoothed_by_its_factor():
    frame, _ = pictures(1, 64, 64)
    net = RestorationNet(TINY)
    bands = LATENT + 2 * 16  # where the factors of the frame's three bands begin
    for factor, first in ((0.5, 0), (-1.0, 0), (0.3, 1)):
        with torch.no_grad():
            net.out.bias.zero_()
            net.out.bias[bands + 16 * first : bands + 16 * (first + 1)] = factor / HEAD_SCALE
        sizes = [frame, *(low_frequencies(frame, size) for size in (2, 4, 8))]
        expected = frame + factor * (sizes[first] - sizes[first + 1])
        torch.testing.assert_close(decode(restore(net, frame, frame)), expected)


def test_pictures_are_seen_as_detail_and_smooth_part():
    image, _ = pictures(1, 64, 64)
    shown, brighter = seen(image), seen(image + 0.1)
    assert shown.shape == (1, 51, 16, 16)
    torch.testing.assert_close(shown[:, :48], brighter[:, :48], atol=1e-4, rtol=0)
    torch.testing.assert_close(shown[:, 48:] + 0.4, brighter[:, 48:], atol=1e-4, rtol=0)
    detail = encode(image - low_frequencies(image, 16))
    torch.testing.assert_close(shown[:, :48], 16 * detail)


def test_disagreement_is_of_structure_not_of_level():
    first, second = pictures(1, 64, 64)
    assert disagreement(first, second).shape == (1, 4, 16, 16)
    assert disagreement(first, first + 0.2).max() < 1e-4
    assert disagreement(first, second).mean() == pytest.approx(0.9, abs=0.3)  # unrelated
    opposite = disagreement(first, 1 - first)
    assert opposite.mean() > 1.4 and opposite.max() <= 2
    plain = torch.full_like(first, 0.4)
    assert disagreement(plain, plain + 0.001 * first).max() < 0.01  # nothing to tell


def test_detail_of_another_coloured_light_is_not_copied():
    frame, reference = pictures(1, 64, 64)
    red, green = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.9, 0.2, 0.2), (0.2, 0.9, 0.3)))
    assert same_light(frame * red, reference * green).max() < 0.05
    tint = torch.tensor([1.08, 1.0, 0.93]).view(1, 3, 1, 1)
    assert same_light(frame * 0.9, frame * tint).min() > 0.98
    assert same_light(frame, frame * 0.5).min() > 0.95  # darker is no other colour
    restored = decode(
        restore(RestorationNet(TINY), frame * red, reference * green, motion=visible(1.0))
    )
    assert (restored - frame * red).abs().max() < 0.02


def test_normalised_is_of_unit_size_at_every_place_alone():
    x = torch.randn(2, 24, 8, 8) * (0.2 + torch.rand(2, 1, 8, 8))
    size = normalised(x).square().mean(1).sqrt()
    torch.testing.assert_close(size, torch.ones_like(size), atol=0.05, rtol=0)
    torch.testing.assert_close(normalised(x)[:, :, :3], normalised(x[:, :, :3]))


def test_the_detail_planes_ignore_level():
    """The refiner compares detail: another brightness of the key photo is no motion."""
    frame, warped = pictures(1, 64, 64)
    net, trust = perturbed(FlowRefiner(TINY)), torch.ones(1, 1, 64, 64)
    assert torch.allclose(net(frame, warped, trust), net(frame, warped + 0.3, trust), atol=1e-4)


def test_low_frequencies_keep_constants_and_lose_stripes():
    flat = torch.full((1, 3, 64, 64), 0.4)
    assert torch.allclose(low_frequencies(flat, 16), flat, atol=1e-6)
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    assert torch.allclose(low_frequencies(stripes, 4), torch.full_like(stripes, 0.5), atol=1e-6)


def test_configuration_survives_as_plain_values():
    values = TINY.to_dict()
    assert CompactConfig(**values) == TINY


# Motion-guided attention


@pytest.mark.parametrize("size", [(1, 5, 8, 8), (2, 6, 16, 8), (3, 4, 8, 24)])
@pytest.mark.parametrize("window", [4, 8])
def test_windows_there_and_back(size, window):
    x = torch.rand(size)
    windows = to_windows(x, window)
    assert windows.shape == (
        size[0] * (size[2] // window) * (size[3] // window),
        window**2,
        size[1],
    )
    assert torch.equal(from_windows(windows, window, size[2], size[3]), x)


def test_a_window_holds_neighbours():
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.equal(to_windows(x, 4)[1, :, 0], x[0, 0, :4, 4:].flatten())


def attention() -> tuple[MotionGuidedAttention, torch.Tensor, torch.Tensor, torch.Tensor]:
    """With an output layer that is no longer zero, and inputs."""
    layer = MotionGuidedAttention(16, heads=4, window=4)
    torch.nn.init.normal_(layer.out.weight, std=0.5)
    return layer, torch.randn(2, 16, 8, 12), torch.randn(2, 16, 8, 12), torch.randn(2, 3, 8, 12)


def test_a_new_layer_changes_nothing():
    layer = MotionGuidedAttention(16, heads=4, window=4)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(layer(x, torch.randn_like(x), torch.randn(2, 3, 8, 8)), x)


def test_motion_counts_only_after_its_key_is_learnt():
    layer, x, reference, motion = attention()
    assert torch.equal(layer(x, reference, motion), layer(x, reference, 7 * motion))
    torch.nn.init.normal_(layer.motion_key.weight)
    assert (layer(x, reference, motion) - layer(x, reference, 7 * motion)).abs().max() > 1e-3


def test_motion_can_be_learnt_from_the_zero_start():
    """Zero weights must still receive a gradient."""
    layer, x, reference, motion = attention()
    layer(x, reference, motion).square().mean().backward()
    assert layer.motion_key.weight.grad.abs().max() > 0


def test_attention_equals_its_formula():
    """Eq. 4: softmax(q [k, k_ref + E] / sqrt(d) + position) [v, v_ref]; one window and head."""
    layer = MotionGuidedAttention(8, heads=1, window=4)
    perturbed(layer)
    x, reference, motion = torch.randn(1, 8, 4, 4), torch.randn(1, 8, 4, 4), torch.randn(1, 3, 4, 4)
    rows = lambda m: m.flatten(2)[0].T  # noqa: E731 - (16, C)
    normed, normed_reference = (
        norm(m.movedim(1, -1)).movedim(-1, 1)
        for norm, m in ((layer.norm, x), (layer.reference_norm, reference))
    )
    k, v = layer.key_value(normed).chunk(2, 1)
    k_ref, v_ref = layer.reference_key_value(normed_reference).chunk(2, 1)
    k_ref = k_ref + layer.motion_key(layer.motion_embedding(motion))
    scores = (
        rows(layer.query(normed)) @ torch.cat([rows(k), rows(k_ref)]).T / 8**0.5 + layer.position[0]
    )
    y = scores.softmax(-1) @ torch.cat([rows(v), rows(v_ref)])
    expected = x + layer.out(y.T.reshape(1, 8, 4, 4))
    assert torch.allclose(layer(x, reference, motion), expected, atol=1e-5)


def test_windows_do_not_see_each_other():
    layer, x, reference, motion = attention()
    changed = reference.clone()
    changed[..., :4, :4] += 1
    gap = (layer(x, changed, motion) - layer(x, reference, motion)).abs().amax((0, 1))
    assert gap[:4, :4].min() > 0 and gap[4:].max() == 0 and gap[:, 4:].max() == 0
