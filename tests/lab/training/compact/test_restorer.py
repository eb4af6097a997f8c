"""Whole pictures in PyTorch: parts taken away, and the sampler changed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from support.pictures import scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from support.tiny.compact import TINY

from livemoments.errors import ConfigError
from livemoments.lab.training.compact.restorer import (
    Sampler,
    TorchRestorer,
    Views,
    restore_views,
    restore_whole,
)
from livemoments.lab.training.run.objective_config import WARPS, Parts
from livemoments.models.tile import TileConfig
from livemoments.networks.compact import CompactNetworks

H, W = 80, 100  # no multiples of 64


@pytest.fixture(scope="module")
def views() -> Views:
    truth = scene(H, W, seed=1)
    small = cv2.resize(truth, (W // 2, H // 2), interpolation=cv2.INTER_AREA)
    frame = cv2.resize(small, (W, H), interpolation=cv2.INTER_LINEAR)
    key_photo = np.roll(truth, (2, 3), (0, 1))
    flow = np.broadcast_to(np.float32([3, 2]), (H, W, 2))
    return Views(
        frame=frame, key_photo=key_photo, flow=flow, confidence=np.ones((H, W), np.float32)
    )


@pytest.fixture(scope="module")
def model() -> CompactNetworks:
    torch.manual_seed(0)
    model = CompactNetworks(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model.eval()


def test_an_untrained_model_without_reference_returns_the_frame(views):
    torch.manual_seed(0)
    found = restore_whole(CompactNetworks(TINY), views, Parts(reference=False))
    assert found.shape == (H, W, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, views.frame, atol=1e-3)


@pytest.mark.parametrize("warp", WARPS)
def test_every_way_to_warp_uses_the_key_photo_and_none_uses_it_without_reference(
    model, views, warp
):
    other = replace(views, key_photo=scene(H, W, seed=9))
    parts = Parts(warp=warp, copy_gate=False, reference_pixels=False)
    assert np.abs(restore_whole(model, views, parts) - restore_whole(model, other, parts)).max() > 0
    alone = replace(parts, reference=False, warp="pixels")
    np.testing.assert_array_equal(
        restore_whole(model, views, alone), restore_whole(model, other, alone)
    )


def test_each_part_makes_a_difference(model, views):
    moved = views.flow.copy()
    moved[: H // 2] += 1.5  # motion that differs between places, else there is nothing to embed
    views = replace(views, flow=moved)
    whole = restore_whole(model, views)
    for part in ("refine", "copy_gate", "motion", "reference_pixels"):
        less = restore_whole(model, views, Parts(**{part: False}))
        assert np.abs(less - whole).max() > 1e-6, part


def test_pcr_brings_an_unwarped_key_photo_into_place(model, views):
    """Moved by whole pixels, it is the very crop that warping would read."""
    unwarped = Parts(
        warp="nothing", refine=False, copy_gate=False, motion=False, reference_pixels=False
    )
    whole = {name: value[:64, :64] for name, value in vars(views).items()}  # nothing to extend
    wide = scene(68, 70, seed=1)
    moved = Views(**(whole | {"key_photo": wide}))
    still = replace(moved, key_photo=wide[2:-2, 3:-3], flow=np.zeros((64, 64, 2), np.float32))
    retrieved, straight = (restore_whole(model, v, unwarped) for v in (moved, still))
    np.testing.assert_allclose(retrieved, straight, atol=1e-5)
    without = restore_whole(model, moved, unwarped, Sampler(retrieve=False))
    assert np.abs(without - straight).mean() > 1e-3


def test_many_euler_steps_come_nearer_to_the_exact_step(model, views):
    """From T to 0 the exact step lands on the predicted truth; Euler's goes along its tangent."""
    exact = restore_whole(model, views, sampler=Sampler(steps=1))
    euler = restore_whole(model, views, sampler=Sampler(steps=1, euler=True))
    many = restore_whole(model, views, sampler=Sampler(steps=6, euler=True))
    assert np.abs(euler - exact).mean() > np.abs(many - exact).mean()
    again = restore_whole(model, views, sampler=Sampler(steps=3, seed=1))
    np.testing.assert_array_equal(
        again, restore_whole(model, views, sampler=Sampler(steps=3, seed=1))
    )


def test_tiles_are_those_of_the_product(model, views):
    """Cut into tiles, each with its crop of the key photo, the picture stays nearly the same."""
    large = Views(**{name: cv2.resize(value, (360, 300)) for name, value in vars(views).items()})
    many, one = TorchRestorer(model, euler=False), TorchRestorer(model, euler=False)
    one.tiles = TileConfig(size=512)
    found, whole = (restore_views(restorer, large) for restorer in (many, one))
    assert np.abs(found - whole).mean() < 0.01
    alone = restore_views(one, large, reference=False)
    assert np.abs(whole - alone).mean() > 2 * np.abs(found - whole).mean()


def test_an_unknown_warp_is_refused():
    with pytest.raises(ConfigError, match="warp must be one of pixels, latents"):
        Parts(warp="pixel")
    with pytest.raises(ConfigError, match="neither given with the frame's nor copied"):
        Parts(warp="latents")
