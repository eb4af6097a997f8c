"""Choose the output path and write the restored moment there, as a picture or a Live Photo."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from livemoments.errors import ConfigError
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.still.write import Subsampling, Written, write_picture
from livemoments.livephoto.writing.apple import write_apple
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.motion_photo import write_motion_photo
from livemoments.livephoto.writing.targets import (
    bare_stem,
    check_place,
    folder_next_to,
    format_called,
    format_of_source,
    place_for,
)
from livemoments.version import __version__


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """What is written where, and how it is compressed."""

    path: Path | None = None  # a file, or a folder that exists; None: next to the still
    live: bool = False  # a Live Photo: the picture together with the clip
    format: str | None = None  # of that Live Photo, one of Format; None: as the source
    quality: int = 95  # of JPEG and HEIC, 1 to 100
    subsampling: str = "4:2:0"  # of the colours in JPEG and HEIC, or "4:4:4"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"quality must be from 1 to 100, got {self.quality}")
        if self.subsampling not in ("4:2:0", "4:4:4"):
            raise ConfigError(f"subsampling must be 4:2:0 or 4:4:4, got {self.subsampling!r}")
        if self.format is not None:
            format_called(self.format)
            if not self.live:
                raise ConfigError(f"{self.format} is the format of a Live Photo; ask for live too")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one moment of one Live Photo goes, and in which format."""

    path: Path
    format: Format | None  # None: a picture alone


def choose_place(choice: OutputChoice, live: LivePhoto, time_s: float) -> Place:
    """Choose the file for the moment at time_s, and check it before long work begins.

    Raises:
        OutputError: the place is refused.
    """
    format = None
    if choice.live:
        format = format_called(choice.format) if choice.format else format_of_source(live)
    path = _path(choice.path, live, time_s, format)
    check_place(path, format, overwrite=choice.overwrite, inputs=live.files)
    return Place(path=path, format=format)


def _path(wanted: Path | None, live: LivePhoto, time_s: float, format: Format | None) -> Path:
    """Return the file to write: as asked, or named after the still and the moment."""
    if wanted is not None and not wanted.is_dir():
        return wanted
    still = live.path
    moment = f"-{time_s:.3f}s"
    if format is not None:
        return place_for(live, bare_stem(still) + moment, wanted, format)
    return (wanted or folder_next_to(still)) / f"{still.stem}{moment}.jpg"


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
    options: dict[str, Any] = {
        "software": f"livemoments {__version__}: the moment at {time_s:.3f} s, restored",
        "quality": choice.quality,
        "subsampling": cast(Subsampling, choice.subsampling),
        "overwrite": choice.overwrite,
        "gain_map": gain_map,
    }
    if place.format is None:
        shift_s = time_s - live.key_time_s
        return write_picture(
            image, place.path, still=live.still, inputs=live.files, time_shift_s=shift_s, **options
        )
    if place.format is Format.APPLE:
        return write_apple(live, image, place.path, time_s=time_s, **options)
    return write_motion_photo(
        live, image, place.path, time_s=time_s, format=place.format, **options
    )
