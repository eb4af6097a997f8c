"""Steady the placements of a face through time, without lag.

Landmarks tremble from frame to frame, and so does what is cut out by them. The face's own texture
shows its motion from one frame to the next far more finely, but its errors add up. So the motions
are joined to a path, and the landmarks' deviation from that path, which changes slowly, is
smoothed: around each frame a parabola is fitted to the frames before and after, near ones counting
most (local regression; Cleveland 1979). Landmarks far from their neighbours' parabola count for
little. A shaking hand is followed exactly, and nothing lags.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.face import Placement
from livemoments.faces.motion import STILL, Motion

WIDTH_S = 0.2  # standard deviation of the weights of neighbouring frames
CALM_S = 0.1  # likewise, of the landmarks' own motion, where the texture's is not known
OUTLIER = 4.0  # in typical deviations: beyond, an observation does not count
# Keeps the fit of few frames from bending: in shares of what a full window weighs.
RIDGE = 1e-6


def steady(
    seen: Mapping[float, Placement],
    times_s: Sequence[float],
    motions: Mapping[float, Motion] | None = None,
    width_s: float = WIDTH_S,
) -> list[Placement]:
    """Smooth placements, and interpolate them at given times.

    Args:
        seen: placements by time in seconds.
        times_s: of the result; also times at which nothing was seen.
        motions: from the sighting before to that of the time, between the squares seen; where one
            is not known, the landmarks' own is taken, smoothed.
        width_s: how far neighbours count; 0 leaves placements as they are, with lines between.

    Raises:
        InputError: nothing was seen.
    """
    if not seen:
        raise InputError("no placement of a face was given; a face must be seen to be steadied")
    at_s = np.array(sorted(seen))
    values = _numbers([seen[time_s] for time_s in at_s])
    wanted_s = np.asarray(times_s, np.float64)
    if width_s <= 0 or len(at_s) < 3:
        return _placements(_between(at_s, values, wanted_s))
    path = _path(at_s, values, motions or {})
    smooth = _robust_fit(at_s, _relative_to(path, values), wanted_s, width_s)
    return _placements(_from_relative(smooth, _between(at_s, path, wanted_s)))


def _numbers(placements: Sequence[Placement]) -> np.ndarray:
    """Return (n, 4): x, y, the logarithm of the side, the roll without jumps by whole turns."""
    rolls = np.unwrap([each.roll for each in placements])
    rows = [(each.x, each.y, np.log(each.side_px)) for each in placements]
    return np.column_stack([np.array(rows), rolls])


def _path(at_s: np.ndarray, values: np.ndarray, motions: Mapping[float, Motion]) -> np.ndarray:
    """Move the first square by the motions of the texture; (n, 4)."""
    seen = _similarities(values)
    calm = _similarities(_robust_fit(at_s, values, at_s, CALM_S))
    carried = [seen[0]]
    for index in range(1, len(at_s)):
        motion = motions.get(at_s[index])
        # From the square before to this one, as landmarks saw both: then on from the path.
        (a, b), (c, d) = (seen if motion else calm)[index - 1 : index + 1]
        motion = motion or STILL
        turn = c * motion.turn / a
        step = c * motion.shift + d - turn * b
        carried.append((turn * carried[-1][0], turn * carried[-1][1] + step))
    sides, middles = (np.array(part) for part in zip(*carried, strict=True))
    return np.column_stack(
        [middles.real, middles.imag, np.log(np.abs(sides)), np.unwrap(np.angle(sides))]
    )


def _similarities(values: np.ndarray) -> list[tuple[complex, complex]]:
    """Convert (n, 4) to similarities a u + b, from positions in the square to the picture."""
    a = np.exp(values[:, 2] + 1j * values[:, 3])
    return list(zip(a.tolist(), (values[:, 0] + 1j * values[:, 1]).tolist(), strict=True))


def _relative_to(path: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Express placements in the coordinates of the path's squares; all (n, 4)."""
    away = (values[:, 0] - path[:, 0]) + 1j * (values[:, 1] - path[:, 1])
    inside = away / np.exp(path[:, 2] + 1j * path[:, 3])
    turns = np.unwrap(values[:, 3] - path[:, 3])
    return np.column_stack([inside.real, inside.imag, values[:, 2] - path[:, 2], turns])


def _from_relative(relative: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Invert _relative_to; all (m, 4)."""
    away = (relative[:, 0] + 1j * relative[:, 1]) * np.exp(path[:, 2] + 1j * path[:, 3])
    return np.column_stack(
        [path[:, 0] + away.real, path[:, 1] + away.imag, path[:, 2:] + relative[:, 2:]]
    )


def _between(at_s: np.ndarray, values: np.ndarray, wanted_s: np.ndarray) -> np.ndarray:
    """Interpolate values (n, 4) at at_s linearly at wanted_s; (m, 4)."""
    return np.stack([np.interp(wanted_s, at_s, column) for column in values.T], axis=1)


def _placements(values: np.ndarray) -> list[Placement]:
    return [
        Placement(x=float(x), y=float(y), side_px=float(np.exp(log_side)), roll=float(roll))
        for x, y, log_side, roll in values
    ]


def _robust_fit(
    at_s: np.ndarray, values: np.ndarray, wanted_s: np.ndarray, width_s: float
) -> np.ndarray:
    """Fit as _fit, with outliers counting for little."""
    trust = np.ones(len(at_s))
    for _ in range(2):
        trust = _trust(values - _fit(at_s, values, trust, at_s, width_s))
    return _fit(at_s, values, trust, wanted_s, width_s)


def _fit(
    at_s: np.ndarray, values: np.ndarray, trust: np.ndarray, wanted_s: np.ndarray, width_s: float
) -> np.ndarray:
    """Fit local parabolas to values (n, 4) at at_s, and read them at wanted_s; (m, 4)."""
    result = np.empty((len(wanted_s), values.shape[1]))
    for row, time_s in enumerate(wanted_s):
        nearest = np.abs(at_s - time_s).min()  # inside a gap the window must reach both sides
        gap = (at_s - time_s) / (width_s + nearest)
        near = np.abs(gap) < 4
        weight = trust[near] * np.exp(-0.5 * gap[near] ** 2)
        powers = np.stack([np.ones(near.sum()), gap[near], gap[near] ** 2])
        normal = (powers * weight) @ powers.T
        normal += np.diag([1e-12, RIDGE, RIDGE]) * max(weight.sum(), 1e-9)
        # About the weighted mean, which the ridge then draws towards.
        mean = weight @ values[near] / max(weight.sum(), 1e-9)
        bends = np.linalg.solve(normal, (powers * weight) @ (values[near] - mean))
        result[row] = mean + bends[0]
    return result


def _trust(rest: np.ndarray) -> np.ndarray:
    """Weigh observations (n,): 1 near the fit, near 0 for outliers (Tukey's bisquare)."""
    typical = 1.5 * np.median(np.abs(rest), axis=0) + 1e-9
    away = np.sqrt(((rest / typical) ** 2).mean(axis=1)) / OUTLIER
    return np.maximum(np.clip(1 - away**2, 0, 1) ** 2, 1e-3)
