"""Matching of learned features: windows and their surroundings, and what they find."""

import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.networks.attention import to_windows  # noqa: E402
from livemoments.networks.compact_config import CompactConfig  # noqa: E402
from livemoments.networks.refiner import (  # noqa: E402
    CoarseRefiner,
    LocalMatching,
    to_surroundings,
)


def places(height: int, width: int):
    """A picture whose two channels say where a cell lies, x and y from 1 on."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y])[None].float() + 1


def test_surroundings_hold_each_window_and_half_a_window_around_it():
    window = to_windows(places(24, 32), 8)[5]  # second row, second column
    around = to_surroundings(places(24, 32), 8)[5]
    assert around.shape == (256, 2)
    low, high = window.amin(0), window.amax(0)
    assert torch.equal(around.amin(0), low - 4) and torch.equal(around.amax(0), high + 4)
    assert len({tuple(place) for place in around.tolist()}) == 256


def test_beyond_the_border_there_is_nothing():
    corner = to_surroundings(places(16, 16), 8)[0]
    assert (corner == 0).all(-1).sum() == 256 - 12 * 12


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-2, 4), (1, -4)])
def test_matching_finds_how_far_features_moved(shift):
    """With features that tell places apart, and a softmax sharp enough to believe them."""
    torch.manual_seed(0)
    match = LocalMatching(32)
    with torch.no_grad():
        match.sharpness.fill_(5.0)
    key = torch.randn(2, 32, 24, 32)
    dx, dy = shift
    frame = key.roll((-dy, -dx), (2, 3))  # the key photo shows it dx, dy cells further on
    found = match(frame, key)
    inner = found[:, :, 4:-4, 4:-4]
    assert torch.allclose(inner[:, 0], torch.tensor(float(dx)), atol=0.05)
    assert torch.allclose(inner[:, 1], torch.tensor(float(dy)), atol=0.05)
    assert inner[:, 2].abs().max() < 0.05  # no doubt
    assert torch.allclose(inner[:, 3:], match.value(key).roll((-dy, -dx), (2, 3))[..., 4:-4, 4:-4],
                          atol=0.05)  # fmt: skip


def test_matching_among_the_same_is_in_doubt():
    flat = torch.ones(1, 8, 16, 16)
    found = LocalMatching(8)(flat, flat)
    assert found[:, 2].min() > 0.3


def test_an_untrained_coarse_pass_hardly_moves_anything():
    torch.manual_seed(0)
    network = CoarseRefiner(CompactConfig().refiner_channels[1])
    picture = torch.rand(1, 3, 128, 192)
    moved = network(picture, picture.roll(4, 3), torch.ones(1, 1, 128, 192))
    assert moved.shape == (1, 4, 16, 24) and moved[:, :2].abs().max() < 1.5
