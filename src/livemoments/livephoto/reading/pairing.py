"""Find the other half of a Live Photo stored in two files, and the clip of any still.

The identifier decides, Apple's or vivo's; names only say where to look first.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from livemoments.errors import InputError, MissingFileError, PairingError
from livemoments.livephoto.container.source import IN_ICLOUD, RAW_SUFFIXES, Source
from livemoments.livephoto.reading.identifiers import (
    glimpsed_identifier,
    same_identifier,
    still_identifier,
    video_identifier,
)
from livemoments.livephoto.reading.motion_photo import (
    EmbeddedClip,
    find_embedded_clip,
    find_unannounced_clip,
)
from livemoments.livephoto.reading.neighbours import (
    ARCHIVE_SUFFIXES,
    STILL_SUFFIXES,
    VIDEO_SUFFIXES,
    Folder,
    Half,
    Neighbour,
    folded,
    places_of,
    stem_of,
)
from livemoments.livephoto.still.still import Still, read_still

# Files that are looked at however long it takes, and at most; between, what the time allows.
SURE_FILES, MOST_FILES, MOST_S = 2000, 20_000, 2.5
SURE_STILLS = 200  # of a folder that should hold one Live Photo
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


@dataclass(frozen=True, kw_only=True)
class KnownFolder:
    """A folder in which the clips of many stills are looked for."""

    folder: Folder
    videos: dict[str, Path]  # by identifier, in capitals

    @classmethod
    def of(cls, folder: Folder) -> "KnownFolder":
        """Look at the identifiers of all that may be a video."""
        videos: dict[str, Path] = {}
        for path in in_time(folder.others("", "video"), SURE_FILES):
            identifier = glimpsed_identifier(path, "video")
            if identifier:
                videos.setdefault(identifier.upper(), path)
        return cls(folder=folder, videos=videos)


def in_time(files: Sequence[Path], sure: int) -> Iterator[Path]:
    """Yield the first files of many: `sure` ones, then as many as can be looked at in MOST_S."""
    began_s = time.monotonic()
    for count, each in enumerate(files[:MOST_FILES]):
        if count >= sure and time.monotonic() - began_s > MOST_S:
            return
        yield each


class Surroundings:
    """Where the other half of one file may be: its folder and, for a link, its target's too."""

    def __init__(self, path: Path, half: Half, known: KnownFolder | None = None) -> None:
        """List the folders.

        Args:
            path: The half that is there.
            half: The half that is looked for.
            known: The path's folder, where it was listed before.
        """
        self.half: Half = half
        self.looked_at = self.in_all = 0  # files of other names
        self._known = known
        self.places = [
            (known.folder if known and place == path else Folder(place.parent), place.name)
            for place in places_of(path)
        ]

    def near(self) -> list[Neighbour]:
        """Return the files whose names fit, the nearest first."""
        found = [
            each for folder, name in self.places for each in folder.named_like(name, self.half)
        ]
        return sorted(found, key=lambda each: not each.same_name)

    def with_identifier(self, wanted: str, near: Iterable[Neighbour]) -> Iterator[Path]:
        """Yield the files of other names with this identifier, as far as a glimpse shows."""
        if self._known is not None:
            found = self._known.videos.get(wanted.upper())
            yield from [found] if found else []
            return
        own = {each.path for each in near} | {folder.path / name for folder, name in self.places}
        others = [each for folder, name in self.places for each in folder.others(name, self.half)]
        others = [each for each in others if each not in own]
        self.in_all, self.looked_at = len(others), 0
        for path in in_time(others, SURE_FILES):
            self.looked_at += 1
            if same_identifier(glimpsed_identifier(path, self.half), wanted):
                yield path

    def failure(self, message: str) -> PairingError:
        """Build the error where there is no such half: it may be in iCloud, or among too many."""
        for folder, name in self.places:
            missing = folder.missing(name, self.half)
            if missing:
                return PairingError(f"{name}: its {self.half} is {missing}, but {IN_ICLOUD}")
        if self.looked_at < self.in_all:
            message += (
                f"; only {self.looked_at} of the {self.in_all} files there were looked at,"
                " so give both halves by hand"
            )
        return PairingError(message)


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
    folder, name = Folder(path.parent), folded(path.name)
    named = [each for each in folder.files if name in (stem_of(each.name), folded(each.name))]
    for suffixes in (STILL_SUFFIXES, VIDEO_SUFFIXES, ARCHIVE_SUFFIXES):
        found = [each for each in named if each.suffix.lower() in suffixes]
        if found:
            return min(found, key=_is_raw)
    if any(name in (stem_of(each), folded(each)) for each in folder.in_icloud):
        raise MissingFileError(f"{path}: {IN_ICLOUD}")
    raise MissingFileError(f"{path}: no such file, nor a still or video of that name")


def find_clip(still: Still, known: KnownFolder | None = None) -> EmbeddedClip | Pair:
    """Find the clip of a still: inside its file, or next to it.

    A clip that the file announces comes first, then a file with the still's identifier, then an
    unannounced clip behind the picture, and last a file of the same name.

    Args:
        still: A still that is a file of its own.
        known: The still's folder, where it was listed before.

    Raises:
        PairingError: There is none, or the one of the same name belongs to another photo.
    """
    embedded = find_embedded_clip(still.source, still.motion_facts)
    if embedded is not None:
        return embedded
    try:
        pair = find_video(still, known)
    except InputError as error:
        found = find_unannounced_clip(still.source, still.motion_facts)
        if found is not None:
            return found
        if not isinstance(error, PairingError) or not still.motion_facts.switched_off:
            raise
        raise PairingError(
            f"{error}; its XMP states that its motion is switched off (MotionPhoto 0), so none was"
            " looked for behind the picture: switch it on in the gallery"
        ) from error
    if pair.by_name:
        return find_unannounced_clip(still.source, still.motion_facts) or pair
    return pair


