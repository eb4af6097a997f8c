"""Choose the format of a new Live Photo and the names of its files, and check where it may go."""

import os
from collections.abc import Iterable
from pathlib import Path

from livemoments.errors import ConfigError
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.packages import in_pvt
from livemoments.livephoto.still.still_bytes import FORMATS as COPIED_FORMATS
from livemoments.livephoto.still.write import FORMATS, check_picture_output
from livemoments.livephoto.writing.apple import check_live_photo_output, movie_path
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.motion_photo import (
    FORMAT_OF_SOURCE,
    check_motion_photo_output,
    motion_photo_name,
)

STILL_FORMAT = {"JPEG": "JPEG", "HEIF": "HEIC"}  # of what a suffix names


def format_called(name: str) -> Format:
    """Return the format of a name, or raise ConfigError."""
    if name not in tuple(Format):
        raise ConfigError(
            f"the format must be one of {', '.join(Format)}; got {name!r}", settings=("to",)
        )
    return Format(name)


def check_place(
    path: Path, format: Format | None, *, overwrite: bool, inputs: Iterable[Path]
) -> None:
    """Raise OutputError where a Live Photo of this format (None: a picture) cannot be written.

    For a look before long work; the writers check again.
    """
    inputs = tuple(inputs)
    if format is None:
        check_picture_output(path, overwrite=overwrite, inputs=inputs)
    elif format is Format.APPLE:
        check_live_photo_output(path, overwrite=overwrite, inputs=inputs)
    else:
        check_motion_photo_output(path, format, overwrite=overwrite, inputs=inputs)


def format_of_source(live: LivePhoto) -> Format:
    """Return the format that the source's own phone reads: one file for one file, else a pair."""
    if live.clip.source.embedded and live.kind != "livp":
        return FORMAT_OF_SOURCE.get(live.kind, Format.GOOGLE)
    return Format.APPLE


def place_for(live: LivePhoto, stem: str, folder: Path | None, to: Format) -> Path:
    """Return a name that galleries know, which is not the source's own.

    Args:
        live: the source; without a folder the file goes next to it.
        stem: the name without its suffix, and without the marks of a format.
        folder: where it shall be; None: next to the source.
        to: the format.
    """
    source = live.path
    folder = folder_next_to(source) if folder is None else folder
    suffix = _suffix(live, source, to)
    place = folder / _name(stem, suffix, to)
    taken = [place, movie_path(place)] if to is Format.APPLE else [place]
    if any(_same(new, old) for new in taken for old in live.files):
        return folder / _name(f"{stem}-{to}", suffix, to)
    return place


def folder_next_to(source: Path) -> Path:
    """Return the folder of a file; of one in a package, the folder next to the package."""
    return source.absolute().parent.parent if in_pvt(source) else source.parent


def bare_stem(source: Path) -> str:
    """Return a file's name without its suffix, and without the marks of a format."""
    stem = source.stem.removesuffix(".MP")
    return f"IMG_{stem.removeprefix('MVIMG_')}" if stem.startswith("MVIMG_") else stem


def _name(stem: str, suffix: str, to: Format) -> str:
    return stem + suffix if to is Format.APPLE else motion_photo_name(stem, suffix, to)


def _suffix(live: LivePhoto, source: Path, to: Format) -> str:
    """Return the source's own suffix, where the format has it; else the nearest format's."""
    wanted = live.still.format
    if wanted not in COPIED_FORMATS or to is Format.MICROVIDEO:
        wanted = "JPEG"
    own = FORMATS.get(source.suffix.lower())
    if own is not None and STILL_FORMAT.get(own) == wanted:
        return source.suffix
    return {"JPEG": ".jpg", "HEIC": ".heic"}[wanted]


def _same(new: Path, old: Path) -> bool:
    return new.exists() and old.exists() and os.path.samefile(new, old)
