"""The bridge: laws of the path, the samplers, and the official release's numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DATA

from livemoments import bridge
from livemoments.errors import ConfigError

T = bridge.HORIZON


@pytest.fixture
def latents() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, frame and noise in float64."""
    return tuple(np.random.default_rng(0).standard_normal((3, 2, 4, 5, 6)))


def test_the_path_ends_at_the_truth(latents):
    np.testing.assert_array_equal(bridge.bridge_point(*latents, 0.0), latents[0])


def test_the_path_starts_at_frame_and_noise_alone(latents):
    truth, frame, noise = latents
    np.testing.assert_allclose(
        bridge.bridge_point(truth, frame, noise, T), 0.8 * frame + 0.2 * noise, atol=1e-15
    )
    np.testing.assert_allclose(bridge.start(frame, noise), 0.8 * frame + 0.2 * noise, atol=1e-15)


@given(st.floats(0, T))
def test_truth_and_frame_share_what_noise_leaves(t: float):
    c = bridge.coefficients(t)
    assert c.alpha + c.beta == pytest.approx(1 - t)
    assert c.sigma == t
    assert c.alpha >= 0 and c.beta >= 0


@pytest.mark.parametrize("t", [1e-3, 0.03, 0.1, 0.1999])
def test_velocity_is_the_paths_derivative(latents, t):
    h = 1e-6
    difference = (bridge.bridge_point(*latents, t + h) - bridge.bridge_point(*latents, t - h)) / (
        2 * h
    )
    np.testing.assert_allclose(bridge.velocity(*latents, t), difference, atol=1e-7)


@pytest.mark.parametrize("t", [0.003, 0.1, T])
def test_implied_noise_puts_the_point_on_the_path(latents, t):
    truth, frame, noise = latents
    z = bridge.bridge_point(truth, frame, noise, t)
    np.testing.assert_allclose(bridge.implied_noise(z, truth, frame, t), noise, atol=1e-11)
    np.testing.assert_allclose(
        bridge.velocity_from_truth(z, truth, frame, t),
        bridge.velocity(truth, frame, noise, t),
        atol=1e-9,
    )


def euler_error(latents: tuple[np.ndarray, ...], steps: int) -> float:
    """How far from the truth Euler steps along the true velocity end."""
    truth, frame, noise = latents
    z, times = bridge.start(frame, noise), bridge.uniform_times(steps)
    for t, t_next in zip(times, times[1:], strict=False):
        z = bridge.euler_step(z, bridge.velocity(truth, frame, noise, t), t, t_next)
    return float(np.abs(z - truth).max())


def test_euler_converges_to_the_truth_at_first_order(latents):
    errors = [euler_error(latents, steps) for steps in (4, 16, 64)]
    assert errors[2] < 0.02
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    "times", [bridge.uniform_times(1), bridge.uniform_times(5), bridge.official_times(6)]
)
def test_exact_steps_stay_on_the_path(latents, times):
    truth, frame, noise = latents
    z = bridge.bridge_point(truth, frame, noise, times[0])
    for t, t_next in zip(times, times[1:], strict=False):
        z = bridge.exact_step(z, truth, frame, t, t_next)
        np.testing.assert_allclose(z, bridge.bridge_point(truth, frame, noise, t_next), atol=1e-10)
    np.testing.assert_allclose(z, truth, atol=1e-10)


@pytest.mark.parametrize("t", [0.0, 0.003, 0.1, T, 0.2002])
def test_a_velocity_tells_the_truth(latents, t):
    """Two equations, two unknowns: from z and its velocity the truth follows exactly."""
    truth, frame, noise = latents
    z = bridge.bridge_point(truth, frame, noise, t)
    found = bridge.truth_from_velocity(z, bridge.velocity(truth, frame, noise, t), frame, t)
    np.testing.assert_allclose(found, truth, atol=1e-10)


