"""Write a restored moment, with its clip or alone, in any format."""

import numpy as np

from livemoments.livephoto.hdr.gain_map import GainMap
from livemoments.livephoto.movie.video import Clip
from livemoments.livephoto.reading.live_photo import LivePhoto
from livemoments.livephoto.still.encode import Subsampling, encode_picture
from livemoments.livephoto.still.still_bytes import StillFile
from livemoments.livephoto.writing.apple import ApplePlan, plan_apple
from livemoments.livephoto.writing.format import Format, Place, Written
from livemoments.livephoto.writing.motion_photo import (
    MotionPhotoPlan,
    attachments_of,
    plan_motion_photo,
)
from livemoments.livephoto.writing.picture import PicturePlan


def plan_live_photo(
    live: LivePhoto,
    place: Place,
    *,
    time_s: float,
    size: tuple[int, int] | None = None,
    file: StillFile | None = None,
    gain_map: GainMap | None = None,
    quality: int = 95,
    clip: Clip | None = None,
    identifier: str | None = None,
) -> ApplePlan | MotionPhotoPlan:
    """Prepare all of a Live Photo but its still: the one place that decides by the format.

    Args:
        live: The source.
        place: Where the new one goes, and in which format.
        time_s: The still's time, seconds of the clip.
        size: Width and height of a new picture; None: the still is the source's own.
        file: The still's file, where it is copied.
        gain_map: Of a still that is encoded anew.
        quality: Of the gain map, where it is a JPEG of its own: 1 to 100.
        clip: In the place of the source's own, with its times.
        identifier: Of Apple's format; None: a new one.

    Raises:
        InputError: The clip cannot be copied.
        MomentError: The time lies outside the clip.
        OutputError: The clip is too long.
    """
    if place.format == Format.APPLE:
        return plan_apple(live, place, time_s=time_s, size=size, clip=clip, identifier=identifier)
    attachments = attachments_of(place, file, gain_map, quality)
    return plan_motion_photo(
        live, place, time_s=time_s, same_picture=size is None,
        attachments=attachments, clip=clip,
    )  # fmt: skip


def write_live_photo(
    live: LivePhoto,
    image: np.ndarray,
    place: Place,
    *,
    time_s: float,
    software: str,
    quality: int = 95,
    subsampling: Subsampling = "4:2:0",
    gain_map: GainMap | None = None,
    identifier: str | None = None,
) -> Written:
    """Write a picture of one moment and the clip it comes from, all files or none.

    Args:
        live: The source.
        image: Upright RGB, H x W x 3, of the whole frame's view, in the still's colour space.
        place: Where, and in which format; without one, the picture is written alone.
        time_s: Of the moment, seconds of the clip's clock.
        software: The software tag, which says what was done.
        quality: 1 to 100 on JPEG's scale.
        subsampling: Of chroma.
        gain_map: Of the picture's view; a note says where it has no place.
        identifier: Of Apple's format, a UUID in capitals; None: a new one.

    Raises:
        ConfigError: A quality, subsampling or identifier that cannot be.
        InputError: `image` is no picture, or the clip cannot be copied.
        MomentError: The time lies outside the clip.
        OutputError: It cannot be written; then nothing has changed.
    """
    plan = PicturePlan(place=place)
    if place.format is not None:
        plan = plan_live_photo(
            live, place, time_s=time_s, size=(image.shape[1], image.shape[0]),
            gain_map=gain_map, quality=quality, identifier=identifier,
        )  # fmt: skip
    encoded = encode_picture(
        image, place.path, still=live.still, software=software, quality=quality,
        subsampling=subsampling, time_shift_s=time_s - live.key_time_s, edit=plan.edit,
        gain_map=gain_map if plan.gain_map_in_still else None,
    )  # fmt: skip
    return plan.write(plan.finish(encoded, gain_map))
