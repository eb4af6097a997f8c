"""Draw the comparison with reality: a panel per statistic, and the mean spectra."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from livemoments.errors import ConfigError, OutputError
from livemoments.files import atomic_output, check_output
from livemoments.lab.reality.appearance import STATISTICS, Statistic, frequencies
from livemoments.lab.reality.report import Reality, mean_levels, shortened

WIDTH_PX = 1600
LEAST_WIDTH_PX = 900
PANEL_HEIGHT_PX = 340
COLUMNS = 2
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.6  # capitals of 13 px
LETTER_PX = 11  # of a letter, at most on average
LINE_PX = 26  # from one line of text to the next
HEAD_PX = 66  # of the legend, above the clips' names
CLIP_NAME_PX = 420  # of a clip's name, at least
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 84, 20, 44, 52  # around the axes of a panel

PAPER, INK, GREY, FAINT = (255, 255, 255), (0, 0, 0), (120, 120, 120), (222, 222, 222)
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


Colour = tuple[int, int, int]
Colours = dict[str, Colour]  # by preset


def plot(result: Reality, width: int = WIDTH_PX) -> np.ndarray:
    """Draw a comparison, width pixels wide (900 or more); returns uint8 RGB H x W x 3.

    A panel per statistic has the clips along x: a black mark for the real value, a bar from 10 % to
    90 % of each preset's draws with a tick at their median. The last panel has the mean spectra.
    """
    if width < LEAST_WIDTH_PX:
        raise ConfigError(f"a plot is {LEAST_WIDTH_PX} px wide or more, got {width}")
    colours = {p: COLOURS[i % len(COLOURS)] for i, p in enumerate(result.presets)}
    columns = max(1, width // CLIP_NAME_PX)
    y = HEAD_PX + -(-len(result.clips) // columns) * LINE_PX
    rows = -(-(len(STATISTICS) + 1) // COLUMNS)
    pixels: np.ndarray = np.full((y + rows * PANEL_HEIGHT_PX, width, 3), PAPER, np.uint8)
    _legend(pixels, result, colours, columns)
    for place, statistic in enumerate((*STATISTICS, None)):
        row, column = divmod(place, COLUMNS)
        panel = _Panel(
            pixels=pixels,
            left=column * width // COLUMNS + LEFT_PX,
            right=(column + 1) * width // COLUMNS - RIGHT_PX,
            top=y + row * PANEL_HEIGHT_PX + TOP_PX,
            bottom=y + (row + 1) * PANEL_HEIGHT_PX - BOTTOM_PX,
        )
        if statistic:
            panel.draw_statistic(statistic, result, colours)
        else:
            panel.draw_spectra(result, colours)
    return pixels


def check_plot_path(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError where write_plot would refuse; for a look before the work."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a plot is a .png or .jpg file; name it so")
    check_output(path, overwrite=overwrite, inputs=inputs)


def write_plot(
    picture: np.ndarray, path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()
) -> None:
    """Write a plot, uint8 RGB, whole or not at all; inputs are never replaced."""
    check_plot_path(path, overwrite=overwrite, inputs=inputs)
    with atomic_output(path, overwrite=overwrite, inputs=inputs) as temporary:
        Image.fromarray(picture).save(temporary, FORMATS[path.suffix.lower()], quality=92)


def _legend(pixels: np.ndarray, result: Reality, colours: Colours, columns: int) -> None:
    """Draw marks and colours, and the clips with their numbers in so many columns."""
    _mark(pixels, 30, 27)
    x = 46 + _text(pixels, "real frame", 46, 33) + 36
    for preset, colour in colours.items():
        _bar(pixels, x, (38, 27, 16), colour)
        x += 14 + _text(pixels, preset, x + 14, 33) + 36
    _text(pixels, "(bar: 10-90 % of the draws, tick: median)", x, 33)
    rows, width = -(-len(result.clips) // columns), pixels.shape[1] // columns
    for i, clip in enumerate(result.clips):
        column, row = divmod(i, rows)
        words = f"{i + 1}  {shortened(clip.name, (width - 60) // LETTER_PX)}"
        _text(pixels, words, 24 + column * width, HEAD_PX + row * LINE_PX)


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

    def ticks(self) -> list[str]:
        """Return about five round values, as texts of as many digits as they need."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** np.floor(np.log10(rough))
        step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
        first, last = int(np.ceil(self.low / step)), int(np.floor(self.high / step))
        digits = max(0, -int(np.floor(np.log10(step))))
        return [f"{i * step + 0.0:.{digits}f}" for i in range(first, last + 1)]


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """A panel of the picture uint8 RGB, which is drawn on; the sides are those of its axes."""

    pixels: np.ndarray
    left: int
    right: int
    top: int
    bottom: int

    def draw_statistic(self, statistic: Statistic, result: Reality, colours: Colours) -> None:
        """Draw one statistic of every clip."""
        name = statistic.name
        ranges = [clip.drawn[preset][name] for clip in result.clips for preset in colours]
        values = [clip.real[name] for clip in result.clips]
        values += [value for each in ranges for value in (each.low, each.high)]
        y = self._frame(statistic.title, values)
        step = (self.right - self.left) / len(result.clips)
        gap = min(16.0, step / (len(colours) + 2))
        for i, clip in enumerate(result.clips):
            middle = self.left + (i + 0.5) * step
            _text(self.pixels, str(i + 1), round(middle), self.bottom + 24, align=0.5)
            first = middle - gap * len(colours) / 2
            for j, (preset, colour) in enumerate(colours.items(), start=1):
                heights = [y.at(value) for value in clip.drawn[preset][name]]
                _bar(self.pixels, round(first + j * gap), heights, colour)
            level = y.at(clip.real[name])
            last = round(first + gap * len(colours))
            _line(self.pixels, [(round(first), level), (last, level)], INK)
            _mark(self.pixels, round(first), level)

    def draw_spectra(self, result: Reality, colours: Colours) -> None:
        """Draw the mean spectra over the logarithm of frequency."""
        levels, f = mean_levels(result), frequencies()
        title = "mean spectrum of luma [dB] over cycles per pixel"
        y = self._frame(title, [float(level) for each in levels.values() for level in each])
        x = _Axis(low=np.log2(f[0]), high=np.log2(f[-1]), start=self.left + 8, end=self.right - 24)
        for octave in range(-6, 0):
            at = x.at(octave)
            _line(self.pixels, [(at, self.top), (at, self.bottom)], FAINT)
            _text(self.pixels, f"1/{2**-octave}", at, self.bottom + 24, align=0.5)
        for name in (*colours, "real"):  # the real one over the others
            points = [(x.at(np.log2(a)), y.at(b)) for a, b in zip(f, levels[name], strict=True)]
            _line(self.pixels, points, colours.get(name, INK), 2)

    def _frame(self, title: str, values: Sequence[float]) -> _Axis:
        """Draw the title, the border and horizontal lines; return the vertical axis."""
        low, high = min(values), max(values)
        margin = 0.06 * (high - low) or 0.5
        y = _Axis(low=low - margin, high=high + margin, start=self.bottom, end=self.top)
        _text(self.pixels, title, self.left, self.top - 12)
        for tick in y.ticks():
            at = y.at(float(tick))
            _line(self.pixels, [(self.left, at), (self.right, at)], FAINT)
            _text(self.pixels, tick, self.left - 8, at + 6, align=1.0)
        corners = (self.left, self.top), (self.right, self.bottom)
        cv2.rectangle(self.pixels, *corners, GREY, 1)
        return y


