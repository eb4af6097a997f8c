"""Write a restored moment back as a motion photo: one file with the picture and its clip.

The clip's pictures and sound are copied bit for bit; XMP says where it lies and which of its
moments the picture shows. Three kinds: Google's Motion Photo 1.0 (JPEG or HEIC), Samsung's, which
is the same with a trailer of its own, and Google's older MicroVideo (JPEG).

developer.android.com/media/platform/motion-photo-format
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from livemoments.errors import ConfigError, OutputError
from livemoments.files import atomic_output
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.hdr.ultra_hdr import gain_map_jpeg, with_gain_map_index
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.still.write import (
    EncodedPicture,
    Subsampling,
    check_picture_output,
    encode_picture,
)
from livemoments.livephoto.writing.motion_photo_plan import (
    GAIN_MAP,
    MIMES,
    MOTION_PHOTO_KINDS,
    Attachment,
    MotionPhotoKind,
    MotionPhotoPlan,
    plan_motion_photo,
)

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
    gain_map: GainMap | None = None,
) -> WrittenMotionPhoto:
    """Write a picture of one moment, and the clip it comes from, as a motion photo.

    The picture is upright RGB, H x W x 3, in the still's colour space; its path ends in .jpg,
    .jpeg, .heic or .heif, and motion_photo_name has names that galleries know. A gain map goes
    between picture and clip in Google's JPEG, into a HEIC as write_picture puts it there, and is
    left out with a note of other JPEGs. All else is as for write_picture (software, quality,
    subsampling), plan_motion_photo (live, time_s, kind, video) and pack_motion_photo (overwrite,
    inputs), and so are the errors.
    """
    sources = [*inputs, *([video.path] if isinstance(video, Source) else [])]
    check_motion_photo_output(out, kind, overwrite=overwrite, inputs=[*sources, *live.files])
    attached = gain_map_behind(gain_map, out, kind, quality)
    plan = plan_motion_photo(live, out, kind, time_s=time_s, video=video, attachments=attached)
    encoded = encode_picture(
        image, out, still=live.still, software=software, quality=quality, subsampling=subsampling,
        time_shift_s=time_s - live.key_time_s, edit=plan.with_packet,
        gain_map=gain_map if plan.heic else None,
    )  # fmt: skip
    encoded = announced(encoded, plan, gain_map)
    return pack_motion_photo(live, plan, encoded, out, overwrite=overwrite, inputs=sources)


def gain_map_behind(
    gain_map: GainMap | None, out: Path, kind: MotionPhotoKind, quality: int
) -> list[Attachment]:
    """A gain map as the picture behind the still, where the kind and the format have that place."""
    if gain_map is None or kind != "google" or MIMES[out.suffix.lower()] == "image/heic":
        return []
    return [Attachment(semantic=GAIN_MAP, data=gain_map_jpeg(gain_map, quality))]


def announced(
    still: EncodedPicture, plan: MotionPhotoPlan, gain_map: GainMap | None
) -> EncodedPicture:
    """A still encoded anew that says which gain map is behind it; or a note that there is none."""
    for each in plan.attachments:
        still = replace(still, data=with_gain_map_index(still.data, len(each.data)))
    if gain_map is None or plan.attachments or plan.heic:
        return still
    note = f"the HDR gain map was left out: a JPEG of the {plan.kind} kind has no place for it"
    return replace(still, notes=(*still.notes, note))


def pack_motion_photo(
    live: LivePhoto,
    plan: MotionPhotoPlan,
    still: EncodedPicture,
    out: Path,
    *,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> WrittenMotionPhoto:
    """Write a motion photo whose still is encoded already.

    Args:
        live: The source, whose own files are never replaced.
        plan: What follows the still.
        still: The still's file; its XMP is the plan's.
        out: Where.
        overwrite: Whether a file that is there already may be replaced.
        inputs: Other files that are never replaced.

    Raises:
        OutputError: The file cannot be written where it was asked for.
    """
    pieces, protected = plan.pieces(still.data), [*inputs, *live.files]
    with atomic_output(out, overwrite=overwrite, inputs=protected) as temporary:
        with temporary.open("wb") as stream:
            stream.writelines(pieces)
    return WrittenMotionPhoto(
        path=Path(out),
        size_bytes=sum(map(len, pieces)),
        kind=plan.kind,
        time_s=plan.timestamp_us / 1e6,
        clip_start=len(pieces[0]) + len(pieces[1]),
        clip_length=len(plan.clip),
        notes=(*still.notes, *plan.notes),
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


def check_motion_photo_output(
    out: Path, kind: str, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> None:
    """Raise what write_motion_photo would raise at a path; for a look before long work.

    Args:
        out: Where the file shall be.
        kind: Of file.
        overwrite: Whether a file that is there already may be replaced.
        inputs: Files that are never replaced.

    Raises:
        ConfigError: There is no such kind.
        OutputError: The path is refused.
    """
    out = Path(out)
    if kind not in MOTION_PHOTO_KINDS:
        raise ConfigError(f"kind must be google, samsung or microvideo, got {kind}")
    check_picture_output(out, overwrite=overwrite, inputs=inputs)
    if out.suffix.lower() not in MIMES:
        raise OutputError(f"{out}: a motion photo is a JPEG or HEIC; end it in {', '.join(MIMES)}")
    if kind == "microvideo" and MIMES[out.suffix.lower()] == "image/heic":
        raise OutputError(f"{out}: the microvideo kind is a JPEG; end it in .jpg, or choose google")
