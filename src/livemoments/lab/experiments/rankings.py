"""Read people's rankings and a run's scores from CSV files."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from livemoments.errors import InputError, MissingFileError

RANKING_COLUMNS = ("participant", "image", "method", "rank")
SCORE_COLUMNS = ("method", "image")
TIME = "seconds"  # the column of scores that is no metric

# By image and participant the rank of every method; 1 is the best, and equal ranks are ties.
Rankings = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A run's scores.csv."""

    metrics: tuple[str, ...]
    values: dict[tuple[str, str], dict[str, float]]  # by method and image, then by metric

    @property
    def methods(self) -> tuple[str, ...]:
        """In the file's order."""
        return tuple(dict.fromkeys(method for method, _ in self.values))

    @property
    def images(self) -> tuple[str, ...]:
        """In the file's order."""
        return tuple(dict.fromkeys(image for _, image in self.values))

    def of(self, metric: str) -> dict[tuple[str, str], float]:
        """Return one metric by method and image, where it has a value."""
        return {at: found[metric] for at, found in self.values.items() if metric in found}


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
                empty = [name for name in needed if not cells[name]]
                if empty:
                    raise InputError(f"{path}, line {reader.line_num}: the {empty[0]} is missing")
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
