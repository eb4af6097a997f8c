"""Correlate metrics with people's preference (LiveMoments, appendix D.1, Table 6).

People rank the methods' pictures of an image, 1 for the best; a run of the benchmark has scored the
same pictures. Preference is the mean rank, turned round, and a metric of which less is better is
turned round too: a positive correlation means that the metric agrees with people.

Images differ in how hard they are, which is nothing that people were asked. So correlations are
taken within each image and averaged over images ("within"), and over all pictures together after
each image's values were brought to mean 0 and deviation 1 ("pooled"). The paper does not say which
one its table has. Intervals are of images drawn anew with replacement.
"""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.errors import ConfigError, InputError, MissingFileError, list_some
from livemoments.lab.benchmark.published import published
from livemoments.lab.benchmark.statistics import LEVEL, Interval, mean_interval
from livemoments.lab.metrics.catalogue import METRICS

RESAMPLES = 2000
DIGITS = 9  # of the span of values, beyond which they differ by rounding
TABLE = "6"  # of the paper
RANKING_COLUMNS = ("participant", "image", "method", "rank")
SCORE_COLUMNS = ("method", "image")
TIME = "seconds"  # the column of scores that is no metric

# By image and participant the rank of every method; 1 is the best, and equal ranks are ties.
Rankings = dict[str, dict[str, dict[str, float]]]
Correlate = Callable[[np.ndarray, np.ndarray], float | None]
Within = list[tuple[np.ndarray, np.ndarray]]  # preference and metric, image by image, each (n,)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A run's scores.csv."""

    metrics: tuple[str, ...]
    values: dict[tuple[str, str], dict[str, float]]  # by method and image, then by metric

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in the file's order."""
        return tuple(dict.fromkeys(method for method, _ in self.values))

    @property
    def images(self) -> tuple[str, ...]:
        """Their names, in the file's order."""
        return tuple(dict.fromkeys(image for _, image in self.values))

    def of(self, metric: str) -> dict[tuple[str, str], float]:
        """Return one metric by method and image, where it has a value."""
        return {at: found[metric] for at, found in self.values.items() if metric in found}


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """One metric against people's preference; None: nothing to correlate, see message."""

    spearman: Interval | None = None  # mean over images of the correlation within each
    pearson: Interval | None = None
    pooled_spearman: Interval | None = None  # over all pictures, each image standardised
    pooled_pearson: Interval | None = None
    images: int = 0  # in which both vary
    message: str = ""  # why some or all of it is left out


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
        """Return plain values for JSON."""
        facts = asdict(self)
        for found in facts["metrics"].values():
            found["said"] = found.pop("message")
        return facts

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
    preference, agreement = {}, []
    for image, rows in ranked.items():
        methods = list(next(iter(rows.values())))
        table = np.array([[ranks[method] for method in methods] for ranks in rows.values()])
        preference[image] = dict(zip(methods, (-table.mean(0)).tolist(), strict=True))
        agreement += [w] if (w := kendall_w(table)) is not None else []
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
                there_are = f"{scores} has {', '.join(scored.methods)}"
                raise InputError(f"{rankings}: no scores of the method {method!r}; {there_are}")
            if (method, image) not in scored.values:
                missing = f"no scores of the image {image!r} for {method!r}"
                raise InputError(f"{rankings}: {scores} has {missing}")
    unranked = [image for image in scored.images if image not in ranked]
    message = f"left out, for nobody ranked them: {len(unranked)} images ({list_some(unranked)})"
    return [message] if unranked else []


