"""Write a restored moment back as a motion photo: one file with the picture and its clip.

The clip's pictures and sound are copied bit for bit; XMP says where it lies and which of its
moments the picture shows. Three formats: Google's Motion Photo 1.0 (JPEG or HEIC), Samsung's, which
is the same with a trailer of its own, and Google's older MicroVideo (JPEG).

developer.android.com/media/platform/motion-photo-format
"""

from collections.abc import Sequence
from dataclasses import replace
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
    Written,
    check_picture_output,
    encode_picture,
)
from livemoments.livephoto.writing.format import MOTION_PHOTOS, Format
from livemoments.livephoto.writing.motion_photo_plan import (
    GAIN_MAP,
    MIMES,
    Attachment,
    MotionPhotoPlan,
    plan_motion_photo,
)

# By what open_live_photo calls a source. Xiaomi, OPPO and vivo add words of their own to Google's
# format, which are left out.
FORMAT_OF_SOURCE = {
    "google-motion-photo": Format.GOOGLE,
    "xiaomi": Format.GOOGLE,
    "oppo": Format.GOOGLE,
    "vivo": Format.GOOGLE,
    "samsung": Format.SAMSUNG,
    "microvideo": Format.MICROVIDEO,
}


def write_motion_photo(
    live: LivePhoto,
    image: np.ndarray,
    out: Path,
    *,
    time_s: float,
    format: Format,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    video: bytes | Source | None = None,
    gain_map: GainMap | None = None,
) -> Written:
    """Write a picture of one moment, and the clip it comes from, as a motion photo.

    The picture is upright RGB, H x W x 3, in the still's colour space; its path ends in .jpg,
    .jpeg, .heic or .heif, and motion_photo_name has names that galleries know. A gain map goes
    between picture and clip in Google's JPEG, into a HEIC as write_picture puts it there, and is
    left out with a note of other JPEGs. All else is as for write_picture (software, quality,
    subsampling), plan_motion_photo (live, time_s, format, video) and pack_motion_photo (overwrite,
    inputs), and so are the errors.
    """
    sources = [*inputs, *([video.path] if isinstance(video, Source) else [])]
    check_motion_photo_output(out, format, overwrite=overwrite, inputs=[*sources, *live.files])
    attached = gain_map_behind(gain_map, out, format, quality)
    plan = plan_motion_photo(live, out, format, time_s=time_s, video=video, attachments=attached)
    encoded = encode_picture(
        image, out, still=live.still, software=software, quality=quality, subsampling=subsampling,
        time_shift_s=time_s - live.key_time_s, edit=plan.with_packet,
        gain_map=gain_map if plan.heic else None,
    )  # fmt: skip
    encoded = announced(encoded, plan, gain_map)
    return pack_motion_photo(live, plan, encoded, out, overwrite=overwrite, inputs=sources)


def gain_map_behind(
    gain_map: GainMap | None, out: Path, format: Format, quality: int
) -> list[Attachment]:
    """Return a gain map as the picture behind the still, where the format has that place."""
    if gain_map is None or format != "google" or MIMES[out.suffix.lower()] == "image/heic":
        return []
    return [Attachment(semantic=GAIN_MAP, data=gain_map_jpeg(gain_map, quality))]


def announced(
    still: EncodedPicture, plan: MotionPhotoPlan, gain_map: GainMap | None
) -> EncodedPicture:
    """Announce the gain map behind a still that was encoded anew, or note that there is none."""
    for each in plan.attachments:
        still = replace(still, data=with_gain_map_index(still.data, len(each.data)))
    if gain_map is None or plan.attachments or plan.heic:
        return still
    note = f"the HDR gain map was left out: a JPEG of the {plan.format} format has no place for it"
    return replace(still, notes=(*still.notes, note))


def pack_motion_photo(
    live: LivePhoto,
    plan: MotionPhotoPlan,
    still: EncodedPicture,
    out: Path,
    *,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> Written:
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
    return Written(
        path=Path(out),
        size_bytes=sum(map(len, pieces)),
        format=plan.format,
        time_s=plan.timestamp_us / 1e6,
        notes=(*still.notes, *plan.notes),
    )


def motion_photo_name(stem: str, suffix: str, format: Format) -> str:
    """Return a name by which galleries know the format: x.MP.jpg for Google, MVIMG_x.jpg before."""
    if format == "google" and not stem.endswith("MP"):
        return f"{stem}.MP{suffix}"
    if format == "microvideo" and not stem.startswith("MV"):
        return f"MVIMG_{stem.removeprefix('IMG_')}{suffix}"
    return stem + suffix


def check_motion_photo_output(
    out: Path, format: str, *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> None:
    """Check a path before long work.

    Raises:
        ConfigError: the format is not one of a motion photo.
        OutputError: write_motion_photo would refuse the path.
    """
    out = Path(out)
    if format not in MOTION_PHOTOS:
        raise ConfigError(f"a motion photo is google, samsung or microvideo, got {format}")
    check_picture_output(out, overwrite=overwrite, inputs=inputs)
    if out.suffix.lower() not in MIMES:
        raise OutputError(f"{out}: a motion photo is a JPEG or HEIC; end it in {', '.join(MIMES)}")
    if format == "microvideo" and MIMES[out.suffix.lower()] == "image/heic":
        raise OutputError(
            f"{out}: the microvideo format is a JPEG; end it in .jpg, or choose google"
        )
