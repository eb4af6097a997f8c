"""FaceNet: it begins as the compact model, and each of its streams does what it is named for."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments.networks.blocks import LATENT
from livemoments.networks.faces import FaceConfig, FaceNet, TimeAttention, _near

N, CLIPS = 64, 2


def network(seed: int = 0, *, trained: bool = False) -> FaceNet:
    """At its start, or with outputs as training might leave them."""
    torch.manual_seed(seed)
    net = FaceNet(TINY, FaceConfig()).eval()
    with torch.no_grad():
        if trained:
            for weight in net.added():
                weight.add_(0.1 * torch.randn_like(weight))
        torch.nn.init.normal_(net.restoration.out.weight, std=0.05)
    return net


def inputs(frames: int, clips: int = CLIPS, n: int = N) -> dict:
    generator = torch.Generator().manual_seed(3)
    count = clips * frames

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    c = TINY.channels
    return {
        "z": rand(count, LATENT, n // 4, n // 4),
        "frame": rand(count, 3, n, n),
        "reference": rand(count, 3, n, n),
        "features": tuple(rand(count, c[i], n // 4 // 2**i, n // 4 // 2**i) for i in range(3)),
        "motion": rand(count, 3, n // 4, n // 4),
        "t": torch.full((count,), 0.2),
    }


def references(count: int = 2, clips: int = CLIPS) -> torch.Tensor:
    return torch.rand((clips, count, 3, 128, 128), generator=torch.Generator().manual_seed(4))


def prompt_of(net: FaceNet, count: int = 2, clips: int = CLIPS):
    generator = torch.Generator().manual_seed(5)
    identity = 0.1 * torch.randn(clips, 128, generator=generator)
    attributes = torch.randn(clips, 4, generator=generator)
    return net.prompt(references(count, clips), identity, attributes)


@torch.no_grad()
def restored(net: FaceNet, frames: int = 3, clips: int = CLIPS, **changed) -> torch.Tensor:
    prompt = replace(prompt_of(net, clips=clips), **changed)
    return net(**inputs(frames, clips), prompt=prompt, frames=frames)


@pytest.mark.parametrize("frames", [1, 3])
def test_begins_as_the_compact_model(frames):
    net, given = network(), inputs(frames)
    with torch.no_grad():
        wanted = net.restoration(**given)
    torch.testing.assert_close(restored(net, frames), wanted, rtol=0, atol=0)


def test_each_stream_has_a_say_once_trained():
    net = network(trained=True)
    whole, gone = restored(net), torch.zeros(CLIPS)
    for name in ("image_there", "identity_there", "attributes_there"):
        assert (restored(net, **{name: gone}) - whole).abs().max() > 1e-4, name
    assert (restored(net, low_quality=gone + 1) - whole).abs().max() > 1e-4


def test_a_stream_that_is_taken_away_says_nothing():
    net = network(trained=True)
    gone = torch.zeros(CLIPS)
    nobody = {"identity_there": gone, "attributes_there": gone}
    other = 3 * torch.ones(CLIPS, 128)
    torch.testing.assert_close(
        restored(net, **nobody, identity=other), restored(net, **nobody), rtol=0, atol=1e-6
    )
    elsewhere = tuple(2 * x for x in prompt_of(net).features)
    torch.testing.assert_close(
        restored(net, image_there=gone, features=elsewhere), restored(net, image_there=gone),
        rtol=0, atol=1e-6,
    )  # fmt: skip


def test_streams_are_taken_away_by_name():
    prompt = prompt_of(network())
    bare = prompt.without(image=True, identity=True, low_quality=True)
    assert not bare.image_there.any()
    assert not bare.identity_there.any()
    assert not bare.attributes_there.any()
    assert bare.low_quality.all()
    assert prompt.without() == prompt


def test_the_order_of_references_does_not_matter():
    net = network(trained=True)
    pictures = references(3)
    given = inputs(2)
    with torch.no_grad():
        one = net(**given, prompt=net.prompt(pictures), frames=2)
        other = net(**given, prompt=net.prompt(pictures[:, [2, 0, 1]]), frames=2)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_clips_know_nothing_of_each_other():
    net = network(trained=True)
    given = inputs(3)
    both = restored(net)
    prompt = prompt_of(net)
    first = {
        name: tuple(x[:3] for x in value) if isinstance(value, tuple) else value[:3]
        for name, value in given.items()
    }
    alone = replace(
        prompt,
        **{
            name: tuple(x[:1] for x in value) if isinstance(value, tuple) else value[:1]
            for name, value in vars(prompt).items()
        },
    )
    with torch.no_grad():
        found = net(**first, prompt=alone, frames=3)
    torch.testing.assert_close(found, both[:3], rtol=0, atol=1e-5)


def test_a_clip_of_24_frames():
    assert restored(network(trained=True), 24, 1).shape == (24, LATENT, N // 4, N // 4)


def time_attention() -> TimeAttention:
    torch.manual_seed(0)
    net = TimeAttention(16, 4)
    torch.nn.init.normal_(net.out.weight, std=0.3)
    return net


def test_time_attention_does_not_care_for_the_order_without_its_bias():
    net, x = time_attention(), torch.randn(2 * 5, 16, 4, 4)
    order = torch.tensor([3, 1, 4, 0, 2])
    moved = x.unflatten(0, (2, 5))[:, order].flatten(0, 1)
    wanted = net(x, 5).unflatten(0, (2, 5))[:, order].flatten(0, 1)
    torch.testing.assert_close(net(moved, 5), wanted, rtol=0, atol=1e-5)
    torch.nn.init.normal_(net.bias)
    assert (net(moved, 5) - net(x, 5).unflatten(0, (2, 5))[:, order].flatten(0, 1)).abs().max() > 0


def test_time_attention_looks_at_one_place_only():
    net, x = time_attention(), torch.randn(4, 16, 3, 5)
    other = x.clone()
    other[:, :, 1, 2] += 1
    changed = (net(other, 4) - net(x, 4)).abs().amax((0, 1)) > 0
    assert changed.nonzero().tolist() == [[1, 2]]


def test_one_frame_alone_looks_at_itself():
    net, x = time_attention(), torch.randn(3, 16, 2, 2)
    assert net(x, 1).shape == x.shape
    torch.testing.assert_close(net(x, 1)[1:2], net(x[1:2], 1), rtol=0, atol=1e-6)


def test_near_attention_is_attention_less_squared_distances():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator) for n in (5, 7, 7))
    here, there = (50 * torch.randn(2, n, 2, generator=generator) for n in (5, 7))
    near, nothing = torch.tensor([20.0, 40.0, 80.0]), torch.tensor([0.0, 1.0, -1.0])
    found = _near(q, k, v, here, there, near, nothing)
    squared = (here[:, None, :, None] - there[:, None, None]).square().sum(-1)
    logits = q @ k.transpose(2, 3) / 8**0.5 - squared / 2 / near.view(1, 3, 1, 1) ** 2
    logits = torch.cat([logits, nothing.view(1, 3, 1, 1).expand(2, -1, 5, 1)], -1)
    wanted = logits.softmax(-1)[..., :-1] @ v
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
