"""Measure one restoration: the real command, in a process of its own."""

import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from livemoments.jobs.workers import cores
from livemoments.lab.speed.made import PICKED_FRAME, make_motion_photo, still_size
from livemoments.lab.speed.process import Watched, watch
from livemoments.progress import Progress


@dataclass(frozen=True, kw_only=True)
class BenchJob:
    """What is restored, and how."""

    photo: Path | None = None  # a Live Photo of one's own; None: a Motion Photo is made
    video: Path | None = None  # its clip, where the photo does not lead to it
    steps: int = 1  # of the restoration
    weights: Path | None = None  # the folder of another compact model than the shipped one
    megapixels: float | None = None  # of the photo that is made; None: 12, as most phones'

    @property
    def name(self) -> str:
        """The photo's name for people."""
        return self.photo.name if self.photo else "made here"

    def prepare(self, folder: Path, progress: Progress | None) -> Path:
        """Return the photo; make it in a folder where none was given."""
        size = None if self.megapixels is None else still_size(self.megapixels)
        return self.photo or make_motion_photo(folder / "made.jpg", progress, still_size=size)

    def watch(self, photo: Path, moment: list[str], folder: Path) -> Watched:
        """Run `livemoments restore` on a photo and measure it; it writes into a folder.

        moment is the arguments that pick one, such as ["--frame", "26"].
        """
        command = [sys.executable, "-m", "livemoments", "restore", str(photo), *moment]
        command += ["-o", str(folder / "restored.jpg"), "--steps", str(self.steps), "--json"]
        for option, path in (("--weights", self.weights), ("--video", self.video)):
            command += [option, str(path)] if path else []
        return watch(command)


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One measured run of `livemoments restore`."""

    photo: str  # file name, or that it was made here
    megapixels: float  # of the restored picture
    seconds: dict[str, float]  # per stage, as the run itself reports them
    other_seconds: float  # starting, opening, picking, writing, and anything else
    total_seconds: float  # of the process, from start to end
    peak_memory_gb: float | None  # 10^9 bytes resident at most; None where it is not known
    threads: int  # that the machine gives this process
    steps: int
    reference_used: bool
    share_from_reference: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def measure(job: BenchJob | None = None, progress: Progress | None = None) -> BenchResult:
    """Restore one moment and measure it: of a photo of one's own the best one.

    progress is called while a photo is made; the run then shows its own progress on stderr.
    """
    job = job or BenchJob()
    with tempfile.TemporaryDirectory(prefix="livemoments-bench-") as scratch:
        moment = ["--best"] if job.photo else ["--frame", str(PICKED_FRAME)]
        photo = job.prepare(Path(scratch), progress)
        report, seconds, memory = job.watch(photo, moment, Path(scratch))
    return BenchResult(
        photo=job.name,
        megapixels=round(report["width"] * report["height"] / 1e6, 1),
        seconds=report["seconds"],
        other_seconds=round(seconds - sum(report["seconds"].values()), 2),
        total_seconds=round(seconds, 2),
        peak_memory_gb=memory,
        threads=cores(),
        steps=report["steps"],
        reference_used=report["reference_used"],
        share_from_reference=report["share_from_reference"],
    )
