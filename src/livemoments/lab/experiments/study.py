"""Correlate metrics with people's preference (LiveMoments, appendix D.1, Table 6).

People rank the methods' pictures of an image, 1 for the best; a run of the benchmark has scored the
same pictures. Preference is the mean rank, turned round, and a metric of which less is better is
turned round too: a positive correlation means that the metric agrees with people.

Images differ in how hard they are, which is nothing that people were asked. So correlations are
taken within each image and averaged over images ("within"), and over all pictures together after
each image's values were brought to mean 0 and deviation 1 ("pooled"). The paper does not say which
one its table has. Intervals are of images drawn anew with replacement.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.errors import ConfigError, InputError
from livemoments.lab.benchmark.published import published
from livemoments.lab.benchmark.statistics import LEVEL, Interval, mean_interval
from livemoments.lab.experiments.rankings import Rankings, Scores, read_rankings, read_scores

RESAMPLES = 2000
DIGITS = 9  # of the span of values, beyond which they differ by rounding
TABLE = "6"  # of the paper

Correlate = Callable[[np.ndarray, np.ndarray], float | None]
Within = list[tuple[np.ndarray, np.ndarray]]  # preference and metric, image by image, each (n,)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One metric against people's preference; None: nothing to correlate, see message."""

    spearman: Interval | None  # mean over images of the correlation within each
    pearson: Interval | None
    pooled_spearman: Interval | None  # over all pictures, each image standardised
    pooled_pearson: Interval | None
    images: int  # in which both vary
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What people preferred, and how far each metric agrees."""

    participants: int
    images: int
    methods: tuple[str, ...]
    mean_ranks: dict[str, float]  # by method, over images; 1 is the best
    kendall_w: Interval | None  # mean over images of the agreement between people
    metrics: dict[str, Agreement]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the correlations within images, and the paper's next to them."""
        order = sorted(self.mean_ranks, key=lambda method: self.mean_ranks[method])
        lines = [
            f"{self.participants} participants, {self.images} images, "
            f"{len(self.methods)} methods; agreement between people (Kendall's W, mean over "
            f"images): {_text(self.kendall_w)}",
            "mean ranks: " + ", ".join(f"{name} {self.mean_ranks[name]:.2f}" for name in order),
            "",
            f"{'':18s} {'Spearman':22s} {'Pearson':22s} images",
        ]
        for name, found in self.metrics.items():
            row = f"{name:18s} {_text(found.spearman):22s} {_text(found.pearson):22s}"
            lines.append(f"{row} {found.images:6d}  {found.message}".rstrip())
        lines += [
            "",
            f"within each image, then averaged; in brackets the {LEVEL:.0%} interval over images;"
            " the JSON has the pooled ones too",
            *_published_lines(self.metrics),
            *self.notes,
        ]
        return lines


def correlate(
    rankings: Path, scores: Path, *, better: Mapping[str, str] | None = None, seed: int = 0
) -> Study:
    """Correlate what people ranked with what a run scored.

    Args:
        rankings: a CSV file with the columns participant, image, method, rank.
        scores: the scores.csv of a run.
        better: "higher" or "lower" of metrics that are not livemoments' own.
        seed: of the intervals.

    Raises:
        InputError: one of the files is not what it should be, or they do not fit each other.
        ConfigError: of a metric it is not known which way is better.
    """
    ranked, scored = read_rankings(rankings), read_scores(scores)
    notes = _check_fit(ranked, scored, rankings, scores)
    directions = _directions(scored.metrics, better or {})
    preference = {
        image: {method: -float(np.mean(of)) for method, of in _by_method(rows).items()}
        for image, rows in ranked.items()
    }
    agreement = [w for rows in ranked.values() if (w := _agreement(rows)) is not None]
    metrics = {
        metric: _measure(preference, scored.of(metric), directions[metric], seed)
        for metric in scored.metrics
    }
    if all(found.spearman is None for found in metrics.values()):
        reasons = "; ".join(f"{name}: {found.message}" for name, found in metrics.items())
        raise InputError(f"{scores}: no metric can be correlated ({reasons})")
    means = _mean_ranks(preference)
    return Study(
        participants=len({who for rows in ranked.values() for who in rows}),
        images=len(ranked),
        methods=tuple(means),
        mean_ranks=means,
        kendall_w=mean_interval(agreement, seed=seed) if agreement else None,
        metrics=metrics,
        notes=tuple(notes),
    )


