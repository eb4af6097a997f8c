"""Read the key photo: its facts from the header, its pixels on demand, always upright."""

import io
import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from livemoments.errors import DamagedFileError, InputError, UnsupportedFileError, first_line
from livemoments.imaging.colour import ColourSpace, recognise_profile
from livemoments.livephoto.container.extended_xmp import extension_of, names_extension
from livemoments.livephoto.container.iptc import iptc_of
from livemoments.livephoto.container.jpeg_parts import segments
from livemoments.livephoto.container.source import HEAD_BYTES, Source, kind_of
from livemoments.livephoto.metadata.apple_note import maker_note_identifier
from livemoments.livephoto.metadata.xmp import MotionFacts, parse_motion_facts
from livemoments.livephoto.still.raw import raw_kind, read_preview

# Twice Pillow's own warning threshold, where Pillow refuses too: 179 megapixels.
MAX_PIXELS = 178_956_970
FORMATS = {
    "JPEG": "JPEG",
    "MPO": "JPEG",  # several pictures in one JPEG: the first one is the photo
    "HEIF": "HEIC",
    "PNG": "PNG",
    "TIFF": "TIFF",
    "WEBP": "WEBP",
    "AVIF": "AVIF",
    "BMP": "BMP",
}
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
EXIF_PREFIX = b"Exif\0\0"

# What Pillow, libheif and their parsers raise on damaged files.
DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
# Warning filters are shared by all threads of a process.
_WARNINGS_LOCK = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Still:
    """A still picture. Every size is that of the upright picture, orientation applied."""

    path: Path | None  # the file, or None for a picture that never was one
    format: str  # "JPEG", "HEIC", "PNG", "TIFF", "WEBP", "AVIF" or "BMP"
    width: int  # pixels
    height: int  # pixels
    # Colour space of what pixels() returns.
    colour: ColourSpace = field(default_factory=ColourSpace)
    # EXIF as TIFF bytes (no 'Exif' prefix), orientation tag as in the file; or None.
    exif: bytes | None = None
    xmp: bytes | None = None  # XMP packet, or None
    xmp_extension: bytes | None = None  # the extension that a JPEG's packet names, or None
    iptc: bytes | None = None  # IPTC-IIM of a JPEG, or None
    # EXIF orientation, 1-8, as in the file; 1 for HEIC, whose decoder turns it.
    orientation: int = 1
    make: str | None = None  # maker of the camera, or None
    model: str | None = None  # camera model, or None
    software: str | None = None  # software or system version that wrote the file, or None
    taken: datetime | None = None  # when it was taken, with a time zone where EXIF has one; or None
    identifier: str | None = None  # Apple content identifier, or None
    mode: str = "RGB"  # pillow's name of the pixel layout in the file, such as "RGB" or "CMYK"
    # The picture's bytes, where it was unpacked from the file; None where it is the file.
    data: bytes | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()  # what is unusual about how it was read, one sentence each
    # The file as it was found when the still was read.
    file: Source | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The file's name, as messages say it."""
        return self.path.name if self.path else "still"

    @cached_property
    def motion_facts(self) -> MotionFacts:
        """What its XMP says of a clip in its own file."""
        return parse_motion_facts(self.xmp, self.xmp_extension)

    @property
    def source(self) -> Source:
        """Where its bytes are; for a picture that has a file."""
        if self.path is None:
            raise InputError("this still has no file")
        if self.data is None:
            return self.file or Source.whole(self.path)
        return Source(path=self.path, start=0, length=len(self.data), data=self.data)

    def pixels(self) -> np.ndarray:
        """Decode the picture: uint8 (height, width, 3), upright RGB in its own colour space.

        Transparency is laid over white; CMYK goes through its profile to sRGB.

        Raises:
            DamagedFileError: The picture is truncated or broken.
        """
        return self._decode(None)

    def thumbnail(self, side: int) -> np.ndarray:
        """Decode a small copy: uint8 RGB (h, w, 3), upright, longer side at most `side` pixels."""
        return self._decode(side)

    def _decode(self, side: int | None) -> np.ndarray:
        if self.path is None:
            raise InputError("this still has no file to read pixels from")
        with opened(self.path, self.data, self.file) as image:
            if side is not None:
                image.draft("RGB", (2 * side, 2 * side))
            icc = image.info.get("icc_profile")
            image.load()
            if side is not None:
                image = _shrunk(image, side)
            upright = ImageOps.exif_transpose(image)
            return np.array(to_rgb(upright, icc))


