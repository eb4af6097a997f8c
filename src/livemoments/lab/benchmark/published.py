"""Read the numbers of the paper's tables 1 to 9, to stand next to our own.

They are of other models on other data: next to ours they show which way things go, never by how
much one is better than the other.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError

FILE = Path(__file__).with_name("published.json")
OTHER_DATA = (
    "Published figures, of other data and other machines: they stand next to our own, and are not"
    " to be compared with them."
)
ARROWS = {"higher": "\u2191", "lower": "\u2193"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, on one set of data."""

    name: str  # as the paper calls it
    metric: str | None  # our name of it, a metric of METRICS or a cost; None: neither
    better: str  # "higher" or "lower"
    decimals: int  # that are printed
    on: str  # the set of data; of costs the hardware

    def text(self, value: float | None) -> str:
        """Print a value."""
        return "\u2014" if value is None else f"{value:.{self.decimals}f}"


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """One table of the paper."""

    number: str
    title: str
    section: str
    page: int
    columns: tuple[Column, ...]
    rows: dict[str, tuple[float | None, ...]]  # by name; None: not given
    doubts: tuple[str, ...] = ()  # of the transcription, and where the paper is at odds with itself

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets of data that its columns are on, in their order."""
        return tuple(dict.fromkeys(column.on for column in self.columns))

    def on(self, data: str) -> "PublishedTable":
        """Return the table with its columns on one set of data alone."""
        chosen = [i for i, column in enumerate(self.columns) if column.on == data]
        rows = {name: tuple(values[i] for i in chosen) for name, values in self.rows.items()}
        return replace(self, columns=tuple(self.columns[i] for i in chosen), rows=rows)


def published(number: str) -> PublishedTable:
    """Return a table of the paper by its number, "1" to "9".

    Raises:
        ConfigError: there is none of that number.
    """
    tables = _tables()
    if number not in tables:
        raise ConfigError(f"no published table {number!r}; there are {', '.join(tables)}")
    return tables[number]


def as_report_tables(numbers: Iterable[str]) -> list[dict[str, Any]]:
    """Return tables as a run stores them for its report: one for each set of data.

    Each has a title, columns (the first is the name of a row), rows of printed texts, and a note.
    """
    return [
        _as_report_table(table.on(data)) for table in map(published, numbers) for data in table.sets
    ]


def _as_report_table(table: PublishedTable) -> dict[str, Any]:
    (data,), columns = table.sets, table.columns
    place = f"Section {table.section}, page {table.page} of the review copy."
    return {
        "title": f"Table {table.number} of the paper, {data}: {table.title}",
        "columns": ["", *(f"{column.name} {ARROWS[column.better]}" for column in columns)],
        "rows": [
            [name, *(column.text(value) for column, value in zip(columns, values, strict=True))]
            for name, values in table.rows.items()
        ],
        "note": " ".join([OTHER_DATA, place, *(f"({doubt}.)" for doubt in table.doubts)]),
    }


@lru_cache(maxsize=1)
def _tables() -> dict[str, PublishedTable]:
    """Read all tables of the file in the package."""
    tables = json.loads(FILE.read_text(encoding="utf-8"))["tables"]
    return {number: _table(number, **table) for number, table in tables.items()}


def _table(number: str, *, columns: Any, rows: Any, doubts: Any, **rest: Any) -> PublishedTable:  # noqa: ANN401
    return PublishedTable(
        number=number,
        columns=tuple(Column(**column) for column in columns),
        rows={name: tuple(values) for name, *values in rows},
        doubts=tuple(doubts),
        **rest,
    )
