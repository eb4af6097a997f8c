"""Write a restored moment back as a motion photo: one file with the picture and its clip.

The clip's pictures and sound are copied bit for bit; XMP says where it lies and which of its
moments the picture shows. Three kinds: Google's Motion Photo 1.0 (JPEG or HEIC), Samsung's, which
is the same with a trailer of its own, and Google's older MicroVideo (JPEG).

developer.android.com/media/platform/motion-photo-format
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from livemoments.errors import ConfigError, OutputError
from livemoments.livephoto.atomic import atomic_output
from livemoments.livephoto.boxes import find_box
from livemoments.livephoto.carry import CarriedMetadata
from livemoments.livephoto.live_photo import LivePhoto
from livemoments.livephoto.motion_photo_track import with_stated_time
from livemoments.livephoto.motion_photo_xmp import micro_video_packet, motion_photo_packet
from livemoments.livephoto.movie_brand import movie_as_mp4
from livemoments.livephoto.samsung_write import (
    SefTrailer,
    Surroundings,
    around_heic_clip,
    around_jpeg_clip,
    carried_trailer,
)
from livemoments.livephoto.source import Source
from livemoments.livephoto.write import (
    JPEG_XMP_ROOM,
    Subsampling,
    check_picture_output,
    encode_picture,
)
from livemoments.livephoto.xmp import ContainerItem

MotionPhotoKind = Literal["google", "samsung", "microvideo"]

# By what open_live_photo calls a source. Xiaomi, OPPO and vivo add words of their own to Google's
# form, which are left out.
KIND_OF_SOURCE: dict[str, MotionPhotoKind] = {
    "google-motion-photo": "google",
    "xiaomi": "google",
    "oppo": "google",
    "vivo": "google",
    "samsung": "samsung",
    "microvideo": "microvideo",
}
MIMES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".heic": "image/heic", ".heif": "image/heic"}
BOX_HEADER = 8
MOST_BYTES = 2**31 - 1  # of a clip: what every reader's lengths can count


@dataclass(frozen=True, kw_only=True)
class WrittenMotionPhoto:
    """What was written.

    Attributes:
        path: Where it is.
        size_bytes: Its length.
        kind: "google", "samsung" or "microvideo".
        time_s: The moment it states as the picture's, seconds of the clip.
        clip_start: The clip's first byte in the file.
        clip_length: The clip's length in bytes.
        notes: What could not be carried over, or was changed, one sentence each.
    """

    path: Path
    size_bytes: int
    kind: MotionPhotoKind
    time_s: float
    clip_start: int
    clip_length: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip's bytes, and what is worth knowing about them."""

    data: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is written behind the still, of which only one number depends on the still."""

    kind: MotionPhotoKind
    heic: bool
    clip: bytes
    timestamp_us: int
    gain_map: bytes
    trailer: SefTrailer
    notes: tuple[str, ...]

    def around_clip(self, still_length: int) -> Surroundings:
        """What stands between still and clip, and behind the clip."""
        length = len(self.clip)
        if self.kind == "samsung" and self.heic:
            return around_heic_clip(self.trailer, length, still_length)
        if self.kind == "samsung":
            return around_jpeg_clip(self.trailer, length)
        if self.heic:
            header = (BOX_HEADER + length).to_bytes(4, "big") + b"mpvd"
            return Surroundings(before=header, after=b"")
        return Surroundings(before=self.gain_map, after=b"")

    def pieces(self, still: bytes) -> tuple[bytes, ...]:
        """The file: still, what follows it, clip, what follows that."""
        around = self.around_clip(len(still))
        return still, around.before, self.clip, around.after

    def packet(self, xmp: bytes | None) -> bytes:
        """The XMP: every length that it states is fixed before the still is encoded."""
        around = self.around_clip(0)
        length = len(self.clip) + len(around.after)
        if self.kind == "microvideo":
            return micro_video_packet(xmp, length, self.timestamp_us)
        still = "image/heic" if self.heic else "image/jpeg"
        padding = len(around.before) - len(self.gain_map)
        items = [ContainerItem(mime=still, semantic="Primary", length=0, padding=padding)]
        if self.gain_map:
            items.append(_item("image/jpeg", "GainMap", len(self.gain_map)))
        items.append(_item(_video_mime(self.clip), "MotionPhoto", length))
        return motion_photo_packet(xmp, items, self.timestamp_us)


def write_motion_photo(
    live: LivePhoto,
    image: np.ndarray,
    out: Path,
    *,
    time_s: float,
    kind: MotionPhotoKind,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    video: bytes | Source | None = None,
    gain_map: bytes | None = None,
) -> WrittenMotionPhoto:
    """Write a picture of one moment, and the clip it comes from, as a motion photo.

    Args:
        live: The source: its still's metadata is carried over, its clip is copied.
        image: Upright RGB, H x W x 3: float in [0, 1], clipped, or uint8; in the still's space.
        out: .jpg, .jpeg, .heic or .heif; see motion_photo_name for names that galleries know.
        time_s: The moment shown, seconds of the clip.
        kind: Of file; KIND_OF_SOURCE names the source's own.
        software: The software tag, saying what was done.
        quality: 1 to 100 on JPEG's scale; HEIC gets the setting that looks the same.
        subsampling: Of chroma.
        overwrite: Whether a file that is there already may be replaced.
        inputs: Files never to be replaced; the source's own files always are such.
        video: The clip as MP4, where it is not to be the source's own; a source's MOV becomes MP4.
        gain_map: A JPEG for Google's kind in JPEG: it goes between picture and clip.

    Raises:
        ConfigError: Settings that do not exist or do not go together.
        MomentError: The time lies outside the clip.
        InputError: `image` is no picture, or the clip cannot be read.
        OutputError: The file cannot be written where it was asked for.
    """
    out = Path(out)
    _check_settings(out, kind, gain_map)
    sources = (live.clip.path, live.still.path, video.path if isinstance(video, Source) else None)
    protected = [*inputs, *(path for path in sources if path is not None)]
    check_picture_output(out, overwrite=overwrite, inputs=protected)
    live.clip.nearest_index(time_s, latest_s=live.key_time_s)
    plan = _plan(live, out, kind, time_s=time_s, video=video, gain_map=gain_map)
    encoded = encode_picture(
        image,
        out,
        still=live.still,
        software=software,
        quality=quality,
        subsampling=subsampling,
        time_shift_s=time_s - live.key_time_s,
        edit=lambda carried: _with_packet(carried, plan),
    )
    pieces = plan.pieces(encoded.data)
    with atomic_output(out, overwrite=overwrite, inputs=protected) as temporary:
        with temporary.open("wb") as stream:
            stream.writelines(pieces)
    return WrittenMotionPhoto(
        path=out,
        size_bytes=sum(map(len, pieces)),
        kind=kind,
        time_s=plan.timestamp_us / 1e6,
        clip_start=len(pieces[0]) + len(pieces[1]),
        clip_length=len(plan.clip),
        notes=(*encoded.notes, *plan.notes),
    )


def motion_photo_name(stem: str, suffix: str, kind: MotionPhotoKind) -> str:
    """A file name by which galleries know the kind: 'x.MP.jpg' for Google, 'MVIMG_x.jpg' before.

    Args:
        stem: The name without its suffix.
        suffix: Such as ".jpg".
        kind: Of file.
    """
    if kind == "google" and not stem.endswith("MP"):
        return f"{stem}.MP{suffix}"
    if kind == "microvideo" and not stem.startswith("MV"):
        return f"MVIMG_{stem.removeprefix('IMG_')}{suffix}"
    return stem + suffix


def _check_settings(out: Path, kind: MotionPhotoKind, gain_map: bytes | None) -> None:
    if kind not in KIND_OF_SOURCE.values():
        raise ConfigError(f"kind must be google, samsung or microvideo, got {kind}")
    if out.suffix.lower() not in MIMES:
        raise OutputError(f"{out}: a motion photo is a JPEG or HEIC; end it in {', '.join(MIMES)}")
    heic = MIMES[out.suffix.lower()] == "image/heic"
    if kind == "microvideo" and heic:
        raise OutputError(f"{out}: the microvideo kind is a JPEG; end it in .jpg, or choose google")
    if gain_map is not None and (kind != "google" or heic):
        raise ConfigError("a gain map needs the google kind as JPEG")
    if gain_map is not None and not gain_map.startswith(b"\xff\xd8"):
        raise ConfigError("the gain map must be a JPEG")


def _plan(
    live: LivePhoto,
    out: Path,
    kind: MotionPhotoKind,
    *,
    time_s: float,
    video: bytes | Source | None,
    gain_map: bytes | None,
) -> _Plan:
    heic = MIMES[out.suffix.lower()] == "image/heic"
    timestamp_us = max(0, round(time_s * 1e6))
    clip = _clip(live, video)
    if len(clip.data) > MOST_BYTES:
        raise OutputError(f"{out}: the clip has {len(clip.data)} bytes, at most {MOST_BYTES} fit")
    trailer = _trailer(live, kind, heic=heic, time_shift_s=time_s - live.key_time_s)
    return _Plan(
        kind=kind,
        heic=heic,
        clip=with_stated_time(clip.data, timestamp_us),
        timestamp_us=timestamp_us,
        gain_map=gain_map or b"",
        trailer=trailer,
        notes=(*clip.notes, *trailer.notes),
    )


def _trailer(
    live: LivePhoto, kind: MotionPhotoKind, *, heic: bool, time_shift_s: float
) -> SefTrailer:
    path = live.still.path
    if kind != "samsung" or path is None or live.still.data is not None:
        return SefTrailer()
    return carried_trailer(Source.whole(path), heic=heic, time_shift_s=time_shift_s)


def _clip(live: LivePhoto, video: bytes | Source | None) -> _Clip:
    """The clip as it goes into the file; a phone's MOV becomes an MP4 of the same streams."""
    if isinstance(video, bytes):
        return _Clip(data=video)
    source = live.clip.source if video is None else video
    with source.open() as stream:
        clip = stream.read()
    # What already lay in a photo stays as it was, QuickTime or not: the format allows both.
    if source.embedded or _video_mime(clip) == "video/mp4":
        return _Clip(data=clip)
    converted = movie_as_mp4(source)
    return _Clip(data=converted.movie.to_bytes(), notes=converted.notes)


def _video_mime(clip: bytes) -> str:
    box = find_box(io.BytesIO(clip), 0, len(clip), "ftyp")
    brand = b"qt  " if box is None else clip[box.payload : box.payload + 4]
    return "video/quicktime" if brand == b"qt  " else "video/mp4"


def _item(mime: str, semantic: str, length: int) -> ContainerItem:
    return ContainerItem(mime=mime, semantic=semantic, length=length, padding=0)


def _with_packet(carried: CarriedMetadata, plan: _Plan) -> CarriedMetadata:
    """The metadata with XMP that says where the clip is, which comes before all other XMP."""
    packet, notes = plan.packet(carried.xmp), carried.notes
    if not plan.heic and len(packet) > JPEG_XMP_ROOM:
        notes += ("the key photo's XMP was left out: with the clip's it does not fit in a JPEG",)
        packet = plan.packet(None)
    return replace(carried, xmp=packet, notes=notes)
