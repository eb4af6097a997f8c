"""Open a Live Photo or Motion Photo, however it is stored."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from livemoments.errors import MissingFileError, PairingError, UnsupportedFileError
from livemoments.livephoto.container.source import FileKind, Source
from livemoments.livephoto.movie.video import Clip, open_clip
from livemoments.livephoto.reading.apple import StillImageTime, key_transform, still_image_time
from livemoments.livephoto.reading.identifiers import (
    same_identifier,
    still_identifier,
    video_identifier,
)
from livemoments.livephoto.reading.key_time import (
    MATCHED,
    KeyTime,
    apple_key_time,
    matched_key_time,
    stated_key_time,
    tail_times,
)
from livemoments.livephoto.reading.live_photo import LivePhoto, same_shape, unusual
from livemoments.livephoto.reading.motion_photo import EmbeddedClip
from livemoments.livephoto.reading.packages import in_pvt, pvt_notes, unpack
from livemoments.livephoto.reading.pairing import Pair, find_clip, find_still, resolve
from livemoments.livephoto.reading.vendors import vendor_form
from livemoments.livephoto.reading.vivo import video_tail
from livemoments.livephoto.still.still import Still, read_still

UNUSABLE = "the stored still-image transform is unusable"


def open_live_photo(
    path: str | PathLike[str], video: str | PathLike[str] | None = None
) -> LivePhoto:
    """Open a Live Photo.

    Args:
        path: A motion photo; either half of a pair; the two halves' common name without an
            extension; a package (.livp, .pvt); or a folder that holds exactly one Live Photo.
        video: The clip, where still and clip are paired by hand. It wins over everything else.

    Raises:
        MissingFileError: A file is not there.
        DamagedFileError: A file is empty, truncated or broken.
        UnsupportedFileError: A file is of a kind that is not read.
        PairingError: A half is missing, or the halves belong to different Live Photos.
    """
    if video is not None:
        return _open_by_hand(Path(path), Path(video))
    photo = resolve(Path(path))
    file = Source.whole(photo)
    kind = _kind(file)
    if kind == "archive":
        return _open_archive(photo)
    if kind == "video":
        return _open_pair(_in_package(find_still(file)))
    still = read_still(photo, file=file)
    try:
        found = find_clip(still)
    except PairingError as error:
        if still.motion_facts.promises_clip:
            raise PairingError(
                f"{photo.name}: XMP says that a clip is inside, but there is none (it was probably"
                " lost in an edit or a transfer); copy the file again from the phone"
            ) from error
        raise
    if isinstance(found, EmbeddedClip):
        return _open_embedded(still, found)
    return _open_pair(_in_package(found))


def _kind(file: Source) -> FileKind:
    kind = file.kind
    if kind == "other":
        raise UnsupportedFileError(
            f"{file.name}: neither a picture nor a video that livemoments reads;"
            " expected JPEG, HEIC, PNG, MOV, MP4 or LIVP"
        )
    return kind


def _open_by_hand(path: Path, video: Path) -> LivePhoto:
    if not path.exists():
        raise MissingFileError(f"{path}: no such file")
    photo, source = Source.whole(path), Source.whole(video)
    for half, expected in ((photo, "still"), (source, "video")):
        if _kind(half) != expected:
            raise UnsupportedFileError(f"{half.name}: expected a {expected}, found something else")
    still = read_still(path, file=photo)
    pair = Pair(still=still, video=source, video_identifier=video_identifier(source))
    return _open_pair(pair, unpaired="pair-by-hand")


def _open_archive(path: Path) -> LivePhoto:
    package = unpack(path)
    still = read_still(path, package.still.data)
    identifier = video_identifier(package.video)
    pair = Pair(
        still=still,
        video=package.video,
        video_identifier=identifier,
        by_name=not (identifier and still_identifier(still)),
        package="livp",
        notes=package.notes,
    )
    return _open_pair(pair)


def _in_package(pair: Pair) -> Pair:
    """Add to the pair what is known of the folder it was found in."""
    path = pair.still.path
    if path is None or not in_pvt(path):
        return pair
    return replace(pair, package="pvt", notes=pvt_notes(path))


def _open_pair(pair: Pair, *, unpaired: str = "pair-by-name") -> LivePhoto:
    """Open two halves; `unpaired` is the kind, where no identifier says that they are a pair."""
    still = pair.still
    clip = open_clip(pair.video, still.colour)
    ids = {"still": still_identifier(still), "video": pair.video_identifier}
    identifiers = {half: identifier for half, identifier in ids.items() if identifier}
    kind = unpaired
    if same_identifier(ids["still"], ids["video"]):
        kind = "apple-pair" if still.identifier else "vivo-pair"
    track = still_image_time(clip.source, clip.movie) if clip.movie else None
    if kind == unpaired and not pair.by_name:
        track = None  # its time would be that of another still
        key = matched_key_time(still, clip)
    else:
        key = _pairs_key_time(kind, still, clip, track)
    transform, transform_notes = _transform(track, key, still, clip)
    return LivePhoto(
        still=still,
        clip=clip,
        key_time_s=key.time_s,
        key_time_source=key.source,
        kind=pair.package or kind,
        identifiers=identifiers,
        notes=(
            *pair.notes,
            *_pairing_notes(kind, identifiers, pair),
            *key.notes,
            *transform_notes,
            *unusual(still, clip),
        ),
        key_transform=transform,
    )


def _pairs_key_time(kind: str, still: Still, clip: Clip, track: StillImageTime | None) -> KeyTime:
    """Find the key time of halves that belong together."""
    stated = tail_times(video_tail(clip.source)) if track is None else ()
    if kind == "vivo-pair" or stated:
        return stated_key_time(still, clip, stated, where="the clip's tail")
    if kind == "apple-pair" or track is not None:
        return apple_key_time(still, clip, track)
    return matched_key_time(still, clip)


def _open_embedded(still: Still, embedded: EmbeddedClip) -> LivePhoto:
    clip = open_clip(embedded.source, still.colour)
    where = "the footer" if embedded.kind in ("huawei", "honor") else "XMP"
    key = stated_key_time(still, clip, embedded.stated, where)
    return LivePhoto(
        still=still,
        clip=clip,
        key_time_s=key.time_s,
        key_time_source=key.source,
        kind=vendor_form(embedded.kind, still.motion_facts, still.exif),
        identifiers={"still": still.identifier} if still.identifier else {},
        notes=(*embedded.notes, *key.notes, *unusual(still, clip)),
    )


def _transform(
    track: StillImageTime | None, key: KeyTime, still: Still, clip: Clip
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return Apple's homography between upright pictures, where it is there and can hold."""
    if track is None or track.transform is None or track.reference_size is None:
        return None, ()
    if key.source == MATCHED:
        return None, ("the stored still-image transform is for another time and is not used",)
    determinant = abs(np.linalg.det(track.transform))
    if min(track.reference_size) < 1 or not 1e-6 <= determinant < 1e6:
        return None, (UNUSABLE,)
    if not same_shape(still, clip):
        return None, ("the still was cropped or turned, so the stored transform is not used",)
    matrix = key_transform(
        track.transform,
        track.reference_size,
        clip.display,
        (clip.width, clip.height),
        (still.width, still.height),
    )
    return (matrix, ()) if np.isfinite(matrix).all() else (None, (UNUSABLE,))


def _pairing_notes(kind: str, identifiers: dict[str, str], pair: Pair) -> tuple[str, ...]:
    if kind in ("apple-pair", "vivo-pair"):
        return ()
    if len(identifiers) == 2:
        names = "still and video" if pair.package else f"{pair.still.name} and {pair.video.name}"
        how = f"by the {pair.package} package" if pair.package else "by hand"
        return (
            f"{names} ({identifiers['still']} and {identifiers['video']}) name different"
            f" Live Photos; paired {how} all the same",
        )
    if pair.package:
        return ()
    missing = (
        "neither half names"
        if not identifiers
        else ("the still does not name" if "video" in identifiers else "the video does not name")
    )
    how = "by hand" if kind == "pair-by-hand" else "by file name"
    return (f"{missing} its Live Photo (no content identifier); paired {how}",)
