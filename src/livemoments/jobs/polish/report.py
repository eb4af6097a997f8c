"""What was done to a clip's faces, for people and programs."""

from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from livemoments.faces.people import ClipPeople, Person


@dataclass(frozen=True, kw_only=True)
class PersonReport:
    """One person of a clip.

    Attributes:
        person: From 1, in the order in which they were first seen.
        reference: The photograph that shows them; None: a stranger, or one who is left alone.
        distance: Of the identities, to the nearest person known; None: nobody is.
        height_px: Of the face in the clip's pixels, from the brows to the chin.
        first_s: When they were first seen.
        last_s: When they were last seen.
        frames_seen: In which the face was found.
        frames_restored: That were changed.
        share: 0 to 1: how much of the change was made; less where the clip is nearly as sharp as
            the photograph.
        references: All photographs that were used, the best first.
        why: One sentence, where they are left alone.
        advice: What would make a better photograph.
    """

    person: int
    reference: str | None
    distance: float | None
    height_px: int
    first_s: float
    last_s: float
    frames_seen: int
    frames_restored: int
    share: float
    references: tuple[str, ...]
    why: str | None
    advice: str | None

    def line(self) -> str:
        """The same for people."""
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
    """What polish_clip wrote, and how it came about.

    Attributes:
        path: The clip, or the Live Photo's still.
        movie: The Live Photo's clip, where it is a file of its own.
        preview: The video of before and after.
        width: Of the result's frames, upright.
        height: Likewise.
        frames: Of the clip.
        people: Everyone whose face was seen.
        seconds: What it took, by stage.
        notes: What could not be kept, and such, one sentence each.
    """

    path: Path
    movie: Path | None
    preview: Path | None
    width: int
    height: int
    frames: int
    people: tuple[PersonReport, ...]
    seconds: dict[str, float]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
        """The same for people, in a few lines."""
        files = f"{self.path} and {self.movie}" if self.movie else str(self.path)
        restored = sum(1 for each in self.people if each.frames_restored)
        count = f"{restored} of {len(self.people)} people restored"
        lines = [f"{files}: {self.frames} frames of {self.width} x {self.height}, {count}"]
        lines += [each.line() for each in self.people]
        lines += [f"before and after: {self.preview}"] if self.preview else []
        return [*lines, f"done in {sum(self.seconds.values()):.0f} s", *self.notes]


def report_of(person: Person, restored: int) -> PersonReport:
    """What is told of a person of whom so many frames were restored."""
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
        share=round(person.need, 3) if restored else 0.0,
        references=tuple(dict.fromkeys(each.name for each in person.references)),
        why=person.why,
        advice=person.advice,
    )


def nothing_restored(name: str, people: ClipPeople) -> str:
    """Why no face of a clip is restored, in one line."""
    if not people.people:
        seen = dict.fromkeys(skipped.reason for _, skipped in people.skipped)
        why = f" ({'; '.join(seen)})" if seen else ""
        return f"{name}: no face was found in the clip{why}; nothing was written"
    reasons = [f"person {each.number + 1}: {each.why or 'no photograph'}" for each in people.people]
    return (
        f"{name}: no face of the clip is restored, so nothing was written: {'; '.join(reasons)};"
        " photographs of the people can be given as references"
    )
