"""Report what was done to a clip's faces, for people and programs."""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from livemoments.faces.people import ClipPeople, Person


@dataclass(frozen=True, kw_only=True)
class PersonReport:
    """The report of one person of a clip."""

    person: int  # from 1, in the order in which they were first seen
    reference: str | None  # the photograph that shows them; None: they are left alone
    distance: float | None  # of identities, to the nearest known person; None: there is none
    height_px: int  # of the face in the clip's pixels, from the brows to the chin
    first_s: float  # when they were first seen
    last_s: float
    frames_seen: int  # in which the face was found
    frames_restored: int  # that were changed
    share: float  # 0 to 1: how much of the change was made; less in a clip nearly as sharp
    references: tuple[str, ...]  # all photographs that were used, the best first
    why: str | None  # one sentence, where they are left alone
    advice: str | None  # what would make a better photograph

    def line(self) -> str:
        """Describe the person in one line."""
        seen = f"person {self.person}, {self.height_px} pixels high, seen from {self.first_s:.2f}"
        seen += f" to {self.last_s:.2f} s"
        if not self.frames_restored:
            return f"{seen}: left alone: {self.why or 'nothing was changed'}"
        by = " and ".join(self.references) if len(self.references) > 1 else str(self.reference)
        weak = f" at {self.share:.0%} of the strength" if self.share < 0.995 else ""
        advice = f"; {self.advice}" if self.advice else ""
        away = f", {self.distance:.2f} away" if self.distance is not None else ""
        return f"{seen}: {self.frames_restored} frames restored by {by}{away}{weak}{advice}"


@dataclass(frozen=True, kw_only=True)
class PolishedClip:
    """The files that polish_clip wrote, and how they came about."""

    path: Path  # the clip, or the Live Photo's still
    movie: Path | None  # the Live Photo's clip, where it is a file of its own
    preview: Path | None  # the video of before and after
    width: int  # of the result's frames, upright
    height: int
    frames: int  # of the clip
    people: tuple[PersonReport, ...]  # everyone whose face was seen
    seconds: dict[str, float]  # by stage
    notes: tuple[str, ...]  # what could not be preserved, and such, one sentence each

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return {
            "output": str(self.path),
            "movie": str(self.movie) if self.movie else None,
            "preview": str(self.preview) if self.preview else None,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "people": [asdict(each) for each in self.people],
            "seconds": self.seconds,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Describe the result in a few lines."""
        files = f"{self.path} and {self.movie}" if self.movie else str(self.path)
        restored = sum(1 for each in self.people if each.frames_restored)
        count = f"{restored} of {len(self.people)} people restored"
        lines = [f"{files}: {self.frames} frames of {self.width} x {self.height}, {count}"]
        lines += [each.line() for each in self.people]
        lines += [f"before and after: {self.preview}"] if self.preview else []
        return [*lines, f"done in {sum(self.seconds.values()):.0f} s", *self.notes]


def report_of(person: Person, restored: int) -> PersonReport:
    """Report a person of whom `restored` frames were restored."""
    sightings = person.track.sightings
    return PersonReport(
        person=person.number + 1,
        reference=person.name,
        distance=round(person.distance, 3) if isfinite(person.distance) else None,
        height_px=round(person.track.height_px),
        first_s=round(sightings[0].time_s, 3),
        last_s=round(sightings[-1].time_s, 3),
        frames_seen=len(sightings),
        frames_restored=restored,
        share=round(person.benefit, 3) if restored else 0.0,
        references=tuple(dict.fromkeys(each.name for each in person.references)),
        why=person.why,
        advice=person.advice,
    )


def nothing_restored(name: str, people: ClipPeople) -> str:
    """Explain in one line why no face of a clip is restored."""
    if not people.people:
        seen = dict.fromkeys(skipped.reason for _, skipped in people.skipped)
        why = f" ({'; '.join(seen)})" if seen else ""
        return f"{name}: no face was found in the clip{why}; nothing was written"
    reasons = [f"person {each.number + 1}: {each.why or 'no photograph'}" for each in people.people]
    return (
        f"{name}: no face of the clip is restored, so nothing was written: {'; '.join(reasons)};"
        " photographs of the people can be given as references"
    )