def test_sampling_times_are_official_but_for_one_step():
    assert bridge.sampling_times(6) == bridge.official_times(6)
    assert bridge.sampling_times(1) == (T, 0.0)


def test_exact_step_to_zero_returns_the_prediction_whatever_z_is(latents):
    truth, frame, anything = latents
    np.testing.assert_allclose(bridge.exact_step(anything, truth, frame, T, 0.0), truth, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 6, bridge.MAX_STEPS])
def test_uniform_times_go_down_evenly(steps):
    times = bridge.uniform_times(steps)
    assert len(times) == steps + 1 and times[0] == pytest.approx(T) and times[-1] == 0
    np.testing.assert_allclose(np.diff(times), -T / steps, atol=1e-12)


def test_official_times_are_the_releases():
    assert [round(t, 4) for t in bridge.official_times()] == [
        0.2002,
        0.1655,
        0.1289,
        0.0902,
        0.0493,
        0.0030,
        0,
    ]
    for steps in (2, 3, 20, bridge.MAX_STEPS):
        times = bridge.official_times(steps)
        assert len(times) == steps + 1 and (np.diff(times) < 0).all()


@pytest.mark.parametrize("steps", [0, -1, bridge.MAX_STEPS + 1])
def test_step_counts_outside_the_range_are_refused(steps):
    with pytest.raises(ConfigError, match=rf"from 1 to 64, got {steps}"):
        bridge.uniform_times(steps)
    with pytest.raises(ConfigError, match=rf"from 2 to 64, got {steps}"):
        bridge.official_times(steps)


def test_one_official_step_is_refused():
    with pytest.raises(ConfigError, match="got 1"):
        bridge.official_times(1)


def test_numpy_and_torch_agree(latents):
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    truth, frame, noise = (torch.from_numpy(x) for x in latents)
    times = np.array([0.05, 0.2]).reshape(2, 1, 1, 1)  # one per element of the batch
    calls = [
        (bridge.bridge_point, (latents[0], latents[1], latents[2], times)),
        (bridge.velocity, (latents[0], latents[1], latents[2], times)),
        (bridge.velocity_from_truth, (latents[2], latents[0], latents[1], times)),
    ]
    for function, arguments in calls:
        there = function(*(torch.from_numpy(a) for a in arguments))
        np.testing.assert_allclose(there.numpy(), function(*arguments), rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(
        bridge.start(frame, noise).numpy(), bridge.start(latents[1], latents[2])
    )
    assert (
        bridge.exact_step(noise.float(), truth.float(), frame.float(), 0.2, 0.1).dtype
        is torch.float32
    )


# The official release, run with random weights (6 Euler steps).


@pytest.fixture(scope="module")
def official() -> dict[str, np.ndarray]:
    with np.load(DATA / "official_sampling.npz") as numbers:
        return dict(numbers)


def test_official_schedule(official):
    np.testing.assert_allclose(bridge.official_times(6), official["sigmas"], atol=1e-7)
    np.testing.assert_allclose(
        1000 * np.array(bridge.official_times(6)[:-1]), official["timesteps"], atol=1e-4
    )


def test_official_start(official):
    np.testing.assert_allclose(
        bridge.start(official["frame"], official["noise"]), official["start"], atol=1e-6
    )


def test_official_euler_steps_follow_from_the_truth_each_velocity_implies(official):
    """From the release's velocity to a truth by hand, and back through our bridge.

    z - t v = (T - t^2)/T z_Hs + t^2/T z_Ls follows from appendix B.1 by eliminating the noise.
    """
    frame, times = np.float64(official["frame"]), bridge.official_times(6)
    z = np.float64(official["start"])
    for t, t_next, expected in zip(times, times[1:], official["steps"], strict=False):
        v = (expected - z) / (t_next - t)
        truth = (z - t * v - t * t / T * frame) * T / (T - t * t)
        z = bridge.euler_step(z, bridge.velocity_from_truth(z, truth, frame, t), t, t_next)
        np.testing.assert_allclose(z, expected, atol=1e-4)
