"""List the files around a half of a Live Photo, those first whose names say most.

Names only say where to look; what a file is, its bytes say. Programs rename the halves:
IMG_1.HEIC + IMG_1.MOV, IMG_1_3.mov (Photos' library), IMG_1_HEVC.MOV (iCloud downloaders),
IMG_1.HEIC.MP4, PXL_1.MP.jpg + PXL_1.MP (Google Takeout). Names that differ in case or in how they
write an accent are one name.
"""

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from livemoments.livephoto.container.source import ICLOUD, RAW_SUFFIXES

Half = Literal["still", "video"]

STILL_SUFFIXES = {".heic", ".heif", ".jpg", ".jpeg", ".png", ".avif", ".webp", ".tif", ".tiff"}
STILL_SUFFIXES |= RAW_SUFFIXES
MOTION_SUFFIXES = {".mp", ".mv"}  # of the clips that Google's services hand out next to a photo
VIDEO_SUFFIXES = {".mov", ".mp4", ".m4v", ".qt"} | MOTION_SUFFIXES
ARCHIVE_SUFFIXES = {".livp"}
SUFFIXES = {"still": STILL_SUFFIXES, "video": VIDEO_SUFFIXES}
ENDINGS = ("_3", "_hevc")  # what programs add to a clip's name


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A file that may be the other half."""

    path: Path
    same_name: bool  # whether it has the very name of the half that is given, suffix aside
    expected: bool  # whether its suffix is one of the half that is looked for


class Folder:
    """The media files of a folder, listed once."""

    def __init__(self, path: Path) -> None:
        """List the folder; one that cannot be listed is empty."""
        self.path = path
        self.files: list[Path] = []
        self.in_icloud: list[str] = []  # names of files that were not downloaded
        for name in _names(path):
            bare = name.removesuffix(ICLOUD)
            if bare != name:
                self.in_icloud.append(bare.removeprefix("."))
            elif not name.startswith("."):
                self.files.append(path / name)
        self._folded = [(folded(each.name), each) for each in self.files]

    def named_like(self, name: str, half: Half) -> list[Neighbour]:
        """Return the files whose names say that they are this half of what is called `name`.

        Nearest first; raw photos, and files under another half's suffix, come last.
        """
        start = _common_start(folded(name), half)
        found: list[tuple[tuple[bool, bool, bool], Neighbour]] = []
        for letters, path in self._folded:
            if not letters.startswith(start) or path.name == name:
                continue
            near = _nearness(name, path.name, half)
            suffix = path.suffix.lower()
            if near is not None and (suffix in STILL_SUFFIXES or suffix in VIDEO_SUFFIXES):
                expected = suffix in SUFFIXES[half]
                each = Neighbour(path=path, same_name=near == 0, expected=expected)
                found.append(((near > 0, not expected, suffix in RAW_SUFFIXES), each))
        return [each for _, each in sorted(found, key=lambda pair: pair[0])]

    def others(self, name: str, half: Half) -> list[Path]:
        """Return all stills and videos by suffix, the likeliest to be this half first."""
        wanted, start = SUFFIXES[half], folded(name)
        ranked = []
        for letters, path in self._folded:
            suffix = path.suffix.lower()
            if suffix in STILL_SUFFIXES or suffix in VIDEO_SUFFIXES:
                shared = len(os.path.commonprefix((letters, start)))
                ranked.append((suffix not in wanted, -shared, path.name, path))
        return [each[-1] for each in sorted(ranked)]

    def missing(self, name: str, half: Half) -> str | None:
        """Return the name of a file in iCloud that is this half by its name; or None."""
        for each in self.in_icloud:
            expected = os.path.splitext(each)[1].lower() in SUFFIXES[half]
            if expected and _nearness(name, each, half) is not None:
                return each
        return None


def places_of(path: Path) -> list[Path]:
    """Return a path, and where it is a link also the file that it leads to."""
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
    except OSError:
        return [path]
    return [path] if target == path else [path, target]


def folded(name: str) -> str:
    """Return a name as it is compared: letters of one case, accents in one form."""
    return unicodedata.normalize("NFC", name).casefold()


def stem_of(name: str) -> str:
    """Return a name without its suffix, as it is compared."""
    return os.path.splitext(folded(name))[0]


def _names(folder: Path) -> Iterator[str]:
    """Yield the names of a folder's files in order; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(each.name for each in entries if _is_file(each))
    except (OSError, ValueError):
        return


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a link that leads to itself
        return False


def _nearness(name: str, other: str, half: Half) -> int | None:
    """Return 0 for one name, 1 for a renamed half's, None where two names have nothing in common.

    `other` would be the half that is looked for, `name` is the half that is there.
    """
    still, video = (other, name) if half == "still" else (name, other)
    whole, stem = folded(still), stem_of(still)
    bare = _without(stem, MOTION_SUFFIXES)
    clip = stem_of(video)
    if clip in (stem, whole, bare):
        return 0
    clip = _without(_without(clip, STILL_SUFFIXES), MOTION_SUFFIXES)
    renamed = [of + ending for of in (stem, bare) for ending in ("", *ENDINGS)]
    return 1 if clip in renamed else None


def _common_start(name: str, half: Half) -> str:
    """Return what every name begins with that is near to a folded one, whatever it is."""
    stem = os.path.splitext(name)[0]
    stem = _without(_without(stem, STILL_SUFFIXES), MOTION_SUFFIXES)
    if half == "still":
        for ending in ENDINGS:
            stem = stem.removesuffix(ending)
    return stem


def _without(stem: str, suffixes: set[str]) -> str:
    bare, suffix = os.path.splitext(stem)
    return bare if suffix in suffixes else stem
