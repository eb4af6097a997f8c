"""Choose the output path and write the restored moment there."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from livemoments.errors import ConfigError
from livemoments.livephoto import LivePhoto
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.still.encode import Subsampling
from livemoments.livephoto.writing.format import Format, Place, Written, format_called
from livemoments.livephoto.writing.live_photo import write_live_photo
from livemoments.livephoto.writing.place import (
    bare_stem,
    check_place,
    folder_next_to,
    format_of_source,
    path_for,
)
from livemoments.version import __version__


@dataclass(frozen=True, kw_only=True)
class OutputChoice:
    """What is written where, and how it is compressed."""

    path: Path | None = None  # a file, or a folder that exists; None: next to the still
    live: bool = False  # a Live Photo: the picture together with the clip
    format: str | None = None  # of that Live Photo, a name of Format; None: as the source
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
                raise ConfigError(f"{self.format} is a Live Photo's format; ask for live as well")


def choose_place(choice: OutputChoice, live: LivePhoto, time_s: float) -> Place:
    """Choose where the moment at time_s goes, before long work that a bad path would waste.

    Raises:
        OutputError: the place is refused.
    """
    file_format = None
    if choice.live:
        file_format = Format(choice.format) if choice.format else format_of_source(live)
    path = _path(choice.path, live, time_s, file_format)
    return check_place(path, file_format, overwrite=choice.overwrite, inputs=live.files)


def _path(wanted: Path | None, live: LivePhoto, time_s: float, file_format: Format | None) -> Path:
    """Return the file to write: as asked, or named after the still and the moment."""
    if wanted is not None and not wanted.is_dir():
        return wanted
    still = live.path
    moment = f"-{time_s:.3f}s"
    if file_format is not None:
        return path_for(live, bare_stem(still) + moment, wanted, file_format)
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
        choice: how it is compressed.
        live: the Live Photo that the moment is of.
        time_s: of the moment, in seconds of the clip's clock.
        gain_map: of the picture's view; None: without HDR.

    Raises:
        InputError: the clip cannot be copied.
        OutputError: it cannot be written; then nothing has changed.
    """
    return write_live_photo(
        live, image, place, time_s=time_s, quality=choice.quality,
        subsampling=cast(Subsampling, choice.subsampling), gain_map=gain_map,
        software=f"livemoments {__version__}: the moment at {time_s:.3f} s, restored",
    )  # fmt: skip
