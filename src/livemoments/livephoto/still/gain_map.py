"""Find the gain map that belongs to a still: Apple's in HEIC and JPEG, Ultra HDR's in JPEG.

A gain map that cannot be trusted in every number is left out with a reason: a picture without one
is right on every display, a picture with a wrong one is not.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, ImageOps

from livemoments.errors import DamagedFileError, InputError, UnsupportedFileError, first_line
from livemoments.livephoto.container.heif_items import HeifItems, item_bytes, read_items
from livemoments.livephoto.container.heif_tables import XMP_MIME
from livemoments.livephoto.container.jpeg_parts import (
    APP1,
    APP2,
    XMP_NAME,
    Segment,
    named,
    picture_end,
    segments,
)
from livemoments.livephoto.container.mpf import further_pictures
from livemoments.livephoto.container.source import FileSlice
from livemoments.livephoto.hdr.apple import APPLE_AUXILIARY, noted_headroom
from livemoments.livephoto.hdr.gain_map import MAX_HEADROOM, GainMap, check_gain_map, from_apple
from livemoments.livephoto.hdr.iso import NAMESPACE as ISO_NAME
from livemoments.livephoto.hdr.iso import VERSION as ISO_VERSION
from livemoments.livephoto.hdr.iso import GainMapNumbers, read_iso_metadata
from livemoments.livephoto.hdr.xmp import apple_words, has_hdr_version, read_hdrgm
from livemoments.livephoto.still.still import DECODER_FAULTS, Still, opened

LEAST_HEADROOM = 1.01  # below, the map brightens nothing
MAX_BYTES = 64 * 1024 * 1024  # of a gain map's own JPEG
MAX_XMP = 1024 * 1024
MAX_SIDE = 16_384
SAME_SHAPE = 0.03  # relative difference of width to height, against a map that lies on its side


@dataclass(frozen=True, kw_only=True)
class FoundGainMap:
    """A still's gain map, or why one that is there cannot be used; neither where there is none."""

    gain_map: GainMap | None = None
    reason: str | None = None


def read_gain_map(still: Still) -> FoundGainMap:
    """Read the gain map of a still; never raises on a damaged one."""
    if still.path is None or still.format not in ("HEIC", "JPEG"):
        return FoundGainMap()
    try:
        found = _in_heic(still) if still.format == "HEIC" else _in_jpeg(still)
        if found is None:
            return FoundGainMap()
        return FoundGainMap(gain_map=_fitting(check_gain_map(found), still))
    except InputError as error:
        return FoundGainMap(reason=str(error))


def _fitting(gain_map: GainMap, still: Still) -> GainMap:
    """Return the map once it is sure to be of the still's shape, upright like it."""
    shape = (gain_map.width / gain_map.height) / (still.width / still.height)
    if abs(shape - 1) > SAME_SHAPE or gain_map.width > still.width:
        raise UnsupportedFileError(
            f"its gain map is {gain_map.width} x {gain_map.height} pixels, the picture "
            f"{still.width} x {still.height}: they do not fit together"
        )
    return gain_map


def _in_heic(still: Still) -> GainMap | None:
    """Read Apple's auxiliary picture, which libheif turns upright like the still."""
    import pillow_heif

    try:
        file = pillow_heif.open_heif(still.path if still.data is None else io.BytesIO(still.data))
        numbers = file.info.get("aux", {}).get(APPLE_AUXILIARY, [])
        with still.source.open(bounded=True) as stream:
            items = read_items(stream, still.source.length)
            if not numbers:
                _refuse_other_kinds(items)
                return None
            words = _described(stream, items, numbers[0])
        picture = file.get_aux_image(numbers[0])
        if picture.mode != "L" or max(picture.size) > MAX_SIDE:
            raise UnsupportedFileError(f"its gain map is {picture.mode} {picture.size}, not read")
        values = np.asarray(picture)
    except InputError:
        raise
    except DECODER_FAULTS as error:
        raise DamagedFileError(f"its gain map cannot be decoded ({first_line(error)})") from error
    return _from_apple(still, values, words)


def _refuse_other_kinds(items: HeifItems) -> None:
    """Raise UnsupportedFileError where there is a gain map, but none that libheif hands out."""
    if any(item.type == b"tmap" for item in items.items.values()):
        raise UnsupportedFileError("its gain map is of another kind than Apple's, not read in HEIC")


def _described(stream: FileSlice, items: HeifItems, item_id: int) -> dict[str, str]:
    """Read what XMP says of an item in Apple's words."""
    words: dict[str, str] = {}
    for item in items.describing(item_id):
        if item.content_type == XMP_MIME:
            words |= apple_words(item_bytes(stream, item, MAX_XMP))
    return words


