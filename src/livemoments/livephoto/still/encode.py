"""Encode a restored moment as JPEG, PNG or HEIC, with the key photo's metadata.

A JPEG with a gain map becomes Ultra HDR, a HEIC gets Apple's auxiliary picture; where the map is
left out, a note says so.

Chroma is stored at half size (4:2:0) unless asked otherwise: so it was in the clip and, with few
exceptions, in the phone's still, every viewer's hardware decodes it, and 4:4:4 costs about a
quarter more bytes. 4:4:4 is for pictures that will be edited further.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, PngImagePlugin

from livemoments.errors import ConfigError, InputError, OutputError
from livemoments.livephoto.container.iptc import JPEG_IPTC_ROOM, iptc_segment
from livemoments.livephoto.container.jpeg_parts import with_segment
from livemoments.livephoto.hdr.apple import exif_with_headroom
from livemoments.livephoto.hdr.gain_map import GainMap, apple_values
from livemoments.livephoto.hdr.heic import with_apple_gain_map
from livemoments.livephoto.hdr.ultra_hdr import gain_map_jpeg, with_gain_map_index
from livemoments.livephoto.hdr.xmp import ultra_hdr_packet
from livemoments.livephoto.still.moment_metadata import CarriedMetadata, carry_metadata
from livemoments.livephoto.still.still import Still, picture_formats

Subsampling = Literal["4:4:4", "4:2:0"]

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".heic": "HEIF", ".heif": "HEIF"}
MAX_SIDE = {"JPEG": 65_535, "PNG": 2**31 - 1, "HEIF": 16_384}
# One JPEG segment, less its length and the name that tells EXIF or XMP apart.
JPEG_EXIF_ROOM, JPEG_XMP_ROOM = 65_533 - 6, 65_533 - 29
# HEVC's quality scale is not JPEG's. Pairs of equal PSNR on luma, measured on phone photographs;
# 95 as HEIC is 0.6 times as long as 95 as JPEG.
JPEG_QUALITIES = (1, 75, 85, 90, 95, 98, 100)
HEIC_QUALITIES = (1, 37, 43, 49, 60, 74, 95)
# libheif's own preset, slow, takes 4 to 8 times as long for hardly fewer bytes.
HEVC_PRESET = "ultrafast"
BAND = 256  # rows turned to 8 bits at a time: a 12-megapixel picture needs no second float copy


@dataclass(frozen=True, kw_only=True)
class EncodedPicture:
    """A picture's file in memory, and what could not be carried over from the key photo."""

    data: bytes
    notes: tuple[str, ...] = ()


def encode_picture(
    image: np.ndarray,
    path: Path,
    *,
    still: Still | None = None,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    time_shift_s: float = 0.0,
    edit: Callable[[CarriedMetadata], CarriedMetadata] | None = None,
    gain_map: GainMap | None = None,
) -> EncodedPicture:
    """Encode a picture in the format that the path's suffix names; nothing is written.

    Args:
        image: Upright RGB, H x W x 3: float in [0, 1], clipped, or uint8; in the still's space.
        path: .jpg, .jpeg, .png, .heic or .heif; messages name it.
        still: The key photo, whose colour profile and metadata the picture gets.
        software: The software tag, which says what was done.
        quality: 1 to 100 on JPEG's scale; HEIC gets the setting that looks the same.
        subsampling: Of chroma, for JPEG and HEIC.
        time_shift_s: Moment minus key photo, seconds: how far the dates move.
        edit: What a container of more than a picture changes in the metadata.
        gain_map: Of the picture's view. JPEG stores it, HEIC one that Apple's formula can express;
            a note says where it is left out.

    Raises:
        ConfigError: A quality or subsampling that does not exist.
        InputError: `image` is no picture.
        OutputError: The picture cannot be encoded in that format.
    """
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality must be from 1 to 100, got {quality}")
    if subsampling not in ("4:4:4", "4:2:0"):
        raise ConfigError(f"subsampling must be 4:4:4 or 4:2:0, got {subsampling}")
    file_format = FORMATS[path.suffix.lower()]
    pixels = to_8_bit(image)
    height, width = pixels.shape[:2]
    _check_sides(path, width, height)
    metadata = carry_metadata(
        still, width=width, height=height, time_shift_s=time_shift_s, software=software
    )
    if edit is not None:
        metadata = edit(metadata)
    if file_format == "JPEG":
        metadata = _fitted_to_jpeg(metadata)
    elif metadata.iptc:
        note = f"the IPTC was left out: a {path.suffix} has no place for it, a .jpg has"
        metadata = replace(metadata, notes=(*metadata.notes, note))
    icc = still.colour.icc if still is not None else None
    plan = _plan_gain_map(gain_map, file_format, metadata, quality)
    data = _encode(pixels, file_format, plan.metadata, icc, quality, subsampling)
    if file_format == "JPEG" and metadata.iptc:
        data = with_segment(data, iptc_segment(metadata.iptc))
    return EncodedPicture(data=plan.finish(data), notes=plan.metadata.notes)


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Round a float picture H x W x 3 in [0, 1] to uint8, clipped; a uint8 one is passed on.

    Raises:
        InputError: Another shape or type, no pixels, or values that are not numbers.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        shape = getattr(image, "shape", type(image).__name__)
        raise InputError(f"the picture to write must be RGB, H x W x 3; got {shape}")
    if 0 in image.shape:
        raise InputError(f"the picture to write has no pixels: {image.shape[1]} x {image.shape[0]}")
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if image.dtype.kind != "f":
        raise InputError(f"the picture to write must be uint8 or float, got {image.dtype}")
    rounded = np.empty(image.shape, np.uint8)
    for top in range(0, image.shape[0], BAND):
        band = image[top : top + BAND].astype(np.float32)
        if not np.isfinite(band).all():
            raise InputError("the picture to write holds values that are not numbers")
        np.clip(band, 0, 1, out=band)
        band *= 255
        rounded[top : top + BAND] = np.rint(band, out=band)
    return rounded


