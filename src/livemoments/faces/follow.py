"""Follow faces through a clip, frame by frame, with at most half a second of it in memory.

A face is looked for again near its last place, which is quick; the whole frame is searched twice a
second, and sooner while a face is lost. A face belongs to a track by its place; that it is still
the same person is checked by its identity twice a second, and at once after anything odd: a gap, a
jump, two faces at one place. Sightings since the last check count only when the check agrees;
otherwise they go to the track of the person, who may have been seen before or be new. A face that a
search finds is followed back to the search before.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.detect import Found, Skipped
from livemoments.faces.face import Box, Face, Placement
from livemoments.faces.identity import SAME_PERSON, apart, mean_identity
from livemoments.faces.motion import motion_between, small_face
from livemoments.faces.tracks import MAX_GAP_S, Sighting, Track

SEARCH_EVERY_S, SEARCH_LOST_EVERY_S = 0.5, 0.2
CHECK_EVERY_S = 0.5
ONE_PLACE = 0.5  # share of two boxes from which they are one face
JUMP, GROWTH = 0.35, 1.3  # of a face between two frames, in its sides, and as a factor
# Sightings of a track, and the best score among them: below, it is a false alarm of the detector.
FEWEST, CONVINCING = 3, 0.3
MOST_BYTES = 200_000_000  # of recent frames
MOST_IDENTITIES = 40  # of a track


class Finder(Protocol):
    """The interface of detect.FaceFinder."""

    def find(self, picture: np.ndarray) -> Found:
        """Find all faces of a picture."""
        ...

    def find_near(self, picture: np.ndarray, expected: Box) -> Face | None:
        """Find the face near where one is expected."""
        ...


class Recogniser(Protocol):
    """The interface of identity.Embedder."""

    def of_picture(self, picture: np.ndarray, placement: Placement) -> np.ndarray:
        """Compute the identity of a face."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Followed:
    """The faces of a clip."""

    tracks: tuple[Track, ...]
    times_s: tuple[float, ...]  # of the clip's frames
    skipped: tuple[tuple[float, Skipped], ...]  # detections that are no faces, with the time


def follow(
    frames: Iterable[tuple[float, np.ndarray]], finder: Finder, recogniser: Recogniser
) -> Followed:
    """Follow the faces of a clip.

    Args:
        frames: (time_s, picture) in order; pictures are upright RGB, uint8, of one size.
        finder: finds faces.
        recogniser: identifies them.

    Raises:
        InputError: times do not ascend, or a picture is of another kind or size.
    """
    follower = _Follower(finder, recogniser)
    for time_s, picture in frames:
        follower.look(time_s, picture)
    return follower.done()


@dataclass(eq=False)
class _Open:
    """A track while it grows."""

    identities: list[np.ndarray]
    checked: list[Sighting] = field(default_factory=list)
    unchecked: list[Sighting] = field(default_factory=list)  # since the last check
    checked_s: float = -np.inf
    doubtful: bool = False
    small: np.ndarray | None = None  # the face as it was last seen, for its motion

    @property
    def seen(self) -> bool:
        return bool(self.checked or self.unchecked)

    @property
    def last(self) -> Sighting:
        return (self.unchecked or self.checked)[-1]

    @property
    def identity(self) -> np.ndarray:
        return mean_identity(self.identities)

    def expected(self, time_s: float) -> Box:
        """Extrapolate the face's box to a time, by at most half its width."""
        latest = (self.checked[-1:] + self.unchecked)[-2:]
        box = self.last.face.box
        if len(latest) < 2 or latest[1].time_s <= latest[0].time_s:
            return box
        before, now = (each.face.placement for each in latest)
        ahead = (time_s - latest[1].time_s) / (latest[1].time_s - latest[0].time_s)
        limit = 0.5 * box.width
        move = np.clip([(now.x - before.x) * ahead, (now.y - before.y) * ahead], -limit, limit)
        return box.moved(*move)

    def confirm(self, time_s: float, identity: np.ndarray) -> None:
        """Accept the sightings since the last check: it is still this person."""
        self.checked += self.unchecked
        self.unchecked = []
        self.checked_s, self.doubtful = time_s, False
        if len(self.identities) < MOST_IDENTITIES:
            self.identities.append(identity)


