"""Work out what a run shows: its methods, their means, ranks and differences."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from livemoments.lab.benchmark.published import ARROWS
from livemoments.lab.benchmark.results import BenchmarkRun, MethodInfo, MetricInfo
from livemoments.lab.benchmark.statistics import Compared, Interval

OURS = "livemoments"  # the method that others are compared with, where it took part
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
LEAST_IMAGES = 3  # of fewer, no interval means anything
FEW_IMAGES = 10  # of fewer, the bootstrap's intervals are too narrow
MAX_COLUMNS = 7  # of a table: what fits on paper
GROUPS = {
    "truth": "against the truth",
    "key photo": "against the key photo",
    "faces": "of faces",
    "set": "of the whole set",
}
COST = "cost"  # the group of seconds and of what is known of a method
COSTS = {
    "seconds": "seconds per image",
    "parameters_m": "parameters, millions",
    "tflops": "TFLOPs",
    "peak_gb": "peak memory, GB",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the main tables: a metric or a cost."""

    name: str
    group: str
    metric: MetricInfo | None = None  # None: a cost

    @property
    def head(self) -> str:
        """The words over it."""
        if self.metric is None:
            return COSTS.get(self.name, self.name.replace("_", " "))
        return f"{self.name}\N{NO-BREAK SPACE}{ARROWS[self.metric.better]}"

    @property
    def hint(self) -> str:
        """Which direction is better, in words."""
        return "lower is better" if self.metric is None else f"{self.metric.better} is better"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of a table, as it is printed."""

    text: str
    interval: str = ""  # empty: it has none
    rank: str = ""  # "best", "second" or neither
    note: str = ""  # why there is no number, or of how many images it is


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The reference method less another, as it is printed."""

    text: str
    interval: str
    wins: int  # images on which the reference method is the better one
    count: int
    probability: str  # empty: there are too few images to tell
    verdict: str  # "better", "worse", "not clear" or "too few images"


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The methods with the best mean of a metric, and whether that is more than chance."""

    metric: MetricInfo
    best: tuple[str, ...]  # as named; several: they are equal as printed
    second: tuple[str, ...]
    clear: bool | None  # None: not known


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A run and what follows from it. Pairs of names are of a method and a metric."""

    run: BenchmarkRun
    metrics: tuple[MetricInfo, ...]  # that could be had
    methods: tuple[MethodInfo, ...]  # that gave a picture
    reference: MethodInfo | None  # of the comparisons; None: there is no method
    means: Mapping[tuple[str, str], Interval]  # of costs too
    versus: Mapping[tuple[str, str], Compared]  # the reference method less another
    ranks: Mapping[tuple[str, str], str]
    digits: Mapping[str, int]  # decimals, by metric or cost
    leads: tuple[Lead, ...]

    @property
    def others(self) -> tuple[MethodInfo, ...]:
        """The methods that the reference method is compared with."""
        return tuple(method for method in self.methods if method is not self.reference)

    @property
    def by_image(self) -> tuple[MetricInfo, ...]:
        """The metrics that every image has a value of."""
        return tuple(metric for metric in self.metrics if metric.against != "set")

    @property
    def gauge(self) -> MetricInfo | None:
        """The metric that images are ordered by: LPIPS, or the first there is."""
        with_truth = [m for m in self.by_image if m.against == "truth"]
        named = [m for m in with_truth if m.name.upper().startswith("LPIPS")]
        return next(iter([*named, *with_truth, *self.by_image]), None)

    def tables(self) -> list[list[Column]]:
        """Return the columns of the main tables, in groups, as many to a table as fit."""
        tables: list[list[Column]] = []
        for group in self._groups():
            while group:
                room = MAX_COLUMNS - len(tables[-1]) if tables else 0
                if room < min(len(group), MAX_COLUMNS):
                    tables.append([])
                    room = MAX_COLUMNS
                tables[-1] += group[:room]
                group = group[room:]
        return tables

    def _groups(self) -> list[list[Column]]:
        titles = {m.against: f"against {m.against}" for m in self.metrics} | GROUPS
        groups: dict[str, list[Column]] = {of: [] for of in (*GROUPS, *titles)}
        for m in self.metrics:
            groups[m.against].append(Column(name=m.name, group=titles[m.against], metric=m))
        costs = dict.fromkeys(name for method in self.methods for name in method.cost)
        if any(score.seconds is not None for score in self.run.scores):
            costs = {"seconds": None, **costs}
        return [*groups.values(), [Column(name=name, group=COST) for name in costs]]

    def cell(self, method: MethodInfo, column: Column) -> Cell:
        """Return a number of the main tables."""
        key, digits = (method.name, column.name), self.digits[column.name]
        mean = self.means.get(key)
        if mean is None:
            return Cell(text=DASH, note=self._why_missing(method, column))
        most = max(each.count for each in _column(self.means, column.name).values())
        some = column.metric and mean.count < most
        return Cell(
            text=printed(mean.mean, digits),
            interval=ends(mean, digits),
            rank=self.ranks.get(key, ""),
            note=f"mean of {mean.count} of {most} images" if some else "",
        )

    def _why_missing(self, method: MethodInfo, column: Column) -> str:
        if column.name == "seconds":
            return "its pictures were there before"
        metric = column.metric
        if metric is None:
            return "not stated for this method"
        if metric.against == "set":
            return method.failed or "the notes at the end say why, where it is known"
        scores = [score for score in self.run.scores if score.method == method.name]
        reasons = list(dict.fromkeys(r for s in scores if (r := s.messages.get(metric.name))))
        if not reasons:
            return method.failed or "no value was measured"
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        return reasons[0] + more

    def difference(self, other: MethodInfo, metric: MetricInfo) -> Difference | None:
        """Compare the reference method with another; None where they share no image."""
        found = self.versus.get((other.name, metric.name))
        if found is None or self.reference is None:
            return None
        interval = found.difference
        digits = _fine(interval, self.digits[metric.name])
        few, better = interval.count < LEAST_IMAGES, is_better(interval.mean, 0, metric)
        clearly = "better" if better else "worse"
        return Difference(
            text=printed(interval.mean, digits, sign=True), count=interval.count,
            interval=ends(interval, digits, sign=True),
            wins=sum(is_better(d, 0, metric) for d in self.paired(other, metric).values()),
            probability="" if few else _chance(found.probability),
            verdict="too few images" if few else clearly if found.clear else "not clear",
        )  # fmt: skip

    def paired(self, other: MethodInfo, metric: MetricInfo) -> dict[str, float]:
        """Return, by image, the reference method's value less another's."""
        if self.reference is None:
            return {}
        one = self.run.values(self.reference.name, metric.name)
        two = self.run.values(other.name, metric.name)
        return {image: one[image] - two[image] for image in one if image in two}


