"""Restore the faces of a clip, window by window, as changes of every frame.

The clip is read once, frame by frame. Only a frame's canonical faces stay in memory, as long as a
window needs them, so memory does not grow with the clip. The changes are in canonical space and
come in the order of the frames; `apply_changes` makes them in a picture.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.blending import BlendConfig, Earlier, windows
from livemoments.faces.crops import add_change, cut, mask_without_others, white
from livemoments.faces.face import Placement
from livemoments.faces.guidance import negatives
from livemoments.faces.identity import mean_identity
from livemoments.faces.people import ClipPeople, Frames, Person
from livemoments.faces.sampler import PersonPrompt, WindowFace, sample_window
from livemoments.faces.settings import PolishConfig
from livemoments.faces.tracks import canonical_side
from livemoments.models.face_window import FaceRestorer
from livemoments.progress import Progress

RESTORING = "restoring faces"
# Frames times references of a window, at most, at 256 pixels: attention's memory is 60 MB for each.
MOST_LOOKS = 48
OVERLAP_SHARE = 3  # of a window at most, as one part in so many: what overlaps is restored twice


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceChange:
    """The change of a frame by one restored face."""

    person: int  # its number in ClipPeople
    placement: Placement
    change: np.ndarray  # float32 N x N x 3: what is added to the canonical face, of 1
    strength: float  # 0 to 1: how much of that is made


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameChanges:
    """The changes of a frame."""

    index: int  # from 0
    time_s: float
    changes: tuple[FaceChange, ...]


def polish(
    frames: Frames,
    people: ClipPeople,
    model: FaceRestorer,
    config: PolishConfig | None = None,
    progress: Progress | None = None,
) -> Iterator[FrameChanges]:
    """Restore the faces of the people found, for every frame of the clip in order.

    A frame's changes come when the last window that holds it is done: at most a window later.

    Args:
        frames: the clip that find_people was given; called once.
        people: what it found.
        model: models.faces.FaceModel.
        config: how.
        progress: called after every part of the work; whatever it raises cancels.

    Raises:
        InputError: the clip has more or fewer frames than people were found in.
    """
    config = config or PolishConfig()
    at_work = [_Restoring(person, people, model, config) for person in people.restored]
    advance = _counter(progress, sum(each.work for each in at_work))
    waiting: deque[int] = deque()
    changes: dict[int, list[FaceChange]] = {}
    index = -1
    for index, (_, picture) in enumerate(frames()):
        if index >= len(people.times_s):
            break
        waiting.append(index)
        changes[index] = []
        for each in at_work:
            for done, change in each.look(index, picture, advance):
                changes[done].append(change)
        while waiting and all(each.is_done(waiting[0]) for each in at_work):
            first = waiting.popleft()
            yield FrameChanges(
                index=first, time_s=people.times_s[first], changes=tuple(changes.pop(first))
            )
    if index + 1 != len(people.times_s):
        found = f"more than {index}" if index == len(people.times_s) else f"{index + 1}"
        raise InputError(
            f"the clip has {found} frames, and people were found in {len(people.times_s)}; "
            "give the same clip to both"
        )


def apply_changes(picture: np.ndarray, changes: Sequence[FaceChange]) -> np.ndarray:
    """Change faces of a picture, each under its soft mask; beyond, not a bit differs.

    Args:
        picture: H x W x 3, uint8 or float32 in [0, 1]; of the size that people were found in.
        changes: of this frame.

    Returns:
        A new picture of the same type, or the same one where there are no changes.
    """
    for each in changes:
        change = each.change * np.float32(white(picture.dtype))
        picture = add_change(picture, change, each.placement, each.strength)
    return picture


@dataclass(frozen=True)
class _Planned:
    """A window to come."""

    frames: range  # of the clip
    next_start: int | None  # of the next window that overlaps it
    begins: bool  # whether no window before overlaps it


class _Restoring:
    """One person's face while it is restored through the clip."""

    def __init__(
        self, person: Person, people: ClipPeople, model: FaceRestorer, config: PolishConfig
    ) -> None:
        self._person, self._model, self._config = person, model, config
        times_s = people.times_s
        self._others = {
            other.number: (other, other.track.views(times_s))
            for other in people.people
            if other.number != person.number
        }
        scale = config.strength * person.benefit
        self._views = {
            index: replace(view, strength=view.strength * scale)
            for index, view in person.track.views(times_s).items()
            if view.strength * scale > 0
        }
        self._side = canonical_side(
            person.track, least=model.size_px, most=model.most_px, enlarged=config.enlarged
        )
        looks = len(person.references) * (self._side / model.size_px) ** 2
        self._blend = _fitting(config.blend, model.frames, looks)
        self._earlier = Earlier(self._blend)
        self._planned = deque(_plan(sorted(self._views), self._blend))
        self._prompt = _prompt(person, model, config, self._side)
        self._faces: dict[int, WindowFace] = {}

    @property
    def work(self) -> int:
        """The parts of work to be done: faces to be aligned, and faces of runs."""
        runs = self._config.steps * (1 + len(self._prompt.negatives))
        return len(self._views) + runs * sum(len(each.frames) for each in self._planned)

    def is_done(self, index: int) -> bool:
        """Return whether nothing will change any more in a frame."""
        return not self._planned or index < self._planned[0].frames.start

    def look(
        self, index: int, picture: np.ndarray, advance: Callable[[int], None]
    ) -> list[tuple[int, FaceChange]]:
        """Take the face out of a frame; return changes that are final when a window is complete."""
        if index not in self._views:
            return []
        placement = self._views[index].placement
        face = cut(picture, placement, self._side).astype(np.float32) / 255
        self._faces[index] = self._aligned(index, face)
        advance(1)
        if index < self._planned[0].frames[-1]:
            return []
        return self._restore(self._planned.popleft(), advance)

    def _aligned(self, index: int, face: np.ndarray) -> WindowFace:
        if not self._config.aligned:
            return WindowFace(index=index, aligned=self._model.align(face, None))
        needed = self._prompt.needs_unaligned
        return WindowFace(
            index=index,
            aligned=self._model.align(face, self._prompt.prompt),
            unaligned=self._model.align(face, None) if needed else None,
        )

    def _restore(
        self, planned: _Planned, advance: Callable[[int], None]
    ) -> list[tuple[int, FaceChange]]:
        """Sample a window, and return the changes of frames that no later window holds."""
        if planned.begins:
            self._earlier = Earlier(self._blend)
        restored = sample_window(
            self._model, [self._faces[index] for index in planned.frames], self._prompt,
            steps=self._config.steps, seed=self._config.seed, earlier=self._earlier,
            next_start=planned.next_start, after_run=lambda: advance(len(planned.frames)),
        )  # fmt: skip
        final = []
        for index, face in zip(planned.frames, restored, strict=True):
            if planned.next_start is not None and index >= planned.next_start:
                break
            before = self._faces.pop(index).aligned.frame[0].transpose(1, 2, 0)
            change = np.clip(face, 0, 1) - before
            final.append((index, self._change(index, change)))
        return final

    def _change(self, index: int, change: np.ndarray) -> FaceChange:
        view = self._views[index]
        faces, heads = [], []
        for other, views in self._others.values():
            if index in views:
                faces.append(views[index].placement)
                # Of two heads that overlap the second gets what the first has left.
                if other.number < self._person.number and other.name is not None and other.benefit:
                    share = self._config.strength * other.benefit * views[index].strength
                    heads.append((views[index].placement, share))
        if faces:
            mask = mask_without_others(view.placement, faces, heads, self._side)
            change = change * mask[..., None]
        return FaceChange(
            person=self._person.number, placement=view.placement, strength=view.strength,
            change=np.ascontiguousarray(change, np.float32),
        )  # fmt: skip