class _Follower:
    """The state of `follow` between frames."""

    def __init__(self, finder: Finder, recogniser: Recogniser) -> None:
        self._finder, self._recogniser = finder, recogniser
        self._open: list[_Open] = []
        self._times_s: list[float] = []
        self._skipped: list[tuple[float, Skipped]] = []
        self._shape: tuple[int, ...] | None = None
        self._searched_s = -np.inf
        self._recent: deque[tuple[int, float, np.ndarray]] = deque()  # since the last search

    def look(self, time_s: float, picture: np.ndarray) -> None:
        """Take the next frame."""
        self._check(time_s, picture)
        self._times_s.append(time_s)
        self._recent.append((len(self._times_s) - 1, time_s, picture))
        while len(self._recent) * picture.nbytes > MOST_BYTES:
            self._recent.popleft()
        claims = self._claims(time_s, picture)
        unowned = []
        for track, face in claims:
            unowned += self._continue(track, face, picture)
        if self._search_is_due():
            taken = [face.box for _, face in claims]
            unowned += [self._from_earlier(face) for face in self._search(picture, taken)]
            self._recent.clear()
        for sightings in unowned:
            self._find_owner(sightings, picture)

    def done(self) -> Followed:
        """Return the tracks that are no false alarms, in order of their beginning."""
        whole = [track for track in self._open if self._is_convincing(track)]
        whole.sort(key=lambda track: track.checked[0].index)
        tracks = tuple(
            Track(number=number, sightings=tuple(track.checked), identity=track.identity)
            for number, track in enumerate(whole)
        )
        times_s, skipped = tuple(self._times_s), tuple(self._skipped)
        return Followed(tracks=tracks, times_s=times_s, skipped=skipped)

    def _check(self, time_s: float, picture: np.ndarray) -> None:
        if self._times_s and time_s <= self._times_s[-1]:
            raise InputError(
                f"frame {len(self._times_s)} is of {time_s} s, the one before of "
                f"{self._times_s[-1]} s; give frames in order"
            )
        if self._shape not in (None, picture.shape):
            raise InputError(
                f"frame {len(self._times_s)} is {picture.shape}, those before {self._shape}; "
                "give frames of one size"
            )
        self._shape = picture.shape

    def _claims(self, time_s: float, picture: np.ndarray) -> list[tuple[_Open, Face]]:
        """Find faces where tracks expect them; each is claimed by one track."""
        claims: list[tuple[_Open, Face]] = []
        for track in self._open:
            if not track.seen or time_s - track.last.time_s > MAX_GAP_S:
                continue
            face = self._finder.find_near(picture, track.expected(time_s))
            if face is not None:
                claims.append((track, face))
        accepted: list[tuple[_Open, Face]] = []
        # The longest track comes first; whether the face is its own is checked later.
        for track, face in sorted(claims, key=lambda claim: -len(claim[0].checked)):
            rivals = [other for other, its in accepted if its.box.shared(face.box) > ONE_PLACE]
            for rival in rivals:
                rival.doubtful = track.doubtful = True
            if not rivals:
                accepted.append((track, face))
        return accepted

    def _continue(self, track: _Open, face: Face, picture: np.ndarray) -> list[list[Sighting]]:
        """Add to a track the face it claims; return the sightings that turn out to be another's."""
        index, time_s = len(self._times_s) - 1, self._times_s[-1]
        odd = index - track.last.index > 1 or _jumped(track.last.face, face)
        small = small_face(picture, face.placement)
        motion = None if odd or track.small is None else motion_between(track.small, small)
        track.small = small
        sighting = Sighting(index=index, time_s=time_s, face=face, motion=motion)
        if not odd and not track.doubtful and time_s - track.checked_s < CHECK_EVERY_S:
            track.unchecked.append(sighting)
            return []
        identity = self._recogniser.of_picture(picture, sighting.face.placement)
        if apart(identity, track.identity) <= SAME_PERSON:
            track.confirm(time_s, identity)
            track.checked.append(sighting)
            return []
        # A jump shows when the person changed; without one the moment is not known.
        before = [] if odd else track.unchecked
        if odd:
            track.checked += track.unchecked
        track.unchecked = []
        track.small = None
        return [[*before, sighting]]

    def _search_is_due(self) -> bool:
        since_s = self._times_s[-1] - self._searched_s
        lost = any(
            track.seen
            and track.last.index < len(self._times_s) - 1
            and self._times_s[-1] - track.last.time_s <= MAX_GAP_S
            for track in self._open
        )
        return since_s >= (SEARCH_LOST_EVERY_S if lost else SEARCH_EVERY_S)

    def _search(self, picture: np.ndarray, taken: list[Box]) -> list[Face]:
        """Find the faces of the whole frame that no track has."""
        self._searched_s = self._times_s[-1]
        found = self._finder.find(picture)
        self._skipped += [(self._searched_s, skipped) for skipped in found.skipped]
        return [
            face for face in found.faces
            if all(face.box.shared(box) < ONE_PLACE for box in taken)
        ]  # fmt: skip

    def _from_earlier(self, face: Face) -> list[Sighting]:
        """Follow a face back through the frames since the last search, as far as it is there."""
        faces = [face]
        frames = list(self._recent)
        for index, _, picture in frames[-2::-1]:
            before = self._finder.find_near(picture, faces[-1].box)
            if before is None or _jumped(faces[-1], before) or self._is_known(index, before):
                break
            faces.append(before)
        found: list[Sighting] = []
        last: np.ndarray | None = None
        shown = frames[-len(faces) :]
        for (index, time_s, picture), each in zip(shown, reversed(faces), strict=True):
            small = small_face(picture, each.placement)
            motion = None if last is None else motion_between(last, small)
            found.append(Sighting(index=index, time_s=time_s, face=each, motion=motion))
            last = small
        return found

    def _is_known(self, index: int, face: Face) -> bool:
        """Return whether some track has a face of an earlier frame."""
        return any(
            each.index == index and each.face.box.shared(face.box) > ONE_PLACE
            for track in self._open
            for each in (track.checked + track.unchecked)[-2 * len(self._recent) :]
        )

    def _find_owner(self, sightings: list[Sighting], picture: np.ndarray) -> None:
        """Add sightings of one face, the last in this frame, to its person's track or a new one."""
        now = sightings[-1]
        identity = self._recogniser.of_picture(picture, now.face.placement)
        free = [track for track in self._open if not track.seen or track.last.index < now.index]
        owner = min(free, key=lambda track: apart(identity, track.identity), default=None)
        if owner is None or apart(identity, owner.identity) > SAME_PERSON:
            owner = _Open(identities=[])
            self._open.append(owner)
        after = owner.last.index if owner.seen else -1
        owner.confirm(now.time_s, identity)
        new = [each for each in sightings if each.index > after]
        owner.checked += [replace(new[0], motion=None), *new[1:]]
        owner.small = small_face(picture, now.face.placement)

    def _is_convincing(self, track: _Open) -> bool:
        track.checked += track.unchecked
        track.unchecked = []
        best = max((each.face.score for each in track.checked), default=-np.inf)
        return len(track.checked) >= min(FEWEST, len(self._times_s)) and best >= CONVINCING


def _jumped(before: Face, now: Face) -> bool:
    """Return whether a face moved or grew more than faces do between two frames."""
    one, two = before.placement, now.placement
    way = np.hypot(two.x - one.x, two.y - one.y) / one.side_px
    growth = two.side_px / one.side_px
    return bool(way > JUMP or not 1 / GROWTH < growth < GROWTH)
