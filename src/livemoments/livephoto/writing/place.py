"""Choose where a Live Photo is written, and check that path before any long work."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from livemoments.errors import OutputError
from livemoments.files import check_output
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.packages import in_pvt
from livemoments.livephoto.still.encode import FORMATS
from livemoments.livephoto.still.still_bytes import FORMATS as COPIED_FORMATS
from livemoments.livephoto.writing.format import Format, Place

STILL_FORMAT = {"JPEG": "JPEG", "HEIF": "HEIC"}  # of what a suffix names
JPEGS = (".jpg", ".jpeg")
STILLS = (*JPEGS, ".heic", ".heif")


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """What the files of a format are called."""

    suffixes: tuple[str, ...] = STILLS
    refusal: str = f"a motion photo is a JPEG or HEIC; end it in {', '.join(STILLS)}"
    start: str = ""  # of a name by which galleries know the format
    end: str = ""  # of such a name, before the suffix


RULES = {
    Format.APPLE: _Rules(refusal="a Live Photo's still is a HEIC or a JPEG; end it so"),
    Format.GOOGLE: _Rules(end=".MP"),
    Format.SAMSUNG: _Rules(),
    Format.MICROVIDEO: _Rules(
        suffixes=JPEGS,
        refusal="the microvideo format is a JPEG; end it in .jpg, or choose google",
        start="MVIMG_",
    ),
}
# By what open_live_photo calls a source. Xiaomi, OPPO and vivo add words of their own to Google's
# format, which are left out.
EMBEDDED = {"samsung": Format.SAMSUNG, "microvideo": Format.MICROVIDEO}


def format_of_source(live: LivePhoto) -> Format:
    """Return the format that a source's own phone knows: one file from one file, else a pair."""
    if live.clip.source.embedded and live.kind != "livp":
        return EMBEDDED.get(live.kind, Format.GOOGLE)
    return Format.APPLE


def check_place(
    path: Path,
    file_format: Format | None = None,
    *,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> Place:
    """Check that a picture or a Live Photo can be written, before long work that would be for it.

    Args:
        path: Where the still shall be.
        file_format: The Live Photo's; None: a picture alone.
        overwrite: Whether files that are there already may be replaced.
        inputs: Files that are never replaced.

    Raises:
        OutputError: The path is refused.
    """
    path, suffix = Path(path), Path(path).suffix
    if suffix.lower() not in FORMATS and not path.is_dir():
        found = f"{suffix} is not a format" if suffix else "the name has no suffix"
        raise OutputError(f"{path}: {found}; end it in {', '.join(FORMATS)}")
    check_output(path, overwrite=overwrite, inputs=inputs)
    if file_format is not None and suffix.lower() not in RULES[file_format].suffixes:
        raise OutputError(f"{path}: {RULES[file_format].refusal}")
    if file_format == Format.APPLE:
        check_output(movie_path(path), overwrite=overwrite, inputs=inputs)
    return Place(path=path, format=file_format, overwrite=overwrite, inputs=tuple(inputs))


def movie_path(still: Path) -> Path:
    """Return where the clip of an Apple Live Photo with this still lies."""
    return still.with_suffix(".MOV" if still.suffix.isupper() else ".mov")


def path_for(live: LivePhoto, stem: str, folder: Path | None, file_format: Format) -> Path:
    """Return a path whose name galleries know, and which is not the source's own.

    Args:
        live: The source; without a folder, the path is next to its files.
        stem: The name without its suffix, and without what galleries know a format by.
        folder: Where it shall be; None: next to the source.
        file_format: Of the new Live Photo.
    """
    folder = folder_next_to(live.path) if folder is None else folder
    suffix = _suffix(live, file_format)
    path = folder / name_in_gallery(stem, suffix, file_format)
    taken = [path, movie_path(path)] if file_format == Format.APPLE else [path]
    if any(_same(new, old) for new in taken for old in live.files):
        return folder / name_in_gallery(f"{stem}-{file_format}", suffix, file_format)
    return path


def folder_next_to(source: Path) -> Path:
    """Return the folder of a file; a package's own, which holds a Live Photo's files alone."""
    return source.absolute().parent.parent if in_pvt(source) else source.parent


def bare_stem(source: Path) -> str:
    """Return a file's name without its suffix, and without what galleries know a format by."""
    stem = source.stem.removesuffix(".MP")
    return f"IMG_{stem.removeprefix('MVIMG_')}" if stem.startswith("MVIMG_") else stem


def name_in_gallery(stem: str, suffix: str, file_format: Format) -> str:
    """Return a name by which galleries know a format: 'x.MP.jpg' is Google's, 'MVIMG_x.jpg' older.

    Args:
        stem: The name without its suffix.
        suffix: Such as ".jpg".
        file_format: Of the Live Photo.
    """
    rules = RULES[file_format]
    end = "" if stem.endswith(rules.end.lstrip(".")) else rules.end
    if rules.start and not stem.startswith("MV"):
        stem = rules.start + stem.removeprefix("IMG_")
    return stem + end + suffix


def _suffix(live: LivePhoto, file_format: Format) -> str:
    """Return the source's own suffix where the format has it, else that of the nearest one."""
    wanted = live.still.format
    if wanted not in COPIED_FORMATS or file_format == Format.MICROVIDEO:
        wanted = "JPEG"
    if STILL_FORMAT.get(FORMATS.get(live.path.suffix.lower(), "")) == wanted:
        return live.path.suffix
    return {"JPEG": ".jpg", "HEIC": ".heic"}[wanted]


def _same(new: Path, old: Path) -> bool:
    return new.exists() and old.exists() and os.path.samefile(new, old)
