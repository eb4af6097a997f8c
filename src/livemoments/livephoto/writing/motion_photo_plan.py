"""Plan what a motion photo holds next to its still: the clip, what surrounds it, and the XMP.

All of it is fixed before the still's bytes are: XMP states lengths that the still must not change.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from livemoments.errors import ConfigError, OutputError
from livemoments.livephoto.container.boxes import find_box
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.xmp import with_hdr_version
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.movie.brand import movie_as_mp4
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.write import JPEG_XMP_ROOM
from livemoments.livephoto.writing.format import Format
from livemoments.livephoto.writing.motion_photo_track import with_stated_time
from livemoments.livephoto.writing.motion_photo_xmp import micro_video_packet, motion_photo_packet
from livemoments.livephoto.writing.samsung import (
    SefTrailer,
    Surroundings,
    around_heic_clip,
    around_jpeg_clip,
    carried_trailer,
)

GAIN_MAP = "GainMap"  # what the container calls it
MIMES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".heic": "image/heic", ".heif": "image/heic"}
BOX_HEADER = 8
MOST_BYTES = 2**31 - 1  # of a clip: what every reader's lengths can count


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A picture between the still and the clip, such as a gain map, and what the container says."""

    semantic: str
    data: bytes
    mime: str = "image/jpeg"

    @property
    def item(self) -> ContainerItem:
        """Its entry in the container's directory."""
        return ContainerItem(
            mime=self.mime, semantic=self.semantic, length=len(self.data), padding=0
        )


@dataclass(frozen=True, kw_only=True)
class MotionPhotoPlan:
    """What is written behind the still, of which only one number depends on the still."""

    format: Format  # of file
    heic: bool  # whether the still is a HEIC, else a JPEG
    clip: bytes  # the clip's bytes
    timestamp_us: int  # the picture's time in it, microseconds
    trailer: SefTrailer  # Samsung's, for Samsung's format
    # Google's format as JPEG: pictures between still and clip.
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()  # what was left out or changed, one sentence each

    def around_clip(self, still_length: int) -> Surroundings:
        """Return what stands between still and clip, and behind the clip."""
        length = len(self.clip)
        if self.format == "samsung" and self.heic:
            return around_heic_clip(self.trailer, length, still_length)
        if self.format == "samsung":
            return around_jpeg_clip(self.trailer, length)
        if self.heic:
            header = (BOX_HEADER + length).to_bytes(4, "big") + b"mpvd"
            return Surroundings(before=header, after=b"")
        attached = b"".join(each.data for each in self.attachments)
        return Surroundings(before=attached, after=b"")

    def pieces(self, still: bytes) -> tuple[bytes, ...]:
        """Return the file in pieces: still, what follows it, clip, what follows that."""
        around = self.around_clip(len(still))
        return still, around.before, self.clip, around.after

    def packet(self, xmp: bytes | None) -> bytes:
        """Return the XMP: every length that it states is fixed before the still is encoded."""
        around = self.around_clip(0)
        length = len(self.clip) + len(around.after)
        if self.format == "microvideo":
            return micro_video_packet(xmp, length, self.timestamp_us)
        attached = [each.item for each in self.attachments]
        padding = len(around.before) - sum(item.length for item in attached)
        still = "image/heic" if self.heic else "image/jpeg"
        first = ContainerItem(mime=still, semantic="Primary", length=0, padding=padding)
        mime = _video_mime(self.clip)
        last = ContainerItem(mime=mime, semantic="MotionPhoto", length=length, padding=0)
        packet = motion_photo_packet(xmp, [first, *attached, last], self.timestamp_us)
        has_gain_map = any(item.semantic == GAIN_MAP for item in attached)
        return with_hdr_version(packet) if has_gain_map else packet

    def with_packet(self, carried: CarriedMetadata) -> CarriedMetadata:
        """Put the XMP that says where the clip is into the metadata, before all other XMP."""
        packet, notes = self.packet(carried.xmp), carried.notes
        if not self.heic and len(packet) > JPEG_XMP_ROOM:
            notes += (
                "the key photo's XMP was left out: with the clip's it does not fit in a JPEG",
            )
            packet = self.packet(None)
        return replace(carried, xmp=packet, notes=notes)


def plan_motion_photo(
    live: LivePhoto,
    out: Path,
    format: Format,
    *,
    time_s: float,
    video: bytes | Source | None = None,
    attachments: Sequence[Attachment] = (),
    same_picture: bool = False,
) -> MotionPhotoPlan:
    """Prepare all of a motion photo but its still, which is the source's own if same_picture.

    The clip is `video`, an MP4, or the source's own, of which a MOV becomes an MP4. The suffix of
    `out` says whether it is a HEIC. Attachments, pictures before the clip, need Google's JPEG.

    Raises:
        ConfigError: Attachments where they cannot be.
        MomentError: The time lies outside the clip.
        InputError: The clip cannot be copied.
        OutputError: The clip is too long.
    """
    heic = MIMES[out.suffix.lower()] == "image/heic"
    if attachments and (format != "google" or heic):
        raise ConfigError("a gain map needs the google format as JPEG")
    live.clip.nearest_index(time_s, latest_s=live.key_time_s)
    clip, notes = _clip(live, video)
    if len(clip) > MOST_BYTES:
        raise OutputError(f"{out}: the clip has {len(clip)} bytes, at most {MOST_BYTES} fit")
    timestamp_us, shift_s = max(0, round(time_s * 1e6)), time_s - live.key_time_s
    photo = _file(live) if format == "samsung" else None
    trailer = carried_trailer(photo, heic=heic, time_shift_s=shift_s, same_picture=same_picture)
    return MotionPhotoPlan(
        format=format,
        heic=heic,
        clip=with_stated_time(clip, timestamp_us),
        timestamp_us=timestamp_us,
        trailer=trailer,
        attachments=tuple(attachments),
        notes=(*notes, *trailer.notes),
    )


def _file(live: LivePhoto) -> Source | None:
    """Return the still's file, where it is one."""
    still = live.still
    return Source.whole(still.path) if still.path is not None and still.data is None else None


def _clip(live: LivePhoto, video: bytes | Source | None) -> tuple[bytes, tuple[str, ...]]:
    """Return the clip as it goes into the file, and notes; a MOV becomes an MP4 of its streams."""
    if isinstance(video, bytes):
        return video, ()
    source = live.clip.source if video is None else video
    with source.open() as stream:
        clip = stream.read()
    # What already lay in a photo stays as it was, QuickTime or not: the format allows both.
    if source.embedded or _video_mime(clip) == "video/mp4":
        return clip, ()
    converted = movie_as_mp4(source)
    return converted.movie.to_bytes(), converted.notes


def _video_mime(clip: bytes) -> str:
    box = find_box(io.BytesIO(clip), 0, len(clip), "ftyp")
    brand = b"qt  " if box is None else clip[box.payload : box.payload + 4]
    return "video/quicktime" if brand == b"qt  " else "video/mp4"
