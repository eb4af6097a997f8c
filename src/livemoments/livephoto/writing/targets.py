"""The forms in which a Live Photo is written, and what its files are called in each."""

import os
from pathlib import Path
from typing import Literal

from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.packages import in_pvt
from livemoments.livephoto.still.still_bytes import FORMATS as COPIED_FORMATS
from livemoments.livephoto.still.write import FORMATS
from livemoments.livephoto.writing.apple import movie_path
from livemoments.livephoto.writing.motion_photo import KIND_OF_SOURCE, motion_photo_name
from livemoments.livephoto.writing.motion_photo_plan import MOTION_PHOTO_KINDS

Target = Literal["apple", "google", "samsung", "microvideo"]
TARGETS = ("apple", *MOTION_PHOTO_KINDS)
STILL_FORMAT = {"JPEG": "JPEG", "HEIF": "HEIC"}  # of what a suffix names


def target_of_source(live: LivePhoto) -> Target:
    """The form that a source's own phone would know: one file from one file, else Apple's pair."""
    if live.clip.source.embedded and live.kind != "livp":
        return KIND_OF_SOURCE.get(live.kind, "google")
    return "apple"


def place_for(live: LivePhoto, stem: str, folder: Path | None, to: Target) -> Path:
    """A name that galleries know, which is not the source's own.

    Args:
        live: The source, beside whose files it lies without a folder.
        stem: The name without its suffix, and without what galleries know a form by.
        folder: Where it shall be; None: beside the source.
        to: The form.
    """
    source = live.path
    folder = folder_beside(source) if folder is None else folder
    suffix = _suffix(live, source, to)
    place = folder / _name(stem, suffix, to)
    taken = [place, movie_path(place)] if to == "apple" else [place]
    if any(_same(new, old) for new in taken for old in live.files):
        return folder / _name(f"{stem}-{to}", suffix, to)
    return place


def folder_beside(source: Path) -> Path:
    """The folder of a file; a package's own, for that holds a Live Photo's files and no others."""
    return source.absolute().parent.parent if in_pvt(source) else source.parent


def bare_stem(source: Path) -> str:
    """A file's name without its suffix, and without what galleries know a form by."""
    stem = source.stem.removesuffix(".MP")
    return f"IMG_{stem.removeprefix('MVIMG_')}" if stem.startswith("MVIMG_") else stem


def _name(stem: str, suffix: str, to: Target) -> str:
    return stem + suffix if to == "apple" else motion_photo_name(stem, suffix, to)


def _suffix(live: LivePhoto, source: Path, to: Target) -> str:
    """The source's own, where the form has it; else that of the format nearest to it."""
    wanted = live.still.format
    if wanted not in COPIED_FORMATS or to == "microvideo":
        wanted = "JPEG"
    own = FORMATS.get(source.suffix.lower())
    if own is not None and STILL_FORMAT.get(own) == wanted:
        return source.suffix
    return {"JPEG": ".jpg", "HEIC": ".heic"}[wanted]


def _same(new: Path, old: Path) -> bool:
    return new.exists() and old.exists() and os.path.samefile(new, old)
