"""Write an Apple Live Photo: a still, and the clip next to it.

The clip's pictures, sound and timed metadata are copied bit for bit. New are: the content
identifier that both halves share, so that the new pair is not taken for the old one, and the time
at which the still was taken.
"""

import re
import uuid
from dataclasses import dataclass, replace

from livemoments.errors import ConfigError, UnsupportedFileError
from livemoments.files import atomic_pair
from livemoments.livephoto.metadata.apple_note import exif_with_identifier
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.metadata.xmp_edit import as_packet
from livemoments.livephoto.movie.brand import movie_as_mov
from livemoments.livephoto.movie.edit import Movie, naming_damage
from livemoments.livephoto.movie.keys import CONTENT_IDENTIFIER
from livemoments.livephoto.movie.tables import edits, fit_header, set_edits
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.apple import TRANSFORM
from livemoments.livephoto.reading.key_time import APPLE
from livemoments.livephoto.reading.live_photo import SHAPE_TOLERANCE, LivePhoto
from livemoments.livephoto.still.copied_metadata import exif_named, exif_named_in_jpeg
from livemoments.livephoto.still.encode import (
    FORMATS,
    JPEG_EXIF_ROOM,
    JPEG_XMP_ROOM,
    EncodedPicture,
    without_maker_note,
)
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.still_bytes import StillFile
from livemoments.livephoto.writing.apple_track import set_movie_text, set_still_time, still_keys
from livemoments.livephoto.writing.format import Place, Written
from livemoments.livephoto.writing.motion_photo_xmp import EMPTY, packet_without_clip
from livemoments.livephoto.writing.picture import PicturePlan
from livemoments.livephoto.writing.place import movie_path

IDENTIFIER = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}")
TICK_S = 1 / 600  # how long a still is shown


@dataclass(frozen=True, kw_only=True)
class ApplePlan(PicturePlan):
    """An Apple Live Photo ready to be written, but for its still."""

    movie: Movie
    identifier: str  # the content identifier that both halves name
    time_s: float  # the still's time as the clip states it, seconds

    def edit(self, metadata: CarriedMetadata) -> CarriedMetadata:
        """Return the metadata with a maker note that names the Live Photo."""
        exif, notes = exif_with_identifier(metadata.exif, self.identifier)
        is_jpeg = FORMATS[self.place.path.suffix.lower()] == "JPEG"
        if is_jpeg and len(exif) > JPEG_EXIF_ROOM:
            exif, notes = exif_with_identifier(without_maker_note(metadata.exif), self.identifier)
            notes += (
                "the maker note was left out but for the identifier: it does not fit in a JPEG",
            )
        return replace(metadata, exif=exif, notes=(*metadata.notes, *notes))

    def copy(self, file: StillFile) -> EncodedPicture:
        """Return a still's file with a name for its Live Photo, and no words about a clip in it."""
        in_jpeg = file.format == "JPEG"
        exif, notes = (exif_named_in_jpeg if in_jpeg else exif_named)(file.exif, self.identifier)
        named = [each.item for each in file.attached if each.item]
        first = ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=0)
        xmp = packet_without_clip(file.xmp, [first, *named] if named else ())
        if in_jpeg and xmp is not None and len(xmp) > JPEG_XMP_ROOM:
            xmp, notes = None, (*notes, "the XMP was left out: it does not fit in a JPEG any more")
        if not in_jpeg and xmp is None and file.xmp is not None:
            xmp = as_packet(EMPTY)  # a HEIC's item of XMP cannot be removed, only emptied
        data = file.with_metadata(exif=exif, xmp=xmp, attached=file.attached)
        return EncodedPicture(
            data=data + b"".join(each.data for each in file.attached), notes=notes
        )

    def write(self, still: EncodedPicture) -> Written:
        """Write both files, or neither.

        Raises:
            OutputError: They cannot be written; then neither has changed.
        """
        place, movie = self.place, movie_path(self.place.path)
        files = atomic_pair(movie, place.path, overwrite=place.overwrite, inputs=place.inputs)
        with files as (movie_file, still_file):
            still_file.write_bytes(still.data)
            with movie_file.open("wb") as stream:
                movie_bytes = self.movie.write(stream)
        return Written(
            path=place.path,
            movie=movie,
            format=place.format,
            size_bytes=len(still.data) + movie_bytes,
            key_time_s=self.time_s,
            identifier=self.identifier,
            notes=(*still.notes, *self.notes),
        )


def plan_apple(
    live: LivePhoto,
    place: Place,
    *,
    time_s: float,
    size: tuple[int, int] | None = None,
    clip: Clip | None = None,
    identifier: str | None = None,
) -> ApplePlan:
    """Prepare all of an Apple Live Photo but its still.

    Args:
        live: The source; a clip that is no MOV becomes one.
        place: Where the new one goes.
        time_s: When the still was taken, seconds of the clip; what lies past its last frame means
            that frame.
        size: Width and height of a new picture; None: the still is the source's own, for which a
            stored transform still holds.
        clip: In the place of the source's own, with its times.
        identifier: A UUID in capitals; None: a new one.

    Raises:
        ConfigError: The identifier is no UUID in capitals.
        InputError: The clip cannot be copied.
        MomentError: The time lies outside the clip.
    """
    identifier = str(uuid.uuid4()).upper() if identifier is None else identifier
    if not IDENTIFIER.fullmatch(identifier):
        raise ConfigError(f"a content identifier is a UUID in capitals, got {identifier!r}")
    clip = live.clip if clip is None else clip
    if clip.movie is None:
        raise UnsupportedFileError(
            f"{clip.source.name}: only a MOV or MP4 can become half of a Live Photo"
        )
    clip.nearest_index(time_s, latest_s=live.key_time_s)
    latest_s = max(clip.times_s[-1], clip.duration_s - TICK_S)
    converted = movie_as_mov(clip.source)
    with naming_damage(clip.source):
        stored_s = time_s
        of_apple = size is None and live.key_time_source == APPLE
        if not (of_apple and _has_transform(converted.movie)):
            stored_s = set_still_time(converted.movie, min(max(0.0, time_s), latest_s))
        set_movie_text(converted.movie.moov, CONTENT_IDENTIFIER, identifier)
    notes = converted.notes
    if time_s > latest_s + TICK_S:
        notes += (
            f"the moment at {time_s:.3f} s lies past the clip's end; {stored_s:.3f} s is stated",
        )
    return ApplePlan(
        place=place,
        movie=converted.movie,
        identifier=identifier,
        time_s=stored_s,
        notes=notes + _shape_notes(size, clip),
    )


def _has_transform(movie: Movie) -> bool:
    """Return whether a still-image-time track has a transform, and fit the header to such ones."""
    found = [track for track in movie.tracks if TRANSFORM in still_keys(track).values()]
    for track in found:
        set_edits(track, edits(track))
    fit_header(movie.moov)
    return bool(found)


def _shape_notes(size: tuple[int, int] | None, clip: Clip) -> tuple[str, ...]:
    """Note that a new picture has another shape than the clip."""
    width, height = size or (clip.width, clip.height)
    if abs(width / height / (clip.width / clip.height) - 1) <= SHAPE_TOLERANCE:
        return ()
    return (
        f"the picture ({width} x {height}) has another shape than the clip"
        f" ({clip.width} x {clip.height}); Photos will show a jump between them",
    )
