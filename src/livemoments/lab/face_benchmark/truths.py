"""Read real clips with faces as truths: their pictures, who is in them, and where.

A clip's first frame is the reference, as the key photo of a Live Photo; it is not measured itself.
Faces are followed in the clean clip, so that every method is measured at the same places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.errors import InputError, MissingFileError
from livemoments.faces.crops import SIZE_PX, cut
from livemoments.faces.detect import FaceFinder
from livemoments.faces.follow import Recogniser, follow
from livemoments.faces.tracks import View
from livemoments.imaging.pixels import as_bytes, resize
from livemoments.lab.face_benchmark.methods import DegradedClip
from livemoments.lab.face_benchmark.strengths import Strength, degrade
from livemoments.lab.training.data.clips import VideoClip, find_clips, opened

RATE = 25.0  # frames a second of a folder of pictures
MULTIPLE_PX = 8  # of the sides: what both strengths need


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """A person whom the first frame shows."""

    name: str  # the clip's, with a number where it shows several
    views: dict[int, View]  # by frame, without the first
    reference: np.ndarray  # the canonical face of the first frame, RGB uint8
    identity: np.ndarray  # (128,), of the reference


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueClip:
    """A clean clip."""

    name: str
    frames: list[np.ndarray]  # RGB uint8, sides multiples of MULTIPLE_PX
    times_s: list[float]
    people: list[Person]


def clips_of(paths: Sequence[Path]) -> dict[str, Path]:
    """Return clips by name: the given ones, and those below a given folder.

    Raises:
        MissingFileError: there are none.
        InputError: two have one name.
    """
    found: dict[str, Path] = {}
    for path in paths:
        below = [path] if path.is_file() else list(find_clips(path)) if path.is_dir() else []
        if not below:
            raise MissingFileError(
                f"{path}: no clip found; give video files, or folders with pictures of one each"
            )
        for clip in below:
            if clip.stem in found:
                raise InputError(f"{clip} and {found[clip.stem]} have one name; rename one")
            found[clip.stem] = clip
    return found


def read_truth(
    name: str, path: Path, most: int, finder: FaceFinder, embedder: Recogniser
) -> TrueClip:
    """Read at most `most` frames of a clip, and find the people whom the first frame shows.

    Raises:
        InputError: the first frame shows no face that is followed on, or frames differ in size.
    """
    frames, times_s = [], []
    for time_s, frame in _frames(path, most):
        height, width = (side // MULTIPLE_PX * MULTIPLE_PX for side in frame.shape[:2])
        frames.append(np.ascontiguousarray(frame[:height, :width]))
        times_s.append(time_s)
    tracks = follow(zip(times_s, frames, strict=True), finder, embedder).tracks
    everyone = [track.views(times_s) for track in tracks]
    shown = [views for views in everyone if 0 in views and views[0].seen and len(views) > 2]
    if not shown:
        raise InputError(f"{path}: the first frame shows no face; it is to be the reference")
    people = [
        Person(
            name=name if len(shown) == 1 else f"{name}/{number}",
            views={index: view for index, view in views.items() if index},
            reference=cut(frames[0], views[0].placement, SIZE_PX),
            identity=embedder.of_picture(frames[0], views[0].placement),
        )
        for number, views in enumerate(shown)
    ]
    return TrueClip(name=name, frames=frames, times_s=times_s, people=people)


def degrade_clip(truth: TrueClip, strength: Strength, seed: int) -> DegradedClip:
    """Make what a user would have of a clip: the degraded frames, and the sharp first one."""
    found = degrade(truth.frames, strength, seed)
    height, width = truth.frames[0].shape[:2]
    return DegradedClip(
        small=found.frames, frames=[resize(frame, height, width) for frame in found.frames],
        times_s=truth.times_s, key_photo=truth.frames[0], strength=strength.name,
        bits_per_pixel=found.bits_per_pixel,
    )  # fmt: skip


def _frames(path: Path, most: int) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time_s, RGB uint8) of a clip's first frames, at full size."""
    clip = opened(path)
    if isinstance(clip, VideoClip):
        clip = replace(clip, side_px=0)
        times_s: Sequence[float] = clip.clip.times_s
    else:
        times_s = [index / RATE for index in range(len(clip))]
    for index in range(min(most, len(clip))):
        yield times_s[index], as_bytes(clip.image(index))