def read_still(path: Path, data: bytes | None = None, file: Source | None = None) -> Still:
    """Read a still's facts; its pixels stay in the file.

    Of a raw photo, the full-size preview is the still.

    Args:
        path: The file.
        data: The picture's bytes, where it was unpacked from that file.
        file: The whole file, where it was looked at before.

    Raises:
        MissingFileError: It is not there or cannot be opened.
        DamagedFileError: It is empty, truncated or broken.
        UnsupportedFileError: It is no picture, of an unknown kind, too large, or a raw photo
            without a full-size preview.
    """
    file = file or Source.whole(path)
    source = file if data is None else Source(path=path, start=0, length=len(data), data=data)
    kind = raw_kind(source)
    if kind is not None:
        preview = read_preview(source, kind)
        return replace(read_still(path, preview.data, file), notes=preview.notes)
    with opened(path, data, file) as image:
        info = image.info
        exif = _raw_exif(image)
        tags = image.getexif()
        details = tags.get_ifd(ExifTags.IFD.Exif)
        orientation = tags.get(ExifTags.Base.Orientation, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        turned = orientation in TURNED
        maker_note = details.get(ExifTags.Base.MakerNote)
        return Still(
            path=path,
            format=FORMATS[image.format or ""],
            width=image.height if turned else image.width,
            height=image.width if turned else image.height,
            colour=_colour(image),
            exif=exif,
            xmp=_bytes(info.get("xmp")),
            xmp_extension=_extension(image, source),
            iptc=iptc_of(info.get("photoshop")),
            orientation=orientation,
            make=_text(tags.get(ExifTags.Base.Make)),
            model=_text(tags.get(ExifTags.Base.Model)),
            software=_text(tags.get(ExifTags.Base.Software)),
            taken=_taken(tags, details),
            identifier=_identifier(maker_note),
            mode=image.mode,
            data=data,
            file=file,
        )


@contextmanager
def opened(
    path: Path, data: bytes | None = None, file: Source | None = None
) -> Iterator[Image.Image]:
    """Open a picture, pixels not yet decoded; any decoder's fault becomes one of our errors."""
    found = file or Source.whole(path)
    formats = picture_formats()
    try:
        with _WARNINGS_LOCK, warnings.catch_warnings():
            # Decoders warn about odd metadata; what matters is noted or raised by us.
            warnings.simplefilter("ignore")
            packed = path if data is None else io.BytesIO(data)
            with Image.open(packed, formats=formats) as image:
                _check_size(path, image)
                yield image
    except UnidentifiedImageError as error:
        if (found.kind if data is None else kind_of(data[:HEAD_BYTES])) == "still":
            raise DamagedFileError(f"{path.name}: the picture is truncated or damaged") from error
        raise UnsupportedFileError(
            f"{path.name}: not a picture livemoments reads; expected JPEG, HEIC or PNG"
        ) from error
    except Image.DecompressionBombError as error:
        raise UnsupportedFileError(f"{path.name}: {_too_large()}") from error
    except InputError:
        raise
    except DECODER_FAULTS as error:
        raise DamagedFileError(
            f"{path.name}: the picture is truncated or damaged ({first_line(error)})"
        ) from error


def to_rgb(image: Image.Image, icc: bytes | None = None) -> Image.Image:
    """Turn any Pillow mode into 8-bit RGB.

    Args:
        image: 1, L, LA, P, PA, RGB(A), CMYK, YCbCr, LAB, HSV, I, I;16 or F.
        icc: The picture's profile: used where its pixels are not RGB (CMYK, LAB, grey).
    """
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bit(image)
    if image.mode in ("P", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "La", "RGBA", "RGBa"):
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image).convert("RGB")
    if image.mode in ("CMYK", "LAB", "L") and icc:
        converted = _through_profile(image, icc)
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Convert by the picture's own profile to sRGB, or None where the profile does not fit."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Reduce grey of 16 bits and more to 8; 'I' and 'F' hold 16 bits or 8, as their values show."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    wide = image.mode.startswith("I;16") or values.max(initial=0.0) > 255
    if image.mode == "F" and values.max(initial=0.0) <= 1.0:
        values = values * 255
    scaled = values / 257 if wide else values
    return Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8))


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """Shrink so that the longer side is at most `side`; orientation and info are kept."""
    if max(image.size) <= side:
        return image
    info, exif = image.info, image.getexif()
    if image.mode not in ("L", "RGB", "CMYK", "YCbCr"):
        image = to_rgb(image)
        info = {key: value for key, value in info.items() if key != "transparency"}
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BOX)
    small.info = dict(info)
    small.getexif().update({ExifTags.Base.Orientation: exif.get(ExifTags.Base.Orientation, 1)})
    return small


