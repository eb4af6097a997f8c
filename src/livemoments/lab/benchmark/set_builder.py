"""Make sets of the benchmark, which the papers did not release: the same ones from one seed.

Synthetic, as SynLive260 (LiveMoments, section 4.1): of a sharp video two pictures with a clear gap
in time are the truth and the key photo, and the truth degraded to half its size is the frame. Real,
as iPhoneLive90: moments of Live Photos with the key photo; their truths are not known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from livemoments.align.dense import estimate_flow
from livemoments.align.flow import resize_flow
from livemoments.errors import (
    ConfigError,
    DamagedFileError,
    InputError,
    LiveMomentsError,
    MissingFileError,
)
from livemoments.files import new_folder
from livemoments.imaging.pixels import as_bytes, fit_side
from livemoments.lab.benchmark.manifest import MANIFEST, ImageSet, SetImage, write_picture
from livemoments.lab.reality.measure import find_live_photos
from livemoments.lab.training.data import clips
from livemoments.lab.training.data.clips import INTERVAL, PictureClip, VideoClip
from livemoments.lab.training.data.degrade import check_preset, draw_degradation
from livemoments.livephoto import LivePhoto
from livemoments.moments.scores import MIN_GAP_S, Moment, best_moment, score_moments
from livemoments.progress import Progress

TRIALS = 12  # pairs looked at in one clip for one image
MULTIPLE_PX = 4  # of a truth's sides: half of it is then exact, and even, as video asks
MOTION_SIDE_PX = 960  # motion is measured at this size
FAST = 0.9  # the quantile of motion that shows whether anything moves, be it a subject alone
MIN_SIDE_PX = 64  # of a truth
APART_S = 0.1  # between moments of one clip: neighbouring pictures hardly differ


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """How pairs are taken from videos, and their frames degraded."""

    count: int  # of images
    licence: str  # of the videos, in words
    seed: int = 0
    preset: str = "live-photo-x2"
    interval: int = INTERVAL  # pictures between truth and key photo, times 1, 2 or 3
    size: int = 0  # side of a square crop; 0: whole pictures
    side: int = 1080  # shorter side that videos are reduced to, to be sharp; 0: never

    def __post_init__(self) -> None:
        check_preset(self.preset)
        _check_least(self, seed=0, count=1, interval=1, size=0, side=0)
        if 0 < self.size < MIN_SIDE_PX or self.size % MULTIPLE_PX:
            raise ConfigError(
                f"size must be 0 or a multiple of {MULTIPLE_PX} of at least {MIN_SIDE_PX},"
                f" got {self.size}"
            )
        if not self.licence.strip():
            raise ConfigError(
                "say under which licence the videos may be used", settings=("licence",)
            )


@dataclass(frozen=True, kw_only=True)
class RealConfig:
    """How moments are taken from Live Photos."""

    licence: str = ""
    seed: int = 0
    moments: int = 2  # of each: the sharpest away from the key photo, then some at drawn times

    def __post_init__(self) -> None:
        _check_least(self, seed=0, moments=1)


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """The pictures of an image, uint8 RGB, and the facts for its manifest."""

    pictures: dict[str, np.ndarray]
    facts: dict[str, Any]


def make_synthetic(
    videos: Path, output: Path, config: SyntheticConfig, progress: Progress | None = None
) -> ImageSet:
    """Make a set from a video, or from the videos and folders of pictures below a folder.

    Where the clips have fewer pairs than are asked for, the set has those, and a note.

    Raises:
        MissingFileError: there are no clips.
        DamagedFileError: none of them gave an image.
        OutputError: output exists already, or cannot be written.
    """
    paths = (
        [videos] if videos.is_file() else list(clips.find_clips(videos)) if videos.is_dir() else []
    )
    if not paths:
        raise MissingFileError(
            f"{videos}: no clips found; put video files there, or folders of at least"
            f" {INTERVAL + 1} pictures each"
        )
    search = _Search(paths, config)
    with new_folder(output) as folder:
        writer = _SetWriter(folder, config)
        for path, made in search.pairs():
            source = path.name if path == videos else path.relative_to(videos).as_posix()
            writer.add(f"{len(writer.images):04d}-{_plain(path.stem)}", made, source)
            if progress:
                progress("making pairs", len(writer.images), config.count)
        count, reasons = len(writer.images), list(search.reasons.values())
        if not count:
            raise DamagedFileError(
                f"{videos}: none of {len(paths)} clips gave a pair; {'; '.join(reasons[:3])}"
            )
        writer.notes += [f"left out: {reason}" for reason in reasons]
        if count < config.count:
            writer.notes.insert(0, f"{config.count} images were asked for, the clips have {count}")
        return writer.finish("synthetic", clips=len(paths))


def make_real(
    photos: Path, output: Path, config: RealConfig, progress: Progress | None = None
) -> ImageSet:
    """Make a set from a Live Photo, or from those below a folder.

    Raises:
        InputError: there are none, or none can be read.
        OutputError: output exists already, or cannot be written.
    """
    found = find_live_photos([photos])
    with new_folder(output) as folder:
        writer = _SetWriter(folder, config)
        for done, (source, live) in enumerate(found):
            if progress:
                progress("picking moments", done, len(found))
            rng = np.random.default_rng([config.seed, done])
            try:
                for made in _moments(live, config.moments, rng):
                    name = f"{done:03d}-{_plain(Path(source).stem)}-{made.facts['frame']:03d}"
                    writer.add(name, made, source)
            except InputError as error:
                writer.notes.append(f"left out: {source}: {error}")
        if progress:
            progress("picking moments", len(found), len(found))
        if not writer.images:
            reasons = "; ".join(writer.notes[:3])
            raise InputError(f"{photos}: no Live Photo could be used; {reasons}")
        return writer.finish("real")


class _SetWriter:
    """The images of a set that were written so far."""

    def __init__(self, folder: Path, config: SyntheticConfig | RealConfig) -> None:
        self.folder, self.config = folder, config
        self.images: list[SetImage] = []
        self.notes: list[str] = []

    def add(self, name: str, made: _Pictures, source: str) -> None:
        """Write an image's pictures into its folder."""
        place = self.folder / name
        place.mkdir()
        files = {
            which: write_picture(place / f"{which}.png", picture)
            for which, picture in made.pictures.items()
        }
        licence, facts = self.config.licence, made.facts
        image = SetImage(name=name, files=files, source=source, licence=licence, facts=facts)
        self.images.append(image)

    def finish(self, kind: str, **more: int) -> ImageSet:
        """Write the manifest; more: settings that are not in the configuration."""
        settings = {**asdict(self.config), **more}
        seed = settings.pop("seed")
        del settings["licence"]
        made = ImageSet(
            kind=kind, images=self.images, seed=seed, settings=settings, notes=self.notes
        )
        (self.folder / MANIFEST).write_text(made.to_json(), encoding="utf-8")
        return made


