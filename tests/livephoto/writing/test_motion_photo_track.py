"""The key photo's time in a clip's own metadata track."""

import io

import numpy as np
import pytest
from support import makers, rounds
from support.motion_photos import packets, with_image_metadata

from livemoments.livephoto.writing.motion_photo_track import stated_time_us, with_stated_time


def stated(clip: bytes) -> int | None:
    return stated_time_us(io.BytesIO(clip), len(clip))


@pytest.mark.parametrize("long_sizes", [False, True])
def test_the_time_is_read_and_set(long_sizes):
    clip = with_image_metadata(makers.motion_clip(sound=True), 281_164, long_sizes=long_sizes)
    assert stated(clip) == 281_164
    changed = with_stated_time(clip, 2**40 + 1)
    assert stated(changed) == 2**40 + 1
    assert with_stated_time(changed, 281_164) == clip
    assert packets(changed) == packets(clip)
    assert sum(a != b for a, b in zip(changed, clip, strict=True)) <= 8


def test_a_clip_without_the_track_stays_as_it_is():
    clip = makers.motion_clip()
    assert stated(clip) is None
    assert with_stated_time(clip, 5) == clip
    assert with_stated_time(b"no clip", 5) == b"no clip"


def test_damaged_tracks_are_passed_over():
    clip = with_image_metadata(makers.motion_clip(), 1)
    rng = np.random.default_rng(0)
    for _ in range(rounds(300, 100)):
        data = bytearray(clip)
        for at in rng.integers(len(clip) - 900, len(clip), 8):
            data[at] = rng.integers(0, 256)
        changed = with_stated_time(bytes(data), 5)
        assert len(changed) == len(clip)


@pytest.mark.real
def test_a_real_clip(samples):
    photo = next(samples.glob("pixel3axl-keyboard/*.jpg")).read_bytes()
    clip = photo[2728123:]
    assert stated(clip) == 0
    changed = with_stated_time(clip, 281_244)
    assert stated(changed) == 281_244 and packets(changed) == packets(clip)
