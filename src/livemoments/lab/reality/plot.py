"""Draw the comparison with reality: a panel per statistic, and the mean spectra."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from livemoments.errors import ConfigError, OutputError
from livemoments.files import atomic_output, check_output
from livemoments.lab.reality.appearance import STATISTICS, frequencies
from livemoments.lab.reality.report import Reality, mean_levels, shortened

WIDTH_PX = 1600
LEAST_WIDTH_PX = 900
PANEL_HEIGHT_PX = 340
COLUMNS = 2
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6  # capitals of 13 px
LETTER_PX = 11  # of a letter, at most on average
LINE_PX = 26  # from one line of text to the next
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 84, 20, 44, 52  # around the axes of a panel

PAPER, INK, FAINT = (255, 255, 255), (0, 0, 0), (222, 222, 222)
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def plot(result: Reality, width: int = WIDTH_PX) -> np.ndarray:
    """Draw a comparison, width pixels wide (900 or more); returns uint8 RGB H x W x 3.

    A panel per statistic has the clips along x: a black mark for the real value, a bar from 10 % to
    90 % of each preset's draws with a tick at their median. The last panel has the mean spectra.
    """
    if width < LEAST_WIDTH_PX:
        raise ConfigError(f"a plot is {LEAST_WIDTH_PX} px wide or more, got {width}")
    colours = {p: COLOURS[i % len(COLOURS)] for i, p in enumerate(result.presets)}
    head = _Sheet.blank(width, 2 * width)
    y = _legend(head, result, colours)
    names = [s.name for s in STATISTICS]
    rows = -(-(len(names) + 1) // COLUMNS)
    sheet = _Sheet.blank(width, y + rows * PANEL_HEIGHT_PX)
    sheet.pixels[:y] = head.pixels[:y]
    for place in range(len(names) + 1):
        row, column = divmod(place, COLUMNS)
        box = _Box(
            left=column * width // COLUMNS + LEFT_PX,
            right=(column + 1) * width // COLUMNS - RIGHT_PX,
            top=y + row * PANEL_HEIGHT_PX + TOP_PX,
            bottom=y + (row + 1) * PANEL_HEIGHT_PX - BOTTOM_PX,
        )
        if place < len(names):
            _statistic(sheet, box, result, place, colours)
        else:
            _spectra(sheet, box, result, colours)
    return sheet.pixels


def check_plot_path(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError where write_plot would refuse; for a look before the work."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a plot is a .png or .jpg file; name it so")
    check_output(path, overwrite=overwrite, inputs=inputs)


def write_plot(
    picture: np.ndarray, path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> Path:
    """Write a plot, uint8 RGB, whole or not at all; inputs are never replaced."""
    check_plot_path(path, overwrite=overwrite, inputs=inputs)
    with atomic_output(path, overwrite=overwrite, inputs=inputs) as temporary:
        Image.fromarray(picture).save(temporary, FORMATS[path.suffix.lower()], quality=92)
    return path


@dataclass(frozen=True, kw_only=True)
class _Box:
    """The axes of a panel, pixels of the sheet."""

    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Values from low to high along pixels from start to end."""

    low: float
    high: float
    start: int
    end: int

    def at(self, value: float) -> int:
        """Return the pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start))

    def ticks(self) -> list[float]:
        """Return about five round values."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
        first = int(np.ceil(self.low / step))
        return [i * step for i in range(first, int(np.floor(self.high / step)) + 1)]


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """Something to draw on: uint8 RGB, changed in place."""

    pixels: np.ndarray

    @classmethod
    def blank(cls, width: int, height: int) -> "_Sheet":
        return cls(pixels=np.full((height, width, 3), PAPER, np.uint8))

    def text(
        self, words: str, x: int, y: int, colour: tuple[int, int, int] = INK, align: float = 0.0
    ) -> int:
        """Write words with their base line's left end (align 0), middle or right end (1) at x, y.

        The font has ASCII alone. Returns the width, px.
        """
        words = words.encode("ascii", "replace").decode()
        (width, _), _ = cv2.getTextSize(words, FONT, FONT_SCALE, 1)
        at = (round(x - align * width), y)
        cv2.putText(self.pixels, words, at, FONT, FONT_SCALE, colour, 1, cv2.LINE_AA)
        return width

    def line(
        self, points: Sequence[tuple[int, int]], colour: tuple[int, int, int], thickness: int = 1
    ) -> None:
        cv2.polylines(
            self.pixels, [np.array(points, np.int32)], False, colour, thickness, cv2.LINE_AA
        )

    def mark(self, x: int, y: int) -> None:
        """Draw a black diamond with a white rim: a real value."""
        diamond = np.array([[0, -6], [6, 0], [0, 6], [-6, 0]], np.int32) + (x, y)
        cv2.fillPoly(self.pixels, [diamond], INK, cv2.LINE_AA)
        cv2.polylines(self.pixels, [diamond], True, PAPER, 1, cv2.LINE_AA)

    def bar(self, x: int, low: int, median: int, high: int, colour: tuple[int, int, int]) -> None:
        """Draw a vertical bar between two heights with a wider tick at the median's."""
        self.line([(x, low), (x, high)], colour, 4)
        self.line([(x - 6, median), (x + 6, median)], colour, 2)


