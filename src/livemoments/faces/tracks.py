"""Describe a person's face through a clip: where it was seen, who it is, where to cut it out.

A track holds landmarks and identities, no pictures: about 1 kB for each frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from livemoments.errors import InputError
from livemoments.faces.face import Face, Placement
from livemoments.faces.motion import Motion
from livemoments.faces.steady import steady

MAX_GAP_S = 0.7  # unseen for longer, a face is left out until it is seen again
# Unseen for no longer, it was missed and not hidden: restored with the rest, or it would flicker.
MISSED_S = 0.14
FADE_S = 0.13  # over which a restored face fades in and out, next to frames without it
ENLARGEMENT = 2.5  # pixels of the canonical square for one of the clip's, a side
STEP_PX = 64  # what the networks' scales need


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """A face that was seen in a frame."""

    index: int  # of the frame, from 0
    time_s: float
    face: Face
    motion: Motion | None = None  # from the sighting in the frame before; None: not known


@dataclass(frozen=True, kw_only=True)
class View:
    """The place of a track's face in a frame."""

    placement: Placement
    seen: bool  # False: interpolated between frames in which it was
    strength: float  # 0 to 1: how much of a restored face to put there; 0 where it was hidden


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person's face through a clip."""

    number: int  # from 0, in the order in which they were first seen
    sightings: tuple[Sighting, ...]  # in order, at least one
    identity: np.ndarray  # (128,), the mean of frames about evenly apart

    @property
    def height_px(self) -> float:
        """The median height of the face's box."""
        return float(np.median([each.face.box.height for each in self.sightings]))

    def views(self, times_s: Sequence[float]) -> dict[int, View]:
        """Return where the face is, by frame.

        Placements are steadied over time. Frames in gaps of up to MAX_GAP_S are included; in gaps
        longer than MISSED_S the face was hidden, and its strength is 0.

        Args:
            times_s: of all frames of the clip, ascending.

        Raises:
            InputError: the clip has fewer frames than the track.
        """
        if self.sightings[-1].index >= len(times_s):
            raise InputError(
                f"a face was seen in frame {self.sightings[-1].index}, and there are times of "
                f"{len(times_s)} frames; give the times of the whole clip"
            )
        found: dict[int, View] = {}
        for run in self._runs():
            found |= _run_views(run, times_s)
        return found

    def _runs(self) -> list[list[Sighting]]:
        """Split the sightings at gaps longer than MAX_GAP_S."""
        runs = [[self.sightings[0]]]
        for before, after in pairwise(self.sightings):
            if after.time_s - before.time_s > MAX_GAP_S:
                runs.append([])
            runs[-1].append(after)
        return runs


def canonical_side(track: Track, *, least: int, most: int, enlarged: float = 1.0) -> int:
    """Choose the side at which a track's faces are restored, in pixels: one for all its frames.

    The canonical square of a small face is enlarged, by ENLARGEMENT from the clip's own pixels:
    more only blurs what the network sees, less loses detail of the clip. Measured on clips at half
    and a quarter of their size (docs/faces_results.md).

    Args:
        track: of the face.
        least: smallest side that the model can restore.
        most: largest side that it can restore.
        enlarged: how many pixels of the frames a pixel of the clip became, a side.
    """
    sides = [each.face.placement.side_px for each in track.sightings]
    wanted = ENLARGEMENT * float(np.median(sides)) / enlarged
    return int(np.clip(STEP_PX * round(wanted / STEP_PX), least, most))


def _run_views(run: list[Sighting], times_s: Sequence[float]) -> dict[int, View]:
    first, last = run[0].index, run[-1].index
    indices = range(first, last + 1)
    at_s = np.array([times_s[index] for index in indices])
    seen = {times_s[each.index]: each.face.placement for each in run}
    motions = {times_s[each.index]: each.motion for each in run[1:] if each.motion}
    placements = steady(seen, at_s.tolist(), motions)
    strengths = _strengths(run, at_s, times_s)
    was_seen = {each.index for each in run}
    return {
        index: View(placement=placement, seen=index in was_seen, strength=float(strength))
        for index, placement, strength in zip(indices, placements, strengths, strict=True)
    }


def _strengths(run: list[Sighting], at_s: np.ndarray, times_s: Sequence[float]) -> np.ndarray:
    """Return strengths (n,): 1 where the face can be restored, 0 where it is hidden or absent."""
    hidden = [
        (before.time_s, after.time_s)
        for before, after in pairwise(run)
        if after.index - before.index > 1 and after.time_s - before.time_s > MISSED_S
    ]
    # Where the clip itself begins or ends, there is nothing to come in from.
    if run[0].index > 0:
        hidden.append((-np.inf, run[0].time_s))
    if run[-1].index < len(times_s) - 1:
        hidden.append((run[-1].time_s, np.inf))
    strength = np.ones(len(at_s))
    for start_s, end_s in hidden:
        away = np.maximum(start_s - at_s, at_s - end_s)  # below 0 inside
        ramp = np.clip(away / FADE_S, 0, 1)
        strength = np.minimum(strength, ramp * ramp * (3 - 2 * ramp))
    return strength
