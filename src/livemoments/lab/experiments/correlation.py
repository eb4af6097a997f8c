"""Correlations of ranks and values, and how far people agree: numpy alone, ties averaged."""

import numpy as np

from livemoments.errors import ConfigError

DIGITS = 9  # of the span of values, beyond which they differ by rounding


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of values (n,), 1 for the smallest; equal ones share the mean of theirs.

    What differs by rounding alone is equal: standardised values of two images, for instance.
    """
    (centred,) = _centred(values)
    span = float(np.ptp(centred)) or 1.0
    _, place, counts = np.unique(
        np.round(centred / span, DIGITS), return_inverse=True, return_counts=True
    )
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    """The linear correlation of two rows (n,), in [-1, 1]; None: one of them does not vary."""
    one, two = _centred(first, second)
    scale = float(np.sqrt((one @ one) * (two @ two)))
    return float(np.clip(one @ two / scale, -1, 1)) if scale > 0 else None


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """The correlation of the ranks of two rows (n,), in [-1, 1]; None: one does not vary."""
    return pearson(ranks(first), ranks(second))


def kendall_w(ranked: np.ndarray) -> float | None:
    """Kendall's W of the ranks (raters, n) of the same n things: 1 for all constant, 0 for none.

    With the correction for ties (Kendall, Rank Correlation Methods, 1948). None: there is but one
    rater or one thing, or every rater puts all in one place.
    """
    ranked = np.asarray(ranked, np.float64)
    if ranked.ndim != 2:
        raise ConfigError(f"Kendall's W is of raters x things, got the shape {ranked.shape}")
    raters, things = ranked.shape
    if raters < 2 or things < 2:
        return None
    placed = np.array([ranks(row) for row in ranked])
    spread = float(np.square(placed.sum(0) - raters * (things + 1) / 2).sum())
    ties = sum(int((n**3 - n).sum()) for n in (np.unique(r, return_counts=True)[1] for r in placed))
    most = raters**2 * (things**3 - things) - raters * ties
    return 12 * spread / most if most else None


def standardised(values: np.ndarray) -> np.ndarray | None:
    """Values (n,) at mean 0 and deviation 1; None: they do not vary."""
    (centred,) = _centred(values)
    deviation = float(np.sqrt(centred @ centred / len(centred)))
    return centred / deviation if deviation > 0 else None


def _centred(*rows: np.ndarray) -> list[np.ndarray]:
    """Rows less their means; what is left of equal values by rounding alone becomes 0."""
    found = []
    for row in rows:
        values = np.asarray(row, np.float64)
        constant = float(np.ptp(values)) <= 1e-12 * float(np.abs(values).max())
        found.append(np.zeros(len(values)) if constant else values - values.mean())
    return found
