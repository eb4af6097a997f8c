"""Hold the results of a finished run as plain data, for its report, and write JSON and CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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

    name: str  # as on the command line
    label: str  # that people read
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
    """The scores of one method's picture of one image."""

    method: str
    image: str
    values: Mapping[str, float | None]  # by metric; None: there was nothing to measure
    messages: Mapping[str, str] = field(default_factory=dict)  # by metric
    seconds: float | None = None  # that the method took; None: its pictures were there before
    picture: str = ""  # relative to the run's folder


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """A finished run of the benchmark: all that its report needs."""

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
        """Return a method's values by image, where there are any."""
        return {
            score.image: float(value)
            for score in self.scores
            if score.method == method and (value := score.values.get(metric)) is not None
        }

    def mean(self, method: str, metric: str) -> Interval | None:
        """Average a method's values over the images; None where there are none."""
        values = self.values(method, metric)
        return mean_interval(list(values.values()), seed=self.seed) if values else None

    def seconds(self, method: str) -> Interval | None:
        """Average the seconds that a method took; None where they are not known."""
        found = [s.seconds for s in self.scores if s.method == method and s.seconds is not None]
        return mean_interval(found, seed=self.seed) if found else None

    def compared(self, first: str, second: str, metric: str) -> Compared | None:
        """Compare two methods, the first less the second; None where they share no image."""
        one, two = self.values(first, metric), self.values(second, metric)
        shared = [image for image in one if image in two]
        if not shared:
            return None
        return compare([one[i] for i in shared], [two[i] for i in shared], seed=self.seed)

    def worst_first(self, method: str, metric: MetricInfo) -> list[str]:
        """Order the images by how badly a method did on them."""
        values = self.values(method, metric.name)
        return sorted(values, key=lambda i: values[i], reverse=metric.better == "lower")

    def to_json(self) -> str:
        """Write the run as JSON."""
        values = {"format": FORMAT, **asdict(self)}
        # The file's format is older than the name.
        values["scores"] = [
            {"said" if key == "messages" else key: value for key, value in score.items()}
            for score in values["scores"]
        ]
        return json.dumps(values, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Write a line for each method and image."""
        out = io.StringIO()
        names = [metric.name for metric in self.metrics if not metric.missing]
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["method", "image", *names, "seconds"])
        for score in self.scores:
            cells = [score.values.get(name) for name in names]
            writer.writerow([score.method, score.image, *map(_cell, cells), _cell(score.seconds)])
        return out.getvalue()


def write_run(run: BenchmarkRun, folder: Path) -> None:
    """Write run.json and scores.csv, whole or not at all."""
    for name, text in (("run.json", run.to_json()), ("scores.csv", run.to_csv())):
        with atomic_output(folder / name, overwrite=True) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
