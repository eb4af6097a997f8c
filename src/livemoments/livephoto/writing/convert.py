"""Convert a Live Photo from one maker's format to another's, without a loss where that can be.

The clip's pictures and sound are copied, and the key photo's time stays. The still's coded picture
is copied too where it stays a JPEG or a HEIC; its metadata stay but for what names the old format.
docs/sharing.md lists what stays and what is lost in each direction.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from livemoments.errors import InputError
from livemoments.livephoto.container.jpeg_edit import AttachedPicture
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.metadata.xmp_edit import as_packet
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.key_time import MATCHED
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.opening import open_live_photo
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.still.copied_metadata import exif_named, exif_named_in_jpeg, exif_unnamed
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.still_bytes import StillFile, read_still_file
from livemoments.livephoto.still.write import (
    FORMATS,
    JPEG_XMP_ROOM,
    EncodedPicture,
    Written,
    encode_picture,
)
from livemoments.livephoto.writing.apple import (
    apple_movie,
    check_live_photo_output,
    named_metadata,
    new_identifier,
    pack_apple,
)
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.motion_photo import (
    announced,
    check_motion_photo_output,
    gain_map_behind,
    pack_motion_photo,
)
from livemoments.livephoto.writing.motion_photo_plan import (
    Attachment,
    MotionPhotoPlan,
    plan_motion_photo,
)
from livemoments.livephoto.writing.motion_photo_xmp import EMPTY, packet_without_clip
from livemoments.livephoto.writing.targets import (
    STILL_FORMAT,
    bare_stem,
    format_called,
    format_of_source,
    place_for,
)
from livemoments.version import __version__

QUALITY = 95  # of a still that has to be encoded anew, on JPEG's scale


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """What convert_file wrote."""

    target: Format
    still: Path  # with its clip, unless that has a file of its own
    movie: Path | None  # the clip, if it is a file of its own
    size_bytes: int  # of all together
    key_time_s: float  # the key photo's time as it is stated now, seconds of the clip
    identifier: str | None  # Apple's content identifier, a new one; None for the other formats
    still_copied: bool  # whether the coded picture is the source's, byte for byte
    notes: tuple[str, ...]  # what was lost or changed, one sentence each

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "to": self.target.value,
            "still": str(self.still),
            "movie": str(self.movie) if self.movie else None,
            "bytes": self.size_bytes,
            "key_time_s": round(self.key_time_s, 6),
            "identifier": self.identifier,
            "still_copied": self.still_copied,
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return the same for people."""
        files = f"{self.still} and {self.movie}" if self.movie else str(self.still)
        how = "copied as they were" if self.still_copied else "copied, the still encoded anew"
        what = "still and clip" if self.still_copied else "clip"
        return [f"{files}: {what} {how}; key photo: {self.key_time_s:.3f} s", *self.notes]


def convert_file(
    path: Path,
    out: Path | None = None,
    *,
    to: str,
    video: Path | None = None,
    overwrite: bool = False,
) -> ConvertedFile:
    """Write a Live Photo in another maker's format; what `livemoments convert` does.

    Args:
        path: what open_live_photo opens.
        out: the still's file, whose suffix names its format; a folder; or None: next to `path`,
            under a name that galleries know.
        to: one of Format.
        video: the clip, where still and clip are paired by hand.
        overwrite: whether files that are there already may be replaced; inputs never are.

    Raises:
        InputError: the Live Photo cannot be read, or its clip cannot be copied.
        ConfigError: there is no such format.
        OutputError: it cannot be written where it was asked for; then nothing has changed.
    """
    wanted = format_called(to)
    live = open_live_photo(path, video)
    place = out
    if place is None or place.is_dir():
        place = place_for(live, bare_stem(live.path), out, wanted)
    if wanted is Format.APPLE:
        return _to_apple(live, place, overwrite)
    return _to_motion_photo(live, place, wanted, overwrite)


def with_other_clip(
    live: LivePhoto, clip: Clip, out: Path, *, overwrite: bool = False
) -> ConvertedFile:
    """Write a Live Photo with another clip in the place of its own, in the form that it has.

    Args:
        live: The source; its still is copied where `out` is of its format.
        clip: With the own one's times, such as rewrite_pictures makes.
        out: The still's file, .jpg or .heic.
        overwrite: Whether files that are there already may be replaced; inputs never are.

    Raises:
        InputError: The still cannot be taken apart, or the clip cannot be copied.
        OutputError: It cannot be written where it was asked for; then nothing has changed.
    """
    format = format_of_source(live)
    if format is Format.APPLE:
        return _to_apple(live, out, overwrite, clip)
    return _to_motion_photo(live, out, format, overwrite, clip)


def _to_apple(
    live: LivePhoto, out: Path, overwrite: bool, other: Clip | None = None
) -> ConvertedFile:
    inputs = live.files
    check_live_photo_output(out, overwrite=overwrite, inputs=inputs)
    identifier, copied = new_identifier(), _is_copied(live, out)
    moving = live if other is None else replace(live, clip=other)
    clip = apple_movie(moving, identifier=identifier, time_s=live.key_time_s, same_still=True)
    if copied:
        still = _copied_for_apple(read_still_file(live.still, live.clip.source), identifier)
    else:
        gain_map = read_gain_map(live.still).gain_map
        still = _encoded(
            live, out, lambda metadata: named_metadata(metadata, identifier, out), gain_map
        )
    done = pack_apple(live, clip, still, out, overwrite=overwrite, inputs=inputs)
    return _converted(live, done, copied)


