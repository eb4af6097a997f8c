"""Draw the report's plots, as SVG in the page: means with intervals, differences by image.

Both have a line for each method and a dot for each image; the colours come from report.css. Where
there are many images, a band holds 80 % of them instead.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from livemoments.lab.benchmark.results import MethodInfo, MetricInfo
from livemoments.lab.benchmark.statistics import Interval
from livemoments.lab.report.findings import GROUPS, Findings, is_better, named, printed
from livemoments.lab.report.markup import Markup, join, tag

WIDTH, LEFT, RIGHT = 480, 164, 16  # of a plot, of the names, at its right end; px
TOP, ROW, BOTTOM = 28, 23, 40
LETTERS = 21  # of a name, that fit
MAX_DOTS = 60
FAR_OFF = 2.5  # times as long would the axis be for one method: an arrow points to it instead
BAND = (10, 90)  # per cent of the images
HOW_TO_SEE = (
    "Large dots are means, lines their 95 % confidence intervals; small dots are images, or a band "
    f"holds 80 % of them where there are more than {MAX_DOTS}. The second plot of a metric has "
    "the differences from each other method, image by image: one is clear where its line stays "
    "clear of zero. An arrow points to what lies far off."
)


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A line of a plot."""

    method: MethodInfo
    mean: Interval | None  # None: nothing is drawn, as of a method less itself
    values: tuple[float, ...]  # by image
    kind: str  # the class that colours it

    def extent(self) -> list[float]:
        """List the values that the axis should hold."""
        if self.mean is None:
            return []
        images = self.values
        if len(images) > MAX_DOTS:
            images = tuple(float(end) for end in np.percentile(images, BAND))
        return [self.mean.low, self.mean.high, *images]


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Values from low to high along the width."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> "_Axis":
        found = list(values)
        low, high = min(found), max(found)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low=low - margin, high=high + margin)

    def at(self, value: float) -> float:
        """Return where a value is, px."""
        share = (value - self.low) / (self.high - self.low)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def ticks(self) -> dict[str, float]:
        """Choose about four round values, and where they are."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        digits = max(0, -math.floor(math.log10(step * 1.001)))
        return {printed(i * step, digits): self.at(i * step) for i in range(first, last + 1)}


def metric_figure(findings: Findings, metric: MetricInfo) -> Markup | None:
    """Draw both plots of a metric; None where it has no values."""
    rows = [
        _Row(
            method=method, mean=mean, kind="ours" if method is findings.reference else "other",
            values=tuple(findings.run.values(method.name, metric.name).values()),
        )
        for method in findings.methods
        if (mean := findings.means.get((method.name, metric.name)))
    ]  # fmt: skip
    if not rows:
        return None
    title = "values" if metric.against == "set" else "means and images"
    plots = [_draw(_Plot(metric=metric, title=title, favour="better", rows=rows))]
    if findings.reference and (differences := _differences(findings, metric)):
        name = named(findings.reference)
        plot = _Plot(
            metric=metric, title=f"{_shortened(name)} less each other", rows=differences,
            favour=f"{_shortened(name)} better", zero=True,
        )  # fmt: skip
        plots.append(_draw(plot))
    group = GROUPS.get(metric.against, f"against {metric.against}")
    about = tag("span", f"{metric.better} is better, {group}")
    caption = tag("figcaption", tag("b", metric.name), " ", about)
    return tag("figure", caption, *plots, class_="plot")


def _differences(findings: Findings, metric: MetricInfo) -> list[_Row]:
    """Make rows of the reference method less every other; none where there is no other."""
    rows = []
    for method in findings.methods:
        difference = findings.difference(method, metric)
        found = findings.versus.get((method.name, metric.name))
        if method is findings.reference:
            rows.append(_Row(method=method, mean=None, values=(), kind="ours"))
        elif found and difference:
            kind = difference.verdict if difference.verdict in ("better", "worse") else "other"
            values = tuple(findings.paired(method, metric).values())
            rows.append(_Row(method=method, mean=found.difference, values=values, kind=kind))
    return rows if any(row.mean for row in rows) else []


@dataclass(frozen=True, kw_only=True)
class _Plot:
    """A plot: rows over one axis."""

    metric: MetricInfo
    title: str
    favour: str  # the words at the good end of the axis
    rows: Sequence[_Row]
    zero: bool = False  # whether a line marks it

    @property
    def height(self) -> int:
        return TOP + ROW * len(self.rows) + BOTTOM

    @property
    def words(self) -> str:
        """The same in words, for readers who cannot see it."""
        means = [f"{named(r.method)} {printed(r.mean.mean, 4)}" for r in self.rows if r.mean]
        return f"{self.metric.name}, {self.title}: {'; '.join(means)}"

    def axis(self) -> _Axis:
        """Choose an axis for all rows, or for all but one so far off that it hides the others."""
        origin = [0.0] if self.zero else []
        extents = [row.extent() for row in self.rows]
        whole = _Axis.around([*origin, *(v for each in extents for v in each)])
        for i, row in enumerate(self.rows):
            rest = [v for j, each in enumerate(extents) if j != i for v in each]
            if row.kind == "ours" or not row.mean or len(self.rows) < 4 or not rest:
                continue
            axis = _Axis.around([*origin, *rest])
            if axis.high - axis.low < (whole.high - whole.low) / FAR_OFF:
                return axis
        return whole


def _draw(plot: _Plot) -> Markup:
    """Draw a plot with its grid and a line for each row."""
    axis, height = plot.axis(), plot.height
    bottom = height - BOTTOM
    grid = [_text(plot.title, LEFT, TOP - 12, "start", "title")]
    for text, x in axis.ticks().items():
        grid.append(tag("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid"))
        grid.append(_text(text, x, bottom + 15, "middle", "tick"))
    if plot.zero:
        x = axis.at(0)
        grid.append(tag("line", x1=x, x2=x, y1=TOP, y2=bottom, class_="zero"))
    lines = [_line(axis, row, TOP + ROW * (i + 0.5)) for i, row in enumerate(plot.rows)]
    return tag(
        "svg", tag("title", plot.words), *grid, *lines, _favour(plot), role="img",
        viewBox=f"0 0 {WIDTH} {height}", width=WIDTH, height=height,
    )  # fmt: skip


def _line(axis: _Axis, row: _Row, y: float) -> Markup:
    """Draw a method's name, its images, its interval and its mean."""
    label = named(row.method)
    name = _text(_shortened(label), LEFT - 12, y + 4, "end", "name", hint=label)
    if row.mean is None:
        return tag("g", name, class_=row.kind)
    if not axis.low <= row.mean.mean <= axis.high:
        return tag("g", name, _far_off(axis, row.mean.mean, y), class_=row.kind)
    low, mean, high = (axis.at(v) for v in (row.mean.low, row.mean.mean, row.mean.high))
    whisker = tag("line", x1=low, x2=high, y1=y, y2=y, class_="whisker")
    mark = tag("circle", cx=mean, cy=y, r=4.5, class_="mean")
    return tag("g", name, _images(axis, row.values, y), whisker, mark, class_=row.kind)


