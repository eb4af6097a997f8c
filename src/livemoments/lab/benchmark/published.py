"""The numbers of the paper's tables 1 to 9, to stand beside our own.

They are of other models on other data: side by side with ours they say which way things go, never
by how much one is better than the other.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from livemoments.errors import ConfigError

FILE = Path(__file__).with_name("published.json")
OTHER_DATA = (
    "Published figures, of other data and machines: they stand next to our own, and are not to"
    " be compared with them."
)
ARROWS = {"higher": "\u2191", "lower": "\u2193"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table, on one set of data."""

    name: str  # as the paper calls it
    metric: str | None  # what it is called here, a metric of METRICS or a cost; None: neither
    better: str  # "higher" or "lower"
    decimals: int  # that are printed
    on: str  # the set of data; of costs the hardware

    def text(self, value: float | None) -> str:
        """A value as it is printed."""
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
        """What data its columns are on, in their order."""
        return tuple(dict.fromkeys(column.on for column in self.columns))

    def on(self, data: str) -> "PublishedTable":
        """Its columns on one set of data alone."""
        chosen = [i for i, column in enumerate(self.columns) if column.on == data]
        return PublishedTable(
            number=self.number,
            title=self.title,
            section=self.section,
            page=self.page,
            columns=tuple(self.columns[i] for i in chosen),
            rows={name: tuple(values[i] for i in chosen) for name, values in self.rows.items()},
            doubts=self.doubts,
        )

    def value(self, row: str, metric: str, data: str | None = None) -> float | None:
        """What a row has for one of our metrics; None where it has nothing.

        Without data, the first column of that metric counts.
        """
        for column, value in zip(self.columns, self.rows.get(row, ()), strict=False):
            if column.metric == metric and data in (None, column.on):
                return value
        return None

    def best(self, column: int) -> list[str]:
        """The rows with the best value of a column: several where they are equal."""
        values = {n: v for n, row in self.rows.items() if (v := row[column]) is not None}
        choose = max if self.columns[column].better == "higher" else min
        return [name for name, value in values.items() if value == choose(values.values())]


def published(number: str) -> PublishedTable:
    """A table of the paper by its number, "1" to "9".

    Raises:
        ConfigError: there is none of that number.
    """
    tables = _tables()
    if number not in tables:
        raise ConfigError(f"no published table {number!r}; there are {', '.join(tables)}")
    return tables[number]


def as_report_tables(numbers: Iterable[str]) -> list[dict[str, Any]]:
    """Tables by number as a run keeps them for its report: one for each set of data.

    Each has title, columns (of which the first is the name of a row), rows of texts as printed,
    and a note that says what they are.
    """
    return [
        _as_report_table(table.on(data)) for table in map(published, numbers) for data in table.sets
    ]


def _as_report_table(table: PublishedTable) -> dict[str, Any]:
    (data,) = table.sets
    return {
        "title": f"Table {table.number} of the paper, {data}: {table.title}",
        "columns": ["", *(f"{column.name} {ARROWS[column.better]}" for column in table.columns)],
        "rows": [[name, *_texts(table.columns, values)] for name, values in table.rows.items()],
        "note": " ".join(
            [
                OTHER_DATA,
                f"Section {table.section}, page {table.page} of the review copy.",
                *(f"({doubt}.)" for doubt in table.doubts),
            ]
        ),
    }


def _texts(columns: Sequence[Column], values: Sequence[float | None]) -> list[str]:
    return [column.text(value) for column, value in zip(columns, values, strict=True)]


@lru_cache(maxsize=1)
def _tables() -> dict[str, PublishedTable]:
    """All of the file that comes with the package."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return {number: _table(number, **table) for number, table in stored["tables"].items()}


def _table(number: str, *, columns: Any, rows: Any, doubts: Any, **rest: Any) -> PublishedTable:  # noqa: ANN401
    return PublishedTable(
        number=number,
        columns=tuple(Column(**column) for column in columns),
        rows={name: tuple(values) for name, *values in rows},
        doubts=tuple(doubts),
        **rest,
    )
