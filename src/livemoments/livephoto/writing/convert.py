"""Convert a Live Photo of one maker's format to another's, without a loss where that can be.

The clip's pictures and sound are copied, the key photo's time is kept. The still's coded picture
is copied too where it stays a JPEG or a HEIC; its metadata are kept but for what names the old
format. docs/sharing.md says what is kept and lost in each direction.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from livemoments.errors import InputError
from livemoments.livephoto.container.extended_xmp import (
    extension_segments,
    names_extension,
    stored_extension,
    without_extension,
)
from livemoments.livephoto.container.jpeg_edit import split_jpeg
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.metadata.xmp_edit import parse_packet
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.key_time import MATCHED
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.reading.opening import open_live_photo
from livemoments.livephoto.reading.samsung import read_trailer
from livemoments.livephoto.still.encode import FORMATS, EncodedPicture, encode_picture
from livemoments.livephoto.still.gain_map import read_gain_map
from livemoments.livephoto.still.still_bytes import StillFile, read_still_file
from livemoments.livephoto.writing.format import Format, Place, Written, format_called
from livemoments.livephoto.writing.live_photo import plan_live_photo
from livemoments.livephoto.writing.motion_photo_xmp import packet_without_clip, speaks_of_clip
from livemoments.livephoto.writing.picture import PicturePlan
from livemoments.livephoto.writing.place import (
    STILL_FORMAT,
    bare_stem,
    check_place,
    format_of_source,
    path_for,
)
from livemoments.version import __version__

QUALITY = 95  # of a still that has to be encoded anew, on JPEG's scale


def convert_file(
    path: Path,
    out: Path | None = None,
    *,
    to: str,
    video: Path | None = None,
    overwrite: bool = False,
) -> Written:
    """Write a Live Photo in another maker's format; what the command line does.

    Args:
        path: What open_live_photo opens.
        out: The still's file, whose suffix names its format; a folder; or None: next to `path`,
            under a name that galleries know.
        to: A name of Format.
        video: The clip, where still and clip are paired by hand.
        overwrite: Whether files that are there already may be replaced; inputs never are.

    Raises:
        InputError: The Live Photo cannot be read, or its clip cannot be copied.
        ConfigError: There is no such format.
        OutputError: It cannot be written where it was asked for; then nothing has changed.
    """
    file_format = format_called(to)
    live = open_live_photo(path, video)
    if out is None or out.is_dir():
        out = path_for(live, bare_stem(live.path), out, file_format)
    return _convert(live, out, file_format, overwrite=overwrite)


def with_other_clip(live: LivePhoto, clip: Clip, out: Path, *, overwrite: bool = False) -> Written:
    """Write a Live Photo with another clip in the place of its own, in the format that it has.

    Args:
        live: The source; its still is copied where `out` is of its format.
        clip: With the own one's times, such as rewrite_pictures makes.
        out: The still's file, .jpg or .heic.
        overwrite: Whether files that are there already may be replaced; inputs never are.

    Raises:
        InputError: The still cannot be taken apart, or the clip cannot be copied.
        OutputError: It cannot be written where it was asked for; then nothing has changed.
    """
    return _convert(live, out, format_of_source(live), overwrite=overwrite, clip=clip)


def _convert(
    live: LivePhoto, out: Path, file_format: Format, *, overwrite: bool, clip: Clip | None = None
) -> Written:
    place = check_place(out, file_format, overwrite=overwrite, inputs=live.files)
    still = live.still
    copied = still.format == _still_format(place)
    file: StillFile | None = None
    words_lost: tuple[str, ...] = ()
    if copied:
        file, words_lost = _without_old_words(read_still_file(still, live.clip.source))
    gain_map = None if copied else read_gain_map(still).gain_map
    plan = plan_live_photo(
        live, place, time_s=live.key_time_s, file=file, gain_map=gain_map,
        quality=QUALITY, clip=clip,
    )  # fmt: skip
    encoded = plan.copy(file) if file is not None else _encoded(live, plan, gain_map)
    written = plan.write(encoded)
    notes = (*_notes(live, place), *words_lost, *written.notes)
    return replace(written, still_copied=copied, notes=notes)


def _without_old_words(file: StillFile) -> tuple[StillFile, tuple[str, ...]]:
    """Remove words about a clip from the extension of a JPEG's XMP: the new ones stand elsewhere.

    Other extensions stay, byte for byte. Returns notes too.
    """
    if file.format != "JPEG" or file.xmp is None or not names_extension(file.xmp):
        return file, ()
    words = file.extension or stored_extension(split_jpeg(file.data).segments)
    if not speaks_of_clip(words):
        return file, ()
    readable = file.extension is not None and parse_packet(file.extension) is not None
    left = packet_without_clip(file.extension) if readable else None
    if readable and left == file.extension:
        return file, ()
    if left is not None:
        xmp, segments = extension_segments(left, file.xmp)
        return replace(file, xmp=xmp, new_extension=segments), ()
    notes: tuple[str, ...] = ()
    if not readable:
        notes = ("the extended XMP was left out: it speaks of the old clip and cannot be edited",)
    return replace(file, xmp=without_extension(file.xmp), new_extension=()), notes


def _still_format(place: Place) -> str:
    """Return the format of the still, as its suffix names it."""
    return STILL_FORMAT[FORMATS[place.path.suffix.lower()]]


def _encoded(live: LivePhoto, plan: PicturePlan, gain_map: GainMap | None) -> EncodedPicture:
    """Encode the still anew, in the format of the new file's suffix."""
    still, wanted = live.still, _still_format(plan.place)
    encoded = encode_picture(
        still.pixels(), plan.place.path, still=still, quality=QUALITY, edit=plan.edit,
        software=f"livemoments {__version__}: encoded anew as {wanted}",
        gain_map=gain_map if plan.gain_map_in_still else None,
    )  # fmt: skip
    notes = [f"the still was a {still.format} and was encoded anew as {wanted}, with a loss"]
    with suppress(InputError):  # what can be decoded may be too odd to be taken apart
        lost = read_still_file(still, live.clip.source).auxiliary()
        if gain_map is not None:
            lost = tuple(each for each in lost if "gainmap" not in each.lower())
        if lost:
            notes.append(f"left out with the old file: {', '.join(lost)}")
    return plan.finish(replace(encoded, notes=(*notes, *encoded.notes)), gain_map)


def _notes(live: LivePhoto, place: Place) -> tuple[str, ...]:
    """Return what is to be known of any conversion of this Live Photo."""
    notes = live.still.notes
    if live.key_time_source == MATCHED:
        notes += (
            f"the key photo's time, {live.key_time_s:.3f} s, is not stated in the source: it was"
            " found by comparing pictures, and is stated now",
        )
    path = live.still.path
    if place.format != Format.SAMSUNG and path is not None and live.still.data is None:
        names = [block.name for block in read_trailer(Source.whole(path))]
        names = [name for name in names if not name.startswith("MotionPhoto")]
        if names:
            notes += (f"left out with Samsung's trailer: {', '.join(dict.fromkeys(names))}",)
    return notes
