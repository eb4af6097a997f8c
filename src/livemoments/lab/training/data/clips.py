"""Make training scenes out of clips, as the paper does: of two pictures of a video, a gap apart.

The truth is one picture, the key photo another (section 4.1: frames 5 apart, with a clear temporal
gap); the truth degraded is the frame. The true flow is not known: it is estimated between the two
sharp pictures, and believed where it is consistent.
"""

import re
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
from livemoments.imaging.colour import ColourSpace
from livemoments.imaging.pixels import reduce
from livemoments.lab.training.data.codec import read_picture
from livemoments.lab.training.data.degrade import draw_degradation
from livemoments.lab.training.data.synthesis import Scene, observe
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.video import Clip, open_clip

VIDEOS = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"}
PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}
INTERVAL = 5  # pictures between truth and key photo, times 1, 2 or 3
MIN_MOTION = 0.004  # of the scene's side: below, there is no gap to bridge
MIN_SEEN = 0.35  # share of the truth that the key photo must show: less is a cut
HELD_OUT_EVERY = 9  # one clip in nine, and of few at least one, is never trained on
TRIALS = 100  # pairs of pictures looked at for one scene
SHARP_SIDE_PX = 720  # compressed video is reduced towards this side: then a truth is sharp


@dataclass(frozen=True)
class PictureClip:
    """A folder of numbered pictures as a clip."""

    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.files[0].parent.name

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> np.ndarray:
        """Read a picture, float32 RGB H x W x 3 in [0, 1]."""
        return read_picture(self.files[index]).astype(np.float32) / 255


@dataclass(frozen=True)
class VideoClip:
    """A video file as a clip."""

    clip: Clip
    side_px: int = SHARP_SIDE_PX  # its shorter side is reduced to that; 0: never

    @property
    def name(self) -> str:
        """The name in messages."""
        return self.clip.source.name

    def __len__(self) -> int:
        return len(self.clip.times_s)

    def image(self, index: int) -> np.ndarray:
        """Decode a picture, float32 RGB H x W x 3 in [0, 1], and reduce it until it is sharp."""
        image = self.clip.frame_at(index).image
        ratio = self.side_px / min(image.shape[:2])
        return reduce(image, ratio) if 0 < ratio < 1 else image


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
        """Find the clips under a folder: those to train on, or those held out for validation.

        Raises:
            MissingFileError: there are none.
        """
        found = sorted(
            find_clips(folder), key=lambda path: crc32(str(path.relative_to(folder)).encode())
        )
        if not found:
            raise MissingFileError(
                f"{folder}: no clips found; put video files there, or folders of at least "
                f"{INTERVAL + 1} pictures each"
            )
        count = -(-len(found) // HELD_OUT_EVERY) if len(found) > 1 else 0
        # A single clip has to serve both.
        chosen = (found[:count] if held_out else found[count:]) or found
        return cls(tuple(sorted(chosen)), size, preset)

    def identity(self) -> object:
        """See `SceneMaker`."""
        files = [(p.name, *_sizes(p)) for p in self.paths]
        return ["clips", self.size, self.preset, self.interval, files]

    def scene(self, seed: int, index: int) -> Scene:
        """See `SceneMaker`; LiveMomentsError where no clip has two pictures that will do."""
        rng = np.random.default_rng([seed, index])
        usable, reasons = list(self.paths), {}
        for _trial in range(TRIALS):
            if not usable:
                break
            path = usable[rng.integers(len(usable))]
            try:
                found = self._attempt(opened(path), rng)
            except LiveMomentsError as error:
                reasons[path] = str(error)
                usable.remove(path)
                continue
            if found is not None:
                return found
            reasons[path] = f"{path.name}: hardly any two pictures with motion and without a cut"
        raise DamagedFileError(
            f"{self.paths[0].parent}: none of {len(self.paths)} clips gave a scene of {self.size}"
            f" x {self.size} pixels; {'; '.join(list(reasons.values())[:3])}"
        )

    def _attempt(self, clip: PictureClip | VideoClip, rng: np.random.Generator) -> Scene | None:
        """Make a scene of two pictures; None where there is a cut between them, or no motion."""
        gap = min(self.interval * int(rng.integers(1, 4)), len(clip) - 1)
        if gap < 1:
            raise DamagedFileError(f"{clip.name}: one picture only; two are needed")
        first = int(rng.integers(len(clip) - gap))
        pair = [clip.image(first), clip.image(first + gap)]
        if rng.random() < 0.5:
            pair.reverse()
        height, width = pair[0].shape[:2]
        if min(height, width) < self.size:
            raise DamagedFileError(
                f"{clip.name}: {width} x {height} pixels; at least {self.size} a side are needed"
            )
        if pair[1].shape != pair[0].shape:
            raise DamagedFileError(f"{clip.name}: its pictures differ in size, so it is no clip")
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
    """Find video files under a folder, and folders of enough pictures, by name."""
    for path in sorted([folder, *folder.rglob("*")]):
        if path.is_dir():
            # Pictures next to videos are Live Photos' stills, not the pictures of a clip.
            if len(_pictures(path)) > INTERVAL and not any(map(_is_video, path.iterdir())):
                yield path
        elif _is_video(path):
            yield path


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS


def _pictures(folder: Path) -> list[Path]:
    """Sort the pictures of a folder by their numbers: 2.png before 10.png."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES]
    # Cut before and after every number: texts and numbers in turn.
    parts = {path: re.split(r"(\d+)", path.stem) for path in found}
    return sorted(found, key=lambda path: [int(t) if t.isdigit() else t for t in parts[path]])


def _sizes(path: Path) -> tuple[int, int]:
    """Count the files of a clip, and their bytes."""
    files = _pictures(path) if path.is_dir() else [path]
    return len(files), sum(file.stat().st_size for file in files)


@lru_cache(maxsize=64)
def opened(path: Path) -> PictureClip | VideoClip:
    """Open a clip, once per process."""
    if path.is_dir():
        return PictureClip(tuple(_pictures(path)))
    return VideoClip(open_clip(Source.whole(path), ColourSpace()))