def _legend(sheet: _Sheet, result: Reality, colours: dict[str, tuple[int, int, int]]) -> int:
    """Draw marks, colours and the clips' numbers; return the height it took."""
    width = sheet.pixels.shape[1]
    sheet.mark(30, 27)
    x = 46 + sheet.text("real frame", 46, 33) + 36
    for preset, colour in colours.items():
        sheet.bar(x, 38, 27, 16, colour)
        x += 14 + sheet.text(preset, x + 14, 33) + 36
    sheet.text("(bar: 10-90 % of the draws, tick: median)", x, 33)
    columns = max(1, width // 420)
    rows = -(-len(result.clips) // columns)
    for i, clip in enumerate(result.clips):
        column, row = divmod(i, rows)
        words = f"{i + 1}  {shortened(clip.name, (width // columns - 60) // LETTER_PX)}"
        sheet.text(words, 24 + column * (width // columns), 66 + row * LINE_PX)
    return 66 + rows * LINE_PX


def _statistic(
    sheet: _Sheet, box: _Box, result: Reality, which: int, colours: dict[str, tuple[int, int, int]]
) -> None:
    """Draw the panel of one statistic of every clip."""
    statistic = STATISTICS[which]
    name = statistic.name
    unit = f" [{statistic.unit}]" if statistic.unit else ""
    spreads = [clip.drawn[p][name] for clip in result.clips for p in result.presets]
    values = [clip.real[name] for clip in result.clips]
    values += [v for spread in spreads for v in (spread.low, spread.high)]
    y = _frame(sheet, box, f"{name}{unit}", values)
    step = (box.right - box.left) / len(result.clips)
    gap = min(16.0, step / (len(colours) + 2))
    for i, clip in enumerate(result.clips):
        middle = box.left + (i + 0.5) * step
        sheet.text(str(i + 1), round(middle), box.bottom + 24, align=0.5)
        first = middle - gap * len(colours) / 2
        for j, (preset, colour) in enumerate(colours.items(), start=1):
            spread = clip.drawn[preset][name]
            low, median, high = (y.at(v) for v in (spread.low, spread.median, spread.high))
            sheet.bar(round(first + j * gap), low, median, high, colour)
        level = y.at(clip.real[name])
        sheet.line([(round(first), level), (round(first + gap * len(colours)), level)], INK)
        sheet.mark(round(first), level)


def _spectra(
    sheet: _Sheet, box: _Box, result: Reality, colours: dict[str, tuple[int, int, int]]
) -> None:
    """Draw the panel of the mean spectra over the logarithm of frequency."""
    levels = mean_levels(result)
    f = frequencies()
    title = "mean spectrum of luma [dB] over cycles per pixel"
    y = _frame(sheet, box, title, [float(v) for each in levels.values() for v in each])
    x = _Axis(low=np.log2(f[0]), high=np.log2(f[-1]), start=box.left + 8, end=box.right - 24)
    for octave in (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2):
        at = x.at(np.log2(octave))
        sheet.line([(at, box.top), (at, box.bottom)], FAINT)
        sheet.text(f"1/{round(1 / octave)}", at, box.bottom + 24, align=0.5)
    for name in (*colours, "real"):  # the real one over the others
        points = [(x.at(np.log2(a)), y.at(b)) for a, b in zip(f, levels[name], strict=True)]
        sheet.line(points, colours.get(name, INK), 2)


def _frame(sheet: _Sheet, box: _Box, title: str, values: Sequence[float]) -> _Axis:
    """Draw a panel's title, border and horizontal lines; returns its vertical axis."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.5
    y = _Axis(low=low - margin, high=high + margin, start=box.bottom, end=box.top)
    sheet.text(title, box.left, box.top - 12)
    ticks = y.ticks()
    digits = max(0, -int(np.floor(np.log10(ticks[1] - ticks[0] if len(ticks) > 1 else 1.0))))
    for tick in ticks:
        at = y.at(tick)
        sheet.line([(box.left, at), (box.right, at)], FAINT)
        sheet.text(f"{tick + 0.0:.{digits}f}", box.left - 8, at + 6, align=1.0)
    cv2.rectangle(sheet.pixels, (box.left, box.top), (box.right, box.bottom), (120, 120, 120), 1)
    return y