def _directions(metrics: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """Return which way is better, by metric."""
    for name in given:
        if name not in metrics:
            message = f"there are no scores of the metric {name!r}; there are {', '.join(metrics)}"
            raise ConfigError(message)
    found = {name: str(METRICS[name].better) for name in metrics if name in METRICS} | dict(given)
    for name in metrics:
        if name not in found:
            message = f"say whether higher or lower values of the metric {name!r} are better"
            raise ConfigError(message, settings=("higher", "lower"))
    return found


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
        if len(shared) > 1 and pearson(people, metric) is not None:
            within.append((people, metric))
    if not within:
        message = "it has the same value for every method" if values else "no values"
        return Agreement(message=message)
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
    head = ["", "published, of other pictures, methods and people (Table 6 of the paper):"]
    return [*head, *lines] if lines else []


def _text(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def read_rankings(path: Path) -> Rankings:
    """Read a file with the columns participant, image, method, rank.

    Raises:
        MissingFileError: it is not there.
        InputError: a column or a rank is missing, a rank is no number or given twice, or there are
            no ranks at all.
    """
    found: Rankings = {}
    for line, row in _rows(path, RANKING_COLUMNS):
        who, image, method = (row[name] for name in RANKING_COLUMNS[:3])
        ranks = found.setdefault(image, {}).setdefault(who, {})
        if method in ranks:
            raise InputError(f"{path}, line {line}: {who!r} ranked {method!r} of {image!r} twice")
        ranks[method] = _number(row["rank"], f"{path}, line {line}: the rank", least=0)
    if not found:
        raise InputError(f"{path}: no ranks; every image was ranked by nobody")
    for image, rows in found.items():
        methods = {method for ranks in rows.values() for method in ranks}
        for who, ranks in rows.items():
            if len(methods) < 2:
                raise InputError(f"{path}: of {image!r} one method alone was ranked: {who!r}")
            if missing := sorted(methods - ranks.keys()):
                raise InputError(
                    f"{path}: {who!r} did not rank {missing[0]!r} of {image!r}, others did; "
                    "a person ranks all methods of an image, or none"
                )
    return found


def read_scores(path: Path) -> Scores:
    """Read a run's scores.csv: method, image, a column for each metric, seconds.

    Raises:
        MissingFileError: it is not there.
        InputError: a column is missing, or a score is no number.
    """
    values: dict[tuple[str, str], dict[str, float]] = {}
    metrics: dict[str, None] = {}
    for line, row in _rows(path, SCORE_COLUMNS):
        names = [name for name in row if name not in (*SCORE_COLUMNS, TIME)]
        metrics |= dict.fromkeys(names)
        where = f"{path}, line {line}"
        at = row["method"], row["image"]
        if at in values:
            raise InputError(f"{where}: {at[0]!r} has scores of {at[1]!r} twice")
        values[at] = {name: _number(row[name], f"{where}: {name}") for name in names if row[name]}
    if not metrics:
        raise InputError(f"{path}: no scores; give the scores.csv of a run")
    return Scores(metrics=tuple(metrics), values=values)


def _rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and cells by column, stripped of blanks; empty lines are passed over."""
    try:
        # Spreadsheets write a mark at the beginning.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restval="")
            columns = [name.strip() for name in reader.fieldnames or []]
            missing = [name for name in needed if name not in columns]
            if missing:
                raise InputError(
                    f"{path}: no column {missing[0]!r}; it needs {', '.join(needed)}, and has "
                    f"{', '.join(columns) or 'none'}"
                )
            reader.fieldnames = columns
            for row in reader:
                if None in row:
                    raise InputError(f"{path}, line {reader.line_num}: more cells than columns")
                cells = {name: cell.strip() for name, cell in row.items()}
                for name in needed:
                    if not cells[name]:
                        raise InputError(f"{path}, line {reader.line_num}: the {name} is missing")
                yield reader.line_num, cells
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error


def _number(text: str, what: str, *, least: float | None = None) -> float:
    """Parse a finite number, more than least."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (least is not None and value <= least):
        kind = "a number" if least is None else f"a number above {least:g}"
        raise InputError(f"{what} is {text!r}; it must be {kind}")
    return value


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank values (n,), 1 for the smallest; equal ones share the mean of theirs.

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
    """Bring values (n,) to mean 0 and deviation 1; None: they do not vary."""
    (centred,) = _centred(values)
    deviation = float(np.sqrt(centred @ centred / len(centred)))
    return centred / deviation if deviation > 0 else None


def _centred(*rows: np.ndarray) -> list[np.ndarray]:
    """Take the means off rows; what is left of equal values by rounding alone becomes 0."""
    found = []
    for row in rows:
        values = np.asarray(row, np.float64)
        constant = float(np.ptp(values)) <= 1e-12 * float(np.abs(values).max())
        found.append(np.zeros(len(values)) if constant else values - values.mean())
    return found