def _plan(indices: Sequence[int], blend: BlendConfig) -> list[_Planned]:
    """Divide the restored frames into windows, which begin anew after frames that are left out."""
    spans: list[range] = []
    for index in indices:
        if spans and spans[-1].stop == index:
            spans[-1] = range(spans[-1].start, index + 1)
        else:
            spans.append(range(index, index + 1))
    planned = []
    for span in spans:
        every = [span[each.start : each.stop] for each in windows(len(span), blend)]
        for at, window in enumerate(every):
            follows = every[at + 1].start if at + 1 < len(every) else None
            planned.append(_Planned(frames=window, next_start=follows, begins=at == 0))
    return planned


def _fitting(blend: BlendConfig, most: int, looks: float) -> BlendConfig:
    """Shorten windows to what the model takes and memory holds, with so many looks a frame."""
    size = min(blend.window, most, max(int(MOST_LOOKS / looks), 1))
    return replace(blend, window=size, overlap=min(blend.overlap, size // OVERLAP_SHARE))


def _prompt(person: Person, model: FaceRestorer, config: PolishConfig, side: int) -> PersonPrompt:
    """Prompt with a person's references, their mean identity and the first one's attributes."""
    first = person.references[0]
    prompt = model.prompt(
        np.stack([each.at(side).astype(np.float32) / 255 for each in person.references]),
        mean_identity([each.identity for each in person.references]),
        # Degrees in the unit that the network knows; the canonical face has no roll.
        np.array([first.pose.yaw / 30, first.pose.pitch / 30, 0.0, first.sharpness]),
    )
    away_from = negatives(
        config.guidance, prompt, config.streams, person.another, aligned=config.aligned
    )
    return PersonPrompt(prompt=prompt, streams=config.streams, negatives=away_from)


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    """Return a function that reports so many more parts as done."""
    done = 0

    def advance(parts: int) -> None:
        nonlocal done
        done += parts
        if progress:
            progress(RESTORING, done, total)

    return advance
