"""Average with confidence intervals, and compare in pairs, by the bootstrap (Efron, 1979)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from livemoments.errors import ConfigError

RESAMPLES = 5000
LEVEL = 0.95  # of confidence


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its confidence interval."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The mean difference of two methods on the same images."""

    difference: Interval
    probability: float  # two-sided: of a difference of either sign, were there none
    wins: int  # images on which the first is larger

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.difference.low > 0 or self.difference.high < 0


def mean_interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """Average values, and draw them RESAMPLES times for the interval; one value has no width.

    Raises:
        ConfigError: there are none.
    """
    if not len(values):
        raise ConfigError("the mean of no values was asked for")
    array = np.asarray(values, np.float64)
    means = _means(array, seed)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(mean=float(array.mean()), low=float(low), high=float(high), count=len(array))


def compare(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Compared:
    """Compare values in pairs, the first less the second.

    Raises:
        ConfigError: they are not of one length, or empty.
    """
    if len(first) != len(second):
        raise ConfigError(f"{len(first)} and {len(second)} values cannot be paired")
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    found = mean_interval(list(difference), seed=seed)
    means = _means(difference, seed)
    below, above = float((means <= 0).mean()), float((means >= 0).mean())
    return Compared(
        difference=found,
        probability=min(1.0, 2 * min(below, above)),
        wins=int((difference > 0).sum()),
    )


def _means(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the means of the resamples."""
    rng = np.random.default_rng(seed)
    count = len(values)
    if count > 2000:  # as many draws at once would take gigabytes
        return np.array([values[rng.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    return values[rng.integers(0, count, (RESAMPLES, count))].mean(1)
