"""Find who is in a clip, and choose the photographs that each person is restored by.

Faces are followed through the clip and matched to the people of the references. Strangers, faces
that could be two people's and small ones are listed with the reason, and left alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.benefit import benefit, track_sharpness
from livemoments.faces.crops import cut
from livemoments.faces.detect import Skipped
from livemoments.faces.face import Placement
from livemoments.faces.follow import Finder, Recogniser, follow
from livemoments.faces.identity import Match, apart, match_identity, mean_identity
from livemoments.faces.references import SOFT_COSTS, Reference, advice, face_sharpness, misalignment
from livemoments.faces.settings import PolishConfig
from livemoments.faces.tracks import Track
from livemoments.progress import Progress

T = TypeVar("T")

# Each call begins anew: (time_s, RGB uint8 H x W x 3), in order, all of one size.
Frames = Callable[[], Iterator[tuple[float, np.ndarray]]]

FINDING, JUDGING = "finding faces", "looking at faces"
MOST_REFERENCES = 4  # of a person; attention's time and memory grow with their number
JUDGED_PX = 512  # side at which sharpness is compared: the finest that a face is restored at
LOOKS = 9  # frames of a track, evenly apart, by which it is judged


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """A face of the clip, and what it is restored by."""

    number: int  # its place in ClipPeople.people
    track: Track
    name: str | None  # of the reference it matched; None: it is left alone
    distance: float  # of identities, to the nearest of the references' people
    references: tuple[Reference, ...]  # all that are used, the best aligned first
    why: str | None  # one sentence, where it is left alone
    advice: str | None = None  # what would make a better reference
    benefit: float = 1.0  # 0 to 1: how much of the change is made, see benefit.py
    another: np.ndarray | None = None  # the identity (128,) of someone else in the clip

    @property
    def reference(self) -> Reference | None:
        """The reference that is aligned with each frame; None: the person is left alone."""
        return self.references[0] if self.references else None


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPeople:
    """Everyone in a clip, in the order in which they were first seen."""

    people: tuple[Person, ...]
    times_s: tuple[float, ...]  # of the clip's frames
    skipped: tuple[tuple[float, Skipped], ...]  # detections that are no faces, with the time

    @property
    def restored(self) -> tuple[Person, ...]:
        """The people who are matched and can gain."""
        return tuple(each for each in self.people if each.name is not None and each.benefit > 0)


def find_people(
    frames: Frames,
    references: Sequence[Reference],
    finder: Finder,
    embedder: Recogniser,
    config: PolishConfig | None = None,
    progress: Progress | None = None,
    *,
    count: int = 0,
) -> ClipPeople:
    """Follow the faces of a clip and match them to the references.

    Args:
        frames: gives the clip's frames; called once, or twice where sharp faces are spared.
        references: of one person or several, in any order; see `read_references`.
        finder: finds faces.
        embedder: recognises them.
        config: how; None: as `livemoments faces` does.
        progress: called after every frame.
        count: of the clip's frames, for the progress; 0: not known.

    Raises:
        InputError: there are no references, or frames of several sizes.
    """
    config = config or PolishConfig()
    if not references:
        raise InputError("no references were given; a face is restored by photographs of it")
    known = grouped(references, config.limit)
    followed = follow(_counted(frames(), FINDING, count, progress), finder, embedder)
    people = _without_doubles([_matched(track, known, config) for track in followed.tracks])
    people = [replace(person, another=_someone_else(person, people)) for person in people]
    if config.spare_sharp and any(person.name is not None for person in people):
        people = _judged(frames, people, followed.times_s, progress)
    return ClipPeople(people=tuple(people), times_s=followed.times_s, skipped=followed.skipped)


def grouped(references: Sequence[Reference], limit: float) -> dict[str, list[Reference]]:
    """Group references by person, under the name of each person's first.

    Two references are one person's where their identities are at most limit apart. Where a group
    photograph shows several people, they have its name, with a number.
    """
    groups: list[list[Reference]] = []
    for reference in references:
        away = [
            apart(reference.identity, mean_identity([each.identity for each in group]))
            for group in groups
        ]
        if away and min(away) <= limit:
            groups[int(np.argmin(away))].append(reference)
        else:
            groups.append([reference])
    named: dict[str, list[Reference]] = {}
    for group in groups:
        name, number = group[0].name, 2
        while name in named:
            name, number = f"{group[0].name}, face {number}", number + 1
        named[name] = group
    return named


def by_alignment(track: Track, references: Sequence[Reference]) -> list[Reference]:
    """Sort references, the one that is aligned best with a track's faces first.

    One order is for the whole track: another one for each pose would flicker.
    """
    shares = [
        each.face.placement.to_square(each.face.landmarks)
        for each in _sample_evenly(track.sightings)
    ]

    def cost(reference: Reference) -> float:
        gaps = [misalignment(share, reference.landmarks) for share in shares]
        return float(np.mean(gaps)) + SOFT_COSTS * (1 - min(reference.sharpness, 1.0))

    return sorted(references, key=cost)


def _matched(track: Track, known: dict[str, list[Reference]], config: PolishConfig) -> Person:
    """Match a track with a known person, or leave it alone."""
    identities = {name: [each.identity for each in group] for name, group in known.items()}
    match = match_identity(track.identity, identities, config.limit)
    if match.name is None:
        return _left_alone(track, match, match.reason)
    if track.height_px < config.smallest_px:
        return _left_alone(
            track, match,
            f"only {track.height_px:.0f} pixels high; from {config.smallest_px} on faces are "
            "restored",
        )  # fmt: skip
    ordered = by_alignment(track, known[match.name])[:MOST_REFERENCES]
    typical = track.sightings[len(track.sightings) // 2].face
    return Person(
        number=track.number, track=track, name=match.name, distance=match.distance,
        references=tuple(ordered), why=None,
        advice=advice(ordered[0], typical),
    )  # fmt: skip


def _left_alone(track: Track, match: Match, why: str) -> Person:
    return Person(
        number=track.number, track=track, name=None, distance=match.distance,
        references=(), why=why,
    )  # fmt: skip


def _without_doubles(people: Sequence[Person]) -> list[Person]:
    """Refuse, of two tracks of one person in one frame, the one farther from the person.

    Identities of some people lie within the limit of each other.
    """
    refused: dict[int, Person] = {}
    for one, other in combinations(people, 2):
        if one.name is None or one.name != other.name or not _seen_together(one, other):
            continue
        farther, nearer = sorted((one, other), key=lambda person: -person.distance)
        why = f"seen next to a face nearer to {one.name} ({nearer.distance:.2f})"
        refused[farther.number] = replace(farther, name=None, references=(), advice=None, why=why)
    return [refused.get(person.number, person) for person in people]


def _seen_together(one: Person, other: Person) -> bool:
    seen = {each.index for each in one.track.sightings}
    return any(each.index in seen for each in other.track.sightings)


def _someone_else(person: Person, people: Sequence[Person]) -> np.ndarray | None:
    """Return the identity in the clip that could most easily be taken for the person's."""
    others = [
        other.track.identity for other in people
        if other.number != person.number and (other.name is None or other.name != person.name)
    ]  # fmt: skip
    return min(others, key=lambda each: apart(each, person.track.identity), default=None)


