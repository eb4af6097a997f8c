"""Restore one moment of a Live Photo, from file to file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.writing.format import Written
from livemoments.livephoto.writing.output import OutputChoice, choose_place, write_moment
from livemoments.models.tile import Restorer
from livemoments.moments.choice import MomentChoice, pick_time
from livemoments.progress import Progress
from livemoments.restoration.config import RestoreConfig
from livemoments.restoration.moment import restore as restore_moment
from livemoments.restoration.report import Report


@dataclass(frozen=True, kw_only=True)
class RestoredFile:
    """What restore_file wrote, and how it came about."""

    written: Written
    time_s: float  # of the restored frame
    key_time_s: float
    chosen_as_best: bool
    report: Report

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        written = self.written
        return {
            "output": str(written.path),
            "movie": str(written.movie) if written.movie else None,
            "kind": written.format,
            "time_s": round(self.time_s, 4),
            "key_time_s": round(self.key_time_s, 4),
            "chosen_as_best": self.chosen_as_best,
            **self.report.to_dict(),
            "notes": list(written.notes),
        }

    def lines(self) -> list[str]:
        """Return the same for people, in a few lines."""
        report = self.report
        if report.reference_used:
            used = f"{report.share_from_reference:.0%} of it with the key photo's help"
        else:
            used = f"without the key photo: {report.reason}"
        advice = ", the sharpest away from the key photo (advice)" if self.chosen_as_best else ""
        return [
            f"{self.written.path}: {report.width} x {report.height}{self._format()}",
            f"moment: {self.time_s:.3f} s{advice}; key photo: {self.key_time_s:.3f} s",
            f"restored in {sum(report.seconds.values()):.1f} s, {used}",
            *self._look(),
            *self._hdr(),
            *self._faces(),
            *self.written.notes,
        ]

    def _format(self) -> str:
        """Return the format of the Live Photo that was written; empty for a picture alone."""
        written = self.written
        if written.movie is not None:
            return f", with its clip {written.movie.name}"
        return f", a Motion Photo with its clip ({written.format})" if written.format else ""

    def _faces(self) -> tuple[str, ...]:
        """Return what became of the faces, where that was asked for."""
        if self.report.faces is None:
            return ()
        if not self.report.faces:
            return (f"no face restored: {self.report.faces_reason}",)
        return (f"faces restored by the frames around: {self.report.faces}",)

    def _hdr(self) -> tuple[str, ...]:
        """Return whether the result is HDR, where the key photo is."""
        if self.report.hdr:
            return ("HDR kept",)
        return (f"no HDR: {self.report.hdr_reason}",) if self.report.hdr_reason else ()

    def _look(self) -> tuple[str, ...]:
        """Return whose tone and colour it has, where the key photo's was asked for."""
        if self.report.look == "key":
            return ("tone and colour of the key photo",)
        reason = self.report.look_reason
        return (f"tone and colour of the clip: {reason}",) if reason else ()


def restore_file(
    photo: Path,
    choice: MomentChoice,
    output: OutputChoice,
    *,
    video: Path | None = None,
    config: RestoreConfig | None = None,
    model: Restorer | None = None,
    progress: Progress | None = None,
) -> RestoredFile:
    """Restore one moment of a Live Photo into a picture or a new Live Photo; the main command.

    A model that was loaded before is used in place of the one that the config names.

    Raises:
        LiveMomentsError: whatever is wrong with the files, the moment or the place to write. Then
            nothing has been written.
    """
    live = open_live_photo(photo, video)
    time_s = pick_time(live, choice, progress)
    place = choose_place(output, live, time_s)
    restored = restore_moment(live, time_s=time_s, config=config, model=model, progress=progress)
    if progress:
        progress("writing", 0, 1)
    written = write_moment(restored.image, place, output, live, time_s, gain_map=restored.gain_map)
    if progress:
        progress("writing", 1, 1)
    return RestoredFile(
        written=replace(written, notes=(*live.still.notes, *written.notes)),
        time_s=time_s,
        key_time_s=live.key_time_s,
        chosen_as_best=choice.best,
        report=restored.report,
    )
