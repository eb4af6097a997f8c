"""The key photo's look: what is learned, what it may do, and when it is refused."""

import cv2
import numpy as np
import pytest
from support.pictures import scene

from livemoments.align.alignment import align
from livemoments.restoration.key_look import (
    BAND,
    BINS,
    TO_YCC,
    KeyLook,
    learn_look,
    light_moved,
    local_mean,
    look_of_key,
)

HEIGHT, WIDTH = 240, 320
SURE = np.ones((HEIGHT, WIDTH), np.float32)


def natural(height: int = HEIGHT, width: int = WIDTH, *, seed: int = 0) -> np.ndarray:
    """A picture with all tones: a scene under an uneven light."""
    light = np.linspace(0.35, 1.0, width, dtype=np.float32)[None, :, None]
    return np.clip(scene(height, width, seed=seed) * light, 0.03, 0.97).astype(np.float32)


def as_photo(frame: np.ndarray) -> np.ndarray:
    """A still as phones tone it: brighter in the dark, more colourful, a little warmer."""
    ycc = np.clip(frame, 0, 1) ** 0.8 @ TO_YCC.T
    ycc[..., 1:] = 1.2 * ycc[..., 1:] + np.float32([-0.01, 0.01])
    return np.clip(ycc @ np.linalg.inv(TO_YCC).T, 0, 1).astype(np.float32)


def luma(picture: np.ndarray) -> np.ndarray:
    return picture @ TO_YCC[0]


def test_of_a_picture_with_itself_nothing_is_learned():
    frame = natural()
    learned = learn_look(frame, frame, SURE)
    assert learned.look is not None
    assert np.abs(learned.look.apply(frame) - frame).mean() < 0.002


def test_a_known_tone_and_colour_are_learned_and_hold_for_another_picture():
    frame, other = natural(), natural(seed=5)
    look = learn_look(frame, as_photo(frame), SURE).look
    assert look is not None
    for picture in (frame, other):
        before = np.abs(picture - as_photo(picture)).mean()
        after = np.abs(look.apply(picture) - as_photo(picture)).mean()
        assert after < before / 4


def test_tone_never_falls_and_contrast_stays_within_bounds():
    rng = np.random.default_rng(0)
    frame = natural()
    wild = np.clip(frame + rng.normal(0, 0.05, frame.shape), 0, 1).astype(np.float32)
    look = learn_look(frame, 0.9 * wild[:, ::-1] * 0.2 + 0.8 * frame, SURE).look
    assert look is not None
    assert (np.diff(look.tone) >= 0).all()
    assert look.tone.shape == (BINS,) and look.tint.shape == (BINS, 2)
    assert (look.contrast > 0).all() and (look.chroma > 0).all()


def test_the_order_of_neighbouring_values_stays():
    """No tone is turned around: a pixel that is brighter than its neighbour stays brighter."""
    frame = natural()
    look = learn_look(frame, as_photo(frame), SURE).look
    assert look is not None
    old, new = np.diff(luma(frame), axis=1), np.diff(luma(look.apply(frame)), axis=1)
    clear = np.abs(old) > 0.02
    assert (np.sign(old) == np.sign(new))[clear].mean() > 0.999


def test_no_halo_along_an_edge():
    """Next to a bright sky a dark wall keeps its one value, but for a hair."""
    picture = np.full((HEIGHT, WIDTH, 3), 0.15, np.float32)
    picture[:, WIDTH // 2 :] = 0.85
    frame = natural()
    look = learn_look(frame, as_photo(frame), SURE).look
    assert look is not None
    done = luma(look.apply(picture))
    dark, bright = done[:, : WIDTH // 2 - 2], done[:, WIDTH // 2 + 2 :]
    assert np.ptp(dark) < 0.03 and np.ptp(bright) < 0.03
    assert dark.max() < bright.min()


def test_bands_leave_no_trace():
    level = np.linspace(0.1, 0.9, BAND + 90, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(level, (BAND + 90, 40, 3)).copy()
    frame = natural()
    look = learn_look(frame, as_photo(frame), SURE).look
    assert look is not None
    steps = np.diff(look.apply(picture)[:, 0, 0])
    assert np.abs(steps[BAND - 2 : BAND + 2]).max() < 3 * np.median(np.abs(steps))


def test_the_local_mean_follows_edges_and_smooths_texture():
    rng = np.random.default_rng(1)
    plane = np.where(np.arange(WIDTH) < WIDTH // 2, 0.2, 0.8).astype(np.float32)
    plane = np.broadcast_to(plane, (HEIGHT, WIDTH)).copy()
    assert np.abs(local_mean(plane) - plane).mean() < 0.02
    texture = (0.5 + rng.normal(0, 0.05, (HEIGHT, WIDTH))).astype(np.float32)
    assert local_mean(texture).std() < texture.std() / 4


def test_too_little_in_common_is_refused():
    trust = np.zeros((HEIGHT, WIDTH), np.float32)
    trust[:20] = 1
    learned = learn_look(natural(), natural(), trust)
    assert learned.look is None and "too little of the key photo" in learned.reason


def test_more_than_a_look_is_refused():
    learned = learn_look(natural(), natural(seed=9)[::-1], SURE)
    assert learned.look is None and "differ by more than a look" in learned.reason


def big(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).clip(0, 1)


def test_of_a_moment_under_the_same_light():
    key_frame = natural()
    frame = np.roll(key_frame, 6, axis=1)
    photo = big(as_photo(key_frame))
    learned = look_of_key(frame, key_frame, photo, align(frame, photo))
    assert learned.look is not None and not learned.reason
    gain = (
        np.abs(frame - as_photo(frame)).mean()
        / np.abs(learned.look.apply(frame) - as_photo(frame)).mean()
    )
    assert gain > 3


@pytest.mark.parametrize("change", [lambda x: x * 0.6, lambda x: x * np.float32([1, 0.8, 0.6])])
def test_of_a_moment_under_another_light_it_is_refused(change):
    key_frame = natural()
    frame = change(np.roll(key_frame, 6, axis=1))
    photo = big(as_photo(key_frame))
    learned = look_of_key(frame, key_frame, photo, align(frame, photo))
    assert learned.look is None and "the light changed" in learned.reason


def test_light_that_moved_is_measured():
    picture = natural()
    assert light_moved(picture, picture) == 0
    assert light_moved(picture, np.roll(picture, 9, 1)) < 0.01
    assert light_moved(picture * 0.7, picture) > 0.1
    assert light_moved(picture * np.float32([1.0, 0.9, 0.6]), picture) > 0.05


def test_a_look_does_not_change_the_picture_it_is_given():
    frame = natural()
    ones = np.ones(BINS, np.float32)
    look = KeyLook(
        tone=np.linspace(0, 1, BINS).astype(np.float32), contrast=ones, chroma=ones,
        tint=np.zeros((BINS, 2), np.float32), residual=0.0,
    )  # fmt: skip
    before = frame.copy()
    np.testing.assert_allclose(look.apply(frame), frame, atol=2e-5)
    np.testing.assert_array_equal(frame, before)