def _judged(
    frames: Frames, people: list[Person], times_s: Sequence[float], progress: Progress | None
) -> list[Person]:
    """Measure how sharp people's faces are, and how much they can gain."""
    wanted: dict[int, list[tuple[int, Placement]]] = {}
    faces: dict[int, list[np.ndarray]] = {}
    for person in people:
        if person.name is None:
            continue
        faces[person.number] = []
        views = [item for item in person.track.views(times_s).items() if item[1].strength > 0]
        for index, view in _sample_evenly(views):
            wanted.setdefault(index, []).append((person.number, view.placement))
    last = max(wanted, default=-1)
    for index, (_, picture) in enumerate(frames()):
        for number, placement in wanted.get(index, []):
            faces[number].append(cut(picture, placement, JUDGED_PX))
        if progress:
            progress(JUDGING, min(index, last) + 1, last + 1)
        if index >= last:
            break
    return [
        _with_benefit(person, track_sharpness(faces[person.number]))
        if person.number in faces
        else person
        for person in people
    ]


def _with_benefit(person: Person, sharpness: float) -> Person:
    if person.reference is None:
        return person
    name, other = person.reference.name, face_sharpness(person.reference.at(JUDGED_PX))
    gain = benefit(sharpness, other)
    why = None if gain else f"as sharp as {name} ({sharpness:.2f} to {other:.2f}): nothing to gain"
    return replace(person, benefit=gain, why=why)


def _sample_evenly(items: Sequence[T]) -> list[T]:
    """Return at most LOOKS of the items, evenly apart."""
    at = np.unique(np.linspace(0, len(items) - 1, min(LOOKS, len(items))).round().astype(int))
    return [items[i] for i in at]


def _counted(
    frames: Iterator[tuple[float, np.ndarray]], stage: str, count: int, progress: Progress | None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield the frames; each counts as progress when it has been looked at."""
    done = 0
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress:
            # One more than are done, as long as the number is not known.
            progress(stage, done, max(count, done + (not count)))
    if progress:
        progress(stage, max(done, 1), max(done, 1))
