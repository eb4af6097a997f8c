"""Compare the training's degradation with real clips: a degraded key photo against a frame.

The key photo of a real Live Photo is brought into the view of a frame of its clip and degraded as
training degrades its truths, at the clip's own scale. If training is like reality, the real frame
looks like one of these draws in the same places: its statistics lie within theirs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from livemoments.align.alignment import Alignment, align
from livemoments.align.flow import pixel_grid, sample
from livemoments.align.registration import scaling
from livemoments.errors import ConfigError, InputError, MissingFileError, PairingError
from livemoments.imaging.pixels import as_float, fit_side, grey
from livemoments.lab.reality.appearance import (
    PATCH_PX,
    STATISTICS,
    Appearance,
    match_tone,
    measure_appearance,
)
from livemoments.lab.reality.report import ClipReality, Range, Reality
from livemoments.lab.training.data import realesrgan
from livemoments.lab.training.data.degrade import PRESETS, Degrader, check_preset, draw_live_photo
from livemoments.livephoto import LivePhoto, open_live_photo
from livemoments.livephoto.reading.neighbours import STILL_SUFFIXES
from livemoments.progress import Progress, Stages

# live-photo-x2 is live-photo at another scale, and the scale is the clip's here.
COMPARED = tuple(preset for preset in PRESETS if preset != "live-photo-x2")
ALIGN_SIDE_PX = 960  # to look at the same places, it need not fit to the pixel
TRUSTED = 0.5  # confidence over which a pixel counts
GOOD_SHARE = 0.3  # of the frame and of the window, that must be trusted
WINDOW_STEP_PX = 16


@dataclass(frozen=True, kw_only=True)
class RealityConfig:
    """How much is compared."""

    presets: tuple[str, ...] = COMPARED  # of `training.degrade.PRESETS`
    draws: int = 8  # of each preset per frame
    frames: int = 3  # per clip: the key photo's own, and others far from it
    window_px: int = 384  # side of the part of the frame that is compared; bounds the time
    seed: int = 0

    def __post_init__(self) -> None:
        for preset in self.presets:
            check_preset(preset)
        if not self.presets:
            raise ConfigError("name at least one preset", settings=("presets",))
        least = {"draws": 2, "frames": 1, "window_px": PATCH_PX, "seed": 0}  # 2 draws: a range
        for name, low in least.items():
            if (value := getattr(self, name)) < low:
                raise ConfigError(f"{name} must be {low} or more, got {value}")


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a frame, and the key photo's view of it at the key photo's density."""

    frame: np.ndarray  # float32 RGB h x w x 3, sides multiples of 16
    truth: np.ndarray  # float32 RGB of h and w times scale, of the frame's tone
    places: np.ndarray  # bool h x w: where both surely show the same
    scale: float