def _check_sides(path: Path, width: int, height: int) -> None:
    most = MAX_SIDE[FORMATS[path.suffix.lower()]]
    if max(height, width) > most:
        raise OutputError(
            f"{path}: {width} x {height} pixels; {path.suffix} takes at most {most} a side, "
            "choose another format"
        )


def _fitted_to_jpeg(metadata: CarriedMetadata) -> CarriedMetadata:
    """Leave out what one JPEG segment does not hold, and note it."""
    exif, xmp, notes = metadata.exif, metadata.xmp, list(metadata.notes)
    if len(exif) > JPEG_EXIF_ROOM:
        notes.append(f"the maker note was left out: {len(exif)} bytes of EXIF do not fit in a JPEG")
        exif = without_maker_note(exif)
    if len(exif) > JPEG_EXIF_ROOM:
        notes.append("the EXIF was left out: it does not fit in a JPEG")
        exif = b""
    iptc = metadata.iptc
    if iptc and len(iptc) > JPEG_IPTC_ROOM:
        notes.append(f"the IPTC was left out: {len(iptc)} bytes do not fit in a JPEG")
        iptc = None
    if xmp and len(xmp) > JPEG_XMP_ROOM:
        notes.append(f"the XMP was left out: {len(xmp)} bytes do not fit in a JPEG")
        xmp = None
    return replace(metadata, exif=exif, xmp=xmp, iptc=iptc, notes=tuple(notes))


@dataclass(frozen=True, kw_only=True)
class _GainMapPlan:
    """What a gain map changes in a picture's file: its metadata, and what comes after encoding."""

    metadata: CarriedMetadata
    finish: Callable[[bytes], bytes]


def _plan_gain_map(
    gain_map: GainMap | None, file_format: str, metadata: CarriedMetadata, quality: int
) -> _GainMapPlan:
    if gain_map is not None and file_format == "JPEG":
        behind = gain_map_jpeg(gain_map, quality)
        return _GainMapPlan(
            metadata=_announcing(metadata, len(behind)),
            finish=lambda picture: with_gain_map_index(picture, len(behind)) + behind,
        )
    if gain_map is not None and file_format == "HEIF" and apple_values(gain_map) is not None:
        exif = exif_with_headroom(metadata.exif, 2.0**gain_map.capacity_max)
        return _GainMapPlan(
            metadata=replace(metadata, exif=exif),
            finish=lambda picture: with_apple_gain_map(picture, gain_map, heic_quality(quality)),
        )
    if gain_map is not None:
        note = "the HDR gain map was left out: write a .jpg to keep it"
        metadata = replace(metadata, notes=(*metadata.notes, note))
    return _GainMapPlan(metadata=metadata, finish=lambda picture: picture)


def _announcing(metadata: CarriedMetadata, gain_map_length: int) -> CarriedMetadata:
    """Announce a gain map in the metadata of the JPEG that it follows; it precedes other XMP."""
    packet, notes = ultra_hdr_packet(metadata.xmp, gain_map_length), metadata.notes
    if len(packet) > JPEG_XMP_ROOM:
        notes += ("the key photo's XMP was left out: with the gain map's it does not fit",)
        packet = ultra_hdr_packet(None, gain_map_length)
    return replace(metadata, xmp=packet, notes=notes)


def heic_quality(quality: int) -> int:
    """Return libheif's setting that looks the same as one of JPEG's, 1 to 100."""
    return round(float(np.interp(quality, JPEG_QUALITIES, HEIC_QUALITIES)))


def without_maker_note(exif: bytes) -> bytes:
    """Lay EXIF out anew without the maker note and without gaps."""
    from PIL import ExifTags

    tree = Image.Exif()
    tree.load(exif)
    tree.get_ifd(ExifTags.IFD.Exif).pop(ExifTags.Base.MakerNote, None)
    return tree.tobytes().removeprefix(b"Exif\0\0")


def _encode(
    pixels: np.ndarray,
    file_format: str,
    metadata: CarriedMetadata,
    icc: bytes | None,
    quality: int,
    subsampling: Subsampling,
) -> bytes:
    """Encode uint8 pixels H x W x 3 as a file's bytes."""
    options: dict[str, Any] = {"icc_profile": icc} if icc else {}
    if metadata.exif:
        options["exif"] = metadata.exif if file_format == "PNG" else b"Exif\0\0" + metadata.exif
    if metadata.xmp and file_format == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    elif metadata.xmp:
        options["xmp"] = metadata.xmp
    if file_format == "JPEG":
        options |= {"quality": quality, "subsampling": subsampling}
    elif file_format == "HEIF":
        picture_formats()  # Pillow writes HEIC from now on
        options["quality"] = heic_quality(quality)
        options["chroma"] = 444 if subsampling == "4:4:4" else 420
        options["enc_params"] = {"preset": HEVC_PRESET}
    stream = io.BytesIO()
    try:
        Image.fromarray(pixels).save(stream, format=file_format, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(
            f"the picture cannot be encoded as {file_format}: {error}; choose another format"
        ) from error
    return stream.getvalue()