def _text(pixels: np.ndarray, words: str, x: int, y: int, align: float = 0.0) -> int:
    """Write words with their base line's left end (align 0), middle or right end (1) at x, y.

    The font has ASCII alone. Returns the width, px.
    """
    words = words.encode("ascii", "replace").decode()
    (width, _), _ = cv2.getTextSize(words, FONT, FONT_SCALE, 1)
    cv2.putText(pixels, words, (round(x - align * width), y), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)
    return width


def _line(
    pixels: np.ndarray, points: Sequence[tuple[int, int]], colour: Colour, thickness: int = 1
) -> None:
    cv2.polylines(pixels, [np.array(points, np.int32)], False, colour, thickness, cv2.LINE_AA)


def _mark(pixels: np.ndarray, x: int, y: int) -> None:
    """Draw a black diamond with a white rim: a real value."""
    diamond = np.array([[0, -6], [6, 0], [0, 6], [-6, 0]], np.int32) + (x, y)
    cv2.fillPoly(pixels, [diamond], INK, cv2.LINE_AA)
    cv2.polylines(pixels, [diamond], True, PAPER, 1, cv2.LINE_AA)


def _bar(pixels: np.ndarray, x: int, heights: Sequence[int], colour: Colour) -> None:
    """Draw a vertical bar of the heights low, median and high, with a wider tick at the median."""
    low, median, high = heights
    _line(pixels, [(x, low), (x, high)], colour, 4)
    _line(pixels, [(x - 6, median), (x + 6, median)], colour, 2)
