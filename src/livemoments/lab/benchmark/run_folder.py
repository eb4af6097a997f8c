"""Store what a run makes in its folder, as it is made, so that a stopped run can go on.

pictures/METHOD/NAME.png    what a method made
scores/METHOD/NAME.json     what that was made of, and its scores
features/*.npy              what metrics of whole sets compare, by the picture's content
run.json, scores.csv        the results, once all are there
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from livemoments.errors import InputError, OutputError
from livemoments.files import atomic_output
from livemoments.lab.benchmark.manifest import sha256_of
from livemoments.lab.benchmark.methods import Method

FORMAT = 1  # of the records


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The value of one metric, or why there is none."""

    value: float | None = None
    message: str = ""
    retry: bool = False  # in another run: the failure may pass


@dataclass(frozen=True, kw_only=True)
class Record:
    """One method's picture of one image, with its scores."""

    made_of: str  # a digest of all that it depends on
    sha256: str  # of the PNG
    seconds: float | None = None
    parameters_m: float | None = None
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)  # by metric, as stored

    def has(self, metric: str, of: str) -> bool:
        """Check whether a metric's value is there, measured on the very same."""
        return self.scores.get(metric, {}).get("of") == of

    def with_scores(self, found: dict[str, Measurement], of: dict[str, str]) -> "Record":
        """Add values of metrics; `of` has by metric a digest of what they were measured on."""
        new = {
            name: {"of": "" if each.retry else of[name], "value": each.value, "said": each.message}
            for name, each in found.items()
        }
        return replace(self, scores={**self.scores, **new})


class RunFolder:
    """The folder of a run."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, or make it.

        Raises:
            OutputError: it holds something else than a run, or cannot be made.
        """
        self.folder = folder
        try:
            there = {path.name for path in folder.iterdir()} if folder.exists() else set()
            if there and not there & {"scores", "run.json"}:
                raise OutputError(
                    f"{folder}: is not empty, and what it holds is no run of the benchmark;"
                    " give another name"
                )
            (folder / "scores").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{folder}: cannot make this folder ({reason})") from error

    def picture(self, method: Method, image: str) -> Path:
        """Return the path of a picture."""
        return self.folder / "pictures" / method.folder / f"{image}.png"

    def features(self, picture_sha256: str, of: str) -> Path:
        """Return the path of what a metric of sets compares, of a picture."""
        return self.folder / "features" / f"{picture_sha256[:24]}-{of[:8]}.npy"

    def read(self, method: Method, image: str, made_of: str) -> Record | None:
        """Read the record of a picture; None where it is missing or made of something else."""
        try:
            values = json.loads(self._record(method, image).read_text(encoding="utf-8"))
            fit = values.pop("format") == FORMAT and values["made_of"] == made_of
            record = Record(**values) if fit else None
            same = record and record.sha256 == sha256_of(self.picture(method, image))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):
            return None  # cut short, or of another version: made again
        return record if same else None

    def write(self, method: Method, image: str, record: Record) -> None:
        """Store a record."""
        path = self._record(method, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": FORMAT, **asdict(record)}, indent=1, allow_nan=False)
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    def _record(self, method: Method, image: str) -> Path:
        return self.folder / "scores" / method.folder / f"{image}.json"
