"""Print an experiment's table: our rows, and beneath each the paper's own, marked as published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from livemoments.lab.benchmark.published import OTHER_DATA, PublishedTable, published
from livemoments.lab.benchmark.results import BenchmarkRun
from livemoments.lab.report.findings import Column, Findings, find
from livemoments.lab.report.summary import summary

MARK = ">"  # before every published row


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What came of an experiment, and which of the paper's rows stand next to ours."""

    table: str  # the number of the paper's
    run: BenchmarkRun
    paper_rows: Mapping[str, str]  # the paper's row, by method

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: ours, and apart from them the paper's."""
        sets = {data: published(self.table).on(data) for data in published(self.table).sets}
        return {
            **summary(self.run),
            "labels": {method.name: method.label for method in self.run.methods},
            "costs": {method.name: dict(method.cost) for method in self.run.methods},
            "published": {
                "note": OTHER_DATA,
                "table": self.table,
                "beside": dict(self.paper_rows),
                "sets": {data: _values(table) for data, table in sets.items()},
            },
        }

    def lines(self) -> list[str]:
        """Return the table in as many parts as it takes, and what to know when reading it."""
        run, found = self.run, find(self.run)
        count = len(run.images)
        lines = [run.title, f"on {run.set_name}: {count} image{'' if count == 1 else 's'}"]
        for columns in found.tables() if found.methods else ():
            lines += ["", *_aligned(self._part(found, columns))]
        lines += ["", f"{MARK} {OTHER_DATA}"]
        lines += [f"not measured: {m.name}: {m.missing}" for m in run.metrics if m.missing]
        lines += [f"not available: {m.label}: {m.failed}" for m in run.methods if m.failed]
        return [*lines, *(f"note: {note}" for note in run.notes)]

    def _part(self, found: Findings, columns: list[Column]) -> list[list[str]]:
        """Return rows of texts, the first of them the heads."""
        rows = [["", *(column.head for column in columns)]]
        names, shown = [column.name for column in columns], set()
        for method in found.methods:
            rows.append([method.label, *(found.cell(method, column).text for column in columns)])
            rows += self._published(names, self.paper_rows.get(method.name, ""))
            shown.add(self.paper_rows.get(method.name, ""))
        others = [row for row in published(self.table).rows if row not in shown]
        return [*rows, *(line for row in others for line in self._published(names, row))]

    def _published(self, names: list[str], row: str) -> list[list[str]]:
        """Return the paper's numbers of one of its rows, a line for each set that has some."""
        whole, lines = published(self.table), []
        for table in map(whole.on, whole.sets):
            texts = {
                column.metric: column.text(value)
                for column, value in zip(table.columns, table.rows.get(row, ()), strict=False)
            }
            cells = [texts.get(name, "") for name in names]
            if any(cells):
                lines.append([f"{MARK} {row}, {table.columns[0].on}", *cells])
        return lines


def _values(table: PublishedTable) -> dict[str, dict[str, float | None]]:
    """Return a published table by row, and by our names of its columns where we have one."""
    names = [column.metric or column.name for column in table.columns]
    return {row: dict(zip(names, values, strict=True)) for row, values in table.rows.items()}


def _aligned(rows: list[list[str]]) -> list[str]:
    """Align columns of texts: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        f"{first:<{widths[0]}}"
        + "".join(f"  {cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))
        for first, *cells in rows
    ]
