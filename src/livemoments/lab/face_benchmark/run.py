"""The benchmark of the face tier: real clips, spoilt at two strengths, restored, measured.

For each clip and strength every method restores the whole poor clip, and the faces of the restored
pictures are measured at the places of the clean clip's. What was measured is kept in one file after
each method, so a run that was stopped goes on, and what did not change is not done again.
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
from livemoments.lab.face_benchmark.clips import FaceMeasures, FaceRow, Recogniser, score_faces
from livemoments.lab.face_benchmark.figures import Figures, figures_of, mean_figures
from livemoments.lab.face_benchmark.methods import Method
from livemoments.lab.face_benchmark.sheets import FaceSheets
from livemoments.lab.face_benchmark.strengths import STRENGTHS, Strength
from livemoments.lab.face_benchmark.truths import Spoiling, TrueClip, make_poor, read_truth
from livemoments.progress import Progress

FORMAT = 1  # of the file
FRAMES = 72  # three of IP-FVR's clips


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig:
    """What is measured."""

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
    """What one method made of one clip at one strength."""

    clip: str
    strength: str
    method: str
    key: str  # of everything that it was made from
    seconds: float  # that the method took
    faces: Mapping[str, Sequence[FaceRow]]  # by person
    bits_per_pixel: float | None = None  # of the poor clip
    borders: Sequence[int] = ()  # frames with which the method's windows begin


@dataclass(kw_only=True)
class Results:
    """What was measured so far."""

    found: list[Measured] = field(default_factory=list)

    def get(self, clip: str, strength: str, method: str) -> Measured | None:
        """What is known, if anything."""
        for each in self.found:
            if (each.clip, each.strength, each.method) == (clip, strength, method):
                return each
        return None

    def put(self, measured: Measured) -> None:
        """Keep it in place of what was known."""
        known = self.get(measured.clip, measured.strength, measured.method)
        if known is not None:
            self.found.remove(known)
        self.found.append(measured)

    def figures(self, strength: str, methods: Sequence[str]) -> dict[str, dict[str, Figures]]:
        """By person, then by method."""
        by_person: dict[str, dict[str, Figures]] = {}
        for method in methods:
            for each in self.found:
                if (each.strength, each.method) == (strength, method):
                    for person, rows in each.faces.items():
                        by_person.setdefault(person, {})[method] = figures_of(rows, each.borders)
        return by_person

    def means(self, strength: str, methods: Sequence[str]) -> dict[str, Figures]:
        """By method, over the people that every method was measured on."""
        people = self.figures(strength, methods)
        whole = [each for each in people.values() if len(each) == len(methods)]
        return {method: mean_figures([each[method] for each in whole]) for method in methods}


def measure(
    clips: Mapping[str, Path],
    methods: Sequence[Method],
    measures: FaceMeasures,
    config: BenchmarkConfig,
    out: Path,
    *,
    sheets: FaceSheets | None = None,
    progress: Progress | None = None,
) -> Results:
    """Measure methods on clips, or read what was measured.

    Args:
        clips: by name.
        methods: of different names.
        measures: what to measure with.
        config: how many frames, which strengths.
        out: the file of results; what it holds of the same kind is taken as it is.
        sheets: keeps pictures for looking at.
        progress: is told of clips and frames.

    Returns:
        What was measured of these clips by these methods; the file may hold more.

    Raises:
        InputError: a clip's first frame shows no face.
        OutputError: the file cannot be written.
    """
    results, asked = read_results(out) if out.exists() else Results(), Results()
    measures = replace(measures, embedder=_Remembering(measures.embedder))
    for name, path in clips.items():
        truth: TrueClip | None = None
        for strength in config.strengths:
            keys = {each.name: _key(path, strength, each, measures, config) for each in methods}
            known = {each.name: results.get(name, strength.name, each.name) for each in methods}
            missing = [
                each for each in methods
                if not _is_done(known[each.name], keys[each.name], sheets)
            ]  # fmt: skip
            if missing:
                truth = truth or read_truth(
                    name, path, config.frames, measures.finder, measures.embedder
                )
                poor = make_poor(truth, strength, config.seed)
                for each in missing:
                    results.put(
                        _measure(each, keys[each.name], truth, poor, measures, sheets, progress)
                    )
                    write_results(results, out)
            for method in methods:
                done = results.get(name, strength.name, method.name)
                asked.found += [done] if done is not None else []
    return asked


def _measure(
    method: Method,
    key: str,
    truth: TrueClip,
    poor: Spoiling,
    measures: FaceMeasures,
    sheets: FaceSheets | None,
    progress: Progress | None,
) -> Measured:
    """What a method makes of a poor clip."""
    began_s = time.perf_counter()
    restored = list(method.restore(poor.clip, progress))
    seconds = round(time.perf_counter() - began_s, 1)
    pairs = list(zip(restored, truth.frames, strict=True))
    faces = {
        person.name: list(score_faces(pairs, person.views, measures, person.identity))
        for person in truth.people
    }
    if sheets is not None:
        sheets.keep(truth, poor.strength, method.name, restored)
    if progress:
        progress(f"{truth.name}, {poor.strength}, {method.name}", 1, 1)
    return Measured(
        clip=truth.name, strength=poor.strength, method=method.name, key=key, seconds=seconds,
        faces=faces, bits_per_pixel=poor.bits_per_pixel, borders=method.borders(len(restored)),
    )  # fmt: skip


def write_results(results: Results, path: Path) -> None:
    """Write the file, whole or not at all."""
    values = {"format": FORMAT, "measured": [asdict(each) for each in results.found]}
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(values, allow_nan=False) + "\n", encoding="utf-8")


def read_results(path: Path) -> Results:
    """Read the file.

    Raises:
        DamagedFileError: it is none, or of another version.
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


class _Remembering:
    """Looks at each canonical face once: every method is held against the same truth."""

    def __init__(self, embedder: Recogniser) -> None:
        self._embedder = embedder
        self._known: dict[bytes, np.ndarray] = {}

    def of_picture(self, picture: np.ndarray, placement: Placement) -> np.ndarray:
        """See `Embedder`."""
        return self._embedder.of_picture(picture, placement)

    def of_face(self, face: np.ndarray) -> np.ndarray:
        """See `Embedder`."""
        key = hashlib.sha256(face.tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._embedder.of_face(face)
        return self._known[key]


def _measured(values: dict[str, Any]) -> Measured:
    faces = {
        person: [FaceRow(**row) for row in rows] for person, rows in values.pop("faces").items()
    }
    return Measured(**values, faces=faces)


def _is_done(known: Measured | None, key: str, sheets: FaceSheets | None) -> bool:
    if known is None or known.key != key:
        return False
    return sheets is None or all(
        sheets.has(person, known.strength, known.method) for person in known.faces
    )


def _key(
    path: Path, strength: Strength, method: Method, measures: FaceMeasures, config: BenchmarkConfig
) -> str:
    """Of everything that a result is made from."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    about = [
        FORMAT, config.frames, config.seed, asdict(strength), method.name, method.about,
        measures.size_px, measures.identity_every, measures.metrics_every,
        [metric.name for metric in (*measures.metrics, *measures.judges)],
        [(file.name, file.stat().st_size) for file in files],
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