def find(run: BenchmarkRun) -> Findings:
    """Work out what a run shows."""
    metrics = tuple(metric for metric in run.metrics if not metric.missing)
    means = _means(run, metrics)
    scored = {method for method, _ in means}
    methods = tuple(m for m in run.methods if not m.failed or m.name in scored)
    reference = next((m for m in methods if m.name == OURS), methods[0] if methods else None)
    for method in methods:
        means |= {(method.name, name): _single(value) for name, value in method.cost.items()}
        if seconds := run.seconds(method.name):
            means[method.name, "seconds"] = seconds
    names = {*(metric.name for metric in metrics), *(name for _, name in means), "seconds"}
    digits = {name: _digits(_column(means, name)) for name in names}
    ranks = {
        (method, metric.name): rank
        for metric in metrics
        for method, rank in _ranks(means, metric, digits[metric.name], len(methods)).items()
    }
    versus = {
        (other.name, metric.name): found
        for other in methods
        for metric in metrics
        if reference is not None and other is not reference
        if (found := run.compared(reference.name, other.name, metric.name)) is not None
    }
    leads = [_lead(run, metric, methods, ranks) for metric in metrics]
    return Findings(
        run=run, metrics=metrics, methods=methods, reference=reference, means=means,
        versus=versus, ranks=ranks, digits=digits, leads=tuple(lead for lead in leads if lead),
    )  # fmt: skip