def find_video(still: Still, known: KnownFolder | None = None) -> Pair:
    """Find the clip of a still, in its folder.

    Raises:
        PairingError: There is none, or the one of the same name belongs to another photo.
    """
    path, wanted_id = _path(still), still_identifier(still)
    around = Surroundings(path, "video", known)
    near = around.near()
    named = _named_videos(near)
    if wanted_id:
        elsewhere = around.with_identifier(wanted_id, near)
        for source in chain((each.source for each in named), map(_opened, elsewhere)):
            identifier = video_identifier(source) if source else None
            if source is not None and same_identifier(identifier, wanted_id):
                return Pair(still=still, video=source, video_identifier=identifier)
    for each in named:
        if wanted_id and each.identifier:
            raise mismatch(still, each.path, each.identifier)
    if named:
        source, identifier = named[0].source or Source.whole(named[0].path), named[0].identifier
        return Pair(still=still, video=source, video_identifier=identifier, by_name=True)
    wanted = f"{path.stem}.MOV or {path.stem}.MP4"
    if wanted_id:
        wanted += f", or a video with the content identifier {wanted_id}"
    message = f"{path.name}: no video next to it; expected {wanted} in the same folder"
    raise around.failure(message)


def find_still(video: Source) -> Pair:
    """Find the still of a clip, in its folder.

    Raises:
        PairingError: There is none, or the one of the same name belongs to another clip.
    """
    path = video.path
    identifier = video_identifier(video, strict=True)
    around = Surroundings(path, "still")
    near = around.near()
    by_name: Still | None = None
    broken: InputError | None = None
    for each in near:
        try:
            file = Source.whole(each.path)
            if file.kind == "video" or (file.kind != "still" and not each.expected):
                continue
            still = read_still(each.path, file=file)
        except InputError as error:
            if each.same_name and each.expected and by_name is None:
                broken = broken or error
            continue
        if same_identifier(identifier, still_identifier(still)):
            return Pair(still=still, video=video, video_identifier=identifier)
        by_name = by_name or still
    for other in around.with_identifier(identifier, near) if identifier else ():
        with suppress(InputError):
            still = read_still(other)
            if same_identifier(identifier, still_identifier(still)):
                return Pair(still=still, video=video, video_identifier=identifier)
    if broken is not None:
        raise broken
    if by_name is None:
        wanted = f"{path.stem}.HEIC or {path.stem}.JPG"
        if identifier:
            wanted += f", or a still with the content identifier {identifier}"
        message = f"{video.name}: no still next to it; expected {wanted} in the same folder"
        raise around.failure(message)
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


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A video whose name fits."""

    path: Path
    source: Source | None = None  # None: it cannot be opened
    identifier: str | None = None


def _named_videos(near: Iterable[Neighbour]) -> list[_Named]:
    """Return the videos among files whose names fit; those that cannot be read come last."""
    videos, broken = [], []
    for each in near:
        source = _opened(each.path)
        if source is not None and source.kind == "video":
            identifier = video_identifier(source)
            videos.append(_Named(path=each.path, source=source, identifier=identifier))
        elif each.expected and (source is None or source.kind != "still"):
            broken.append(_Named(path=each.path, source=source))
    return videos + broken


def _opened(path: Path) -> Source | None:
    try:
        return Source.whole(path)
    except InputError:
        return None


def _path(still: Still) -> Path:
    if still.path is None:
        raise PairingError("this still has no file, so no clip can be looked for next to it")
    return still.path


def _only_one(path: Path) -> Path:
    """Return the still (or motion photo) of the one Live Photo in a folder."""
    folder = Folder(path)
    suffixes = STILL_SUFFIXES | ARCHIVE_SUFFIXES
    stills = [each for each in folder.files if each.suffix.lower() in suffixes]
    live: dict[Path, Path] = {}  # a still by its clip's file
    looked_at, known = 0, KnownFolder.of(folder)
    for each in in_time(stills, SURE_STILLS):
        looked_at += 1
        clip = _clip_of(each, known)
        if clip is not None and (clip not in live or _is_raw(live[clip])):
            live[clip] = each
        elif clip is not None and not _is_raw(each):
            live[each] = each
        if len(live) > LISTED:
            break
    if len(live) == 1:
        return next(iter(live.values()))
    videos = [each for each in folder.files if each.suffix.lower() in VIDEO_SUFFIXES]
    names = [each.name for each in (sorted(live.values()) or [*stills, *videos])]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = ", ".join(names[:LISTED]) + more if names else "no stills and no videos"
    found = f"{len(live)} Live Photos" if live else "no Live Photo"
    if len(live) > LISTED:
        found = f"more than {LISTED} Live Photos"
    elif looked_at < len(stills):
        found += f" among the first {looked_at} of {len(stills)} stills"
    message = f"{path}: {found} in this folder, expected exactly one; found {listed}"
    if folder.in_icloud:
        message += f"; {len(folder.in_icloud)} files of it are in iCloud and not on this computer"
    raise PairingError(message)


def _is_raw(path: Path) -> bool:
    return path.suffix.lower() in RAW_SUFFIXES


def _clip_of(path: Path, known: KnownFolder) -> Path | None:
    """Return the file that holds the clip of a still, or of an archive; None where it has none."""
    try:
        file = Source.whole(path)
        if file.kind == "archive":
            return path
        found = find_clip(read_still(path, file=file), known)
    except InputError:
        return None
    return found.source.path if isinstance(found, EmbeddedClip) else found.video.path