@cache
def picture_formats() -> tuple[str, ...]:
    """Teach Pillow HEIC, once, when the first picture is opened; return what it reads of ours."""
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    # Without any handler, Python prints what Pillow logs about damaged files.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_size(path: Path, image: Image.Image) -> None:
    if image.width < 1 or image.height < 1:
        raise DamagedFileError(f"{path.name}: the picture is {image.width} x {image.height} pixels")
    if image.width * image.height > MAX_PIXELS:
        raise UnsupportedFileError(
            f"{path.name}: {image.width} x {image.height} pixels; {_too_large()}"
        )


def _too_large() -> str:
    return f"pictures above {MAX_PIXELS // 1_000_000} megapixels are not read"


def _colour(image: Image.Image) -> ColourSpace:
    """Colour space of the RGB made from a picture: its own, or sRGB where it was not RGB."""
    icc = image.info.get("icc_profile")
    if not icc or image.mode in ("CMYK", "LAB", "L", "LA", "1") or image.mode.startswith("I"):
        return ColourSpace()
    return recognise_profile(icc)


def _raw_exif(image: Image.Image) -> bytes | None:
    exif = _bytes(image.info.get("exif"))
    if not exif and image.format == "TIFF":
        return None
    return exif.removeprefix(EXIF_PREFIX) if exif else None


def _extension(image: Image.Image, source: Source) -> bytes | None:
    """Return the extension of a JPEG's XMP, which Pillow passes over; None where there is none."""
    xmp = _bytes(image.info.get("xmp"))
    if FORMATS[image.format or ""] != "JPEG" or not names_extension(xmp):
        return None
    with source.open(bounded=True) as stream:
        return extension_of(segments(stream), xmp)


def _identifier(maker_note: Any) -> str | None:  # noqa: ANN401 - EXIF holds anything
    if not isinstance(maker_note, bytes):
        return None
    return maker_note_identifier(maker_note)


def _bytes(value: Any) -> bytes | None:  # noqa: ANN401 - Pillow's info holds anything
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return value if isinstance(value, bytes) and value else None


def _text(value: Any) -> str | None:  # noqa: ANN401 - EXIF holds anything
    if not isinstance(value, str):
        return None
    printable = "".join(letter for letter in value if letter.isprintable())
    return printable.strip()[:100] or None


def _taken(tags: Image.Exif, details: dict[int, Any]) -> datetime | None:
    """DateTimeOriginal (else DateTime), with fractions and offset where EXIF has them."""
    text = details.get(ExifTags.Base.DateTimeOriginal) or tags.get(ExifTags.Base.DateTime)
    try:
        taken = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    fraction = _text(details.get(ExifTags.Base.SubsecTimeOriginal)) or ""
    if fraction.isdecimal():
        taken = taken.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    offset = _offset(_text(details.get(ExifTags.Base.OffsetTimeOriginal)) or "")
    return taken if offset is None else taken.replace(tzinfo=offset)


def _offset(text: str) -> timezone | None:
    """Parse a time zone such as '+09:00'; return None for others."""
    try:
        hours, minutes = int(text[1:3]), int(text[4:6])
        sign = {"+": 1, "-": -1}[text[0]]
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    except (ValueError, LookupError):
        return None
