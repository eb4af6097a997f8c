"""Make the report's tables: means, paired differences, every image's scores, the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from livemoments.lab.benchmark.results import ImageScore, MethodInfo, MetricInfo
from livemoments.lab.report.findings import DASH, Cell, Column, Findings, named, printed
from livemoments.lab.report.markup import Markup, join, tag
from livemoments.lab.report.words import listed

SIGNS = {
    "better": "\N{BLACK UP-POINTING SMALL TRIANGLE}",
    "worse": "\N{BLACK DOWN-POINTING SMALL TRIANGLE}",
    "not clear": "\N{WHITE CIRCLE}",
    "too few images": "\N{WHITE CIRCLE}",
}
SPOKEN = {"": "", "best": "best", "second": "second best"}
UNCOMPARED = "Published, on other data: not comparable directly."


def main_tables(findings: Findings) -> Markup:
    """Make tables of methods by metrics: means, intervals and ranks; then what methods cost."""
    if not findings.methods:
        return Markup()
    return join(_main_table(findings, columns) for columns in findings.tables())


def _main_table(findings: Findings, columns: Sequence[Column]) -> Markup:
    title = _groups_in_words(columns)
    title = title[:1].upper() + title[1:]
    rows = [
        _row(findings, method, [_mean_cell(findings.cell(method, c)) for c in columns])
        for method in findings.methods
    ]
    return _table(title, _heads("Method", columns, sort=len(rows) > 1), rows)


def _mean_cell(cell: Cell) -> Markup:
    """Make the cell of a mean, marked, over its interval."""
    if cell.text == DASH:
        return tag("td", _dash(cell.note))
    mark = {"best": "strong", "second": "u"}.get(cell.rank, "span")
    number = tag(mark, cell.text, class_="number", title=SPOKEN[cell.rank] or None)
    notes = [tag("small", text) for text in (cell.interval, cell.note) if text]
    return tag("td", number, *notes)


def paired_tables(findings: Findings) -> Markup:
    """Make tables of the reference method against each other one, metric by metric."""
    if findings.reference is None:
        return Markup()
    name = named(findings.reference)
    tables = [[c for c in each if c.metric in findings.by_image] for each in findings.tables()]
    return join(_paired_table(findings, name, columns) for columns in tables if columns)


def _paired_table(findings: Findings, name: str, columns: Sequence[Column]) -> Markup:
    title = f"{name} less each other method, {_groups_in_words(columns)}"
    rows = [
        _row(findings, other, [_difference(findings, other, c.metric) for c in columns if c.metric])
        for other in findings.others
    ]
    return _table(title, _heads("Compared with", columns), rows)


def _difference(findings: Findings, other: MethodInfo, metric: MetricInfo) -> Markup:
    found = findings.difference(other, metric)
    if found is None:
        return tag("td", _dash("the two have no image in common"))
    kind = found.verdict if found.verdict in ("better", "worse") else None
    sign = tag("span", SIGNS[found.verdict], class_="sign", role="img", aria_label=found.verdict)
    wins = f"{found.wins} of {found.count}"
    equals = "" if found.probability.startswith("<") else "= "
    chance = f", p {equals}{found.probability}" if found.probability else ""
    small = [tag("small", text) for text in (found.interval, wins + chance) if text]
    number = tag("span", found.text, class_="number")
    return tag("td", sign, " ", number, *small, class_=kind, title=found.verdict)


def image_table(findings: Findings) -> Markup:
    """Make a line for every method and image, with all scores."""
    places = {image.name: place for place, image in enumerate(findings.run.images)}
    methods = {method.name: place for place, method in enumerate(findings.run.methods)}
    labels = {method.name: named(method) for method in findings.run.methods}
    ordered = sorted(
        findings.run.scores,
        key=lambda s: (places.get(s.image, len(places)), methods.get(s.method, len(methods))),
    )
    columns = [Column(name=m.name, group="", metric=m) for m in findings.by_image]
    columns.append(Column(name="seconds", group=""))
    rows = [_score_row(findings, score, labels.get(score.method, score.method), columns)
            for score in ordered]  # fmt: skip
    heads = tag("tr", _head("Image", sort=True), _head("Method", sort=True),
                *(_head(c.head, c.hint, sort=True) for c in columns))  # fmt: skip
    return _table("Every image's scores", heads, rows, kind="wide")


def _score_row(
    findings: Findings, score: ImageScore, label: str, columns: Sequence[Column]
) -> Markup:
    cells = [tag("th", score.image, scope="row"), tag("td", label, class_="text")]
    for column in columns:
        value = score.values.get(column.name) if column.metric else score.seconds
        message = score.messages.get(column.name, "") if column.metric else ""
        if value is None:
            other = "no value was measured" if column.metric else "the picture was there before"
            cells.append(tag("td", _dash(message or other)))
        else:
            number = printed(value, findings.digits[column.name])
            cells.append(tag("td", number, title=message or None))
    return tag("tr", *cells)


def published_table(table: Mapping[str, Any]) -> Markup:
    """Make a table of the paper, marked as not to be compared."""
    columns = [str(column) for column in table.get("columns", ())]
    rows = []
    for row in table.get("rows", ()):
        first, *rest = [DASH if cell is None else str(cell) for cell in row] or [DASH]
        rows.append(tag("tr", tag("th", first, scope="row"), *(tag("td", c) for c in rest)))
    heads = tag("tr", *(_head(column) for column in columns))
    note = tag("p", table["note"], class_="note") if table.get("note") else None
    badge = join([tag("span", UNCOMPARED, class_="badge"), " "])
    title = str(table.get("title", ""))
    return tag("div", _table(title, heads, rows, badge=badge), note, class_="published")


def _table(
    title: str, heads: Markup, rows: Iterable[Markup], *, badge: Markup | None = None,
    kind: str | None = None,
) -> Markup:  # fmt: skip
    """Make a table in a frame that scrolls sideways where the page is narrow."""
    caption = tag("caption", tag("span", badge, title))
    table = tag("table", caption, tag("thead", heads), tag("tbody", *rows), class_=kind)
    return tag("div", table, class_="scroll", role="region", aria_label=title, tabindex=0)


def _heads(first: str, columns: Sequence[Column], *, sort: bool = False) -> Markup:
    """Make a line with the groups and one with the metrics; sort: with buttons, by script."""
    groups = [(group, len(list(each))) for group, each in groupby(columns, lambda c: c.group)]
    over = [tag("th", group, scope="colgroup", colspan=span) for group, span in groups]
    upper = tag("tr", tag("td"), *over, class_="groups") if len(over) > 1 else None
    lower = tag("tr", _head(first), *(_head(c.head, c.hint, sort=sort) for c in columns))
    return join([upper, lower])


def _head(text: str, hint: str = "", *, sort: bool = False) -> Markup:
    return tag("th", text, scope="col", title=hint or None, data_sort=sort)


def _row(findings: Findings, method: MethodInfo, cells: Iterable[Markup]) -> Markup:
    ours = "ours" if method is findings.reference else None
    return tag("tr", tag("th", named(method), scope="row"), *cells, class_=ours)


def _dash(reason: str) -> Markup:
    return tag("abbr", DASH, title=reason)


def _groups_in_words(columns: Sequence[Column]) -> str:
    return listed(dict.fromkeys(column.group for column in columns))
