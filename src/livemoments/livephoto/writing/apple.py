"""Write a restored moment back as a new Apple Live Photo: a still, and its clip as a MOV.

The clip's pictures, sound and timed metadata are copied bit for bit. New are: the content
identifier that both halves share, so that the new pair is not taken for the old one, and the time
at which the still was taken.
"""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.errors import ConfigError, OutputError, UnsupportedFileError
from livemoments.files import atomic_pair, check_output
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.metadata.apple_note import exif_with_identifier
from livemoments.livephoto.movie.brand import movie_as_mov
from livemoments.livephoto.movie.edit import Movie, naming_damage
from livemoments.livephoto.movie.keys import CONTENT_IDENTIFIER
from livemoments.livephoto.movie.tables import edits, fit_header, set_edits
from livemoments.livephoto.reading.apple import TRANSFORM
from livemoments.livephoto.reading.key_time import APPLE
from livemoments.livephoto.reading.live_photo import SHAPE_TOLERANCE, LivePhoto
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.write import (
    FORMATS,
    JPEG_EXIF_ROOM,
    EncodedPicture,
    Subsampling,
    Written,
    check_picture_output,
    encode_picture,
    without_maker_note,
)
from livemoments.livephoto.writing.apple_track import set_movie_text, set_still_time, still_keys
from livemoments.livephoto.writing.format import Format

IDENTIFIER = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
STILL_FORMATS = ("JPEG", "HEIF")
TICK_S = 1 / 600  # how long a still is shown


@dataclass(frozen=True, kw_only=True)
class AppleMovie:
    """A clip as half of a Live Photo, ready to be written."""

    movie: Movie
    identifier: str  # the content identifier that it names
    time_s: float  # the still's time as it states it, seconds
    notes: tuple[str, ...] = ()  # what is unusual about it, one sentence each


def write_apple(
    live: LivePhoto,
    image: np.ndarray,
    still_out: Path,
    *,
    time_s: float,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    identifier: str | None = None,
    gain_map: GainMap | None = None,
) -> Written:
    """Write a restored moment and its clip as a Live Photo; both files appear, or neither.

    The picture is upright RGB, H x W x 3, of the whole frame's view, in the still's colour space.
    Without an identifier, the pair gets a new one. All else is as for write_picture (software,
    quality, subsampling, gain_map), apple_movie (live, time_s, identifier) and pack_apple
    (still_out, overwrite, inputs), and so are the errors.
    """
    still_out = Path(still_out)
    protected = [*inputs, *live.files]
    check_live_photo_output(still_out, overwrite=overwrite, inputs=protected)
    identifier = new_identifier() if identifier is None else identifier
    clip = apple_movie(live, identifier=identifier, time_s=time_s)
    encoded = encode_picture(
        image, still_out, still=live.still, software=software, quality=quality,
        subsampling=subsampling, time_shift_s=time_s - live.key_time_s,
        edit=lambda metadata: named_metadata(metadata, identifier, still_out), gain_map=gain_map,
    )  # fmt: skip
    clip = replace(clip, notes=(*clip.notes, *_shape_notes(image, live)))
    return pack_apple(live, clip, encoded, still_out, overwrite=overwrite, inputs=protected)