def _mean_ranks(preference: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean rank by method, over the images on which it was ranked."""
    methods = dict.fromkeys(method for preferred in preference.values() for method in preferred)
    return {
        method: -float(np.mean([p[method] for p in preference.values() if method in p]))
        for method in methods
    }


def _check_fit(ranked: Rankings, scored: Scores, rankings: Path, scores: Path) -> list[str]:
    """Check that two files fit each other; return notes on them.

    Raises:
        InputError: people ranked a method or a picture that has no scores.
    """
    for image, rows in ranked.items():
        for method in next(iter(rows.values())):
            if method not in scored.methods:
                raise InputError(
                    f"{rankings}: no scores of the method {method!r}; {scores} has "
                    f"{', '.join(scored.methods)}"
                )
            if (method, image) not in scored.values:
                raise InputError(
                    f"{rankings}: {scores} has no scores of the image {image!r} for {method!r}"
                )
    alone = [image for image in scored.images if image not in ranked]
    if not alone:
        return []
    return [f"ranked by nobody, and left out: {len(alone)} images ({', '.join(alone[:3])}, ...)"]


def _directions(metrics: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return which way is better, by metric."""
    from livemoments.lab.metrics.catalogue import METRICS

    unknown = [name for name in given if name not in metrics]
    if unknown:
        raise ConfigError(
            f"there are no scores of the metric {unknown[0]!r}; there are {', '.join(metrics)}"
        )
    found = {name: str(METRICS[name].better) for name in metrics if name in METRICS} | dict(given)
    missing = [name for name in metrics if name not in found]
    if missing:
        raise ConfigError(
            f"whether more or less of the metric {missing[0]!r} is better is not known; "
            f"give it as one of which higher or lower is better",
            settings=("higher", "lower"),
        )
    return found


def _by_method(rows: Mapping[str, Mapping[str, float]]) -> dict[str, list[float]]:
    methods = next(iter(rows.values()))
    return {method: [ranks[method] for ranks in rows.values()] for method in methods}


def _agreement(rows: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return Kendall's W of the people who ranked an image."""
    return kendall_w(np.array(list(_by_method(rows).values())).T)


def _measure(
    preference: Mapping[str, Mapping[str, float]],
    values: Mapping[tuple[str, str], float],
    better: str,
    seed: int,
) -> Agreement:
    """Correlate one metric, by method and image, with preference, by image and method."""
    sign = 1.0 if better == "higher" else -1.0
    within: Within = []
    for image, preferred in preference.items():
        shared = [method for method in preferred if (method, image) in values]
        people = np.array([preferred[method] for method in shared])
        metric = sign * np.array([values[method, image] for method in shared])
        if (
            len(shared) > 1
            and standardised(people) is not None
            and standardised(metric) is not None
        ):
            within.append((people, metric))
    if not within:
        message = "it has the same value for every method" if values else "no values"
        return Agreement(
            spearman=None, pearson=None, pooled_spearman=None, pooled_pearson=None, images=0,
            message=message,
        )  # fmt: skip
    left_out = len(preference) - len(within)
    return Agreement(
        spearman=_mean(spearman, within, seed),
        pearson=_mean(pearson, within, seed),
        pooled_spearman=_pooled(spearman, within, seed),
        pooled_pearson=_pooled(pearson, within, seed),
        images=len(within),
        message=f"{left_out} images without differences are left out" if left_out else "",
    )


def _mean(correlation: Correlate, within: Within, seed: int) -> Interval:
    found = [correlation(people, metric) for people, metric in within]
    return mean_interval([value for value in found if value is not None], seed=seed)


def _pooled(correlation: Correlate, within: Within, seed: int) -> Interval:
    """Correlate over all pictures together; images are drawn anew with what belongs to them."""
    pairs = [np.array([standardised(row) for row in pair]) for pair in within]  # each (2, n)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(pairs), (RESAMPLES, len(pairs)))
    drawn = [correlation(*np.concatenate([pairs[i] for i in draw], 1)) for draw in draws]
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile([value for value in drawn if value is not None], [tail, 100 - tail])
    whole = correlation(*np.concatenate(pairs, 1))
    return Interval(mean=whole or 0.0, low=float(low), high=float(high), count=len(pairs))


def _published_lines(metrics: Mapping[str, Agreement]) -> list[str]:
    """Return the paper's table, where it has one of the metrics."""
    table = published(TABLE)
    lines = []
    for data in table.sets:
        for name, (rho, r) in table.on(data).rows.items():
            if name in metrics:
                lines.append(f"{name:18s} {rho or 0:<22.3f} {r or 0:<22.3f} {data}")
    if not lines:
        return []
    return ["", "published, of other pictures, methods and people (Table 6 of the paper):", *lines]


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


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
    """Return the linear correlation of two rows (n,), in [-1, 1]; None: one does not vary."""
    one, two = _centred(first, second)
    scale = float(np.sqrt((one @ one) * (two @ two)))
    return float(np.clip(one @ two / scale, -1, 1)) if scale > 0 else None


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return the correlation of the ranks of two rows (n,), in [-1, 1]; None: one does not vary."""
    return pearson(ranks(first), ranks(second))


def kendall_w(ranked: np.ndarray) -> float | None:
    """Return Kendall's W of the ranks (raters, n) of the same n things: 1: all agree, 0: none.

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
