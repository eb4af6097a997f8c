"""Make the demo's Live Photo: a Google Motion Photo, and the truth of one of its moments."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from livemoments.errors import OutputError
from livemoments.files import atomic_output, check_output
from livemoments.jobs.demo.clip import encode_mp4, frame_times, record
from livemoments.jobs.demo.scene import Scene, SceneConfig, demo_photograph
from livemoments.livephoto.metadata.exif import ExifEditor
from livemoments.livephoto.writing.motion_photo_xmp import packet_of_jpeg_and_clip
from livemoments.progress import Progress
from livemoments.version import __version__

FILE_NAME = "demo.MP.jpg"
TRUTH_NAME = "demo-truth.png"


@dataclass(frozen=True, kw_only=True)
class DemoLivePhoto:
    """What make_live_photo made."""

    path: Path  # the Motion Photo
    # The scene in full quality at time_s: the clip's view, the key photo's size, tone and colour.
    truth_path: Path
    time_s: float  # the moment whose truth is known, seconds of the clip
    key_time_s: float  # when the key photo was taken


def make_live_photo(
    folder: Path,
    seed: int = 0,
    *,
    config: SceneConfig | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> DemoLivePhoto:
    """Make the demo's Live Photo and truth in a folder; the same for the same seed.

    Progress is reported once per frame of the clip.

    Raises:
        OutputError: The folder cannot be made or written to, or holds these files already.
    """
    config = replace(config or SceneConfig(), seed=seed)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: this folder cannot be made ({error.strerror})") from error
    path, truth_path = folder / FILE_NAME, folder / TRUTH_NAME
    for output in (path, truth_path):
        check_output(output, overwrite=overwrite)
    photo = demo_photograph()
    times = frame_times(config)
    key_time = min(times, key=lambda time_s: abs(time_s - config.key_time_s))
    moment = min(times, key=lambda time_s: abs(time_s - config.moment_s))
    scene = Scene(photo, config, key_time_s=key_time)
    small = Scene(photo, config, key_time_s=key_time, scale=config.clip_scale)
    frames = _counted(record(small, times, config), len(times), progress)
    video = encode_mp4(frames, times)
    picture = _key_photo_jpeg(scene.view(key_time, rolling=False), key_time, len(video))
    truth = scene.view(moment)
    with atomic_output(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(picture + video)
    encoded = cv2.imencode(".png", truth[..., ::-1])[1]
    with atomic_output(truth_path, overwrite=overwrite) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return DemoLivePhoto(path=path, truth_path=truth_path, time_s=moment, key_time_s=key_time)


def _counted(
    frames: Iterator[np.ndarray], total: int, progress: Progress | None
) -> Iterator[np.ndarray]:
    """Pass frames on, and report how many are done."""
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress:
            progress("making", done, total)


def _key_photo_jpeg(pixels: np.ndarray, key_time_s: float, video_bytes: int) -> bytes:
    """Encode the key photo (uint8 RGB) as JPEG, with XMP that says where the clip behind it is."""
    exif = ExifEditor(None)
    exif.put_text("main", 0x010F, "livemoments")
    exif.put_text("main", 0x0110, "demo")
    exif.put_number("main", 0x0112, 1)
    exif.put_text("main", 0x0131, f"livemoments {__version__}")
    exif.put("details", 0x9000, 7, b"0232")
    for tag, text in ((0x9003, "2026:01:31 16:20:00"), (0x9011, "+00:00"), (0x9291, "000")):
        exif.put_text("details", tag, text)
    for tag, number in ((0xA001, 1), (0xA002, pixels.shape[1]), (0xA003, pixels.shape[0])):
        exif.put_number("details", tag, number)
    xmp = packet_of_jpeg_and_clip(video_bytes, round(key_time_s * 1e6))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(
        stream, "JPEG", quality=95, exif=b"Exif\0\0" + exif.to_bytes(), xmp=xmp
    )
    return stream.getvalue()
