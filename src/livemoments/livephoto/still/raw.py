"""Recognise raw photos, and take out the full-size preview that may serve as key photo.

A raw photo holds what the sensor saw, which livemoments does not develop. Most hold previews too,
JPEGs that the camera developed, from thumbnails up to the whole picture. Only a preview of about
the raw picture's size serves, or one far larger than any clip: a thumbnail would be worse than
the frames that it is meant to help.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from livemoments.errors import DamagedFileError, UnsupportedFileError
from livemoments.livephoto.container.jpeg_edit import split_jpeg, with_metadata
from livemoments.livephoto.container.jpeg_parts import MOST_PAYLOAD, START, segments
from livemoments.livephoto.container.source import (
    HEAD_BYTES,
    RAW_SUFFIXES,
    ByteStream,
    Source,
    raw_mark,
)
from livemoments.livephoto.container.tiff import (
    DETAILS,
    GPS,
    Directory,
    directory_at,
    read_directories,
    tiff_bytes,
)
from livemoments.livephoto.metadata.apple_note import is_apple_note
from livemoments.livephoto.metadata.exif import MAKER_NOTE, ORIENTATION

PLAIN_TIFF = (b"II*\0", b"MM\0*")
WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC = 0x0100, 0x0101, 0x0103, 0x0106
STRIPS, STRIP_SIZES = 0x0111, 0x0117
JPEG_START, JPEG_LENGTH = 0x0201, 0x0202
XMP_PACKET = 0x02BC
DNG_VERSION, CROP_SIZE, PREVIEW_COLOUR = 0xC612, 0xC620, 0xC71A
PANASONIC_JPEG = 0x002E
INTEROPERABILITY = 0xA005  # a pointer, whose directory does not come along
MOSAIC, LINEAR_RAW = 32803, 34892  # photometric interpretations of a sensor's values
COLOURED = (0, 2, 6)  # of previews: unstated, RGB, YCbCr; masks of skin and sky have others
# Compressions of makers: Sony, Samsung, Nikon, Kodak, Pentax.
RAW_COMPRESSIONS = {32767, 32770, 34713, 65000, 65535}
JPEGS = {6, 7}  # compressions
ADOBE_RGB, PROPHOTO = 3, 4  # of PREVIEW_COLOUR
FUJI_JPEG = 84  # where a RAF states first byte and length of its preview
FRAME_HEADERS = (0xC0, 0xC1, 0xC2)  # of JPEGs that show a picture; raw data is of other kinds
# Of the main directory: description, make, model, turn, resolution, software, date, artist, rights.
CARRIED = (0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)
MAX_PREVIEW = 128 * 1024 * 1024
MOST_EXIF = MOST_PAYLOAD - 6  # what a JPEG has room for

ABOUT_FULL = 0.9  # of the raw picture's longer side
FAR_LARGER = 3840  # pixels of the longer side: twice those of phones' clips


@dataclass(frozen=True, kw_only=True)
class RawPreview:
    """The preview of a raw photo, a JPEG with the raw photo's EXIF and XMP, and what to know."""

    data: bytes
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Preview:
    start: int
    length: int
    width: int
    height: int
    directory: Directory | None = None  # that describes it

    @property
    def longer(self) -> int:
        return max(self.width, self.height)


def raw_kind(source: Source) -> str | None:
    """Return what kind of raw photo a file is, such as "DNG"; None where it is none.

    The content decides; a name's suffix only speaks for a TIFF that does not say what it is.
    """
    head = source.head
    if head is None:
        with source.open() as stream:
            head = stream.read(HEAD_BYTES)
    mark = raw_mark(head)
    if mark or not head.startswith(PLAIN_TIFF):
        return mark
    with source.open(bounded=True) as stream:
        directories = read_directories(stream, source.length)
        if any(DNG_VERSION in each.fields for each in directories):
            return "DNG"
        suffix = source.path.suffix.lower()
        if suffix in RAW_SUFFIXES:
            return suffix[1:].upper()
        return "TIFF" if any(_is_raw(each) for each in directories) else None


def read_preview(source: Source, kind: str) -> RawPreview:
    """Return the full-size preview of a raw photo.

    Raises:
        DamagedFileError: The preview is broken.
        UnsupportedFileError: There is none of about the raw picture's size.
    """
    with source.open(bounded=True) as stream:
        directories = read_directories(stream, source.length)
        sizes = [_size(each) for each in directories if _is_raw(each)]
        full = max(sizes, key=max, default=(0, 0))
        previews = list(_previews(stream, source.length, kind, directories))
        best = max(previews, key=lambda each: each.width * each.height, default=None)
        enough = ABOUT_FULL * max(full) if max(full) else FAR_LARGER
        if best is None or best.longer < min(enough, FAR_LARGER):
            found = f"its largest preview is {best.width} x {best.height}" if best else "no preview"
            raise UnsupportedFileError(
                f"{source.name}: a raw photo ({kind}) without a full-size preview ({found});"
                " export it as JPEG or HEIC, next to its clip and under the clip's name"
            )
        stream.seek(best.start)
        data = stream.read(min(best.length, MAX_PREVIEW))
        notes = [
            f"the key photo is the preview in a raw photo ({kind}), {best.width} x {best.height}"
            " pixels of 8 bits; the raw picture itself is not developed"
        ]
        colour = best.directory.number(PREVIEW_COLOUR) if best.directory else 0
        if colour in (ADOBE_RGB, PROPHOTO) and b"ICC_PROFILE\0" not in data[:MOST_PAYLOAD]:
            notes.append(
                "the preview states a wide colour space but has no profile of it: it is read as"
                " sRGB, so its colours are paler than they should be"
            )
        if directories:  # a RAF's preview has its own metadata
            data = _with_metadata(source, stream, directories, data, full, best)
    return RawPreview(data=data, notes=tuple(notes))