def _copied_for_apple(file: StillFile, identifier: str) -> EncodedPicture:
    """Copy the still's file, with a name for its Live Photo and no words about a clip in it."""
    in_jpeg = file.format == "JPEG"
    exif, notes = (exif_named_in_jpeg if in_jpeg else exif_named)(file.exif, identifier)
    named = [each.item for each in file.attached if each.item]
    first = ContainerItem(mime="image/jpeg", semantic="Primary", length=0, padding=0)
    xmp = packet_without_clip(file.xmp, [first, *named] if named else ())
    if in_jpeg and xmp is not None and len(xmp) > JPEG_XMP_ROOM:
        xmp, notes = None, (*notes, "the XMP was left out: it does not fit in a JPEG any more")
    if not in_jpeg and xmp is None and file.xmp is not None:
        xmp = as_packet(EMPTY)  # the item stays, and says nothing
    data = file.with_metadata(exif=exif, xmp=xmp, attached=file.attached)
    return EncodedPicture(data=data + b"".join(each.data for each in file.attached), notes=notes)


def _to_motion_photo(
    live: LivePhoto, out: Path, format: Format, overwrite: bool, other: Clip | None = None
) -> ConvertedFile:
    inputs = live.files
    check_motion_photo_output(out, format, overwrite=overwrite, inputs=inputs)
    copied = _is_copied(live, out)
    file = read_still_file(live.still, live.clip.source) if copied else None
    placed = _placed(file, format) if file is not None else {}
    gain_map = read_gain_map(live.still).gain_map if file is None else None
    attached = [*placed.values(), *gain_map_behind(gain_map, out, format, QUALITY)]
    plan = plan_motion_photo(
        live, out, format, time_s=live.key_time_s, attachments=attached, same_picture=True,
        video=None if other is None else _bytes(other.source),
    )  # fmt: skip
    if file is not None:
        still = _copied_for_motion_photo(file, plan, list(placed))
    else:
        still = _encoded(live, out, plan.with_packet, gain_map, in_still=plan.heic)
        still = announced(still, plan, gain_map)
    done = pack_motion_photo(live, plan, still, out, overwrite=overwrite, inputs=inputs)
    return _converted(live, done, copied)


def _converted(live: LivePhoto, done: Written, copied: bool) -> ConvertedFile:
    """Describe what was written of a Live Photo."""
    target = format_called(done.format or "")
    return ConvertedFile(
        target=target,
        still=done.path,
        movie=done.movie,
        size_bytes=done.size_bytes,
        key_time_s=live.key_time_s if done.time_s is None else done.time_s,
        identifier=done.identifier,
        still_copied=copied,
        notes=(*_notes(live, target), *done.notes),
    )


def _placed(file: StillFile, format: Format) -> dict[AttachedPicture, Attachment]:
    """Return the pictures behind the still's own that a file of this format has a place for."""
    return {
        each: Attachment(semantic=each.item.semantic, data=each.data)
        for each in file.attached
        if each.item is not None and format == "google"
    }


def _copied_for_motion_photo(
    file: StillFile, plan: MotionPhotoPlan, placed: Sequence[AttachedPicture]
) -> EncodedPicture:
    """Copy the still's file, with words about the clip and none that name Apple's format."""
    exif = exif_unnamed(file.exif)
    metadata = plan.with_packet(CarriedMetadata(exif=exif or b"", xmp=file.xmp))
    notes = metadata.notes
    left_out = len(file.attached) - len(placed)
    if left_out:
        notes += (f"left out: {left_out} pictures behind the still, for which there is no place",)
    data = file.with_metadata(exif=exif, xmp=metadata.xmp, attached=placed)
    return EncodedPicture(data=data, notes=notes)


def _encoded(
    live: LivePhoto,
    out: Path,
    edit: Callable[[CarriedMetadata], CarriedMetadata],
    gain_map: GainMap | None,
    *,
    in_still: bool = True,
) -> EncodedPicture:
    """Encode the still anew in the suffix's format; its gain map may have another place."""
    still, wanted = live.still, STILL_FORMAT[FORMATS[out.suffix.lower()]]
    software = f"livemoments {__version__}: encoded anew as {wanted}"
    encoded = encode_picture(
        still.pixels(), out, still=still, software=software, quality=QUALITY, subsampling="4:2:0",
        time_shift_s=0.0, edit=edit, gain_map=gain_map if in_still else None,
    )  # fmt: skip
    notes = [f"the still was a {still.format} and was encoded anew as {wanted}, with a loss"]
    with suppress(InputError):  # what can be decoded may be too odd to be taken apart
        lost = read_still_file(still, live.clip.source).auxiliary()
        if gain_map is not None:
            lost = tuple(each for each in lost if "gainmap" not in each.lower())
        if lost:
            notes.append(f"left out with the old file: {', '.join(lost)}")
    return EncodedPicture(data=encoded.data, notes=(*notes, *encoded.notes))


def _bytes(source: Source) -> bytes:
    """Return a clip as it goes into a file again: as it was taken out, QuickTime or not."""
    with source.open() as stream:
        return stream.read()


def _is_copied(live: LivePhoto, out: Path) -> bool:
    return live.still.format == STILL_FORMAT.get(FORMATS[out.suffix.lower()])


def _notes(live: LivePhoto, target: Format) -> tuple[str, ...]:
    """Note what a user should know of this conversion."""
    notes: tuple[str, ...] = ()
    if live.key_time_source == MATCHED:
        notes = (
            f"the key photo's time, {live.key_time_s:.3f} s, is not stated in the source: it was"
            " found by comparing pictures, and is stated now",
        )
    path = live.still.path
    if target is not Format.SAMSUNG and path is not None and live.still.data is None:
        names = [block.name for block in read_trailer(Source.whole(path))]
        names = [name for name in names if not name.startswith("MotionPhoto")]
        if names:
            notes += (f"left out with Samsung's trailer: {', '.join(dict.fromkeys(names))}",)
    return notes
