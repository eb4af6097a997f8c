"""What one run of the benchmark found: plain data, kept as JSON and CSV, read by the report."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from livemoments.errors import DamagedFileError
from livemoments.files import atomic_output
from livemoments.lab.benchmark.statistics import Compared, Interval, compare, mean_interval

FORMAT = 1  # of run.json


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """A column of the tables."""

    name: str
    better: str  # "higher" or "lower"
    against: str  # "truth", "key photo", "set" or "faces"
    missing: str = ""  # why it is not available; empty: it is


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """A row of the tables."""

    name: str  # as given on the command line; also its folder of pictures
    label: str  # for people
    detail: str = ""  # settings, weights, where it comes from
    failed: str = ""  # why it gave nothing; empty: it ran
    cost: Mapping[str, float] = field(default_factory=dict)  # parameters_m, tflops, peak_gb, ...


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """An image of the set. Paths are relative to the set's folder."""

    name: str
    width: int
    height: int
    frame: str
    key: str
    truth: str | None  # None: not known, as in sets of real Live Photos
    source: str = ""  # what it was made of, and its licence


@dataclass(frozen=True, kw_only=True)
class ImageScore:
    """What one method's picture of one image scored."""

    method: str
    image: str
    values: Mapping[
        str, float | None
    ]  # by metric; None: nothing to measure, with the reason as message
    message: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None  # that the method took; None: its pictures were there before
    picture: str = ""  # relative to the run's folder


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything a report needs."""

    title: str
    set_name: str
    set_folder: str
    command: str
    environment: Mapping[str, str]  # versions, processor, date
    metrics: Sequence[MetricInfo]
    methods: Sequence[MethodInfo]
    images: Sequence[ImageInfo]
    scores: Sequence[ImageScore]
    set_scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    published: Sequence[Mapping[str, Any]] = ()  # tables of the paper: title, columns, rows
    seed: int = 0  # of the bootstrap

    def values(self, method: str, metric: str) -> dict[str, float]:
        """A method's values by image, where there are any."""
        return {
            score.image: float(value)
            for score in self.scores
            if score.method == method and (value := score.values.get(metric)) is not None
        }

    def mean(self, method: str, metric: str) -> Interval | None:
        """A method's mean over the images with its confidence interval; None: no values."""
        values = self.values(method, metric)
        return mean_interval(list(values.values()), seed=self.seed) if values else None

    def seconds(self, method: str) -> Interval | None:
        """The seconds that a method took, likewise."""
        found = [s.seconds for s in self.scores if s.method == method and s.seconds is not None]
        return mean_interval(found, seed=self.seed) if found else None

    def compared(self, first: str, second: str, metric: str) -> Compared | None:
        """First less second, image by image; None: they share no image."""
        one, two = self.values(first, metric), self.values(second, metric)
        shared = [image for image in one if image in two]
        if not shared:
            return None
        return compare([one[i] for i in shared], [two[i] for i in shared], seed=self.seed)

    def worst_first(self, method: str, metric: MetricInfo) -> list[str]:
        """Images by how badly a method did on them."""
        values = self.values(method, metric.name)
        return sorted(values, key=lambda i: values[i], reverse=metric.better == "lower")

    def to_json(self) -> str:
        """As read_run reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """One line per method and image."""
        out = io.StringIO()
        names = [metric.name for metric in self.metrics if not metric.missing]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["method", "image", *names, "seconds"])
        for score in self.scores:
            cells = [score.values.get(name) for name in names]
            writer.writerow([score.method, score.image, *map(_cell, cells), _cell(score.seconds)])
        return out.getvalue()


def write_run(run: Run, folder: Path) -> None:
    """Write run.json and scores.csv, whole or not at all."""
    for name, text in (("run.json", run.to_json()), ("scores.csv", run.to_csv())):
        with atomic_output(folder / name, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def read_run(path: Path) -> Run:
    """Read a run.json.

    Raises:
        DamagedFileError: it is none, or of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        for name, kind in (
            ("metrics", MetricInfo), ("methods", MethodInfo), ("images", ImageInfo),
            ("scores", ImageScore),
        ):  # fmt: skip
            values[name] = [kind(**each) for each in values[name]]
        return Run(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path}: not a run of the benchmark ({error})") from error


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
