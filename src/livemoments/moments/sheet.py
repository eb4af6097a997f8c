"""Draw the contact sheet: thumbnails in rows, each with its number, time and sharpness bar."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from livemoments.errors import OutputError
from livemoments.files import atomic_output, check_output
from livemoments.imaging.pixels import as_bytes
from livemoments.moments.scores import Moment, best_moment
from livemoments.progress import Progress

if TYPE_CHECKING:
    from livemoments.livephoto import LivePhoto

SHEET_FRAMES = 48

THUMB_LONG_SIDE_PX = 288
MARGIN_PX = 12
LABEL_PX = 46
HEADER_PX = 44
TEXT_PX = 18
SHEET_WIDTH_PX = 2000  # wide enough for six landscape thumbnails

PAPER = (24, 24, 26)
INK = (236, 236, 236)
FAINT = (70, 70, 74)
BAR = (120, 150, 185)
KEY = (255, 190, 60)
BEST = (110, 210, 130)

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def draw_sheet(pictures: Iterable[tuple[Moment, np.ndarray]], *, best: Moment) -> np.ndarray:
    """Lay out moments with their pictures, float32 H x W x 3 RGB in [0, 1]; returns uint8 RGB."""
    thumbs = [(moment, _thumb(image)) for moment, image in pictures]
    width, height = thumbs[0][1].size
    columns = min(len(thumbs), (SHEET_WIDTH_PX - MARGIN_PX) // (width + MARGIN_PX))
    rows = -(-len(thumbs) // columns)
    cell_width, cell_height = width + MARGIN_PX, height + LABEL_PX + MARGIN_PX
    size = (
        max(columns * cell_width + MARGIN_PX, 520),  # the header needs that much
        HEADER_PX + rows * cell_height + MARGIN_PX,
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    _header(draw)
    for place, (moment, thumb) in enumerate(thumbs):
        row, column = divmod(place, columns)
        x, y = MARGIN_PX + column * cell_width, HEADER_PX + MARGIN_PX // 2 + row * cell_height
        sheet.paste(thumb, (x, y))
        _label(draw, moment, (x, y, width, height), is_best=moment.index == best.index)
    return np.asarray(sheet)


def _thumb(image: np.ndarray) -> Image.Image:
    picture = Image.fromarray(as_bytes(image))
    scale = THUMB_LONG_SIDE_PX / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    # Narrower than this and the label would not fit under it.
    return picture.resize((max(width, 150), height), Image.Resampling.LANCZOS)


def _header(draw: ImageDraw.ImageDraw) -> None:
    font = ImageFont.load_default(TEXT_PX)
    x = MARGIN_PX
    words = (("key photo", KEY), ("sharpest away from it", BEST), ("sharpness in this clip", INK))
    for text, colour in words:
        draw.rectangle((x, 16, x + 14, 30), fill=BAR if colour == INK else colour)
        draw.text((x + 22, 12), text, font=font, fill=INK)
        x += 22 + round(draw.textlength(text, font=font)) + 28


def _label(
    draw: ImageDraw.ImageDraw, moment: Moment, box: tuple[int, int, int, int], *, is_best: bool
) -> None:
    """Write under the thumbnail at box (x, y, width, height); mark the key photo and the best."""
    x, y, width, height = box
    colour, mark = (KEY, "key") if moment.is_key else (BEST, "sharpest") if is_best else (INK, "")
    if mark:
        draw.rectangle((x - 4, y - 4, x + width + 3, y + height + 3), outline=colour, width=4)
    font = ImageFont.load_default(TEXT_PX)
    below = y + height + 8
    draw.text((x, below), f"{moment.index}  {mark}", font=font, fill=colour)
    draw.text((x + width, below), f"{moment.time_s:.3f} s", font=font, fill=colour, anchor="ra")
    bar_y = below + 26
    draw.rectangle((x, bar_y, x + width, bar_y + 6), fill=FAINT)
    draw.rectangle((x, bar_y, x + round(width * moment.sharpness), bar_y + 6), fill=BAR)


def write_sheet(
    sheet: np.ndarray,
    path: Path,
    *,
    icc: bytes | None,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> Path:
    """Write a sheet, uint8 RGB in the colour space of the profile icc (None: sRGB).

    The photo's EXIF is left out: a sheet may be passed on, and must not show where it was taken.
    """
    check_sheet_path(path, overwrite=overwrite, inputs=inputs)
    with atomic_output(path, overwrite=overwrite, inputs=inputs) as temporary:
        kind = FORMATS[path.suffix.lower()]
        Image.fromarray(sheet).save(temporary, kind, quality=92, icc_profile=icc)
    return path


def check_sheet_path(path: Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError where write_sheet would refuse, before the work."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a contact sheet is a .png or .jpg file; name it so")
    check_output(path, overwrite=overwrite, inputs=inputs)


def sample_evenly(
    moments: Sequence[Moment], count: int, keep: Sequence[Moment] = ()
) -> list[Moment]:
    """Pick about count of the moments, evenly and in order, and always those of keep."""
    if len(moments) <= count:
        return list(moments)
    places = np.linspace(0, len(moments) - 1, max(count - len(keep), 2)).round().astype(int)
    chosen = {moments[place].index: moments[place] for place in places}
    chosen |= {moment.index: moment for moment in keep}
    return [chosen[index] for index in sorted(chosen)]


def contact_sheet(
    live_photo: LivePhoto, moments: Sequence[Moment], progress: Progress | None = None
) -> np.ndarray:
    """Draw the clip's moments in order, for choosing one by eye.

    Each has its frame number, its time and a bar of its relative sharpness; the key photo's moment
    and the sharpest one away from it are marked.

    Args:
        live_photo: what `livemoments.open` returns.
        moments: what score_moments returned; of a long clip an even choice is shown.
        progress: called as progress("drawing the sheet", done, total).

    Returns:
        uint8 H x W x 3 RGB in the still's colour space.
    """
    best = best_moment(moments, live_photo.key_time_s)
    shown = sample_evenly(moments, SHEET_FRAMES, keep=[m for m in moments if m.is_key or m == best])
    of_frame = {moment.index: moment for moment in shown}

    def pictures() -> Iterator[tuple[Moment, np.ndarray]]:
        # One by one: a whole clip at full size would not fit in memory.
        for done, frame in enumerate(live_photo.clip.frames(sorted(of_frame)), start=1):
            yield of_frame[frame.index], frame.image
            if progress:
                progress("drawing the sheet", done, len(of_frame))

    return draw_sheet(pictures(), best=best)
