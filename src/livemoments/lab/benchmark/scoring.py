"""One picture of the benchmark, made or scored: what its processes do, each for itself."""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from livemoments.errors import InputError, LiveMomentsError, WeightsError
from livemoments.files import atomic_output
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.benchmark.manifest import read_picture, write_picture
from livemoments.lab.benchmark.methods import Method
from livemoments.lab.benchmark.restorers import Case, Loaded, Settings
from livemoments.lab.metrics.catalogue import Sources, make_metrics
from livemoments.lab.metrics.metric import Metric, Missing, Score, SetMetric, as_stored, size

DIGITS = 6  # of a value that are stored: threads, added up in other orders, change those after them
NO_TRUTH = "the set has no truth"


@dataclass(frozen=True, kw_only=True)
class PictureJob:
    """A picture to make."""

    method: Method
    case: Case
    settings: Settings
    output: Path  # the PNG


@dataclass(frozen=True, kw_only=True)
class Made:
    """A picture that was made, or why it was not."""

    sha256: str = ""
    seconds: float | None = None
    parameters_m: float | None = None  # of the method
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """A picture to score."""

    method: str  # whose it is
    image: str
    picture: Path
    key: Path
    truth: Path | None
    metrics: tuple[str, ...]
    all_metrics: tuple[str, ...]  # that are made ready, once for all jobs
    sources: Sources
    features: Mapping[str, Path]  # where the features go that metrics of sets compare


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a metric gave."""

    value: float | None
    message: str = ""
    again: bool = False  # not for good: to be tried again in another run


def make_picture(job: PictureJob) -> Made:
    """Make a picture and write it; whatever a method raises is told, and is its own failure."""
    try:
        loaded = load(job.method, job.settings)
        began_s = time.perf_counter()
        picture = loaded.restore(job.case)
        seconds = time.perf_counter() - began_s
        stored = as_bytes(as_stored(picture, f"the picture of {job.case.name}"))
        if stored.shape[:2] != (job.case.height, job.case.width):
            raise InputError(
                f"the picture of {job.case.name} is {size(stored)} pixels,"
                f" {job.case.width} x {job.case.height} are wanted"
            )
        job.output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(job.output, overwrite=True) as temporary:
            written = write_picture(temporary, stored)
    except LiveMomentsError as error:
        return Made(failed=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - one method must not end the others' run
        return Made(failed=f"{job.case.name}: {_named(error)}")
    return Made(
        sha256=written.sha256,
        seconds=None if job.method.made_before else round(seconds, 3),
        parameters_m=loaded.parameters_m,
    )


@lru_cache(maxsize=1)  # methods come one after the other, and are large
def load(method: Method, settings: Settings) -> Loaded:
    """A method, made ready once."""
    return method.load(settings)


def score_picture(job: ScoreJob) -> dict[str, Given]:
    """Score a picture by each metric; of metrics of sets, its features are stored."""
    ready = metrics(job.all_metrics, job.sources)
    pictures = {"result": read_picture(job.picture)}
    found = {}
    for name in job.metrics:
        try:
            found[name] = _score(ready[name], job, pictures)
        except LiveMomentsError as error:
            found[name] = Given(value=None, message=" ".join(str(error).split()))
        except Exception as error:  # noqa: BLE001 - of others' packages, and of memory
            found[name] = Given(value=None, message=_named(error), again=True)
    return found


@lru_cache(maxsize=1)
def metrics(names: tuple[str, ...], sources: Sources) -> dict[str, Metric | SetMetric | Missing]:
    """Metrics by name, made ready once."""
    return {metric.name: metric for metric in make_metrics(names, sources)}


def forget() -> None:
    """Let go of what is stored ready in this process."""
    load.cache_clear()
    metrics.cache_clear()


def _score(
    metric: Metric | SetMetric | Missing, job: ScoreJob, pictures: dict[str, np.ndarray]
) -> Given:
    if isinstance(metric, Missing):  # it was there in the process that gave the job
        raise WeightsError(metric.reason)
    if isinstance(metric, SetMetric):
        _keep_features(metric, pictures["result"], job.features[metric.name])
        return Given(value=None)
    path = job.key if metric.against == "key photo" else job.truth
    if path is None:
        return Given(value=None, message=NO_TRUTH)
    if path.name not in pictures:
        pictures[path.name] = read_picture(path)
    return given(metric(pictures["result"], pictures[path.name]))


def given(score: Score) -> Given:
    """A score as it is stored."""
    if score.value is None or math.isfinite(score.value):
        value = None if score.value is None else round(float(score.value), DIGITS)
        return Given(value=value, message=score.message)
    return Given(
        value=None, message=f"it gave {score.value}{score.message and f' ({score.message})'}"
    )


def _keep_features(metric: SetMetric, picture: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = metric.features([picture])
    with atomic_output(path, overwrite=True) as temporary, temporary.open("wb") as written:
        np.save(written, found)


def digest(*values: object) -> str:
    """A short name of plain values, another one for other values."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:24]


def _named(error: Exception) -> str:
    message = str(error).splitlines()
    return f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