def check_files(
    paths: Sequence[Path],
    config: RealityConfig | None = None,
    *,
    plot: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Reality:
    """Compare the Live Photos of files and folders, and draw the comparison where a path is given.

    Raises:
        LiveMomentsError: There is no Live Photo, none can be compared, or the plot cannot be
            written; then nothing has been written.
    """
    from livemoments.lab.reality import plot as plots

    found = find_live_photos(paths)
    inputs = [file for _, live in found for file in (live.still.path, live.clip.path) if file]
    if plot:
        plots.check_plot_path(plot, overwrite=overwrite, inputs=inputs)
    result = compare(found, config, progress)
    if plot:
        plots.write_plot(plots.plot(result), plot, overwrite=overwrite, inputs=inputs)
        result = replace(result, plot=plot)
    return result


def find_live_photos(paths: Sequence[Path]) -> list[tuple[str, LivePhoto]]:
    """Find the Live Photos of files and of folders with all below them, each with a name to show.

    Files of a folder that are no Live Photos are passed over; what is named must be one.

    Raises:
        InputError: a named file cannot be opened, or a folder has no Live Photo in it.
    """
    found: dict[tuple[Path, Path], tuple[str, LivePhoto]] = {}
    for path in paths:
        if path.is_dir():
            opened = list(_in_folder(path))
            if not opened:
                message = "no Live Photo in this folder or below it; give another, or one photo"
                raise MissingFileError(f"{path}: {message}")
        else:
            opened = [(path.name, open_live_photo(path))]
        for name, live in opened:
            halves = (live.still.path or live.clip.path).resolve(), live.clip.path.resolve()
            found.setdefault(halves, (name, live))
    return list(found.values())


def _in_folder(folder: Path) -> Iterator[tuple[str, LivePhoto]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() in STILL_SUFFIXES and path.is_file() and not hidden:
            try:
                yield str(name), open_live_photo(path)
            except InputError:  # a plain picture, most often
                continue


def compare(
    photos: Sequence[tuple[str, LivePhoto]],
    config: RealityConfig | None = None,
    progress: Progress | None = None,
) -> Reality:
    """Compare real frames of Live Photos, one or more (name to show, photo), with key photos.

    Raises:
        PairingError: no key photo shows what its clip shows, so that nothing can be compared.
    """
    config = config or RealityConfig()
    stages, count = Stages(progress), len(photos)
    clips, skipped = [], []
    for number, (name, live) in enumerate(photos):

        def report(done: int, before: int = number) -> None:
            stages.report("comparing", before * config.frames + done, count * config.frames)

        report(0)
        try:
            clips.append(_compare_clip(name, live, number, config, report))
        except InputError as error:
            skipped.append(f"{name}: {error}")
    stages.report("comparing", count * config.frames, count * config.frames)
    if not clips:
        raise PairingError(f"none of {count} Live Photos can be compared; {'; '.join(skipped)}")
    return Reality(
        clips=tuple(clips), presets=config.presets, draws=config.draws, seed=config.seed,
        skipped=tuple(skipped),
    )  # fmt: skip


def _compare_clip(
    name: str, live: LivePhoto, number: int, config: RealityConfig, report: Callable[[int], None]
) -> ClipReality:
    """Compare one clip, the number-th; report is called with how many of its frames are done."""
    key_photo = live.still.pixels()
    times_s: list[float] = []
    real: list[Appearance] = []
    drawn: dict[str, list[Appearance]] = {preset: [] for preset in config.presets}
    for time_s, view in _views(live, key_photo, config):
        real.append(measure_appearance(view.frame, view.places))
        for order, preset in enumerate(config.presets):
            for draw in range(config.draws):
                rng = np.random.default_rng([config.seed, number, len(times_s), order, draw])
                picture = draw_at_scale(preset, view.scale, rng)(view.truth)
                drawn[preset].append(measure_appearance(picture, view.places))
        times_s.append(time_s)
        scale = view.scale
        report(len(times_s))
    if not real:
        raise PairingError("hardly any of the key photo is found in the clip")
    return ClipReality(
        name=name,
        scale=scale,
        times_s=tuple(times_s),
        real={name: spread.median for name, spread in _ranges(real).items()},
        drawn={preset: _ranges(draws) for preset, draws in drawn.items()},
        real_spectrum=_mean_spectrum(real),
        drawn_spectra={preset: _mean_spectrum(draws) for preset, draws in drawn.items()},
    )


def _ranges(measured: Sequence[Appearance]) -> dict[str, Range]:
    """Return the range of each statistic."""
    return {s.name: Range.of([each.values[s.name] for each in measured]) for s in STATISTICS}


def _mean_spectrum(measured: Sequence[Appearance]) -> np.ndarray:
    """Return the geometric mean of the spectra, in which more contrast does not count for more."""
    return np.exp(np.mean([np.log(each.spectrum + 1e-15) for each in measured], axis=0))


def draw_at_scale(preset: str, scale: float, rng: np.random.Generator) -> Degrader:
    """Draw a degradation of a preset of PRESETS at a scale (truth side / clip side)."""
    if preset in realesrgan.STRENGTHS:
        strength = replace(realesrgan.STRENGTHS[preset], scale=scale)
        return realesrgan.draw_two_rounds(strength, rng)
    return draw_live_photo(rng, scale=scale)


def _views(
    live: LivePhoto, key_photo: np.ndarray, config: RealityConfig
) -> Iterator[tuple[float, View]]:
    """Yield up to config.frames frames with their times: the key photo's first, then far ones."""
    key_frame = live.clip.frame_at(live.key_index).image
    key = live.key_index
    # More than are wanted, for some may not do. The very ends of the clip are left out: there a
    # phone is still being raised, or lowered.
    even = np.linspace(0, len(live.clip.times_s) - 1, 4 * config.frames - 1)[1:-1:2]
    others = {int(index) for index in even.round()} - {key}
    count = 0
    for index in [key, *sorted(others, key=lambda index: -abs(index - key))]:
        frame = key_frame if index == key else live.clip.frame_at(index).image
        aligned = _aligned(frame, key_photo, key_frame, live.key_transform)
        view = bring_together(frame, key_photo, aligned, config.window_px)
        if view is not None:
            yield live.clip.times_s[index], view
            count += 1
        if count == config.frames:
            return


def _aligned(
    frame: np.ndarray,
    key_photo: np.ndarray,
    key_frame: np.ndarray,
    key_transform: np.ndarray | None,
) -> Alignment:
    """Align the key photo to the frame at a reduced size; see `align`."""
    small, small_key = (fit_side(each, ALIGN_SIDE_PX) for each in (frame, key_frame))
    if key_transform is not None:
        key_transform = key_transform @ scaling(small_key.shape[:2], key_frame.shape[:2])
    return align(small, key_photo, key_frame=small_key, key_transform=key_transform)


def bring_together(
    frame: np.ndarray, key_photo: np.ndarray, aligned: Alignment, window_px: int
) -> View | None:
    """Return the part of a frame to compare; None where too little of the key photo is found in it.

    frame is float32 RGB h x w x 3, key_photo uint8 or float32 RGB. aligned may be that of a reduced
    frame: it covers the same view. The part is at most window_px on each side.
    """
    if aligned.flow_frame_to_key is None or aligned.confidence is None:
        return None
    h, w = frame.shape[:2]
    trusted = cv2.resize(aligned.confidence, (w, h), interpolation=cv2.INTER_AREA) > TRUSTED
    size = [min(side, window_px) // WINDOW_STEP_PX * WINDOW_STEP_PX for side in (h, w)]
    if trusted.mean() < GOOD_SHARE or min(size) < PATCH_PX:
        return None
    y, x = _window(frame, trusted, size)
    part = (slice(y, y + size[0]), slice(x, x + size[1]))
    if trusted[part].mean() < GOOD_SHARE:
        return None
    truth = _key_view(key_photo, aligned.flow_frame_to_key, (h, w), (y, x), size)
    return View(
        frame=np.ascontiguousarray(frame[part]),
        # Before the degradation, not after it: noise is added to the frame's tones.
        truth=match_tone(truth, frame[part], trusted[part]),
        places=trusted[part],
        scale=aligned.width / w,
    )


def _window(frame: np.ndarray, trusted: np.ndarray, size: list[int]) -> tuple[int, int]:
    """Return the top left corner of the window with the most trusted detail: halos need edges."""
    luma = cv2.GaussianBlur(grey(frame), (0, 0), 2.0)
    detail = np.hypot(cv2.Scharr(luma, cv2.CV_32F, 1, 0), cv2.Scharr(luma, cv2.CV_32F, 0, 1)) / 32
    # Capped, so that a few hard edges do not outweigh a window full of detail; and a constant, so
    # that of plain windows the most trusted one is taken.
    total = cv2.integral((np.minimum(detail, 0.02) + 0.005) * trusted)
    h, w = size
    sums = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    sums = sums[::WINDOW_STEP_PX, ::WINDOW_STEP_PX]
    y, x = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(y) * WINDOW_STEP_PX, int(x) * WINDOW_STEP_PX


def _key_view(
    key_photo: np.ndarray,
    flow: np.ndarray,
    frame_size: tuple[int, int],
    corner: tuple[int, int],
    size: list[int],
) -> np.ndarray:
    """Return the key photo in a window of the frame (corner y, x; size h, w) at output density.

    flow is `Alignment.flow_frame_to_key`, of the output's size.
    """
    per_pixel = np.array([flow.shape[1] / frame_size[1], flow.shape[0] / frame_size[0]])
    h, w = (round(side * per_pixel[0]) for side in size)
    in_window = (pixel_grid(h, w) + 0.5) * np.array([size[1] / w, size[0] / h])
    positions = ((in_window + np.array(corner[::-1])) * per_pixel - 0.5).astype(np.float32)
    positions += sample(flow, positions, cv2.INTER_LINEAR)
    return np.clip(as_float(sample(key_photo, positions, cv2.INTER_CUBIC)), 0, 1)