def _images(axis: _Axis, values: Sequence[float], y: float) -> Markup | None:
    if len(values) > MAX_DOTS:
        low, high = (axis.at(float(v)) for v in np.percentile(values, BAND))
        width = round(high - low, 1)
        return tag("rect", x=low, y=y - 6, width=width, height=12, rx=3, class_="band")
    if len(values) < 2:
        return None
    dots = (tag("circle", cx=axis.at(value), cy=y, r=3) for value in values)
    return tag("g", join(dots), class_="images")


def _far_off(axis: _Axis, mean: float, y: float) -> Markup:
    """Draw an arrow to a mean that lies beyond the axis."""
    text = printed(mean, 4 if abs(mean) < 1 else 2)
    if mean > axis.high:
        return _text(f"{text} \N{RIGHTWARDS ARROW}", WIDTH - RIGHT, y + 4, "end", "far")
    return _text(f"\N{LEFTWARDS ARROW} {text}", LEFT, y + 4, "start", "far")


def _favour(plot: _Plot) -> Markup:
    """Write words under the axis, at the end that they describe."""
    if is_better(1, 0, plot.metric):
        return _text(f"{plot.favour} \N{RIGHTWARDS ARROW}", WIDTH - RIGHT, plot.height - 5, "end",
                     "hint")  # fmt: skip
    return _text(f"\N{LEFTWARDS ARROW} {plot.favour}", LEFT, plot.height - 5, "start", "hint")


def _text(words: str, x: float, y: float, anchor: str, kind: str, *, hint: str = "") -> Markup:
    title = tag("title", hint) if hint else None
    return tag("text", title, words, x=x, y=y, text_anchor=anchor, class_=kind)


def _shortened(name: str) -> str:
    """Shorten a name and keep both its ends: names of one family begin with the same words."""
    if len(name) <= LETTERS:
        return name
    end = LETTERS // 2
    return f"{name[: LETTERS - 1 - end].rstrip()}\N{HORIZONTAL ELLIPSIS}{name[-end:].lstrip()}"
