"""Define what a metric is, what it gives, and what stands for one that cannot be had."""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np

from livemoments.errors import InputError, MissingExtraError, first_line

Better = Literal["higher", "lower"]
Against = Literal["truth", "key photo", "set", "faces"]  # faces: those of the truth
FAR_OUTSIDE = (-1.0, 2.0)  # no overshoot of a restorer: values of another range
BROKEN_IMPORT = (ImportError, AttributeError, OSError, RuntimeError)


@dataclass(frozen=True, kw_only=True)
class Score:
    """The result of a metric."""

    value: float | None  # None: there was nothing to measure; the message says why
    message: str = ""  # what to know with the value


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of one result and of what it is compared with."""

    name: str
    better: Better
    against: Against
    measure: Callable[[np.ndarray, np.ndarray], float | Score]  # of pictures that as_stored made

    def __call__(self, result: np.ndarray, other: np.ndarray) -> Score:
        """Score a result against the truth or the key photo, whichever the metric compares.

        Both are RGB H x W x 3, float in [0, 1] or uint8, and are rounded to 8 bits first.

        Raises:
            InputError: one of them is no such picture, they differ in size where they must not, or
                they are too small for this metric.
        """
        name = "the key photo" if self.against == "key photo" else "the truth"
        one, two = as_stored(result, "the result"), as_stored(other, name)
        if self.against != "key photo" and one.shape != two.shape:
            raise InputError(
                f"{self.name}: the result is {size(one)} pixels and the truth {size(two)}; "
                "bring them to one size first"
            )
        found = self.measure(one, two)
        return found if isinstance(found, Score) else Score(value=found)


@dataclass(frozen=True, kw_only=True)
class SetMetric:
    """A distance of two sets of pictures; of each picture only its features are stored."""

    name: str
    extract: Callable[[np.ndarray], np.ndarray]  # a picture as as_stored gives it to (n, d)
    distance: Callable[[np.ndarray, np.ndarray], Score]  # of the features (n, d) of two sets
    better: Better = "lower"
    against: Against = "set"

    def __call__(self, results: Iterable[np.ndarray], truths: Iterable[np.ndarray]) -> Score:
        """Compare two sets of pictures, each RGB H x W x 3; sizes and counts may differ."""
        return self.distance(self.features(results), self.features(truths))

    def features(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """Extract the features (n, d) of pictures, one after the other.

        Raises:
            InputError: there are none, or one is no picture.
        """
        found = [self.extract(as_stored(picture, "a picture")) for picture in pictures]
        if not found:
            raise InputError(f"{self.name}: no pictures were given; a set needs some")
        return np.concatenate(found)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A metric that cannot be had here."""

    name: str
    reason: str  # what it needs, and what to do


AnyMetric = Metric | SetMetric


def as_stored(picture: np.ndarray, name: str) -> np.ndarray:
    """Round RGB H x W x 3, uint8 or float, as 8 bits store it; float32 in [0, 1], contiguous.

    Raises:
        InputError: it is no such picture; the message calls it by `name`.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise InputError(f"{name} is an array of shape {picture.shape}; give H x W x 3, RGB")
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture, np.float32) / np.float32(255)
    if not np.issubdtype(picture.dtype, np.floating):
        raise InputError(f"{name} holds {picture.dtype}; give uint8, or float in [0, 1]")
    if not np.isfinite(picture).all():
        count = int((~np.isfinite(picture)).any(axis=2).sum())
        raise InputError(f"{name} holds NaN or infinity in {count} pixels; mend what made it")
    low, high = float(picture.min()), float(picture.max())
    if low < FAR_OUTSIDE[0] or high > FAR_OUTSIDE[1]:
        raise InputError(f"{name} holds values from {low:.3g} to {high:.3g}; give them in [0, 1]")
    levels = np.rint(np.clip(picture, 0, 1) * np.float32(255)).astype(np.float32)
    return np.ascontiguousarray(levels) / np.float32(255)


def size(picture: np.ndarray) -> str:
    """Write width and height, for messages."""
    return f"{picture.shape[1]} x {picture.shape[0]}"


def need_package(module: str, package: str, job: str) -> ModuleType:
    """Import a module of a package (pip's name of it) that only this job needs.

    Raises:
        MissingExtraError: it is not installed, or it is and does not work.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise MissingExtraError(
                f"{job} needs {package}, which is not installed; pip install {package}"
            ) from error
        raise MissingExtraError(
            f"{job} needs {package}, which asks for {error.name}; pip install {error.name}"
        ) from error
    except BROKEN_IMPORT as error:
        raise MissingExtraError(
            f"{job} needs {package}, which does not work here ({first_line(error)});"
            " install it again"
        ) from error
