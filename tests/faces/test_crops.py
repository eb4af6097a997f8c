"""Cutting out and pasting back: nothing changes that was not changed."""

import numpy as np
import pytest
from support.faces import placement
from support.pictures import as_bytes, noise_picture, psnr, scene, smooth_picture

from livemoments.errors import ConfigError, InputError
from livemoments.faces.crops import (
    add_change,
    cut,
    face_mask,
    mask_without_others,
    paste,
    soft_mask,
)
from livemoments.faces.face import Placement

PLACES = [
    placement(80.3, 60.7, 90.2, 0.3),  # enlarged to 128
    placement(80.0, 60.0, 300.0, -0.8),  # reduced, and larger than the picture
    placement(4.0, 118.0, 60.0),  # over the border
    placement(500.0, 500.0, 60.0),  # outside
]


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_an_unchanged_face_changes_not_a_bit(at, kind):
    picture = noise_picture(120, 160)
    picture = as_bytes(picture) if kind == np.uint8 else picture
    assert np.array_equal(paste(picture, cut(picture, at, 128), at), picture)


@pytest.mark.parametrize("at", PLACES[:3])
def test_outside_the_mask_not_a_bit_changes(at):
    picture = as_bytes(noise_picture(120, 160))
    result = paste(picture, 255 - cut(picture, at, 128), at)
    mask = soft_mask(at, (0, 0, 160, 120))
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result, picture)
    assert result.dtype == np.uint8


@pytest.mark.parametrize("at", PLACES[:2])
def test_a_better_face_arrives_where_it_was_cut_out(at):
    """The truth's own face, pasted over a degraded picture, brings the truth back."""
    truth = smooth_picture(120, 160)
    degraded = np.clip(truth + np.float32(0.1), 0, 1) * np.float32(0.9)
    result = paste(degraded, cut(truth, at, 256), at)
    inside = soft_mask(at, (0, 0, 160, 120)) == 1
    assert inside.sum() > 500
    assert psnr(result[inside][None], truth[inside][None]) > 50
    assert psnr(degraded[inside][None], truth[inside][None]) < 30


def test_enlarged_by_two_and_back_keeps_half_pixels():
    """What lies next to a pixel's centre in the picture lies there in the face."""
    picture = smooth_picture(64, 64)
    whole = Placement.of_canonical(64)
    assert cut(picture, whole, 64) == pytest.approx(picture, abs=1e-5)
    ramp = np.broadcast_to(np.arange(64, dtype=np.float32)[None, :, None], (64, 64, 3))
    twice = cut(ramp, whole, 128)
    assert twice[64, 32:96, 0] == pytest.approx((np.arange(32, 96) + 0.5) / 2 - 0.5, abs=0.06)
    half = cut(ramp, whole, 32)
    assert half[16, 8:24, 0] == pytest.approx(np.arange(8, 24) * 2 + 0.5, abs=1e-3)


def test_a_reduced_face_has_no_aliases():
    stripes = np.zeros((256, 256, 3), np.float32)
    stripes[:, ::2] = 1
    face = cut(stripes, placement(128, 128, 200), 50)
    assert np.abs(face - 0.5).max() < 0.15


def test_strength():
    picture = np.full((100, 100, 3), 0.5, np.float32)
    at = placement(50, 50, 100)
    face = np.ones((64, 64, 3), np.float32)
    assert np.array_equal(paste(picture, face, at, strength=0), picture)
    half = paste(picture, face, at, strength=0.5)
    assert half[55, 50] == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("at", PLACES)
def test_a_large_pictures_face_is_cut_out_as_a_small_ones(at):
    """What is cut out depends on nothing but the face's surroundings."""
    picture = noise_picture(120, 160)
    wider = np.pad(picture, ((0, 0), (900, 900), (0, 0)), mode="edge")
    there = Placement(x=at.x + 900, y=at.y, side_px=at.side_px, roll=at.roll)
    assert cut(wider, there, 64) == pytest.approx(cut(picture, at, 64), abs=1e-3)


@pytest.mark.parametrize("at", PLACES)
def test_to_paste_is_to_add_the_change(at):
    picture = noise_picture(120, 160)
    face = np.float32(1) - cut(picture, at, 64)
    change = face - cut(picture, at, 64)
    added = add_change(picture, change, at, 0.7)
    assert np.array_equal(added, paste(picture, face, at, strength=0.7))
    assert np.array_equal(add_change(picture, 0 * change, at), picture)
    assert added is not picture


def test_a_change_is_in_the_pictures_unit():
    at = placement(80, 60, 90)
    picture = np.full((120, 160, 3), 100, np.uint8)
    change = np.full((64, 64, 3), 20.4, np.float32)
    assert add_change(picture, change, at)[64, 80].tolist() == [120] * 3
    assert add_change(picture, change * 20, at)[64, 80].tolist() == [255] * 3


def test_the_mask_is_soft_and_turns_with_the_face():
    mask = soft_mask(placement(63.5, 63.5, 128), (0, 0, 128, 128))
    assert mask.max() == 1 and mask[0].max() == 0 and mask[:, 0].max() == 0
    assert (mask >= face_mask(128) - 1e-3)[:112].all()
    assert np.abs(np.diff(mask, axis=0)).max() < 0.15
    assert mask == pytest.approx(mask[:, ::-1])
    turned = soft_mask(placement(63.5, 63.5, 128, np.pi), (0, 0, 128, 128))
    assert turned == pytest.approx(mask[::-1, ::-1], abs=1e-5)


def test_bad_input_is_refused():
    picture, at = scene(64, 64), placement(32, 32, 40)
    face = cut(picture, at, 32)
    with pytest.raises(ConfigError, match="at least 16 pixels, got 8"):
        cut(picture, at, 8)
    with pytest.raises(InputError, match="H x W x C of uint8 or float32"):
        cut(picture.astype(np.float64), at)
    with pytest.raises(ConfigError, match=r"strength must be in \[0, 1\]"):
        paste(picture, face, at, strength=1.5)
    with pytest.raises(InputError, match="give a square"):
        paste(picture, face[:20], at)
    with pytest.raises(InputError, match="give a square of float32"):
        add_change(picture, face[:20], at)
    with pytest.raises(InputError, match="give one type"):
        paste(picture, as_bytes(face), at)


def test_other_faces_are_left_alone_and_heads_share_what_overlaps():
    at, near = placement(60, 60, 80), placement(110, 60, 80)
    alone = mask_without_others(at, [], size_px=64)
    assert (alone == 1).all()
    left = mask_without_others(at, [near], size_px=64)
    assert left[36].min() == 0 and left[:, 0].min() == 1  # a face to the right, nothing to the left
    picture = np.zeros((120, 200, 3), np.float32)
    change = np.full((64, 64, 3), 0.5, np.float32)
    once = add_change(picture, change, near)
    rest = change * mask_without_others(at, [], [(near, 1.0)], 64)[..., None]
    both = add_change(once, rest, at)
    assert both.max() <= 0.51  # never made twice