def _from_apple(still: Still, values: np.ndarray, words: dict[str, str]) -> GainMap | None:
    """Turn Apple's map into our convention; None where it brightens nothing."""
    if "HDRGainMapVersion" not in words:
        raise UnsupportedFileError("its gain map states no version; Apple's always do")
    headroom = _stated_headroom(words) or noted_headroom(still.exif)
    if headroom is None:
        raise DamagedFileError("nothing says how bright its gain map's white is")
    if headroom > MAX_HEADROOM * 1.001:  # rounded in the file
        raise DamagedFileError(f"its gain map's white is {headroom:.3g} times as bright as SDR's")
    if headroom < LEAST_HEADROOM:
        return None
    return from_apple(values.astype(np.float32) / np.float32(255), headroom)


def _stated_headroom(words: dict[str, str]) -> float | None:
    try:
        stated = float(words.get("HDRGainMapHeadroom", "")[:40])
    except ValueError:
        return None
    return stated if 1 <= stated <= MAX_HEADROOM else None


def _in_jpeg(still: Still) -> GainMap | None:
    """Read the first of the further pictures in the file that says that it is a gain map."""
    length = still.source.length
    with still.source.open(bounded=True) as stream:
        parts = list(segments(stream))
        for start, size in dict.fromkeys(_places(still, stream, parts, length)):
            own = list(segments(stream, start)) if 0 < start < length else []
            if not own:
                continue
            stream.seek(start)
            data = stream.read(min(size, MAX_BYTES))
            found = _from_picture(still, own, data)
            if found is not None:
                return found
    if has_hdr_version(still.xmp):
        raise DamagedFileError("its gain map is not where the file says")
    return None


def _places(
    still: Still, stream: FileSlice, parts: list[Segment], length: int
) -> Iterator[tuple[int, int]]:
    """Yield where further pictures may be, and how long: by MPF, by the directory, by sight."""
    yield from further_pictures(parts)
    end = picture_end(stream, length)
    if end is None:
        return
    at = end
    for item in still.motion_facts.items:
        if item.semantic == "GainMap" and item.length > 0:
            yield at, item.length
        at += max(0, item.length) + max(0, item.padding) if item.semantic != "Primary" else 0
        at += max(0, item.padding) if item.semantic == "Primary" else 0
    yield end, length - end


def _from_picture(still: Still, parts: list[Segment], data: bytes) -> GainMap | None:
    """Read a further picture as a gain map; None where it is something else."""
    xmp = named(parts, APP1, XMP_NAME)
    words = apple_words(xmp)
    numbers = _numbers(named(parts, APP2, ISO_NAME), xmp)
    if numbers is None and "HDRGainMapVersion" not in words:
        return None
    values = _upright_values(still, data)
    if numbers is None:
        if values.ndim == 3:
            raise UnsupportedFileError("its gain map is in colour; Apple's is not")
        return _from_apple(still, values, apple_words(still.xmp) | words)
    own = {name: value for name, value in vars(numbers).items() if name != "base_colours"}
    gain_map = GainMap(values=values.astype(np.float32) / np.float32(255), **own)
    # The same factor for red, green and blue is the same in every space of their primaries.
    if not numbers.base_colours and (values.ndim == 3 or not gain_map.channels_equal):
        raise UnsupportedFileError("its gain map is for colours of another space, not read")
    return gain_map


def _numbers(iso: bytes | None, xmp: bytes | None) -> GainMapNumbers | None:
    """Read ISO 21496-1's numbers where possible, else XMP's, which say the same."""
    if iso is None or len(iso) <= len(ISO_VERSION):
        return read_hdrgm(xmp)
    try:
        return read_iso_metadata(iso)
    except DamagedFileError:
        found = read_hdrgm(xmp)
        if found is None:
            raise
        return found


def _upright_values(still: Still, data: bytes) -> np.ndarray:
    """Decode a gain map's JPEG: uint8 h x w or h x w x 3, turned as the still is."""
    if still.path is None:
        raise DamagedFileError("its gain map has no file")
    try:
        with opened(still.path, data) as image:
            if max(image.size) > MAX_SIDE:
                raise UnsupportedFileError(f"its gain map is {image.width} x {image.height} pixels")
            plane = image if image.mode == "L" else image.convert("RGB")
            # Its own orientation, if it states one, is not heeded: the picture's counts for both.
            plane.getexif()[ExifTags.Base.Orientation] = still.orientation
            return np.asarray(ImageOps.exif_transpose(plane))
    except DamagedFileError as error:
        raise DamagedFileError("its gain map is truncated or damaged") from error
