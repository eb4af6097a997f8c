"""Run the benchmark: any method on any set, scored by every metric, in one table.

First the pictures of all methods are made, then they are scored. Everything is stored as soon as it
is there, with a digest of what it depends on; a run that was stopped and is started again does only
the rest. A method that fails is left out of the scores, and says why.
"""

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from livemoments.errors import ConfigError, LiveMomentsError, OutputError
from livemoments.jobs.workers import Workers, cores
from livemoments.lab.benchmark.config import EvaluateConfig
from livemoments.lab.benchmark.manifest import SetImage, open_set
from livemoments.lab.benchmark.methods import Method, parse_method
from livemoments.lab.benchmark.outcome import Outcome
from livemoments.lab.benchmark.published import as_report_tables
from livemoments.lab.benchmark.restorers import MethodInput, Settings
from livemoments.lab.benchmark.results import BenchmarkRun, write_run
from livemoments.lab.benchmark.run_folder import RunFolder
from livemoments.lab.benchmark.scoring import PictureJob, ScoreJob, Worker, digest
from livemoments.progress import Progress
from livemoments.version import __version__

PACKAGES = ("numpy", "opencv-python-headless", "onnxruntime", "torch", "diffusers")
TRUTHS = "the truths"  # in place of a method, where their features are worked out


def evaluate(config: EvaluateConfig, progress: Progress | None = None) -> BenchmarkRun:
    """Compare methods on a set; write the results into the output folder.

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
    as_report_tables(config.published)  # a table that is not there ends the run before the work
    prepared = Workers(config.jobs, config.threads)
    images = open_set(config.set_folder, config.limit, progress)
    folder = RunFolder(config.output)
    with prepared as workers:
        worker = Worker()
        found = Outcome(
            config=config, methods=methods, images=images, folder=folder,
            metrics=worker.metrics(config.metrics, config.sources),
        )  # fmt: skip
        work = _Work(found, workers, worker, progress)
        work.make_pictures()
        work.score_pictures()
        run = found.results(environment(workers))
    write_run(run, config.output)
    return run


class _Work:
    """The work of making and scoring the pictures that are not there yet."""

    def __init__(
        self, found: Outcome, workers: Workers, worker: Worker, progress: Progress | None
    ) -> None:
        self.found, self.workers, self.worker, self.progress = found, workers, worker, progress
        self.settings = Settings(threads=workers.threads, seed=found.config.seed)
        self.done: dict[str, int] = {}  # by stage

    def make_pictures(self) -> None:
        """Make the pictures of all methods."""
        for job, made in self.workers.map(self.worker.make_picture, self._pictures()):
            if isinstance(made, str):
                self.found.failed.setdefault(job.method.name, made)
                continue
            self.found.store(job.method, job.inputs.name, made)
            self._report("pictures", job.method.name)

    def score_pictures(self) -> None:
        """Score them, of the methods that gave all of them."""
        found = self.found
        methods = {method.name: method for method in found.methods}
        images = {image.name: image for image in found.images.images}
        for job, scores in self.workers.map(self.worker.score_picture, self._scores()):
            if job.method != TRUTHS:
                record = found.records[job.method, job.image]
                record = record.with_scores(scores, found.measured_on(record, images[job.image]))
                found.store(methods[job.method], job.image, record)
            self._report("scores", job.method)

    def _pictures(self) -> Iterator[PictureJob]:
        """List the pictures to make, method by method; no more of a method that failed."""
        for method in self.found.methods:
            try:
                method.prepare()
                for image in self.found.images.images:
                    if method.name in self.found.failed:
                        break
                    job = self._picture(method, image)
                    record = self.found.folder.read(method, image.name, job.made_of)
                    if record is None:
                        yield job
                    else:
                        self.found.records[method.name, image.name] = record
                        self._report("pictures", method.name)
            except LiveMomentsError as error:
                self.found.failed.setdefault(method.name, str(error))

    def _picture(self, method: Method, image: SetImage) -> PictureJob:
        """Return the job of making a picture."""
        place, (height, width) = self.found.config.set_folder / image.name, image.size
        inputs = MethodInput(
            name=image.name, frame=place / "frame.png", key=place / "key.png",
            height=height, width=width,
        )  # fmt: skip
        hashes = [image.files[name].sha256 for name in ("frame", "key")]
        return PictureJob(
            method=method, inputs=inputs, settings=self.settings,
            made_of=digest(method.identity(inputs, self.settings), hashes, image.size),
            output=self.found.folder.picture(method, image.name),
        )  # fmt: skip

    def _scores(self) -> Iterator[ScoreJob]:
        """List what is to be measured: of the truths first, then method by method."""
        found = self.found
        for image in found.images.with_truth if found.of_sets else ():
            picture = found.config.set_folder / image.name / "truth.png"
            yield from self._score(TRUTHS, image, picture, image.files["truth"].sha256, ())
        for method in found.methods:
            for image in found.images.images if method.name not in found.failed else ():
                record = found.records[method.name, image.name]
                of, sets = found.measured_on(record, image), found.of_sets
                names = [n for n in of if n not in sets and not record.has(n, of[n])]
                picture = found.folder.picture(method, image.name)
                yield from self._score(method.name, image, picture, record.sha256, names)

    def _score(
        self, method: str, image: SetImage, picture: Path, sha256: str, names: Sequence[str]
    ) -> Iterator[ScoreJob]:
        """Give the job of measuring a picture by these metrics and by those of sets.

        There is none where nothing is asked for and all that metrics of sets compare is stored.
        """
        found = self.found
        places = {n: found.folder.features(sha256, found.version(n)) for n in found.of_sets}
        absent = {name: place for name, place in places.items() if not place.exists()}
        if not (names or absent):
            self._report("scores", method)
            return
        place = found.config.set_folder / image.name
        yield ScoreJob(
            method=method, image=image.name, picture=picture, key=place / "key.png",
            truth=place / "truth.png" if "truth" in image.files else None,
            metrics=(*names, *absent), all_metrics=found.config.metrics,
            sources=found.config.sources, features=absent,
        )  # fmt: skip

    def _report(self, what: str, method: str) -> None:
        stage = f"{what}: {method}"
        self.done[stage] = self.done.get(stage, 0) + 1
        if self.progress:
            images = self.found.images
            of = images.with_truth if method == TRUTHS else images.images
            self.progress(stage, self.done[stage], len(of))


def environment(workers: Workers) -> dict[str, str]:
    """Describe the machine and the packages of a run, for its report."""
    found = {"livemoments": __version__, "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(cores()),
        "processes": f"{workers.processes} of {workers.threads} threads",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    """Return the processor's name, on Linux from the kernel: its own call gives an empty one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
