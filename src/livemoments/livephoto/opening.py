"""Opening a Live Photo or Motion Photo, however it is stored."""

from os import PathLike
from pathlib import Path

import numpy as np

from livemoments.errors import MissingFileError, PairingError, UnsupportedFileError
from livemoments.livephoto.apple import StillImageTime, key_transform, still_image_time
from livemoments.livephoto.key_time import (
    MATCHED,
    KeyTime,
    apple_key_time,
    embedded_key_time,
    matched_key_time,
)
from livemoments.livephoto.live_photo import LivePhoto, same_shape, unusual
from livemoments.livephoto.motion_photo import EmbeddedClip, find_embedded_clip
from livemoments.livephoto.pairing import (
    Pair,
    find_still,
    find_video,
    resolve,
    same_identifier,
    video_identifier,
)
from livemoments.livephoto.source import Source, sniff
from livemoments.livephoto.still import Still, read_still
from livemoments.livephoto.video import Clip, open_clip
from livemoments.livephoto.xmp import MotionFacts, parse_motion_facts


def open_live_photo(
    path: str | PathLike[str], video: str | PathLike[str] | None = None
) -> LivePhoto:
    """Open a Live Photo.

    Args:
        path: A motion photo; either half of an Apple pair; the two halves' common name without
            an extension; or a folder that holds exactly one Live Photo.
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
    if _kind(photo) == "video":
        return _open_pair(find_still(photo))
    still = read_still(photo)
    facts = parse_motion_facts(still.xmp)
    embedded = find_embedded_clip(Source.whole(photo), facts)
    if embedded is not None:
        return _open_embedded(still, embedded, facts)
    try:
        return _open_pair(find_video(still))
    except PairingError as error:
        if facts.motion_photo or facts.micro_video:
            raise PairingError(
                f"{photo.name}: XMP says that a clip is inside, but there is none (it was probably"
                " lost in an edit or a transfer); copy the file again from the phone"
            ) from error
        raise


def _kind(path: Path) -> str:
    kind = sniff(path)
    if kind == "other":
        raise UnsupportedFileError(
            f"{path.name}: neither a picture nor a video that livemoments reads;"
            " expected JPEG, HEIC, PNG, MOV or MP4"
        )
    return kind


def _open_by_hand(path: Path, video: Path) -> LivePhoto:
    if not path.exists():
        raise MissingFileError(f"{path}: no such file")
    for half, expected in ((path, "still"), (video, "video")):
        if _kind(half) != expected:
            raise UnsupportedFileError(f"{half.name}: expected a {expected}, found something else")
    still = read_still(path)
    return _open_pair(
        Pair(still=still, video=video, video_identifier=video_identifier(video)), by_hand=True
    )


def _open_pair(pair: Pair, *, by_hand: bool = False) -> LivePhoto:
    still = pair.still
    clip = open_clip(Source.whole(pair.video), still.colour)
    ids = {"still": still.identifier, "video": pair.video_identifier}
    identifiers = {half: identifier for half, identifier in ids.items() if identifier}
    paired = same_identifier(still.identifier, pair.video_identifier)
    kind = "apple-pair" if paired else "pair-by-hand" if by_hand else "pair-by-name"
    track = still_image_time(clip.source, clip.movie) if clip.movie else None
    if paired or (pair.by_name and track is not None):
        key = apple_key_time(still, clip, track)
    else:
        track, key = None, matched_key_time(still, clip)
    transform, transform_notes = _transform(track, key, still, clip)
    return LivePhoto(
        still=still,
        clip=clip,
        key_time_s=key.time_s,
        key_time_source=key.source,
        kind=kind,
        identifiers=identifiers,
        notes=(
            *_pairing_notes(kind, identifiers, pair),
            *key.notes,
            *transform_notes,
            *unusual(still, clip),
        ),
        key_transform=transform,
    )


def _open_embedded(still: Still, embedded: EmbeddedClip, facts: MotionFacts) -> LivePhoto:
    clip = open_clip(embedded.source, still.colour)
    key = embedded_key_time(still, clip, facts)
    return LivePhoto(
        still=still,
        clip=clip,
        key_time_s=key.time_s,
        key_time_source=key.source,
        kind=embedded.kind,
        identifiers={"still": still.identifier} if still.identifier else {},
        notes=(*embedded.notes, *key.notes, *unusual(still, clip)),
    )


def _transform(
    track: StillImageTime | None, key: KeyTime, still: Still, clip: Clip
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Apple's homography between upright pictures, where it is there and can hold."""
    if track is None or track.transform is None or track.reference_size is None:
        return None, ()
    if key.source == MATCHED:
        return None, ("the stored still-image transform is for another time and is not used",)
    if min(track.reference_size) < 1 or abs(np.linalg.det(track.transform)) < 1e-6:
        return None, ("the stored still-image transform is unusable",)
    if not same_shape(still, clip):
        return None, ("the still was cropped or turned, so the stored transform is not used",)
    matrix = key_transform(
        track.transform,
        track.reference_size,
        clip.display,
        (clip.width, clip.height),
        (still.width, still.height),
    )
    return matrix, ()


def _pairing_notes(kind: str, identifiers: dict[str, str], pair: Pair) -> tuple[str, ...]:
    if kind == "apple-pair":
        return ()
    if len(identifiers) == 2:
        return (
            f"{pair.still.name} ({identifiers['still']}) and {pair.video.name}"
            f" ({identifiers['video']}) name different Live Photos; paired by hand all the same",
        )
    missing = (
        "neither half names"
        if not identifiers
        else ("the still does not name" if "video" in identifiers else "the video does not name")
    )
    how = "by hand" if kind == "pair-by-hand" else "by file name"
    return (f"{missing} its Live Photo (no content identifier); paired {how}",)