def named(method: MethodInfo) -> str:
    """Return the name of a method in a report."""
    return method.label or method.name


def is_better(value: float, than: float, metric: MetricInfo) -> bool:
    """Check whether a value of a metric is better than another."""
    return value > than if metric.better == "higher" else value < than


def printed(value: float, digits: int, *, sign: bool = False) -> str:
    """Print a number with so many decimals and a true minus sign; sign: with a plus sign too."""
    text = f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"
    return text.replace("-", MINUS)


def ends(interval: Interval, digits: int, *, sign: bool = False) -> str:
    """Print the ends of an interval; nothing of a single value."""
    if interval.count < 2:
        return ""
    low, high = (printed(end, digits, sign=sign) for end in (interval.low, interval.high))
    return f"{low} to {high}"


def _means(run: BenchmarkRun, metrics: Iterable[MetricInfo]) -> dict[tuple[str, str], Interval]:
    found = {}
    for method in run.methods:
        for metric in metrics:
            if metric.against == "set":
                value = run.set_scores.get(method.name, {}).get(metric.name)
                mean = None if value is None else _single(value)
            else:
                mean = run.mean(method.name, metric.name)
            if mean is not None:
                found[method.name, metric.name] = mean
    return found


def _column(means: Mapping[tuple[str, str], Interval], metric: str) -> dict[str, Interval]:
    return {method: mean for (method, name), mean in means.items() if name == metric}


def _single(value: float) -> Interval:
    """Make an interval of a number that is no mean of images."""
    return Interval(mean=value, low=value, high=value, count=1)


def _digits(column: Mapping[str, Interval]) -> int:
    """Choose decimals that leave some four digits of the largest mean, as papers print them."""
    largest = max((abs(mean.mean) for mean in column.values()), default=0.0)
    if not 1e-3 <= largest < math.inf:
        return 6 if 0 < largest < 1e-3 else 4
    return min(4, max(0, 3 - math.floor(math.log10(largest))))


def _fine(difference: Interval, digits: int) -> int:
    """Choose decimals that leave two digits of a difference, be it small."""
    largest = max(abs(difference.low), abs(difference.high))
    if not 0 < largest < 10.0 ** (1 - digits):
        return digits
    return max(digits, min(digits + 3, 1 - math.floor(math.log10(largest))))


def _ranks(
    means: Mapping[tuple[str, str], Interval], metric: MetricInfo, digits: int, methods: int
) -> dict[str, str]:
    """Rank the best and the second best of a column, of the methods that have all its images."""
    column = _column(means, metric.name)
    most = max((mean.count for mean in column.values()), default=0)
    values = {m: round(mean.mean, digits) for m, mean in column.items() if mean.count == most}
    if methods < 2 or not values:
        return {}
    order = sorted(set(values.values()), reverse=metric.better == "higher")
    names = dict(zip(order, ("best", "second"), strict=False))
    return {method: names[value] for method, value in values.items() if value in names}


def _lead(
    run: BenchmarkRun, metric: MetricInfo, methods: Iterable[MethodInfo],
    ranks: Mapping[tuple[str, str], str],
) -> Lead | None:  # fmt: skip
    """Find who leads in a metric; None where nothing is ranked."""
    best, second = (
        tuple(m for m in methods if ranks.get((m.name, metric.name)) == rank)
        for rank in ("best", "second")
    )
    if not best:
        return None
    clear = None
    if len(best) == 1 and second:
        found = [run.compared(best[0].name, other.name, metric.name) for other in second]
        if all(each and each.difference.count >= LEAST_IMAGES for each in found):
            clear = all(each.clear for each in found if each)
    names = {"best": tuple(map(named, best)), "second": tuple(map(named, second))}
    return Lead(metric=metric, clear=clear, **names)


def _chance(probability: float) -> str:
    return "< 0.001" if probability < 0.001 else f"{probability:.3f}"
