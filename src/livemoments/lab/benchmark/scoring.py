"""Make one picture of the benchmark or score it: the work that each of its processes does."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from livemoments.errors import InputError, LiveMomentsError, WeightsError, first_line
from livemoments.files import atomic_output
from livemoments.imaging.pixels import as_bytes
from livemoments.lab.benchmark.manifest import read_picture, write_picture
from livemoments.lab.benchmark.methods import Method
from livemoments.lab.benchmark.restorers import LoadedMethod, MethodInput, Settings
from livemoments.lab.benchmark.run_folder import Measurement, Record
from livemoments.lab.metrics.catalogue import Sources, make_metrics
from livemoments.lab.metrics.metric import AnyMetric, Missing, Score, SetMetric, as_stored, size

DIGITS = 6  # stored of a value: threads, added up in another order, change those after them
NO_TRUTH = "the set has no truth"


@dataclass(frozen=True, kw_only=True)
class PictureJob:
    """A picture to make."""

    method: Method
    inputs: MethodInput
    settings: Settings
    made_of: str  # a digest of all that it depends on
    output: Path  # the PNG


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """A picture to score."""

    method: str  # that made it
    image: str
    picture: Path
    key: Path
    truth: Path | None
    metrics: tuple[str, ...]
    all_metrics: tuple[str, ...]  # that are made ready, once for all jobs
    sources: Sources
    features: Mapping[str, Path]  # by metric of sets: the file for what it compares


class Worker:
    """One process of a benchmark run, with the method and the metrics that it has ready.

    Sent to another process, it becomes that process's own one.
    """

    def __init__(self) -> None:
        # Methods come one after the other, and are large: of both only the last stays.
        self._load: Callable[[Method, Settings], LoadedMethod] = lru_cache(1)(Method.load)
        self.metrics = lru_cache(1)(metrics_by_name)

    def __reduce__(self) -> tuple[Callable[[], "Worker"], tuple[()]]:
        return _own_worker, ()

    def make_picture(self, job: PictureJob) -> Record | str:
        """Make a picture and write it; return its record, or why the method failed."""
        inputs = job.inputs
        try:
            loaded = self._load(job.method, job.settings)
            began_s = time.perf_counter()
            picture = loaded.restore(inputs)
            seconds = time.perf_counter() - began_s
            stored = as_bytes(as_stored(picture, f"the picture of {inputs.name}"))
            if stored.shape[:2] != (inputs.height, inputs.width):
                raise InputError(
                    f"the picture of {inputs.name} is {size(stored)} pixels,"
                    f" {inputs.width} x {inputs.height} are wanted"
                )
            job.output.parent.mkdir(parents=True, exist_ok=True)
            with atomic_output(job.output, overwrite=True) as temporary:
                written = write_picture(temporary, stored)
        except LiveMomentsError as error:
            return " ".join(str(error).split())
        except Exception as error:  # noqa: BLE001 - one method must not end the others' run
            return f"{inputs.name}: {_described(error)}"
        return Record(
            made_of=job.made_of, sha256=written.sha256, parameters_m=loaded.parameters_m,
            seconds=None if job.method.made_before else round(seconds, 3),
        )  # fmt: skip

    def score_picture(self, job: ScoreJob) -> dict[str, Measurement]:
        """Score a picture by each metric; for metrics of sets, write its features."""
        ready = self.metrics(job.all_metrics, job.sources)
        pictures = {"result": read_picture(job.picture)}
        found = {}
        for name in job.metrics:
            try:
                found[name] = _score(ready[name], job, pictures)
            except LiveMomentsError as error:
                found[name] = Measurement(message=" ".join(str(error).split()))
            except Exception as error:  # noqa: BLE001 - of others' packages, and of memory
                found[name] = Measurement(message=_described(error), retry=True)
        return found


@cache
def _own_worker() -> Worker:
    """Return the worker of this process, where it was started for the work."""
    return Worker()


def metrics_by_name(names: tuple[str, ...], sources: Sources) -> dict[str, AnyMetric | Missing]:
    """Make metrics ready."""
    return {metric.name: metric for metric in make_metrics(names, sources)}


def _score(
    metric: AnyMetric | Missing, job: ScoreJob, pictures: dict[str, np.ndarray]
) -> Measurement:
    if isinstance(metric, Missing):  # it was there in the process that made the job
        raise WeightsError(metric.reason)
    if isinstance(metric, SetMetric):
        _write_features(metric, pictures["result"], job.features[metric.name])
        return Measurement()
    path = job.key if metric.against == "key photo" else job.truth
    if path is None:
        return Measurement(message=NO_TRUTH)
    if path.name not in pictures:
        pictures[path.name] = read_picture(path)
    return measurement(metric(pictures["result"], pictures[path.name]))


def measurement(score: Score) -> Measurement:
    """Round a score as it is stored; one that is no number becomes a message."""
    if score.value is None:
        return Measurement(message=score.message)
    if math.isfinite(score.value):
        return Measurement(value=round(float(score.value), DIGITS), message=score.message)
    more = f" ({score.message})" if score.message else ""
    return Measurement(message=f"it gave {score.value}{more}")


def _write_features(metric: SetMetric, picture: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = metric.features([picture])
    with atomic_output(path, overwrite=True) as temporary, temporary.open("wb") as written:
        np.save(written, found)


def digest(*values: object) -> str:
    """Return a short name of plain values, which differs for other values."""
    return hashlib.sha256(repr(values).encode()).hexdigest()[:24]


def _described(error: Exception) -> str:
    line, name = first_line(error), type(error).__name__
    return name if line == name else f"{name}: {line}"
