"""Where a restored moment goes: a picture, or a Live Photo of one's own phone's kind."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from livemoments.errors import ConfigError
from livemoments.livephoto import LivePhoto
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.write import Subsampling, check_picture_output, write_picture
from livemoments.livephoto.writing.apple import check_live_photo_output, write_apple
from livemoments.livephoto.writing.motion_photo import (
    MotionPhotoKind,
    check_motion_photo_output,
    write_motion_photo,
)
from livemoments.livephoto.writing.targets import (
    TARGETS,
    Target,
    bare_stem,
    folder_beside,
    place_for,
    target_of_source,
)
from livemoments.version import __version__


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """What is written where, and how it is compressed."""

    path: Path | None = None  # a file, or a folder that exists; None: beside the still
    live: bool = False  # a Live Photo: the picture together with the clip
    kind: str | None = None  # of that Live Photo, one of TARGETS; None: as the source
    quality: int = 95  # of JPEG and HEIC, 1 to 100
    subsampling: str = "4:2:0"  # of the colours in JPEG and HEIC, or "4:4:4"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality must be from 1 to 100, got {self.quality}")
        if self.subsampling not in ("4:2:0", "4:4:4"):
            raise ConfigError(f"subsampling must be 4:2:0 or 4:4:4, got {self.subsampling!r}")
        if self.kind is not None and self.kind not in TARGETS:
            raise ConfigError(f"kind must be one of {', '.join(TARGETS)}; got {self.kind!r}")
        if self.kind is not None and not self.live:
            raise ConfigError(f"kind {self.kind} is of a Live Photo; ask for live as well")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where exactly one moment of one Live Photo goes, and as what."""

    path: Path
    kind: Target | None  # None: a picture alone


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    path: Path
    movie: Path | None  # the clip, where it is a file of its own
    kind: Target | None
    notes: tuple[str, ...]  # what could not be carried over, and such


def choose_place(choice: OutputChoice, live: LivePhoto, time_s: float) -> Place:
    """Say where the moment at time_s goes; before long work, which would be for nothing.

    Raises:
        OutputError: the place is refused.
    """
    inputs = live.files
    kind = cast(Target, choice.kind or target_of_source(live)) if choice.live else None
    path = _path(choice.path, live, time_s, kind)
    if kind is None:
        check_picture_output(path, overwrite=choice.overwrite, inputs=inputs)
    elif kind == "apple":
        check_live_photo_output(path, overwrite=choice.overwrite, inputs=inputs)
    else:
        check_motion_photo_output(path, kind, overwrite=choice.overwrite, inputs=inputs)
    return Place(path=path, kind=kind)


def _path(wanted: Path | None, live: LivePhoto, time_s: float, kind: Target | None) -> Path:
    """The file to write: as asked, or named after the still and the moment."""
    if wanted is not None and not wanted.is_dir():
        return wanted
    still = live.path
    moment = f"-{time_s:.3f}s"
    if kind is not None:
        return place_for(live, bare_stem(still) + moment, wanted, kind)
    return (wanted or folder_beside(still)) / f"{still.stem}{moment}.jpg"


def write_moment(
    image: np.ndarray,
    place: Place,
    choice: OutputChoice,
    live: LivePhoto,
    time_s: float,
    *,
    gain_map: GainMap | None = None,
) -> Written:
    """Write the picture of a moment to the place from choose_place, with the key photo's metadata.

    Args:
        image: float RGB H x W x 3 in [0, 1], in the key photo's colour space.
        place: where, and in which format.
        choice: how it is compressed, and whether a file may be replaced.
        live: the Live Photo that the moment is of.
        time_s: of the moment, in seconds of the clip's clock.
        gain_map: of the picture's view; None: without HDR.

    Raises:
        InputError: the clip cannot be copied.
        OutputError: it cannot be written; then nothing has changed.
    """
    software = f"livemoments {__version__}: the moment at {time_s:.3f} s, restored"
    subsampling = cast(Subsampling, choice.subsampling)
    if place.kind is None:
        picture = write_picture(
            image, place.path, still=live.still, software=software,
            quality=choice.quality, subsampling=subsampling, overwrite=choice.overwrite,
            inputs=live.files, time_shift_s=time_s - live.key_time_s,
            gain_map=gain_map,
        )  # fmt: skip
        return Written(path=picture.path, movie=None, kind=None, notes=picture.notes)
    if place.kind == "apple":
        pair = write_apple(
            live, image, place.path, time_s=time_s, software=software,
            quality=choice.quality, subsampling=subsampling, overwrite=choice.overwrite,
            gain_map=gain_map,
        )  # fmt: skip
        return Written(path=pair.still, movie=pair.movie, kind="apple", notes=pair.notes)
    photo = write_motion_photo(
        live, image, place.path, time_s=time_s, kind=cast(MotionPhotoKind, place.kind),
        software=software, quality=choice.quality, subsampling=subsampling,
        overwrite=choice.overwrite, gain_map=gain_map,
    )  # fmt: skip
    return Written(path=photo.path, movie=None, kind=place.kind, notes=photo.notes)
