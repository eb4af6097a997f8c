"""List the moments of a Live Photo, and draw them as a contact sheet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livemoments.livephoto import open_live_photo
from livemoments.moments.scores import Moment, best_moment, score_moments
from livemoments.moments.sheet import check_sheet_path, contact_sheet, write_sheet
from livemoments.progress import Progress


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
        """Return plain values for JSON."""
        return {
            "photo": self.photo,
            "key_time_s": round(self.key_time_s, 4),
            "key_time_source": self.key_time_source,
            "best": self.best.to_dict(),
            "moments": [moment.to_dict() for moment in self.moments],
            "sheet": str(self.sheet) if self.sheet else None,
        }

    def lines(self) -> list[str]:
        """Return the same for people: one moment a line."""
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
    inputs = live.files
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
