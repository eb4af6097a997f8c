"""Write a motion photo: one file with the picture, its clip, and the XMP about both.

The clip's pictures and sound are copied bit for bit; XMP says where it lies and which of its
moments the picture shows. All that follows the still is fixed before the still's bytes are: XMP
states lengths that the still must not change. Three formats: Google's Motion Photo 1.0 (JPEG or
HEIC), Samsung's, which is the same with a trailer of its own, and Google's older MicroVideo (JPEG).

developer.android.com/media/platform/motion-photo-format
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from livemoments.errors import OutputError
from livemoments.livephoto.container.boxes import find_box
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.hdr.ultra_hdr import gain_map_jpeg, with_gain_map_index
from livemoments.livephoto.hdr.xmp import with_hdr_version
from livemoments.livephoto.metadata.xmp import ContainerItem
from livemoments.livephoto.movie.brand import movie_as_mp4
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.still.copied_metadata import exif_unnamed
from livemoments.livephoto.still.encode import JPEG_XMP_ROOM, EncodedPicture
from livemoments.livephoto.still.moment_metadata import CarriedMetadata
from livemoments.livephoto.still.still_bytes import StillFile
from livemoments.livephoto.writing.format import Format, Place, Written
from livemoments.livephoto.writing.motion_photo_track import with_stated_time
from livemoments.livephoto.writing.motion_photo_xmp import micro_video_packet, motion_photo_packet
from livemoments.livephoto.writing.picture import PicturePlan
from livemoments.livephoto.writing.place import JPEGS
from livemoments.livephoto.writing.samsung import (
    SefTrailer,
    Surroundings,
    around_heic_clip,
    around_jpeg_clip,
    carried_trailer,
)

GAIN_MAP = "GainMap"  # what the container calls it
BOX_HEADER = 8
MOST_BYTES = 2**31 - 1  # of a clip: what every reader's lengths can count


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A picture between the still and the clip, such as a gain map, and what the container says."""

    semantic: str
    data: bytes

    @property
    def item(self) -> ContainerItem:
        """Its entry in the container's directory."""
        return ContainerItem(
            mime="image/jpeg", semantic=self.semantic, length=len(self.data), padding=0
        )


@dataclass(frozen=True, kw_only=True)
class MotionPhotoPlan(PicturePlan):
    """What is written behind the still, of which only one number depends on the still."""

    clip: bytes
    timestamp_us: int  # the picture's time in the clip
    trailer: SefTrailer  # for Samsung's format
    attachments: tuple[Attachment, ...] = ()  # for Google's JPEG

    @property
    def heic(self) -> bool:
        """Whether the still is a HEIC, else a JPEG."""
        return self.place.path.suffix.lower() not in JPEGS

    @property
    def gain_map_in_still(self) -> bool:
        """Whether encoding the still also stores its gain map; a JPEG has it behind the still."""
        return self.heic

    def around_clip(self, still_length: int) -> Surroundings:
        """Return what stands between still and clip, and behind the clip."""
        length = len(self.clip)
        if self.place.format == Format.SAMSUNG and self.heic:
            return around_heic_clip(self.trailer, length, still_length)
        if self.place.format == Format.SAMSUNG:
            return around_jpeg_clip(self.trailer, length)
        if self.heic:
            header = (BOX_HEADER + length).to_bytes(4, "big") + b"mpvd"
            return Surroundings(before=header, after=b"")
        attached = b"".join(each.data for each in self.attachments)
        return Surroundings(before=attached, after=b"")

    def packet(self, xmp: bytes | None) -> bytes:
        """Return the XMP: every length that it states is fixed before the still is encoded."""
        around = self.around_clip(0)
        length = len(self.clip) + len(around.after)
        if self.place.format == Format.MICROVIDEO:
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

    def edit(self, metadata: CarriedMetadata) -> CarriedMetadata:
        """Return the metadata with XMP that says where the clip is, which precedes other XMP."""
        packet, notes = self.packet(metadata.xmp), metadata.notes
        if not self.heic and len(packet) > JPEG_XMP_ROOM:
            notes += (
                "the key photo's XMP was left out: with the clip's it does not fit in a JPEG",
            )
            packet = self.packet(None)
        return replace(metadata, xmp=packet, notes=notes)

    def finish(self, still: EncodedPicture, gain_map: GainMap | None) -> EncodedPicture:
        """Return a still that says which gain map is behind it; or a note that there is none."""
        for each in self.attachments:
            still = replace(still, data=with_gain_map_index(still.data, len(each.data)))
        if gain_map is None or self.attachments or self.heic:
            return still
        note = f"the HDR gain map was left out: a {self.place.format} JPEG has no place for it"
        return replace(still, notes=(*still.notes, note))

    def copy(self, file: StillFile) -> EncodedPicture:
        """Return a still's file with words about the clip, without those that name Apple's format.

        Of the pictures behind the still, those that are attached here stay announced.
        """
        exif = exif_unnamed(file.exif)
        metadata = self.edit(CarriedMetadata(exif=exif or b"", xmp=file.xmp))
        notes = metadata.notes
        stay = [each for each in file.attached if each.item and self.place.format == Format.GOOGLE]
        left_out = len(file.attached) - len(stay)
        if left_out:
            notes += (
                f"left out: {left_out} pictures behind the still, for which there is no place",
            )
        data = file.with_metadata(exif=exif, xmp=metadata.xmp, attached=stay)
        return EncodedPicture(data=data, notes=notes)

    def write(self, still: EncodedPicture) -> Written:
        """Write the file, or nothing.

        Raises:
            OutputError: It cannot be written; then nothing has changed.
        """
        around = self.around_clip(len(still.data))
        written = self.write_pieces(still, [still.data, around.before, self.clip, around.after])
        return replace(written, key_time_s=self.timestamp_us / 1e6)


