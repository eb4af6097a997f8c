"""Clips degraded at two strengths: the same every time, and the worse the stronger."""

import numpy as np
import pytest
from support.pictures import as_bytes, psnr, scene

from livemoments.errors import InputError
from livemoments.imaging.pixels import resize
from livemoments.lab.face_benchmark.strengths import MILD, SEVERE, degrade

HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def truths():
    wide = as_bytes(scene(HEIGHT, WIDTH + 16))
    return [np.ascontiguousarray(wide[:, at : at + WIDTH]) for at in range(6)]


def test_the_stronger_the_worse(truths):
    mild, severe = (degrade(truths, strength) for strength in (MILD, SEVERE))
    assert [frame.shape for frame in mild.frames] == [(HEIGHT // 2, WIDTH // 2, 3)] * 6
    assert [frame.shape for frame in severe.frames] == [(HEIGHT // 4, WIDTH // 4, 3)] * 6
    assert all(frame.dtype == np.uint8 for frame in [*mild.frames, *severe.frames])
    near = [
        np.mean([psnr(resize(frame, HEIGHT, WIDTH) / 255, truth / 255)
                 for frame, truth in zip(each.frames, truths, strict=True)])
        for each in (mild, severe)
    ]  # fmt: skip
    assert near[0] > near[1] + 1 > 10
    assert mild.bits_per_pixel is None and 0.01 < severe.bits_per_pixel < 4


@pytest.mark.parametrize("strength", [MILD, SEVERE], ids=["mild", "severe"])
def test_a_seed_fixes_the_clip(truths, strength):
    one, same, other = (degrade(truths, strength, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, same.frames, strict=True))
    assert not np.array_equal(one.frames[0], other.frames[0])


def test_frames_come_back_in_order(truths):
    found = degrade(truths, SEVERE).frames
    for index, frame in enumerate(found):
        away = [
            np.abs(resize(frame, HEIGHT, WIDTH).astype(float) - truth).mean() for truth in truths
        ]
        assert abs(int(np.argmin(away)) - index) <= 2


def test_sides_that_cannot_be_reduced_are_refused():
    assert SEVERE.multiple_px == 8
    with pytest.raises(InputError, match="100 x 96 pixels .* cut them to multiples of 8"):
        degrade([np.zeros((96, 100, 3), np.uint8)], SEVERE)
    with pytest.raises(InputError, match="no frames were given"):
        degrade([], MILD)
