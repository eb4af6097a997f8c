"""Walk the bridge between a frame's latent and the truth's (LiveMoments, 3.1, appendix B.1).

z_t = alpha(t) z_Hs + beta(t) z_Ls + sigma(t) eps for t in [0, T], T = 0.2. At t = 0 it is the
truth; at t = T it is 0.8 z_Ls + 0.2 eps, which needs nothing but the frame: sampling starts there
and goes down to 0.

Pure functions of arrays (numpy or torch), element-wise, of any shape. A time t is a number or an
array that broadcasts against the latents.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from livemoments.errors import ConfigError

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor; only arithmetic is used

HORIZON = 0.2  # T
MAX_STEPS = 64


@dataclass(frozen=True)
class Coefficients:
    """The weights of truth, frame and noise in z_t, or their derivatives in its velocity."""

    alpha: Array
    beta: Array
    sigma: Array


def coefficients(t: Array) -> Coefficients:
    """Return alpha = (1-t)(T-t)/T, beta = (1-t)t/T, sigma = t (appendix B.1)."""
    return Coefficients((1 - t) * (HORIZON - t) / HORIZON, (1 - t) * t / HORIZON, t)


def derivatives(t: Array) -> Coefficients:
    """Return d alpha/dt = (2t-1-T)/T, d beta/dt = (1-2t)/T, d sigma/dt = 1."""
    return Coefficients((2 * t - 1 - HORIZON) / HORIZON, (1 - 2 * t) / HORIZON, 1.0)


def bridge_point(truth: Array, frame: Array, noise: Array, t: Array) -> Array:
    """Return z_t of two latents and a standard normal draw, all of one shape."""
    c = coefficients(t)
    return c.alpha * truth + c.beta * frame + c.sigma * noise


def velocity(truth: Array, frame: Array, noise: Array, t: Array) -> Array:
    """Return dz_t/dt along the path through these three: what the paper's network predicts."""
    d = derivatives(t)
    return d.alpha * truth + d.beta * frame + d.sigma * noise


def start(frame: Array, noise: Array) -> Array:
    """Return z_T = (1-T) z_Ls + T eps, where sampling begins."""
    return (1 - HORIZON) * frame + HORIZON * noise


def implied_noise(z: Array, truth: Array, frame: Array, t: Array) -> Array:
    """Find the eps that puts z at t on the path from frame to a predicted truth; t > 0."""
    c = coefficients(t)
    return (z - c.alpha * truth - c.beta * frame) / c.sigma


def velocity_from_truth(z: Array, truth: Array, frame: Array, t: Array) -> Array:
    """Return the velocity at z that a prediction of the truth implies; t > 0."""
    return velocity(truth, frame, implied_noise(z, truth, frame, t), t)


def truth_from_velocity(z: Array, velocity_at_t: Array, frame: Array, t: Array) -> Array:
    """Return the z_Hs that z and its velocity at t imply: two equations, for it and for eps.

    z = alpha z_Hs + beta z_Ls + sigma eps and dz/dt = alpha' z_Hs + beta' z_Ls + eps. Their
    determinant alpha - alpha' sigma = (T - t^2) / T is never 0 on the bridge.
    """
    c, d = coefficients(t), derivatives(t)
    beyond_frame = z - c.beta * frame
    speed_beyond_frame = velocity_at_t - d.beta * frame
    return (beyond_frame - c.sigma * speed_beyond_frame) / (c.alpha - d.alpha * c.sigma)


def euler_step(z: Array, velocity_at_t: Array, t: float, t_next: float) -> Array:
    """Step as the official sampler: straight along the velocity."""
    return z + (t_next - t) * velocity_at_t


def exact_step(z: Array, truth: Array, frame: Array, t: float, t_next: float) -> Array:
    """Return z at t_next on the path through z at t and the predicted truth.

    The path is curved in t, so that Euler needs small steps; this step has no error of integration.
    """
    return bridge_point(truth, frame, implied_noise(z, truth, frame, t), t_next)


def uniform_times(steps: int) -> tuple[float, ...]:
    """Return steps + 1 times from T down to 0, evenly spaced."""
    if not 1 <= steps <= MAX_STEPS:
        raise ConfigError(f"steps must be from 1 to {MAX_STEPS}, got {steps}")
    return tuple(HORIZON * (steps - i) / steps for i in range(steps + 1))


def sampling_times(steps: int) -> tuple[float, ...]:
    """Return the official times, with which the release was trained; for one step, T and 0."""
    return official_times(steps) if steps > 1 else uniform_times(1)


def official_times(steps: int = 6) -> tuple[float, ...]:
    """Return the release's steps + 1 times: SD3's (shift 3), index 923 to 999 of 1000; then 0.

    For 6 steps 0.2002 0.1655 0.1289 0.0902 0.0493 0.0030 0; the network's timestep is 1000 t.
    """
    if not 2 <= steps <= MAX_STEPS:
        raise ConfigError(
            f"steps of the official schedule must be from 2 to {MAX_STEPS}, got {steps}"
        )
    first, last, shift = 923, 999, 3.0
    times = []
    for i in range(steps):
        s = (1000 - int(first + (last - first) * i / (steps - 1))) / 1000
        times.append(shift * s / (1 + (shift - 1) * s))
    return (*times, 0.0)
