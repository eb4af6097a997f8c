"""Measure Real-ESRGAN and our own restoration on the same frame, machine and threads, in one run.

Real-ESRGAN enlarges the clip's frame four times and brings that to the restored picture's size. It
takes minutes, so a share of its tiles is timed and the whole worked out from how many pixels the
network sees in them. One half of the tiles runs before our own restoration and the other after it,
in float32 and bfloat16 by turns, so that a busy machine slows all of them by as much.

What favours whom: ours is the whole command, from starting Python to the written file; of
Real-ESRGAN only the network and the final resizing count, with its weights already loaded.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from livemoments.errors import ConfigError
from livemoments.files import cache_folder
from livemoments.imaging.pixels import fit_size
from livemoments.lab.benchmark.baselines import (
    SCALE,
    Enlarger,
    cut,
    fetch_real_esrgan,
    has_bfloat16,
    read_real_esrgan,
    use_threads,
    with_padding,
)
from livemoments.lab.speed.made import PICKED_FRAME
from livemoments.lab.speed.process import Watched, seconds_of
from livemoments.lab.speed.restore import BenchJob
from livemoments.livephoto import open_live_photo
from livemoments.moments.choice import MomentChoice, pick_time
from livemoments.progress import Progress
from livemoments.restoration.tiles import Tile

TIMED_TILES = 24  # a minute or two of a laptop, and a few percent of error
# Steps of the R2 sequence (Roberts, 2018): its first n points are spread evenly for any n.
SPREAD_Y, SPREAD_X = 0.7548776662466927, 0.5698402909980532


@dataclass(frozen=True, kw_only=True)
class RivalJob:
    """What to measure against."""

    name: str | None = "real-esrgan"  # the only one there is
    all_tiles: bool = False  # time all of its tiles instead of TIMED_TILES spread over the frame

    def __post_init__(self) -> None:
        if self.name != "real-esrgan":
            found = f"got {self.name!r}" if self.name else "which timing all tiles needs"
            message = f"the rival must be real-esrgan, {found}"
            raise ConfigError(message, settings=("against", "all_tiles"))


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What Real-ESRGAN takes for a picture of the restored one's size."""

    precision: str  # float32 or bfloat16
    seconds: float  # for all tiles and the resizing
    tiles_timed: int
    tiles: int  # of the whole frame
    times_as_long: float  # seconds over those of the whole restoring command

    @property
    def extrapolated(self) -> bool:
        """Whether the seconds were worked out from a share of the tiles."""
        return self.tiles_timed < self.tiles


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`livemoments restore` and Real-ESRGAN x4plus, measured in one run."""

    photo: str  # file name, or that it was made here
    width: int  # of the restored picture, and of Real-ESRGAN's
    height: int
    frame_width: int  # of the clip's frame, which both begin with
    frame_height: int
    threads: int  # of both
    steps: int  # of the restoration
    restore_seconds: float  # of the whole command, from its start to the written file
    real_esrgan: tuple[Rival, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        facts = asdict(self)
        facts["real_esrgan"] = [
            {**asdict(rival), "extrapolated": rival.extrapolated} for rival in self.real_esrgan
        ]
        return facts

    def lines(self) -> list[str]:
        """Return the same for people, in a few lines."""
        plural = "s" if self.threads > 1 else ""
        lines = [
            f"photo: {self.photo}; from a frame of {self.frame_width} x {self.frame_height} to "
            f"{self.width} x {self.height}, {self.threads} thread{plural}",
            f"livemoments restore: {self.restore_seconds:.1f} s, the whole command",
        ]
        for rival in self.real_esrgan:
            timed = f"all {rival.tiles} tiles timed"
            if rival.extrapolated:
                timed = f"extrapolated from {rival.tiles_timed} of {rival.tiles} tiles"
            lines.append(
                f"Real-ESRGAN x4plus, {rival.precision}: {rival.seconds:.1f} s, {timed}; "
                f"{rival.times_as_long:.1f} times as long"
            )
        return lines


@dataclass
class _Clock:
    """A network, and what its tiles took so far."""

    precision: str
    network: Enlarger
    seconds: float = 0.0
    timed: list[Tile] = field(default_factory=list)

    def time(self, frame: np.ndarray, tile: Tile) -> None:
        """Run one tile and add what it takes."""
        self.seconds += seconds_of(lambda: self.network.upscale_tile(frame, tile, SCALE))
        self.timed.append(tile)

    def whole_s(self, tiles: Sequence[Tile], height: int, width: int) -> float:
        """Return the seconds for all tiles of an H x W frame: they grow with the pixels."""
        return self.seconds * _seen_px(tiles, height, width) / _seen_px(self.timed, height, width)


def compare(
    rival: RivalJob, job: BenchJob | None = None, progress: Progress | None = None
) -> Comparison:
    """Measure `livemoments restore` and Real-ESRGAN on one moment of a photo.

    Args:
        rival: what to measure against, and how thoroughly.
        job: what is restored, and how.
        progress: called while a photo is made and while the tiles are timed.

    Raises:
        LiveMomentsError: whatever is wrong with the photo, or the weights cannot be fetched.
    """
    job = job or BenchJob()
    threads = use_threads()
    clocks = _networks(_weights(progress))
    with tempfile.TemporaryDirectory(prefix="livemoments-bench-") as scratch:
        source = job.prepare(Path(scratch), progress)
        live = open_live_photo(source, job.video)
        choice = MomentChoice(best=True) if job.photo else MomentChoice(frame=PICKED_FRAME)
        time_s = pick_time(live, choice, progress)
        frame = live.frame(time_s).image
        moment = ["--frame", str(live.clip.times_s.index(time_s))]
        tiles = cut(*frame.shape[:2])
        timed = tiles if rival.all_tiles else distribute(tiles, TIMED_TILES, *frame.shape[:2])
        for clock in clocks:
            clock.network.upscale_tile(frame, timed[0], SCALE)  # the first run also prepares
        middle = len(timed) // 2
        _time(clocks, frame, timed[:middle], progress, done=0, total=len(timed))
        run = job.watch(source, moment, Path(scratch))
        _time(clocks, frame, timed[middle:], progress, done=middle, total=len(timed))
    return _comparison(job, run, clocks, tiles, frame.shape[:2], threads)


def _comparison(
    job: BenchJob,
    run: Watched,
    clocks: Sequence[_Clock],
    tiles: Sequence[Tile],
    size: tuple[int, int],
    threads: int,
) -> Comparison:
    """Put together what was measured on a frame of a size (height, width)."""
    height, width = size
    to_size = run.report["height"], run.report["width"]
    upscaled = np.full((SCALE * height, SCALE * width, 3), 0.5, np.float32)
    resize_s = seconds_of(lambda: fit_size(upscaled, *to_size))
    rivals = []
    for clock in clocks:
        taken = clock.whole_s(tiles, height, width) + resize_s
        rivals.append(
            Rival(
                precision=clock.precision,
                seconds=round(taken, 1),
                tiles_timed=len(clock.timed),
                tiles=len(tiles),
                times_as_long=round(taken / run.seconds, 2),
            )
        )
    return Comparison(
        photo=job.name,
        width=to_size[1],
        height=to_size[0],
        frame_width=width,
        frame_height=height,
        threads=threads,
        steps=run.report["steps"],
        restore_seconds=round(run.seconds, 2),
        real_esrgan=tuple(rivals),
    )


def distribute(tiles: Sequence[Tile], count: int, height: int, width: int) -> list[Tile]:
    """Choose so many tiles of an H x W picture, or all: any first part of them is spread evenly."""
    if count >= len(tiles):
        return list(tiles)
    chosen: dict[Tile, None] = {}  # a set that keeps the order
    point = 0
    while len(chosen) < count:
        point += 1
        y, x = (point * SPREAD_Y) % 1 * height, (point * SPREAD_X) % 1 * width
        chosen[next(tile for tile in tiles if _holds(tile, y, x))] = None
    return list(chosen)


def _holds(tile: Tile, y: float, x: float) -> bool:
    return 0 <= y - tile.top < tile.height and 0 <= x - tile.left < tile.width


def _weights(progress: Progress | None) -> Path:
    """Return the folder with Real-ESRGAN's weights; fetch them where they are not there yet."""
    if progress:
        progress("fetching weights", 0, 1)
    folder = fetch_real_esrgan(cache_folder())
    if progress:
        progress("fetching weights", 1, 1)
    return folder


def _networks(weights: Path) -> list[_Clock]:
    """Load Real-ESRGAN in float32, and in bfloat16 where the processor has that."""
    precisions = {"float32": False, "bfloat16": True} if has_bfloat16() else {"float32": False}
    return [
        _Clock(precision=name, network=read_real_esrgan(weights, bfloat16=bfloat16))
        for name, bfloat16 in precisions.items()
    ]


def _time(
    clocks: Sequence[_Clock],
    frame: np.ndarray,
    tiles: Sequence[Tile],
    progress: Progress | None,
    *,
    done: int,
    total: int,
) -> None:
    """Time tiles of a frame on each network by turns; done of total were timed before."""
    for index, tile in enumerate(tiles, start=done + 1):
        for clock in clocks:
            clock.time(frame, tile)
        if progress:
            progress("Real-ESRGAN", index, total)


def _seen_px(tiles: Sequence[Tile], height: int, width: int) -> int:
    """Count the pixels of an H x W frame that the network sees for tiles, margins included."""
    seen = [with_padding(tile, height, width) for tile in tiles]
    return sum(tile.height * tile.width for tile in seen)
