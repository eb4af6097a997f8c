"""One Live Photo from file to file: survey its moments, or restore one of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from livemoments.errors import ConfigError
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.packages import in_pvt
from livemoments.livephoto.write import Subsampling, check_picture_output, write_picture
from livemoments.moments import (
    Moment,
    MomentChoice,
    best_moment,
    contact_sheet,
    pick_time,
    score_moments,
)
from livemoments.restore import Report, RestoreConfig
from livemoments.restore import restore as restore_moment
from livemoments.sheet import check_sheet_path, write_sheet
from livemoments.stages import Progress
from livemoments.version import __version__


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a clip offers to choose from."""

    photo: str  # the still's file name
    key_time_s: float
    key_time_source: str
    moments: tuple[Moment, ...]
    best: Moment  # the sharpest away from the key photo
    sheet: Path | None  # where the contact sheet was drawn

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "photo": self.photo,
            "key_time_s": round(self.key_time_s, 4),
            "key_time_source": self.key_time_source,
            "best": self.best.to_dict(),
            "moments": [moment.to_dict() for moment in self.moments],
            "sheet": str(self.sheet) if self.sheet else None,
        }

    def lines(self) -> list[str]:
        """The same for people: one moment a line."""
        lines = ["frame      time  sharpness"]
        for moment in self.moments:
            marks = (
                "key photo" if moment.is_key else "",
                "sharpest away from it" if moment == self.best else "",
                "" if moment.like_key else "another view or light",
            )
            line = f"{moment.index:5d}  {moment.time_s:6.3f} s  {moment.sharpness:9.2f}"
            lines.append(f"{line}  {', '.join(mark for mark in marks if mark)}".rstrip())
        return [*lines, f"contact sheet: {self.sheet}"] if self.sheet else lines


def survey_file(
    photo: Path,
    *,
    video: Path | None = None,
    sheet: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Survey:
    """List the moments of a Live Photo and draw a contact sheet of them, where a path is given.

    Raises:
        LiveMomentsError: whatever is wrong with the files or the place to write; then nothing has
            been written.
    """
    live = open_live_photo(photo, video)
    _, inputs = _inputs(live)
    if sheet:
        check_sheet_path(sheet, overwrite=overwrite, inputs=inputs)
    moments = score_moments(live, progress)
    if sheet:
        drawn = contact_sheet(live, moments, progress)
        icc = live.still.colour.icc
        write_sheet(drawn, sheet, icc=icc, overwrite=overwrite, inputs=inputs)
    return Survey(
        photo=live.name,
        key_time_s=live.key_time_s,
        key_time_source=live.key_time_source,
        moments=tuple(moments),
        best=best_moment(moments, live.key_time_s),
        sheet=sheet,
    )


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """Where the picture goes and how it is compressed."""

    path: Path | None = None  # a file, or a folder that exists; None: beside the still
    quality: int = 95  # of JPEG and HEIC, 1 to 100
    subsampling: str = "4:2:0"  # of the colours in JPEG and HEIC, or "4:4:4"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality must be from 1 to 100, got {self.quality}")
        if self.subsampling not in ("4:2:0", "4:4:4"):
            raise ConfigError(f"subsampling must be 4:2:0 or 4:4:4, got {self.subsampling!r}")

    def target(self, still: Path, time_s: float) -> Path:
        """The file to write for the moment at time_s of a still's clip."""
        name = f"{still.stem}-{time_s:.3f}s.jpg"
        if self.path is None:
            # A package holds a Live Photo's two files and nothing else.
            return (still.absolute().parent if in_pvt(still) else still).with_name(name)
        return self.path / name if self.path.is_dir() else self.path


@dataclass(frozen=True, kw_only=True)
class RestoredFile:
    """What restore_file wrote, and how it came about."""

    path: Path
    time_s: float  # of the restored frame
    key_time_s: float
    chosen_as_best: bool
    report: Report
    notes: tuple[str, ...]  # what of the still's metadata could not be carried over, and such

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "output": str(self.path),
            "time_s": round(self.time_s, 4),
            "key_time_s": round(self.key_time_s, 4),
            "chosen_as_best": self.chosen_as_best,
            **self.report.to_dict(),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """The same for people, in a few lines."""
        report = self.report
        if report.reference_used:
            used = f"{report.share_from_reference:.0%} of it with the key photo's help"
        else:
            used = f"without the key photo: {report.reason}"
        advice = ", the sharpest away from the key photo (advice)" if self.chosen_as_best else ""
        return [
            f"{self.path}: {report.width} x {report.height}",
            f"moment: {self.time_s:.3f} s{advice}; key photo: {self.key_time_s:.3f} s",
            f"restored in {sum(report.seconds.values()):.1f} s, {used}",
            *self.notes,
        ]


def restore_file(
    photo: Path,
    choice: MomentChoice,
    output: OutputChoice,
    *,
    video: Path | None = None,
    config: RestoreConfig | None = None,
    progress: Progress | None = None,
) -> RestoredFile:
    """Restore one moment of a Live Photo into a picture file; what the command line does.

    Raises:
        LiveMomentsError: whatever is wrong with the files, the moment or the place to write. Then
            nothing has been written.
    """
    live = open_live_photo(photo, video)
    still, inputs = _inputs(live)
    time_s = pick_time(live, choice, progress)
    target = output.target(still, time_s)
    # Before a minute's work: it would be refused after it.
    check_picture_output(target, overwrite=output.overwrite, inputs=inputs)
    restored = restore_moment(live, time_s=time_s, config=config, progress=progress)
    if progress:
        progress("writing", 0, 1)
    written = write_picture(
        restored.image,
        target,
        still=live.still,
        quality=output.quality,
        subsampling=cast(Subsampling, output.subsampling),
        overwrite=output.overwrite,
        inputs=inputs,
        time_shift_s=time_s - live.key_time_s,
        software=f"livemoments {__version__}: the moment at {time_s:.3f} s, restored",
    )
    if progress:
        progress("writing", 1, 1)
    return RestoredFile(
        path=written.path,
        time_s=time_s,
        key_time_s=live.key_time_s,
        chosen_as_best=choice.best,
        report=restored.report,
        notes=written.notes,
    )


def _inputs(live: LivePhoto) -> tuple[Path, list[Path]]:
    """The still's file, and every file that must not be written over."""
    still = live.still.path or live.clip.path
    return still, [still, live.clip.path]
