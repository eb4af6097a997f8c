"""The benchmark: any method on any set, scored by every metric, in one table.

First the pictures of all methods are made, then they are scored. Everything is stored as soon as it
is there, under what it depends on; a run that was stopped and is given again does only the rest. A
method that fails is left out of the scores, and says why.
"""

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from livemoments.errors import ConfigError, LiveMomentsError, OutputError
from livemoments.jobs.workers import Workers, cores
from livemoments.lab.benchmark import scoring
from livemoments.lab.benchmark.config import EvaluateConfig
from livemoments.lab.benchmark.manifest import SetImage, open_set
from livemoments.lab.benchmark.methods import Method, parse_method
from livemoments.lab.benchmark.outcome import Outcome
from livemoments.lab.benchmark.published import as_report_tables
from livemoments.lab.benchmark.restorers import Case, Settings
from livemoments.lab.benchmark.results import Run, write_run
from livemoments.lab.benchmark.run_folder import RunFolder, new_record
from livemoments.lab.benchmark.scoring import (
    PictureJob,
    ScoreJob,
    digest,
    make_picture,
    score_picture,
)
from livemoments.progress import Progress
from livemoments.version import __version__

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "torch", "diffusers")
TRUTHS = "the truths"  # in place of a method, where their features are worked out


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> Run:
    """Compare methods on a set; what comes of it is written into the output folder.

    Raises:
        InputError: the set cannot be used.
        ConfigError: there is no such method.
        OutputError: the folder holds something else, or cannot be written.
    """
    methods = [parse_method(text) for text in config.methods]
    if len({method.folder.lower() for method in methods}) < len(methods):
        raise ConfigError("two methods have one name; give them others, as NAME=METHOD")
    if config.output.resolve() == config.set_folder.resolve():
        raise OutputError(f"{config.output}: this is the set; give another folder")
    as_report_tables(config.published)  # checked before the work
    prepared = Workers(config.jobs, config.threads)
    images = open_set(config.set_folder, config.limit, progress)
    folder = RunFolder(config.output)
    try:
        with prepared as workers:
            found = Outcome(
                config=config,
                methods=methods,
                images=images,
                folder=folder,
                metrics=scoring.metrics(config.metrics, config.sources),
            )
            work = _Work(found, workers, progress)
            work.make_pictures()
            work.score_pictures()
            run = found.run(environment(workers))
    finally:
        scoring.forget()
    write_run(run, config.output)
    return run


class _Work:
    """Making and scoring what is not there yet."""

    def __init__(self, found: Outcome, workers: Workers, progress: Progress | None) -> None:
        self.found, self.workers, self.progress = found, workers, progress
        self.settings = Settings(threads=workers.threads, seed=found.config.seed)
        self.done: dict[str, int] = {}  # by stage

    def make_pictures(self) -> None:
        """The pictures of all methods."""
        found, depends = self.found, dict[tuple[str, str], str]()
        for job, made in self.workers.map(make_picture, self._pictures(depends)):
            method, image = job.method, job.case.name
            if made.failed:
                found.failed.setdefault(method.name, made.failed)
                continue
            record = new_record(depends[method.name, image], made)
            found.folder.write(method, image, record)
            found.records[method.name, image] = record
            self._tell("pictures", method.name)

    def score_pictures(self) -> None:
        """Their scores, of the methods that gave all of them."""
        found = self.found
        methods = {method.name: method for method in found.methods}
        images = {image.name: image for image in found.images.images}
        for job, scores in self.workers.map(score_picture, self._scores()):
            if job.method != TRUTHS:
                record = found.records[job.method, job.image]
                record = record.with_scores(scores, found.measured_on(record, images[job.image]))
                found.folder.write(methods[job.method], job.image, record)
                found.records[job.method, job.image] = record
            self._tell("scores", job.method)

    def _pictures(self, depends: dict[tuple[str, str], str]) -> Iterator[PictureJob]:
        """What is to be made, method by method; of one that failed, no more.

        What each picture depends on is noted in `depends`.
        """
        for method in self.found.methods:
            try:
                method.prepare()
                for image in self.found.images.images:
                    if method.name in self.found.failed:
                        break
                    job = self._picture(method, image, depends)
                    if job:
                        yield job
                    else:
                        self._tell("pictures", method.name)
            except LiveMomentsError as error:
                self.found.failed.setdefault(method.name, str(error))

    def _picture(
        self, method: Method, image: SetImage, depends: dict[tuple[str, str], str]
    ) -> PictureJob | None:
        """A picture to be made; None where it is there."""
        place, (height, width) = self.found.config.set_folder / image.name, image.size
        case = Case(
            name=image.name,
            frame=place / "frame.png",
            key=place / "key.png",
            height=height,
            width=width,
        )
        hashes = [image.files[name].sha256 for name in ("frame", "key")]
        on = digest(method.identity(case, self.settings), hashes, image.size)
        record = self.found.folder.read(method, image.name, on)
        if record:
            self.found.records[method.name, image.name] = record
            return None
        depends[method.name, image.name] = on
        output = self.found.folder.picture(method, image.name)
        return PictureJob(method=method, case=case, settings=self.settings, output=output)

    def _scores(self) -> Iterator[ScoreJob]:
        """What is to be measured, method by method, and before that of the truths."""
        found = self.found
        for image in found.with_truth if found.of_sets else ():
            picture = found.config.set_folder / image.name / "truth.png"
            yield from self._score(TRUTHS, image, picture, image.files["truth"].sha256, ())
        for method in found.methods:
            for image in found.images.images if method.name not in found.failed else ():
                record = found.records[method.name, image.name]
                of = found.measured_on(record, image)
                names = [name for name in found.ready if name not in found.of_sets]
                names = [name for name in names if not record.has(name, of[name])]
                picture = found.folder.picture(method, image.name)
                yield from self._score(method.name, image, picture, record.sha256, names)

    def _score(
        self, method: str, image: SetImage, picture: Path, sha256: str, names: Sequence[str]
    ) -> Iterator[ScoreJob]:
        """The job of measuring a picture by metrics, and by those of sets; none where all is there.

        Of the latter, what they compare is stored by the picture's content.
        """
        found = self.found
        places = {n: found.folder.features(sha256, found.version(n)) for n in found.of_sets}
        absent = {name: place for name, place in places.items() if not place.exists()}
        if not (names or absent):
            self._tell("scores", method)
            return
        place = found.config.set_folder / image.name
        yield ScoreJob(
            method=method,
            image=image.name,
            picture=picture,
            key=place / "key.png",
            truth=place / "truth.png" if "truth" in image.files else None,
            metrics=(*names, *absent),
            all_metrics=found.config.metrics,
            sources=found.config.sources,
            features=absent,
        )

    def _tell(self, what: str, method: str) -> None:
        stage = f"{what}: {method}"
        self.done[stage] = self.done.get(stage, 0) + 1
        if self.progress:
            images = self.found.with_truth if method == TRUTHS else self.found.images.images
            self.progress(stage, self.done[stage], len(images))


def environment(workers: Workers) -> dict[str, str]:
    """What a run was made with, for its report."""
    found = {"livemoments": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    side_by_side = f"{workers.processes} of {workers.threads} threads"
    return found | {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(cores()),
        "processes": side_by_side,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """The processor's name; Linux's own call gives an empty one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