def pack_apple(
    live: LivePhoto,
    clip: AppleMovie,
    still: EncodedPicture,
    still_out: Path,
    *,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> Written:
    """Write a Live Photo whose halves are ready; both files appear, or neither.

    Args:
        live: The source, whose own files are never replaced.
        clip: The clip, which names the Live Photo.
        still: The still's file, which names the same.
        still_out: .heic, .heif, .jpg or .jpeg; the clip gets the same name with .mov, in capitals
            where this suffix is.
        overwrite: Whether files that are there already may be replaced.
        inputs: Other files that are never replaced.

    Raises:
        OutputError: A path is refused or cannot be written; then neither file has changed.
    """
    movie_out, protected = movie_path(still_out), [*inputs, *live.files]
    files = atomic_pair(movie_out, still_out, overwrite=overwrite, inputs=protected)
    with files as (movie_file, still_file):
        still_file.write_bytes(still.data)
        with movie_file.open("wb") as stream:
            movie_bytes = clip.movie.write(stream)
    return Written(
        path=still_out,
        movie=movie_out,
        format=Format.APPLE,
        size_bytes=len(still.data) + movie_bytes,
        identifier=clip.identifier,
        time_s=clip.time_s,
        notes=(*still.notes, *clip.notes),
    )


def apple_movie(
    live: LivePhoto, *, identifier: str, time_s: float, same_still: bool = False
) -> AppleMovie:
    """Make a Live Photo's clip half of a new one, still in memory.

    Args:
        live: Where the clip is from; what is no MOV becomes one.
        identifier: The content identifier, a UUID in capitals.
        time_s: When the still was taken, seconds of the clip; what lies past its last frame means
            that frame.
        same_still: Whether the still is the source's own: then a stored transform still holds.

    Raises:
        ConfigError: The identifier is no UUID in capitals.
        InputError: The clip cannot be copied.
        MomentError: The time lies outside the clip.
    """
    if not IDENTIFIER.fullmatch(identifier):
        raise ConfigError(f"a content identifier is a UUID in capitals, got {identifier!r}")
    clip = live.clip
    if clip.movie is None:
        raise UnsupportedFileError(
            f"{clip.source.name}: only a MOV or MP4 can become half of a Live Photo"
        )
    clip.nearest_index(time_s, latest_s=live.key_time_s)
    latest_s = max(clip.times_s[-1], clip.duration_s - TICK_S)
    converted = movie_as_mov(clip.source)
    with naming_damage(clip.source):
        stored_s = time_s
        if not (same_still and live.key_time_source == APPLE and _keep_track(converted.movie)):
            stored_s = set_still_time(converted.movie, min(max(0.0, time_s), latest_s))
        set_movie_text(converted.movie.moov, CONTENT_IDENTIFIER, identifier)
    notes = converted.notes
    if time_s > latest_s + TICK_S:
        notes += (
            f"the moment at {time_s:.3f} s lies past the clip's end; {stored_s:.3f} s is stated",
        )
    return AppleMovie(movie=converted.movie, identifier=identifier, time_s=stored_s, notes=notes)


def check_live_photo_output(
    still_out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> None:
    """Raise OutputError where write_apple would refuse the path; for a look before long work.

    Args:
        still_out: Where the still shall be.
        overwrite: Whether files that are there already may be replaced.
        inputs: Files that are never replaced.
    """
    check_picture_output(still_out, overwrite=overwrite, inputs=inputs)
    if FORMATS[still_out.suffix.lower()] not in STILL_FORMATS:
        raise OutputError(f"{still_out}: a Live Photo's still is a HEIC or a JPEG; end it so")
    check_output(movie_path(still_out), overwrite=overwrite, inputs=inputs)


def movie_path(still: Path) -> Path:
    """Return where the clip of a Live Photo with this still lies."""
    return still.with_suffix(".MOV" if still.suffix.isupper() else ".mov")


def new_identifier() -> str:
    """Return a new content identifier: a random UUID in capitals."""
    return str(uuid.uuid4()).upper()


def named_metadata(metadata: CarriedMetadata, identifier: str, path: Path) -> CarriedMetadata:
    """Add a maker note that names the Live Photo to the metadata of a picture that is encoded anew.

    path is where the picture will be: a JPEG has little room.
    """
    exif, notes = exif_with_identifier(metadata.exif, identifier)
    if FORMATS[path.suffix.lower()] == "JPEG" and len(exif) > JPEG_EXIF_ROOM:
        exif, notes = exif_with_identifier(without_maker_note(metadata.exif), identifier)
        notes += ("the maker note was left out but for the identifier: it does not fit in a JPEG",)
    return replace(metadata, exif=exif, notes=(*metadata.notes, *notes))


def _keep_track(movie: Movie) -> bool:
    """Keep a still-image-time track that has a transform; False where there is none to keep."""
    found = [track for track in movie.tracks if TRANSFORM in still_keys(track).values()]
    for track in found:
        set_edits(track, edits(track))
    fit_header(movie.moov)
    return bool(found)


def _shape_notes(image: np.ndarray, live: LivePhoto) -> tuple[str, ...]:
    """Note where the picture has another shape than its clip."""
    height, width = image.shape[:2]
    if abs(width / height / (live.clip.width / live.clip.height) - 1) <= SHAPE_TOLERANCE:
        return ()
    return (
        f"the picture ({width} x {height}) has another shape than the clip"
        f" ({live.clip.width} x {live.clip.height}); Photos will show a jump between them",
    )
