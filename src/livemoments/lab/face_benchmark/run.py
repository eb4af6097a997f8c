"""Run the benchmark of face restoration: real clips, degraded, restored and measured.

For each clip and strength every method restores the whole degraded clip, and the faces of the
restored pictures are measured at the places of the clean clip's. Results are stored in one file
after each method, so a run that was stopped goes on, and what did not change is not done again.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.errors import ConfigError, DamagedFileError
from livemoments.faces.face import Placement
from livemoments.files import atomic_output
from livemoments.lab.face_benchmark.clips import FaceMeasures, FaceRecogniser, FaceRow, score_faces
from livemoments.lab.face_benchmark.figures import Figures, figures_of, mean_figures
from livemoments.lab.face_benchmark.methods import DegradedClip, Method
from livemoments.lab.face_benchmark.sheets import FaceSheets
from livemoments.lab.face_benchmark.strengths import STRENGTHS, Strength
from livemoments.lab.face_benchmark.truths import TrueClip, degrade_clip, read_truth
from livemoments.progress import Progress

FORMAT = 1  # of the file
FRAMES = 72  # three of IP-FVR's clips


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """The extent of a run."""

    frames: int = FRAMES  # of each clip at most
    seed: int = 0  # of the noise
    strengths: tuple[Strength, ...] = tuple(STRENGTHS.values())

    def __post_init__(self) -> None:
        if self.frames < 10:
            raise ConfigError(f"frames must be 10 or more, for a drift; got {self.frames}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The faces of one clip at one strength, as one method restored them."""

    clip: str
    strength: str
    method: str
    key: str  # a hash of everything that the result was made from
    seconds: float  # that the method took
    faces: Mapping[str, Sequence[FaceRow]]  # by person
    bits_per_pixel: float | None = None  # of the degraded clip
    borders: Sequence[int] = ()  # frames with which the method's windows begin


@dataclass(kw_only=True)
class Results:
    """Everything that was measured so far."""

    found: list[Measured] = field(default_factory=list)

    def get(self, clip: str, strength: str, method: str) -> Measured | None:
        """Return what was measured of a method, if anything."""
        wanted = (clip, strength, method)
        return next((m for m in self.found if (m.clip, m.strength, m.method) == wanted), None)

    def put(self, measured: Measured) -> None:
        """Add a result, in place of the one before."""
        before = self.get(measured.clip, measured.strength, measured.method)
        self.found = [each for each in self.found if each is not before] + [measured]

    def figures(self, strength: str, methods: Sequence[str]) -> dict[str, dict[str, Figures]]:
        """Compute the figures by person, then by method."""
        by_person: dict[str, dict[str, Figures]] = {}
        for method in methods:
            for each in self.found:
                if (each.strength, each.method) == (strength, method):
                    for person, rows in each.faces.items():
                        by_person.setdefault(person, {})[method] = figures_of(rows, each.borders)
        return by_person

    def means(self, strength: str, methods: Sequence[str]) -> dict[str, Figures]:
        """Average figures by method, over the people that every method was measured on."""
        people = self.figures(strength, methods)
        whole = [each for each in people.values() if len(each) == len(methods)]
        return {method: mean_figures([each[method] for each in whole]) for method in methods}


def measure(
    clips: Mapping[str, Path], methods: Sequence[Method], measures: FaceMeasures,
    config: BenchmarkConfig, out: Path, *,
    sheets: FaceSheets | None = None, progress: Progress | None = None,
) -> Results:  # fmt: skip
    """Measure methods on clips, or read what was measured.

    Args:
        clips: by name.
        methods: of different names.
        measures: what to measure with.
        config: how many frames, which strengths.
        out: the file of results; what it holds of the same kind is taken as it is.
        sheets: stores pictures for looking at.
        progress: called for clips and frames.

    Returns:
        The results of these clips and methods; the file may hold more.

    Raises:
        InputError: a clip's first frame shows no face.
        OutputError: the file cannot be written.
    """
    results, asked = read_results(out) if out.exists() else Results(), Results()
    measures = replace(measures, embedder=_CachingEmbedder(measures.embedder))
    for name, path in clips.items():
        truth: TrueClip | None = None
        for strength in config.strengths:
            degraded: DegradedClip | None = None
            for method in methods:
                key = _key(path, strength, method, measures, config)
                done = results.get(name, strength.name, method.name)
                if done is None or not _is_done(done, key, sheets):
                    finder, embedder = measures.finder, measures.embedder
                    truth = truth or read_truth(name, path, config.frames, finder, embedder)
                    degraded = degraded or degrade_clip(truth, strength, config.seed)
                    done = _measure(method, key, truth, degraded, measures, sheets, progress)
                    results.put(done)
                    write_results(results, out)
                asked.put(done)
    return asked


def _measure(
    method: Method, key: str, truth: TrueClip, degraded: DegradedClip, measures: FaceMeasures,
    sheets: FaceSheets | None, progress: Progress | None,
) -> Measured:  # fmt: skip
    """Restore a degraded clip by a method, and measure its faces."""
    began_s = time.perf_counter()
    restored = list(method.restore(degraded, progress))
    seconds = round(time.perf_counter() - began_s, 1)
    pairs = list(zip(restored, truth.frames, strict=True))
    faces = {
        person.name: list(score_faces(pairs, person.views, measures, person.identity))
        for person in truth.people
    }
    if sheets is not None:
        sheets.store(truth, degraded.strength, method.name, restored)
    if progress:
        progress(f"{truth.name}, {degraded.strength}, {method.name}", 1, 1)
    return Measured(
        clip=truth.name, strength=degraded.strength, method=method.name, key=key, seconds=seconds,
        faces=faces, bits_per_pixel=degraded.bits_per_pixel, borders=method.borders(len(restored)),
    )  # fmt: skip


def write_results(results: Results, path: Path) -> None:
    """Write the file, whole or not at all."""
    values = {"format": FORMAT, "measured": [asdict(each) for each in results.found]}
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read the file.

    Raises:
        DamagedFileError: it does not hold results, or those of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        return Results(found=[_measured(each) for each in values["measured"]])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(
            f"{path}: no results of the benchmark of faces ({error}); give another file"
        ) from error


def _measured(values: dict[str, Any]) -> Measured:
    faces = {
        person: [FaceRow(**row) for row in rows] for person, rows in values.pop("faces").items()
    }
    return Measured(**values, faces=faces)


class _CachingEmbedder:
    """Embeds each canonical face once: every method is compared with the same truth."""

    def __init__(self, embedder: FaceRecogniser) -> None:
        self._embedder, self._known = embedder, dict[bytes, np.ndarray]()

    def of_picture(self, picture: np.ndarray, placement: Placement) -> np.ndarray:
        return self._embedder.of_picture(picture, placement)

    def of_face(self, face: np.ndarray) -> np.ndarray:
        key = hashlib.sha256(face.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._embedder.of_face(face)
        return self._known[key]


def _is_done(known: Measured, key: str, sheets: FaceSheets | None) -> bool:
    return known.key == key and (
        sheets is None
        or all(sheets.has(person, known.strength, known.method) for person in known.faces)
    )


def _key(
    path: Path, strength: Strength, method: Method, measures: FaceMeasures, config: BenchmarkConfig
) -> str:
    """Hash everything that a result is made from."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    about = [
        FORMAT, config.frames, config.seed, asdict(strength), method.name, method.about,
        measures.size_px, measures.identity_every, measures.metrics_every,
        [metric.name for metric in (*measures.metrics, *measures.judges)],
        [(file.name, file.stat().st_size) for file in files],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
