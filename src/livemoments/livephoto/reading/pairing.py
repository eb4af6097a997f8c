"""Find the other half of a Live Photo stored in two files.

The identifier decides, Apple's or vivo's; names only say where to look first. Programs rename the
halves: IMG_1.HEIC + IMG_1.MOV, IMG_1_3.mov (Photos' library), IMG_1_HEVC.MOV (iCloud downloaders).
"""

from dataclasses import dataclass
from pathlib import Path

from livemoments.errors import InputError, MissingFileError, PairingError
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.xmp import parse_motion_facts
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.reading.apple import movie_identifier
from livemoments.livephoto.reading.motion_photo import find_embedded_clip
from livemoments.livephoto.reading.vivo import photo_tail, video_tail
from livemoments.livephoto.still.still import Still, read_still

STILL_SUFFIXES = {".heic", ".heif", ".jpg", ".jpeg", ".png", ".avif", ".webp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mov", ".mp4", ".m4v"}
ARCHIVE_SUFFIXES = {".livp"}
MAX_CANDIDATES = 2000
LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two files that make a Live Photo."""

    still: Still  # the key photo's facts
    video: Source  # the clip's bytes
    video_identifier: str | None  # identifier of the video, Apple's or vivo's, or None
    # True where only their names, or what holds both, say that they belong together.
    by_name: bool = False
    package: str | None = None  # "livp" or "pvt" where such a package holds both, else None
    notes: tuple[str, ...] = ()  # what is unusual about how they are stored


def resolve(path: Path) -> Path:
    """Return the file meant by a path: itself, a stem without extension, or a folder's only one.

    Raises:
        MissingFileError: There is nothing of that name.
        PairingError: A folder holds no Live Photo, or more than one.
    """
    try:
        if path.is_dir():
            return _only_one(path)
        if path.exists():
            return path
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be opened ({error.strerror})") from error
    named = [each for each in _files(path.parent) if each.stem.lower() == path.name.lower()]
    stills = [each for each in named if each.suffix.lower() in STILL_SUFFIXES]
    videos = [each for each in named if each.suffix.lower() in VIDEO_SUFFIXES]
    archives = [each for each in named if each.suffix.lower() in ARCHIVE_SUFFIXES]
    if not stills and not videos and not archives:
        raise MissingFileError(f"{path}: no such file, nor a still or video of that name")
    return (stills or videos or archives)[0]


def find_video(still: Still) -> Pair:
    """Find the clip of a still, in its folder.

    Raises:
        PairingError: There is none, or the one of the same name belongs to another photo.
    """
    path = _path(still)
    videos = _candidates(path, VIDEO_SUFFIXES)
    wanted_id = still_identifier(still)
    unlike: tuple[Path, str] | None = None
    for video in videos if wanted_id else ():
        source, identifier = _identified(video)
        if source is not None and same_identifier(identifier, wanted_id):
            return Pair(still=still, video=source, video_identifier=identifier)
        if identifier and _same_stem(path, video):
            unlike = unlike or (video, identifier)
    if unlike is not None:
        raise mismatch(still, *unlike)
    for video in videos:
        if _same_stem(path, video):
            source, identifier = _identified(video)
            source = source or Source.whole(video)
            return Pair(still=still, video=source, video_identifier=identifier, by_name=True)
    wanted = f"{path.stem}.MOV or {path.stem}.MP4"
    if wanted_id:
        wanted += f", or a video with the content identifier {wanted_id}"
    raise PairingError(f"{path.name}: no video next to it; expected {wanted} in the same folder")


def _identified(video: Path) -> tuple[Source | None, str | None]:
    """Look at a video once: its bytes, None where it cannot be opened, and its identifier."""
    try:
        source = Source.whole(video)
    except InputError:
        return None, None
    return source, video_identifier(source)


def find_still(video: Source) -> Pair:
    """Find the still of a clip, in its folder.

    Raises:
        PairingError: There is none, or the one of the same name belongs to another clip.
    """
    path = video.path
    identifier = video_identifier(video, strict=True)
    by_name: Still | None = None
    for each in _candidates(path, STILL_SUFFIXES):
        same = _same_stem(each, path)
        if not same and identifier is None:
            continue
        try:
            still = read_still(each)
        except InputError:
            if same and each.stem.lower() == path.stem.lower():
                raise
            continue
        if same_identifier(identifier, still_identifier(still)):
            return Pair(still=still, video=video, video_identifier=identifier)
        if same and by_name is None:
            by_name = still
    if by_name is None:
        wanted = f"{path.stem}.HEIC or {path.stem}.JPG"
        if identifier:
            wanted += f", or a still with the content identifier {identifier}"
        raise PairingError(
            f"{video.name}: no still next to it; expected {wanted} in the same folder"
        )
    if identifier and still_identifier(by_name):
        raise mismatch(by_name, path, identifier)
    return Pair(still=by_name, video=video, video_identifier=identifier, by_name=True)


def mismatch(still: Still, video: Path, identifier: str) -> PairingError:
    """Build the error for two halves of different Live Photos."""
    return PairingError(
        f"{still.name} (content identifier {still_identifier(still)}) and {video.name}"
        f" ({identifier}) are halves of different Live Photos; give the matching file,"
        " or both files by hand"
    )


def still_identifier(still: Still) -> str | None:
    """Return a still's Apple content identifier, else vivo's, else None."""
    if still.identifier or still.path is None:
        return still.identifier
    tail = photo_tail(still.source)
    return tail.identifier if tail is not None else None


def video_identifier(video: Source, *, strict: bool = False) -> str | None:
    """Return a video's Apple content identifier, else vivo's, else None.

    strict raises on a file that cannot be read, instead of returning None.
    """
    try:
        tail = video_tail(video)
        return movie_identifier(read_movie(video)) or (tail.identifier if tail else None)
    except InputError:
        if strict:
            raise
        return None


def same_identifier(one: str | None, other: str | None) -> bool:
    """Return whether two content identifiers are there and equal, whatever their case."""
    return bool(one and other) and str(one).upper() == str(other).upper()


def _path(still: Still) -> Path:
    if still.path is None:
        raise PairingError("this still has no file, so no clip can be looked for next to it")
    return still.path


def _files(folder: Path) -> list[Path]:
    """Visible files of a folder, by name; empty where it cannot be listed."""
    try:
        found = [each for each in folder.iterdir() if not each.name.startswith(".")]
        return sorted(each for each in found if each.is_file())
    except OSError:
        return []


def _candidates(path: Path, suffixes: set[str]) -> list[Path]:
    """Files of these kinds in the same folder: nearest names first."""
    found = [each for each in _files(path.parent) if each.suffix.lower() in suffixes]
    found = [each for each in found if each != path]
    return sorted(found, key=lambda each: _distance(path, each))[:MAX_CANDIDATES]


def _distance(path: Path, other: Path) -> tuple[int, str]:
    if path.stem.lower() == other.stem.lower():
        return 0, other.name
    return (1 if _same_stem(path, other) else 2), other.name


def _same_stem(one: Path, other: Path) -> bool:
    """Return whether two names are one stem, but for an ending after '_' on the video's side."""
    a, b = sorted((one.stem.lower(), other.stem.lower()), key=len)
    return a == b or (b.startswith(a + "_") and b[len(a) + 1 :] in ("3", "hevc"))


def _only_one(folder: Path) -> Path:
    """Return the still (or motion photo) of the one Live Photo in a folder."""
    files = _files(folder)
    stills = [each for each in files if each.suffix.lower() in STILL_SUFFIXES | ARCHIVE_SUFFIXES]
    live = [each for each in stills[:MAX_CANDIDATES] if _has_clip(each)]
    if len(live) == 1:
        return live[0]
    videos = [each for each in files if each.suffix.lower() in VIDEO_SUFFIXES]
    names = [each.name for each in (live or [*stills, *videos])]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = ", ".join(names[:LISTED]) + more if names else "no stills and no videos"
    found = f"{len(live)} Live Photos" if live else "no Live Photo"
    raise PairingError(f"{folder}: {found} in this folder, expected exactly one; found {listed}")


def _has_clip(path: Path) -> bool:
    try:
        file = Source.whole(path)
        if file.kind == "archive":
            return True
        still = read_still(path, file=file)
        if find_embedded_clip(file, parse_motion_facts(still.xmp)) is not None:
            return True
        find_video(still)
    except InputError:
        return False
    return True
