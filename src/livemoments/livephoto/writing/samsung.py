"""Write Samsung's trailer (SEF) of a restored photo: the source's blocks, true for the new one.

In a JPEG the clip itself is one of the blocks. In a HEIC it lies in 'mpvd', the trailer in a box
'sefd', and the clip's block says where in the file the clip is: 'mpv2', u32 place, u32 length,
big-endian. Phones of Android 13 put 'sefd' into 'mpvd', behind the clip; later ones put it behind
'mpvd', and earlier ones wrote JPEGs. A photo goes back the way its source came; what has no
source of the same kind gets the later form.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from livemoments.livephoto.container.boxes import find_box
from livemoments.livephoto.container.source import ByteStream, Source
from livemoments.livephoto.reading.samsung import MOTION_PHOTO_DATA, SefBlock, read_trailer

MOTION_PHOTO_VERSION = 0x0A31
IMAGE_UTC = 0x0A01
DIRECTORY_VERSION = 107
PLACE = b"mpv2"  # how the clip's block of a HEIC begins
MAX_BLOCK = 4096  # what is larger holds pictures, depth or sound of the old still
# Blocks about what the restored picture is not: edits, watermarks, HDR and depth of the old
# still, its other pictures, and a shorter clip that ends in it.
LEFT_BEHIND = (
    "Copy_Available_Edit",
    "Depth",
    "DualShot",
    "MotionPhoto_AutoPlay",
    "MotionPhoto_Info",
    "Original_Path",
    "Panorama",
    "PhotoEditor",
    "Photo_HDR",
    "SingleShot",
    "Watermark",
)


@dataclass(frozen=True, kw_only=True)
class SefData:
    """One block to be written; the clip's own block holds nothing yet."""

    type: int
    name: str
    data: bytes

    def to_bytes(self) -> bytes:
        """Return the block as it lies in the file."""
        name = self.name.encode("ascii", "replace")
        return struct.pack("<HHI", 0, self.type, len(name)) + name + self.data


CLIP_BLOCK = SefData(type=MOTION_PHOTO_DATA, name="MotionPhoto_Data", data=b"")
VERSION_BLOCK = SefData(type=MOTION_PHOTO_VERSION, name="MotionPhoto_Version", data=b"mpv3")


@dataclass(frozen=True, kw_only=True)
class SefTrailer:
    """A trailer to be written."""

    blocks: tuple[SefData, ...] = (CLIP_BLOCK, VERSION_BLOCK)  # in file order
    version: int = DIRECTORY_VERSION  # of the directory
    in_video_box: bool = False  # 'sefd' lies within 'mpvd' (HEIC only)
    notes: tuple[str, ...] = ()  # what of the source's trailer was left out


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is written between a still and its clip, and behind the clip."""

    before: bytes
    after: bytes


def carried_trailer(
    photo: Source | None, *, heic: bool, time_shift_s: float, same_picture: bool = False
) -> SefTrailer:
    """Make the trailer for a picture restored from this photo, or for its own key photo.

    Args:
        photo: The source's file, which may have no trailer; or None.
        heic: Whether the new file is a HEIC, else a JPEG.
        time_shift_s: Moment minus key photo, seconds: how far the time in the trailer moves.
        same_picture: Whether the picture is this photo's own, of which every block stays true.
    """
    found = read_trailer(photo) if photo is not None else ()
    if photo is None or not found:
        return SefTrailer()
    blocks, left_out = [], []
    for block in found:
        if block.type == MOTION_PHOTO_DATA:
            blocks += [CLIP_BLOCK] if CLIP_BLOCK not in blocks else []
        elif not same_picture and _is_stale(block):
            left_out.append(block.name)
        else:
            blocks.append(_carried(photo, block, time_shift_s))
    if CLIP_BLOCK not in blocks:
        blocks.append(CLIP_BLOCK)
    with photo.open() as stream:
        box = find_box(stream, 0, photo.length, "mpvd")
        version = _directory_version(stream, photo.length)
    stated = any(block.type == MOTION_PHOTO_VERSION for block in blocks)
    if heic != (box is not None) and not stated:
        blocks.append(VERSION_BLOCK)
    listed = ", ".join(dict.fromkeys(left_out))
    notes = (f"left out of Samsung's trailer, as not true of this picture: {listed}",)
    return SefTrailer(
        blocks=tuple(blocks),
        version=version,
        in_video_box=box is not None and box.end == photo.length,
        notes=notes if left_out else (),
    )


def _is_stale(block: SefBlock) -> bool:
    return block.length > MAX_BLOCK or block.name.startswith(LEFT_BEHIND)


def _directory_version(stream: ByteStream, length: int) -> int:
    stream.seek(length - 8)
    size = struct.unpack("<I", stream.read(4))[0]
    stream.seek(length - 8 - size + 4)
    return int(struct.unpack("<I", stream.read(4))[0])


def _carried(photo: Source, block: SefBlock, time_shift_s: float) -> SefData:
    """Copy a block of the source; a date, in milliseconds, moves to the moment."""
    with photo.open() as stream:
        stream.seek(block.start)
        data = stream.read(block.length)
    if block.type == IMAGE_UTC and data.isdigit():
        data = str(int(data) + round(time_shift_s * 1000)).encode()
    return SefData(type=block.type, name=block.name, data=data)


def around_jpeg_clip(trailer: SefTrailer, clip_length: int) -> Surroundings:
    """Surround the clip of a JPEG: blocks up to the clip's header before it, then the rest."""
    at = trailer.blocks.index(CLIP_BLOCK)
    parts = [block.to_bytes() for block in trailer.blocks]
    sizes = [len(part) for part in parts]
    sizes[at] += clip_length
    directory = _directory(trailer, sizes)
    return Surroundings(
        before=b"".join(parts[: at + 1]), after=b"".join(parts[at + 1 :]) + directory
    )


def around_heic_clip(trailer: SefTrailer, clip_length: int, still_length: int) -> Surroundings:
    """Surround the clip of a HEIC: the header of 'mpvd' before it, 'sefd' behind it.

    Args:
        trailer: What 'sefd' holds.
        clip_length: Bytes.
        still_length: Bytes of all boxes before 'mpvd'.
    """
    place = PLACE + struct.pack(">II", still_length + 8, clip_length)
    blocks = [replace(b, data=place) if b == CLIP_BLOCK else b for b in trailer.blocks]
    parts = [block.to_bytes() for block in blocks]
    held = b"".join(parts) + _directory(trailer, [len(part) for part in parts])
    after = struct.pack(">I4s", 8 + len(held), b"sefd") + held
    boxed = clip_length + (len(after) if trailer.in_video_box else 0)
    return Surroundings(before=struct.pack(">I4s", 8 + boxed, b"mpvd"), after=after)


def _directory(trailer: SefTrailer, sizes: Sequence[int]) -> bytes:
    """Return 'SEFH' to 'SEFT' for blocks of these sizes, which lie right before it."""
    entries, back = b"", sum(sizes)
    for block, size in zip(trailer.blocks, sizes, strict=True):
        entries += struct.pack("<HHII", 0, block.type, back, size)
        back -= size
    held = b"SEFH" + struct.pack("<II", trailer.version, len(sizes)) + entries
    return held + struct.pack("<I", len(held)) + b"SEFT"