class _Search:
    """A search for pairs of pictures in clips, from each clip in turn."""

    def __init__(self, paths: Sequence[Path], config: SyntheticConfig) -> None:
        self.config = config
        self.reasons: dict[Path, str] = {}  # why a clip gives no more
        self._taken: dict[Path, list[int]] = {path: [] for path in paths}
        order = np.random.default_rng([config.seed, 0]).permutation(len(paths))
        self._turns = [paths[i] for i in order]

    def pairs(self) -> Iterator[tuple[Path, _Pictures]]:
        """Find as many pairs as are asked for, or as there are, each with its clip."""
        for index in range(self.config.count):
            found = self._next(np.random.default_rng([self.config.seed, 1 + index]))
            if found is None:
                return
            yield found

    def _next(self, rng: np.random.Generator) -> tuple[Path, _Pictures] | None:
        """Find the next clip's pair; a clip that has none leaves the turns."""
        while self._turns:
            path = self._turns.pop(0)
            try:
                made = self._of_clip(path, rng)
            except LiveMomentsError as error:
                self.reasons[path] = str(error)
                continue
            if made is not None:
                self._turns.append(path)
                return path, made
            if not self._taken[path]:  # else it only has no more, which needs no note
                self.reasons[path] = f"{path.name}: no two pictures with motion and without a cut"
        return None

    def _of_clip(self, path: Path, rng: np.random.Generator) -> _Pictures | None:
        clip, interval = clips.opened(path), self.config.interval
        if isinstance(clip, VideoClip):
            clip = replace(clip, side_px=self.config.side)
        gaps = [interval * k for k in (1, 2, 3) if interval * k < len(clip)]
        if not gaps:
            raise DamagedFileError(
                f"{clip.name}: {len(clip)} pictures; more than {interval} are needed"
            )
        for _ in range(TRIALS):
            gap = gaps[rng.integers(len(gaps))]
            truth = int(rng.integers(len(clip) - gap))
            key = truth + gap
            if rng.random() < 0.5:
                truth, key = key, truth
            if any(abs(truth - taken) < interval for taken in self._taken[path]):
                continue
            made = self._pair(clip, truth, key, rng)
            if made is not None:
                self._taken[path].append(truth)
                return made
        return None

    def _pair(
        self, clip: PictureClip | VideoClip, truth_at: int, key_at: int, rng: np.random.Generator
    ) -> _Pictures | None:
        """Make an image of two pictures of a clip; None where nothing moves, or all changes."""
        pictures = [clip.image(truth_at), clip.image(key_at)]
        if pictures[0].shape != pictures[1].shape:
            raise DamagedFileError(f"{clip.name}: its pictures differ in size, so it is no clip")
        height, width = pictures[0].shape[:2]
        area = self._area(clip.name, height, width, rng)
        # In 8 bits: the frame is made of what the truth's file holds.
        truth, key = (as_bytes(picture[area]) for picture in pictures)
        flow, seen = _motion(truth, key)
        lengths_px = np.hypot(*flow[seen].T) if seen.any() else np.zeros(1)
        median_px, fast_px = (float(px) for px in np.quantile(lengths_px, [0.5, FAST]))
        least_px = clips.MIN_MOTION * min(truth.shape[:2])
        if seen.mean() < clips.MIN_SEEN or fast_px < least_px:
            return None
        how = draw_degradation(rng, self.config.preset)
        frame = how(truth.astype(np.float32) / 255, -flow)
        drawn = asdict(cast(Any, how))  # a dataclass, whichever the preset
        return _Pictures(
            pictures={"frame": as_bytes(frame), "key": key, "truth": truth},
            facts={
                "truth_picture": truth_at,
                "key_picture": key_at,
                "motion_px": {"median": round(median_px, 2), "fast": round(fast_px, 2)},
                "seen_in_key": round(float(seen.mean()), 3),
                "degradation": {name: _rounded(value) for name, value in drawn.items()},
            },
        )

    def _area(
        self, name: str, height: int, width: int, rng: np.random.Generator
    ) -> tuple[slice, slice]:
        """Choose the part of a clip's pictures that is taken."""
        size, least = self.config.size, self.config.size or MIN_SIDE_PX
        if min(height, width) < least:
            raise DamagedFileError(
                f"{name}: {width} x {height} pixels; at least {least} a side are needed"
            )
        if not size:
            return slice(height - height % MULTIPLE_PX), slice(width - width % MULTIPLE_PX)
        top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
        return slice(top, top + size), slice(left, left + size)


