"""Run the whole demo: make a Live Photo, open it, restore a moment, say how near it came."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from livemoments.files import atomic_output
from livemoments.imaging.fidelity import Scores, scores
from livemoments.imaging.pixels import as_bytes
from livemoments.jobs.demo.clip import clip_tone
from livemoments.jobs.demo.compare import before_after, fit
from livemoments.jobs.demo.make import make_live_photo
from livemoments.jobs.demo.scene import SceneConfig
from livemoments.progress import Progress
from livemoments.version import __version__

RESTORED_NAME = "demo-restored.jpg"
BEFORE_AFTER_NAME = "demo-before-after.png"


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made and how good it is."""

    live_photo_path: Path  # the Motion Photo
    truth_path: Path  # what the restored moment should look like
    restored_path: Path  # what it does look like
    before_after_path: Path  # crops of both next to the frame and the key photo
    time_s: float  # the restored moment
    # Of the frame, enlarged bicubically, against the truth in the clip's tone: the frame is not to
    # be blamed for that.
    frame_scores: Scores
    restored_scores: Scores  # of the restored moment against the truth
    share_from_reference: float  # 0 to 1: pixels restored with the key photo's help
    seconds: float  # of everything

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        facts = asdict(self)
        return {k: str(v) if isinstance(v, Path) else v for k, v in facts.items()}


def run_demo(
    folder: Path,
    progress: Progress | None = None,
    *,
    config: SceneConfig | None = None,
    overwrite: bool = True,
) -> DemoResult:
    """Make the demo's files in a folder, restore the moment whose truth is known, and compare.

    Args:
        folder: where the files go; made if it is not there.
        progress: Called with a stage's name and how much of it is done; may raise to cancel.
        config: The recording, where it shall not be the usual one.
        overwrite: Whether the files of an earlier demo may be replaced.

    Raises:
        LiveMomentsError: As open_live_photo, restore and write_picture do.
    """
    from livemoments.livephoto import open_live_photo
    from livemoments.livephoto.writing.picture import write_picture
    from livemoments.restoration.moment import restore

    began = time.perf_counter()
    made = make_live_photo(folder, config=config, overwrite=overwrite, progress=progress)
    live_photo = open_live_photo(made.path)
    moment = restore(live_photo, time_s=made.time_s, progress=progress)
    restored_path = made.path.with_name(RESTORED_NAME)
    write_picture(
        moment.image,
        restored_path,
        still=live_photo.still,
        software=f"livemoments {__version__}: restored frame at {made.time_s:.3f} s",
        time_shift_s=made.time_s - live_photo.key_time_s,
        overwrite=overwrite,
    )
    frame = live_photo.frame(made.time_s).image
    truth = np.asarray(Image.open(made.truth_path).convert("RGB"))
    restored = fit(moment.image, *truth.shape[:2])
    sheet_path = made.path.with_name(BEFORE_AFTER_NAME)
    sheet = before_after(frame, restored, truth, live_photo.still.pixels())
    with atomic_output(sheet_path, overwrite=overwrite) as temporary:
        Image.fromarray(sheet).save(temporary)
    return DemoResult(
        live_photo_path=made.path,
        truth_path=made.truth_path,
        restored_path=restored_path,
        before_after_path=sheet_path,
        time_s=made.time_s,
        frame_scores=scores(fit(frame, *truth.shape[:2]), _in_clip_tone(truth)),
        restored_scores=scores(restored, truth),
        share_from_reference=moment.report.share_from_reference,
        seconds=round(time.perf_counter() - began, 1),
    )


def _in_clip_tone(picture: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 RGB, as the clip shows its tone and colour."""
    return as_bytes(clip_tone(picture / np.float32(255)))
