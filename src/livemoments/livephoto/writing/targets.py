"""The forms in which a Live Photo is written, and what its files are called in each."""

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
    """The form that a source's own phone would know: one file from one file, else Apple's pair."""
    if live.clip.source.embedded and live.kind != "livp":
        return FORMAT_OF_SOURCE.get(live.kind, Format.GOOGLE)
    return Format.APPLE


def place_for(live: LivePhoto, stem: str, folder: Path | None, to: Format) -> Path:
    """A name that galleries know, which is not the source's own.

    Args:
        live: The source, beside whose files it lies without a folder.
        stem: The name without its suffix, and without what galleries know a form by.
        folder: Where it shall be; None: beside the source.
        to: The form.
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
    """The folder of a file; a package's own, for that holds a Live Photo's files and no others."""
    return source.absolute().parent.parent if in_pvt(source) else source.parent


def bare_stem(source: Path) -> str:
    """A file's name without its suffix, and without what galleries know a form by."""
    stem = source.stem.removesuffix(".MP")
    return f"IMG_{stem.removeprefix('MVIMG_')}" if stem.startswith("MVIMG_") else stem


def _name(stem: str, suffix: str, to: Format) -> str:
    return stem + suffix if to is Format.APPLE else motion_photo_name(stem, suffix, to)


def _suffix(live: LivePhoto, source: Path, to: Format) -> str:
    """The source's own, where the form has it; else that of the format nearest to it."""
    wanted = live.still.format
    if wanted not in COPIED_FORMATS or to is Format.MICROVIDEO:
        wanted = "JPEG"
    own = FORMATS.get(source.suffix.lower())
    if own is not None and STILL_FORMAT.get(own) == wanted:
        return source.suffix
    return {"JPEG": ".jpg", "HEIC": ".heic"}[wanted]


def _same(new: Path, old: Path) -> bool:
    return new.exists() and old.exists() and os.path.samefile(new, old)