def _motion(truth: np.ndarray, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the flow truth -> key photo (H x W x 2, px), and where that shows the truth."""
    height, width = truth.shape[:2]
    small, small_key = (
        fit_side(each.astype(np.float32) / 255, MOTION_SIDE_PX) for each in (truth, key)
    )
    dense = estimate_flow(small, small_key)
    seen = cv2.resize(dense.confidence, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
    return resize_flow(dense.flow_frame_to_key, height, width), seen


def _moments(live: LivePhoto, count: int, rng: np.random.Generator) -> Iterator[_Pictures]:
    """Pick the sharpest moment of a Live Photo away from its key photo, and some drawn ones."""
    moments = score_moments(live)
    best = best_moment(moments, live.key_time_s)
    key = live.still.pixels()
    for moment in _drawn(moments, best, live.key_time_s, count, rng):
        frame = live.clip.frame_at(moment.index).image
        yield _Pictures(
            pictures={"frame": as_bytes(frame), "key": key},
            facts={
                "picked": "sharpest" if moment is best else "drawn",
                "frame": moment.index,
                "time_s": round(moment.time_s, 4),
                "key_time_s": round(live.key_time_s, 4),
                "key_time_source": live.key_time_source,
                "sharpness": round(moment.sharpness, 3),
                "colour_space": live.still.colour.name,  # of both; PNGs here bear no profile
                "camera": " ".join(filter(None, (live.still.make, live.still.model))),
            },
        )


def _drawn(
    moments: Sequence[Moment], best: Moment, key_time_s: float, count: int, rng: np.random.Generator
) -> list[Moment]:
    """Draw up to `count` moments, the best first, apart from each other and the key photo."""
    gap_s = min(MIN_GAP_S, abs(best.time_s - key_time_s))
    away = [m for m in moments if abs(m.time_s - key_time_s) >= gap_s]
    chosen = [best]
    for at in rng.permutation(len(away)):
        if len(chosen) < count and all(abs(away[at].time_s - c.time_s) >= APART_S for c in chosen):
            chosen.append(away[at])
    return chosen


def _plain(name: str) -> str:
    """Make a name that any file system takes."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name)
    return plain.strip("-.")[:40] or "image"


def _rounded(value: object) -> object:
    return round(value, 5) if isinstance(value, float) else value


def _check_least(config: object, **least: int) -> None:
    for name, value in least.items():
        if getattr(config, name) < value:
            raise ConfigError(f"{name} must be {value} or more, got {getattr(config, name)}")
