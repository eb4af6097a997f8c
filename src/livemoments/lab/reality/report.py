"""Report the comparison of degraded key photos with real frames, as tables and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from livemoments.lab.reality.appearance import STATISTICS, frequencies

NAME_WIDTH = 36
LOW, HIGH = 0.1, 0.9  # the quantiles of a range


class Range(NamedTuple):
    """Where the draws of a preset lie: the 10 %, 50 % and 90 % quantiles of one statistic."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """Return the range of some draws."""
        return cls(*np.quantile(values, [LOW, 0.5, HIGH]).tolist())

    def holds(self, value: float) -> bool:
        """Return whether a value lies between the 10 % and the 90 % quantile."""
        return self.low <= value <= self.high

    def offset(self, value: float) -> float:
        """Return how far a value lies above the median, in units of the range from 10 % to 90 %."""
        return (value - self.median) / max(self.high - self.low, 1e-6)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipReality:
    """One clip against the degraded key photo in its view, by the names of `STATISTICS`."""

    name: str
    scale: float  # key photo's side / clip's side, in the frame's view
    times_s: tuple[float, ...]  # of the frames that were compared, seconds of the clip
    real: dict[str, float]  # the median of those frames
    drawn: dict[str, dict[str, Range]]  # per preset, over all draws of all frames
    real_spectrum: np.ndarray  # power at `appearance.frequencies()`
    drawn_spectra: dict[str, np.ndarray]  # per preset

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; ranges as [10 %, 50 %, 90 %]."""
        names = ("name", "scale", "times_s", "real", "drawn")
        return {name: _rounded(getattr(self, name)) for name in names}


class Verdict(NamedTuple):
    """How one preset does in one statistic, over all clips."""

    inside: int  # clips whose real value lies within the preset's range from 10 % to 90 %
    of: int  # all clips
    distance: float  # mean distance of the real value from the median, in units of that range
    offset: float  # the same with its sign: above 0 where reality has more than the preset


@dataclass(frozen=True, kw_only=True, eq=False)
class Reality:
    """A comparison of one or more clips."""

    clips: tuple[ClipReality, ...]
    presets: tuple[str, ...]
    draws: int  # of each preset per frame
    seed: int
    skipped: tuple[str, ...] = ()  # Live Photos that could not be compared, and why
    plot: Path | None = None  # where it was drawn

    def verdict(self, preset: str, statistic: str) -> Verdict:
        """Return how a preset does in a statistic of STATISTICS."""
        pairs = [(clip.drawn[preset][statistic], clip.real[statistic]) for clip in self.clips]
        offsets = [spread.offset(real) for spread, real in pairs]
        return Verdict(
            inside=sum(spread.holds(real) for spread, real in pairs),
            of=len(pairs),
            distance=float(np.mean(np.abs(offsets))),
            offset=float(np.mean(offsets)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        levels = {name: each.tolist() for name, each in mean_levels(self).items()}
        summary = {
            preset: {s.name: self.verdict(preset, s.name)._asdict() for s in STATISTICS}
            for preset in self.presets
        }
        return {
            "draws": self.draws,
            "seed": self.seed,
            "clips": [clip.to_dict() for clip in self.clips],
            "summary": _rounded(summary, 3),
            "frequencies": _rounded(frequencies().tolist(), 6),
            "spectra_db": _rounded(levels, 2),
            "skipped": list(self.skipped),
            "plot": str(self.plot) if self.plot else None,
        }

    def lines(self) -> list[str]:
        """Return the same for people: a table per statistic, and a summary."""
        lines = []
        for statistic in STATISTICS:
            lines += [f"{statistic.title}: {statistic.meaning}", *self._table(statistic.name), ""]
        lines += self._summary()
        lines += [f"not compared: {reason}" for reason in self.skipped]
        return [*lines, f"plot: {self.plot}"] if self.plot else lines

    def _table(self, statistic: str) -> list[str]:
        """Return a row per clip: the real value, then each preset's median [10 %, 90 %]."""
        heads = "".join(f"  {preset:>24}" for preset in self.presets)
        rows = [f"  {'clip':<{NAME_WIDTH}}  {'scale':>5}  {'real':>7}{heads}"]
        for clip in self.clips:
            ranges = [clip.drawn[preset][statistic] for preset in self.presets]
            cells = [f"{each.median:.2f} [{each.low:.2f}, {each.high:.2f}]" for each in ranges]
            name = f"  {shortened(clip.name):<{NAME_WIDTH}}  {clip.scale:>5.2f}"
            real = f"  {clip.real[statistic]:>7.2f}"
            rows.append(name + real + "".join(f"  {cell:>24}" for cell in cells))
        return rows

    def _summary(self) -> list[str]:
        """Return a row per preset: clips inside its range, mean distance, mean signed distance."""
        heads = "".join(f"  {s.name:>16}" for s in STATISTICS)
        rows = [
            f"summary over {len(self.clips)} clips, {self.draws} draws a frame: clips whose real"
            " value lies within the preset's 10-90 % range,",
            "mean distance of the real value from the preset's median in units of that range, and"
            " with its sign (+: reality has more)",
            f"  {'preset':<18}{heads}",
        ]
        for preset in self.presets:
            found = [self.verdict(preset, s.name) for s in STATISTICS]
            cells = [f"{v.inside}/{v.of} {v.distance:.2f} {v.offset:+.2f}" for v in found]
            rows.append(f"  {preset:<18}" + "".join(f"  {cell:>16}" for cell in cells))
        return rows


def mean_levels(result: Reality) -> dict[str, np.ndarray]:
    """Return the mean spectra over all clips, dB: "real" and each preset's, at frequencies().

    Each clip's are relative to its real frame at 1/32 cycles per pixel, where all should agree.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("real", *result.presets)}
    for clip in result.clips:
        start = clip.real_spectrum[1] + 1e-15
        for name, levels in rows.items():
            spectrum = clip.real_spectrum if name == "real" else clip.drawn_spectra[name]
            levels.append(10 * np.log10((spectrum + 1e-15) / start))
    return {name: np.mean(levels, axis=0) for name, levels in rows.items()}


def shortened(name: str, width: int = NAME_WIDTH) -> str:
    """Cut a name to a width; its beginning, where folders say most, stays."""
    return name if len(name) <= width else name[: width - 3] + "..."


def _rounded(values: Any, digits: int = 4) -> Any:  # noqa: ANN401 - plain values, nested
    """Round the floats in dictionaries and lists; tuples become lists."""
    if isinstance(values, dict):
        return {name: _rounded(value, digits) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_rounded(value, digits) for value in values]
    return round(values, digits) if isinstance(values, float) else values