def plan_motion_photo(
    live: LivePhoto,
    place: Place,
    *,
    time_s: float,
    same_picture: bool = False,
    attachments: Sequence[Attachment] = (),
    clip: Clip | None = None,
) -> MotionPhotoPlan:
    """Prepare all of a motion photo but its still.

    Args:
        live: The source; a phone's MOV becomes an MP4 of its streams.
        place: Where the new one goes.
        time_s: The picture's time in the clip, seconds.
        same_picture: Whether the still is the source's own, of which Samsung's trailer stays true.
        attachments: Pictures before the clip, which only Google's JPEG has a place for.
        clip: In the place of the source's own, with its times.

    Raises:
        MomentError: The time lies outside the clip.
        InputError: The clip cannot be copied.
        OutputError: The clip is too long.
    """
    live.clip.nearest_index(time_s, latest_s=live.key_time_s)
    data, notes = _clip_bytes(live, clip or live.clip)
    if len(data) > MOST_BYTES:
        raise OutputError(f"{place.path}: the clip has {len(data)} bytes, at most {MOST_BYTES} fit")
    timestamp_us, shift_s = max(0, round(time_s * 1e6)), time_s - live.key_time_s
    trailer = carried_trailer(
        _still_source(live) if place.format == Format.SAMSUNG else None,
        heic=place.path.suffix.lower() not in JPEGS,
        time_shift_s=shift_s,
        same_picture=same_picture,
    )
    return MotionPhotoPlan(
        place=place,
        clip=with_stated_time(data, timestamp_us),
        timestamp_us=timestamp_us,
        trailer=trailer,
        attachments=tuple(attachments),
        notes=(*notes, *trailer.notes),
    )


def attachments_of(
    place: Place, file: StillFile | None, gain_map: GainMap | None, quality: int
) -> list[Attachment]:
    """Return the pictures that follow the still: what a copied file has, or a new gain map.

    Only Google's JPEG has a place for them.
    """
    if place.format != Format.GOOGLE or place.path.suffix.lower() not in JPEGS:
        return []
    if file is not None:
        items = [(each.item, each.data) for each in file.attached]
        return [Attachment(semantic=item.semantic, data=data) for item, data in items if item]
    return (
        [Attachment(semantic=GAIN_MAP, data=gain_map_jpeg(gain_map, quality))] if gain_map else []
    )


def _still_source(live: LivePhoto) -> Source | None:
    """Return the still's file, where it is one."""
    still = live.still
    return Source.whole(still.path) if still.path is not None and still.data is None else None


def _clip_bytes(live: LivePhoto, clip: Clip) -> tuple[bytes, tuple[str, ...]]:
    """Return a clip as it goes into the file, and notes."""
    with clip.source.open() as stream:
        data = stream.read()
    # What already lay in a photo stays as it was, QuickTime or not: the format allows both.
    if live.clip.source.embedded or _video_mime(data) == "video/mp4":
        return data, ()
    converted = movie_as_mp4(clip.source)
    return converted.movie.to_bytes(), converted.notes


def _video_mime(clip: bytes) -> str:
    box = find_box(io.BytesIO(clip), 0, len(clip), "ftyp")
    brand = b"qt  " if box is None else clip[box.payload : box.payload + 4]
    return "video/quicktime" if brand == b"qt  " else "video/mp4"
