"""Summarise a run for the terminal: a table of means, and the same as plain values."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from livemoments.lab.benchmark.results import BenchmarkRun
from livemoments.lab.report.findings import Findings, find


def summary_lines(run: BenchmarkRun) -> list[str]:
    """Write tables of means, the best marked, and what is missing with its reason."""
    found = find(run)
    lines = [f"{run.set_name}: {len(run.images)} images, {len(found.methods)} methods"]
    for table in _tables(found):
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines.append("")
        for name, *cells in table:
            values = (f"  {cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))
            lines.append(f"{name:<{widths[0]}}{''.join(values)}".rstrip())
    lines += ["", "means over the images; * best"] if found.methods else []
    lines += [f"not measured: {m.name}: {m.missing}" for m in run.metrics if m.missing]
    lines += [f"failed: {method.name}: {method.failed}" for method in run.methods if method.failed]
    return [*lines, *(f"note: {note}" for note in run.notes)]


def _tables(found: Findings) -> list[list[Sequence[str]]]:
    """Make tables of texts, with the heads in their first rows."""
    tables: list[list[Sequence[str]]] = []
    for columns in found.tables() if found.methods else ():
        rows: list[Sequence[str]] = [["", *(f"{column.head} " for column in columns)]]
        for method in found.methods:
            cells = [found.cell(method, column) for column in columns]
            texts = (f"{cell.text}{'*' if cell.rank == 'best' else ' '}" for cell in cells)
            rows.append([method.name, *texts])
        tables.append(rows)
    return tables


def summary(run: BenchmarkRun) -> dict[str, Any]:
    """Return means with intervals, what is best and what is missing, as plain values for JSON."""
    found = find(run)
    return {
        "set": run.set_name,
        "images": len(run.images),
        "methods": {method.name: _of_method(found, method.name) for method in found.methods},
        "best": {metric.name: _best(found, metric.name) for metric in found.metrics},
        "missing": {metric.name: metric.missing for metric in run.metrics if metric.missing},
        "failed": {method.name: method.failed for method in run.methods if method.failed},
        "notes": list(run.notes),
    }


def _of_method(found: Findings, method: str) -> dict[str, Any]:
    means = {name: asdict(mean) for (of, name), mean in found.means.items() if of == method}
    of_metrics = {m.name: means[m.name] for m in found.metrics if m.name in means}
    return {"means": of_metrics, "seconds": means.get("seconds")}


def _best(found: Findings, metric: str) -> list[str]:
    """Return the methods with the best mean; several where they are equal as printed."""
    return [
        method for (method, name), rank in found.ranks.items() if (name, rank) == (metric, "best")
    ]
