"""Training scenes out of clips, as the paper makes them: two pictures of one video, a gap apart.

The truth is one picture, the key photo another (section 4.1: frames 5 apart, with a clear temporal
gap); the truth degraded is the frame. The true flow is not known: it is estimated between the two
sharp pictures, and believed where it is consistent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np

from livemoments.align.dense import estimate_flow
from livemoments.align.flow import resize_flow
from livemoments.errors import DamagedFileError, LiveMomentsError, MissingFileError
from livemoments.livephoto.colour import ColourSpace
from livemoments.livephoto.source import Source
from livemoments.livephoto.video import Clip, open_clip
from livemoments.training.degrade import draw_degradation
from livemoments.training.synthesis import Scene, observe

VIDEOS = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
INTERVAL = 5  # pictures between truth and key photo, times 1, 2 or 3
MIN_MOTION = 0.004  # of the scene's side: below, there is no gap to bridge
MIN_SEEN = 0.35  # share of the truth that the key photo must show: less is a cut
HELD_OUT_EVERY = 9  # one clip in nine is never trained on
SHARP_SIDE_PX = 720  # compressed video is reduced towards this side: then a truth is sharp


@dataclass(frozen=True)
class PictureClip:
    """A folder of numbered pictures as a clip."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> np.ndarray:
        """float32 RGB H x W x 3 in [0, 1]."""
        picture = cv2.imread(str(self.files[index]), cv2.IMREAD_COLOR)
        if picture is None:
            raise DamagedFileError(f"{self.files[index]}: not a picture that can be decoded")
        return picture[..., ::-1].astype(np.float32) / 255


@dataclass(frozen=True)
class VideoClip:
    """A video file as a clip."""

    clip: Clip

    def __len__(self) -> int:
        return len(self.clip.times_s)

    def image(self, index: int) -> np.ndarray:
        """float32 RGB H x W x 3 in [0, 1], reduced: compressed video is not sharp at full size."""
        image = self.clip.frame_at(index).image
        ratio = SHARP_SIDE_PX / min(image.shape[:2])
        if ratio < 1:
            size = (round(image.shape[1] * ratio), round(image.shape[0] * ratio))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return image


@dataclass(frozen=True)
class ClipScenes:
    """Scenes of size x size pixels from clips; `preset` degrades the frame. A `SceneMaker`."""

    paths: tuple[Path, ...]  # of video files, or of folders of pictures
    size: int
    preset: str = "live-photo"
    interval: int = INTERVAL

    @classmethod
    def of(
        cls, folder: Path, size: int, preset: str = "live-photo", *, held_out: bool = False
    ) -> "ClipScenes":
        """The clips under a folder: those to train on, or those held out for validation.

        Raises:
            MissingFileError: there are none.
        """
        found = list(find_clips(folder))
        if not found:
            raise MissingFileError(
                f"{folder}: no clips found; put video files there, or folders of at least "
                f"{INTERVAL + 1} pictures each"
            )
        chosen = [p for p in found if _is_held_out(p.name) == held_out]
        # Of a handful of clips none may fall to validation, or all: then both use what there is.
        return cls(tuple(chosen or found), size, preset)

    def identity(self) -> object:
        """See `SceneMaker`."""
        files = [(p.name, p.stat().st_size) for p in self.paths]
        return ["clips", self.size, self.preset, self.interval, files]

    def scene(self, seed: int, index: int) -> Scene:
        """See `SceneMaker`; LiveMomentsError where no clip has two pictures that will do."""
        rng = np.random.default_rng([seed, index])
        reason = ""
        for _attempt in range(30):
            path = self.paths[rng.integers(len(self.paths))]
            try:
                found = self._attempt(_opened(path), rng)
            except LiveMomentsError as error:
                reason = str(error)
                continue
            if found is not None:
                return found
            reason = "no two pictures with motion between them and no cut"
        raise DamagedFileError(
            f"{self.paths[0].parent}: {len(self.paths)} clips, and none gave a scene of "
            f"{self.size} x {self.size} pixels: {reason}"
        )

    def _attempt(self, clip: PictureClip | VideoClip, rng: np.random.Generator) -> Scene | None:
        gap = self.interval * int(rng.integers(1, 4))
        gap = min(gap, len(clip) - 1)
        if gap < 1:
            return None
        first = int(rng.integers(len(clip) - gap))
        pair = [clip.image(first), clip.image(first + gap)]
        if rng.random() < 0.5:
            pair.reverse()
        height, width = pair[0].shape[:2]
        if min(height, width) < self.size or pair[1].shape != pair[0].shape:
            return None
        top, left = rng.integers(height - self.size + 1), rng.integers(width - self.size + 1)
        here = (slice(top, top + self.size), slice(left, left + self.size))
        truth, key_photo = (np.ascontiguousarray(image[here]) for image in pair)
        dense = estimate_flow(truth, key_photo)
        flow = resize_flow(dense.flow_frame_to_key, self.size, self.size)
        visible = cv2.resize(dense.confidence, (self.size, self.size))
        seen = visible > 0.5
        if seen.mean() < MIN_SEEN:
            return None
        if np.median(np.hypot(*flow[seen].T)) < MIN_MOTION * self.size:
            return None
        return observe(truth, key_photo, flow, visible, draw_degradation(rng, self.preset), rng)


def find_clips(folder: Path) -> Iterator[Path]:
    """Video files under a folder, and folders in it that hold enough pictures, by name."""
    for path in sorted([folder, *folder.rglob("*")]):
        if path.is_dir():
            if len(_pictures(path)) > INTERVAL:
                yield path
        elif path.suffix.lower() in VIDEOS:
            yield path


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES)


def _is_held_out(name: str) -> bool:
    return crc32(name.encode()) % HELD_OUT_EVERY == 0


@lru_cache(maxsize=64)
def _opened(path: Path) -> PictureClip | VideoClip:
    """A clip ready to read, kept open."""
    if path.is_dir():
        return PictureClip(tuple(_pictures(path)))
    return VideoClip(open_clip(Source.whole(path), ColourSpace()))