def raw_maker_note(source: Source) -> bytes:
    """Return the maker note of a raw photo; empty where there is none."""
    with source.open(bounded=True) as stream:
        for each in read_directories(stream, source.length)[:1]:
            details = directory_at(stream, each, DETAILS)
            return details.value(MAKER_NOTE) if details else b""
    return b""


def _is_raw(directory: Directory) -> bool:
    """Return whether a directory describes a sensor's values."""
    sensor = directory.number(PHOTOMETRIC) in (MOSAIC, LINEAR_RAW)
    return sensor or directory.number(COMPRESSION) in RAW_COMPRESSIONS


def _size(directory: Directory) -> tuple[int, int]:
    """Return width and height of what a directory describes; the crop that is shown, if stated."""
    crop = directory.numbers(CROP_SIZE)
    if len(crop) == 2 and min(crop) > 0:
        return crop[0], crop[1]
    return directory.number(WIDTH), directory.number(HEIGHT)


def _previews(
    stream: ByteStream, length: int, kind: str, directories: list[Directory]
) -> Iterator[_Preview]:
    """Yield the previews that are whole JPEGs of a picture."""
    places: list[tuple[int, int, Directory | None]] = []
    if kind == "RAF":
        stream.seek(FUJI_JPEG)
        stated = stream.read(8).ljust(8, b"\0")
        places.append((*struct.unpack(">II", stated), None))
    for each in directories:
        panasonic = each.fields.get(PANASONIC_JPEG)
        if panasonic is not None and kind == "RW2":
            places.append((panasonic.at, panasonic.size, each))
        if each.number(JPEG_LENGTH):
            places.append((each.number(JPEG_START), each.number(JPEG_LENGTH), each))
        strips, sizes = each.numbers(STRIPS), each.numbers(STRIP_SIZES)
        if each.number(COMPRESSION) in JPEGS and len(strips) == len(sizes) == 1:
            if each.number(PHOTOMETRIC) in COLOURED:
                places.append((strips[0], sizes[0], each))
    for start, size, directory in places:
        if not 0 < start < start + size <= length:
            continue
        shown = _picture_size(stream, start)
        if shown is not None:
            yield _Preview(
                start=start, length=size, width=shown[0], height=shown[1], directory=directory
            )


def _picture_size(stream: ByteStream, start: int) -> tuple[int, int] | None:
    """Return width and height of the JPEG at a byte; None where it shows no picture."""
    stream.seek(start)
    if stream.read(2) != START:
        return None
    for part in segments(stream, start):
        if part.marker in FRAME_HEADERS and len(part.payload) >= 6:
            bits, height, width, channels = struct.unpack_from(">BHHB", part.payload)
            return (width, height) if (bits, channels) == (8, 3) and width and height else None
    return None


def _with_metadata(
    source: Source,
    stream: ByteStream,
    directories: list[Directory],
    data: bytes,
    full: tuple[int, int],
    preview: _Preview,
) -> bytes:
    """Give the preview the raw photo's EXIF and XMP."""
    main = directories[0]
    turned_already = (full[0] - full[1]) * (preview.width - preview.height) < 0
    try:
        exif = _exif(stream, main, upright=turned_already)
        xmp = main.value(XMP_PACKET) or None
        return with_metadata(split_jpeg(data), exif=exif, xmp=xmp).to_bytes()
    except DamagedFileError as error:
        raise DamagedFileError(f"{source.name}: the raw photo's preview: {error}") from error


def _exif(stream: ByteStream, main: Directory, *, upright: bool) -> bytes:
    """Return EXIF of what a raw photo says; values keep their bytes.

    Apple's maker note comes along. Others count offsets from the raw file's first byte, which
    leads nowhere in another file.
    """
    fields = {tag: value for tag, value in _values(main).items() if tag in CARRIED}
    if upright and ORIENTATION in fields:
        fields[ORIENTATION] = (3, struct.pack(main.order + "H", 1))
    tables = {"details": _table(stream, main, DETAILS), "gps": _table(stream, main, GPS)}
    details = tables["details"]
    details.pop(INTEROPERABILITY, None)
    if MAKER_NOTE in details and not is_apple_note(details[MAKER_NOTE][1]):
        del details[MAKER_NOTE]
    below = {name: table for name, table in tables.items() if table}
    exif = tiff_bytes(main.order, fields, **below)
    if len(exif) > MOST_EXIF:
        small = {
            name: {tag: field for tag, field in table.items() if len(field[1]) <= 4096}
            for name, table in below.items()
        }
        exif = tiff_bytes(main.order, fields, **small)
    return exif


def _table(stream: ByteStream, main: Directory, tag: int) -> dict[int, tuple[int, bytes]]:
    directory = directory_at(stream, main, tag)
    return _values(directory) if directory else {}


def _values(directory: Directory) -> dict[int, tuple[int, bytes]]:
    values = {tag: (field.kind, directory.value(tag)) for tag, field in directory.fields.items()}
    return {tag: value for tag, value in values.items() if value[1]}
