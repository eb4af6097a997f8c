"""Windows of a clip, and how the earlier ones' predictions go over into the next's."""

import numpy as np
import pytest

from livemoments.errors import ConfigError
from livemoments.faces.blending import BlendConfig, Earlier, share_of_earlier, weights, windows

CONFIG = BlendConfig(window=8, overlap=3)


def latents(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 48, 2, 2), np.float32)


@pytest.mark.parametrize("count", [*range(1, 40), 75, 300])
@pytest.mark.parametrize("config", [CONFIG, BlendConfig(), BlendConfig(window=5, overlap=4),
                                    BlendConfig(window=6, overlap=0), BlendConfig(window=1, overlap=0)])  # fmt: skip  # noqa: E501
def test_windows_cover_every_frame_and_overlap_as_asked(count, config):
    found = windows(count, config)
    assert found[0].start == 0 and found[-1].stop == count
    assert max(len(each) for each in found) <= config.window
    for before, after in zip(found, found[1:], strict=False):
        assert before.stop - after.start == config.overlap
        assert after.start > before.start and after.stop > before.stop
    lengths = [len(each) for each in found]
    assert max(lengths) - min(lengths) <= 1


def test_a_short_clip_is_one_window_and_none_is_none():
    assert windows(8, CONFIG) == [range(8)]
    assert windows(0, CONFIG) == []


def test_weights_are_shares_that_fall_with_distance_and_age():
    shares = share_of_earlier(np.arange(20), CONFIG)
    assert shares[0] == 1 and (np.diff(shares) < 0).all() and shares.min() >= 0
    for at in range(5):
        found = weights(at, [1, 2, 3], CONFIG)
        assert ((found >= 0) & (found <= 1)).all() and (np.diff(found) < 0).all()
        assert found.sum() == pytest.approx(shares[at])
    assert len(weights(3, [], CONFIG)) == 0


def test_the_falls_are_exponential():
    distances = share_of_earlier(np.arange(6), CONFIG)
    np.testing.assert_allclose(distances[1:] / distances[:-1], np.exp(-1 / CONFIG.decay_frames))
    found = weights(0, [1, 2, 3], CONFIG)
    np.testing.assert_allclose(found[1:] / found[:-1], np.exp(-1 / CONFIG.decay_windows))


def blended(first, second, config=CONFIG, step=0):
    """The second window, frames 5 to 12, after the first, 0 to 7."""
    earlier = Earlier(config)
    earlier.keep(range(8), [earlier.blend(0, range(8), first)], 5)
    return earlier.blend(step, range(5, 13), second)


def test_equal_predictions_are_not_changed_by_a_bit():
    every = latents(13)
    np.testing.assert_array_equal(blended(every[:8], every[5:]), every[5:])


def test_the_first_frame_is_the_earlier_windows_and_then_ever_less():
    first, second = np.zeros((8, 48, 2, 2), np.float32), np.ones((8, 48, 2, 2), np.float32)
    shares = 1 - blended(first, second)[:, 0, 0, 0]
    np.testing.assert_allclose(shares[:3], np.exp(-np.arange(3) / 3), rtol=1e-6)
    assert (shares[3:] == 0).all()


def test_given_arrays_are_left_alone():
    first, second = latents(8), latents(8, 1)
    before = first.copy(), second.copy()
    blended(first, second)
    np.testing.assert_array_equal(first, before[0])
    np.testing.assert_array_equal(second, before[1])


def test_one_window_is_as_it_was_predicted():
    z = latents(8)
    assert Earlier(CONFIG).blend(0, range(8), z) is z


def test_off_nothing_is_kept():
    config = BlendConfig(window=8, overlap=0)
    earlier, z = Earlier(config), latents(8)
    earlier.keep(range(8), [z], 8)
    assert earlier.blend(0, range(8, 16), z) is z


def test_every_step_is_blended_with_its_own():
    earlier = Earlier(CONFIG)
    steps = [np.zeros((8, 48, 2, 2), np.float32), np.full((8, 48, 2, 2), 2, np.float32)]
    earlier.keep(range(8), steps, 5)
    ones = np.ones((8, 48, 2, 2), np.float32)
    assert earlier.blend(0, range(5, 13), ones)[0].max() == 0
    assert earlier.blend(1, range(5, 13), ones)[0].min() == 2


def test_two_earlier_windows_share_by_age():
    config = BlendConfig(window=8, overlap=6)
    earlier = Earlier(config)
    for start, value in ((0, 3.0), (2, 5.0)):
        z = np.full((8, 48, 1, 1), value, np.float32)
        earlier.keep(range(start, start + 8), [z], start + 2)
    found = earlier.blend(0, range(4, 12), np.zeros((8, 48, 1, 1), np.float32))[:, 0, 0, 0]
    young = 1 / (1 + np.exp(-1))
    assert found[0] == pytest.approx(5 * young + 3 * (1 - young))
    assert found[4] == pytest.approx(5 * np.exp(-4 / 3))  # only the younger one reaches so far
    assert (found[6:] == 0).all()


def test_memory_is_bounded_however_many_windows():
    config = BlendConfig(window=8, overlap=6)
    earlier = Earlier(config)
    for at in range(50):
        earlier.keep(range(2 * at, 2 * at + 8), [latents(8)] * 2, 2 * at + 2)
        assert sum(len(step) for kept in earlier._windows for step in kept) <= 2 * (6 + 4 + 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": 0, "overlap": 0}, "window must be at least 1, got 0"),
        ({"overlap": 24}, r"overlap must be in \[0, window=24\), got 24"),
        ({"decay_frames": 0.0}, "decays must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        BlendConfig(**changes)
