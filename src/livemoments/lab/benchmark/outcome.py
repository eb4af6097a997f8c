"""Collect what a run finds while it goes on, and make its results of it at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from livemoments.errors import LiveMomentsError
from livemoments.lab.benchmark.config import EvaluateConfig
from livemoments.lab.benchmark.manifest import ImageSet, SetImage
from livemoments.lab.benchmark.methods import Method
from livemoments.lab.benchmark.published import as_report_tables
from livemoments.lab.benchmark.results import (
    BenchmarkRun,
    ImageInfo,
    ImageScore,
    MethodInfo,
    MetricInfo,
)
from livemoments.lab.benchmark.run_folder import Record, RunFolder
from livemoments.lab.benchmark.scoring import NO_TRUTH, digest, measurement
from livemoments.lab.metrics.catalogue import METRICS
from livemoments.lab.metrics.metric import AnyMetric, Missing, SetMetric
from livemoments.version import __version__


@dataclass(kw_only=True)
class Outcome:
    """What is known so far of methods on a set, scored by metrics."""

    config: EvaluateConfig
    methods: Sequence[Method]
    images: ImageSet
    folder: RunFolder
    metrics: Mapping[str, AnyMetric | Missing]
    failed: dict[str, str] = field(default_factory=dict)  # by method: why
    records: dict[tuple[str, str], Record] = field(default_factory=dict)  # by method and image

    def store(self, method: Method, image: str, record: Record) -> None:
        """Note the record of a picture, in the run's folder too."""
        self.folder.write(method, image, record)
        self.records[method.name, image] = record

    def missing(self, metric: str) -> str:
        """Return why a metric has no values here; empty where it has."""
        made = self.metrics[metric]
        if isinstance(made, Missing):
            return made.reason
        return NO_TRUTH if made.against != "key photo" and not self.images.with_truth else ""

    @property
    def ready(self) -> list[str]:
        """The metrics that have values."""
        return [name for name in self.metrics if not self.missing(name)]

    @property
    def of_sets(self) -> list[str]:
        """Those of them that compare whole sets."""
        return [name for name in self.ready if isinstance(self.metrics[name], SetMetric)]

    def version(self, metric: str) -> str:
        """Return a digest of what a metric depends on besides the pictures."""
        sources = self.config.sources
        own = {"CLIP-Q": sources.clip, "DINO-Q": sources.dino, "patch-FID": sources.inception}
        return digest(metric, __version__, str(own.get(metric)))

    def measured_on(self, record: Record, image: SetImage) -> dict[str, str]:
        """Return, by metric, a digest of what its value of a picture depends on."""
        of = {}
        for name in self.ready:
            other = image.files.get("key" if METRICS[name].against == "key photo" else "truth")
            of[name] = digest(self.version(name), record.sha256, other.sha256 if other else "")
        return of

    def results(self, environment: Mapping[str, str]) -> BenchmarkRun:
        """Make the results of everything that was found."""
        config, ran = self.config, [m for m in self.methods if m.name not in self.failed]
        name = config.set_folder.resolve().name
        messages: dict[str, list[str]] = {}  # of metrics of sets: the methods that each is about
        set_scores = {method.name: self._set_scores(method, messages) for method in ran}
        notes = [*self.images.notes, *(f"{', '.join(of)}: {why}" for why, of in messages.items())]
        if config.jobs > 1:
            notes.append(f"seconds were taken with {config.jobs} processes side by side")
        return BenchmarkRun(
            title=config.title or f"{len(self.methods)} methods on {name}", set_name=name,
            set_folder=str(config.set_folder), command=config.command, environment=environment,
            metrics=[self._metric_info(metric) for metric in self.metrics],
            methods=[self._method_info(method) for method in self.methods],
            images=[_image_info(image) for image in self.images.images],
            scores=[self._image_score(m, image) for m in ran for image in self.images.images],
            set_scores=set_scores if self.of_sets else {}, notes=notes,
            published=as_report_tables(config.published), seed=config.seed,
        )  # fmt: skip

    def _metric_info(self, name: str) -> MetricInfo:
        row = METRICS[name]
        missing = self.missing(name)
        return MetricInfo(name=name, better=row.better, against=row.against, missing=missing)

    def _method_info(self, method: Method) -> MethodInfo:
        sizes = (r.parameters_m for (name, _), r in self.records.items() if name == method.name)
        size = next((size for size in sizes if size is not None), None)
        return MethodInfo(
            name=method.name, label=method.label, detail=method.detail,
            failed=self.failed.get(method.name, ""),
            cost={} if size is None else {"parameters_m": round(size, 3)},
        )  # fmt: skip

    def _image_score(self, method: Method, image: SetImage) -> ImageScore:
        record = self.records[method.name, image.name]
        picture = self.folder.picture(method, image.name).relative_to(self.folder.folder)
        names = [name for name in self.ready if name not in self.of_sets]
        found = {name: record.scores[name] for name in names if name in record.scores}
        return ImageScore(
            method=method.name, image=image.name,
            values={name: score["value"] for name, score in found.items()},
            messages={name: score["said"] for name, score in found.items() if score["said"]},
            seconds=record.seconds, picture=picture.as_posix(),
        )  # fmt: skip

    def _set_scores(self, method: Method, notes: dict[str, list[str]]) -> dict[str, float | None]:
        """Compare a method's pictures with the truths by metrics of sets; notes get messages."""
        found: dict[str, float | None] = {}
        images = self.images.with_truth
        records = [self.records[method.name, image.name] for image in images]
        for name in self.of_sets:
            metric = self.metrics[name]
            faults = [r.scores[name]["said"] for r in records if name in r.scores]
            try:
                if not isinstance(metric, SetMetric) or any(faults):
                    raise LiveMomentsError(next(filter(None, faults)))
                results = self._features([record.sha256 for record in records], name)
                truths = self._features([i.files["truth"].sha256 for i in images], name)
                score = measurement(metric.distance(results, truths))
                found[name], why = score.value, score.message
            except LiveMomentsError as error:
                found[name], why = None, str(error)
            if why:
                notes.setdefault(f"{name}: {why}", []).append(method.name)
        return found

    def _features(self, hashes: Sequence[str], metric: str) -> np.ndarray:
        """Read what a metric of sets compares, of pictures by their SHA-256."""
        try:
            places = [self.folder.features(sha256, self.version(metric)) for sha256 in hashes]
            return np.concatenate([np.load(place) for place in places])
        except (OSError, ValueError) as error:
            raise LiveMomentsError(f"its features cannot be read ({error})") from error


def _image_info(image: SetImage) -> ImageInfo:
    height, width = image.size
    source = (image.source, f"licence: {image.licence}" if image.licence else "")
    return ImageInfo(
        name=image.name, width=width, height=height, frame=f"{image.name}/frame.png",
        key=f"{image.name}/key.png", source="; ".join(filter(None, source)),
        truth=f"{image.name}/truth.png" if "truth" in image.files else None,
    )  # fmt: skip
