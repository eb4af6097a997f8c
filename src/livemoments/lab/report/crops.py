"""Choose images for the report and places of them, and cut these out of every picture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from livemoments.errors import LiveMomentsError
from livemoments.lab.benchmark.results import ImageInfo
from livemoments.lab.report.album import Album
from livemoments.lab.report.findings import Findings, named
from livemoments.livephoto.still.still import opened, to_rgb

CROP_PX = 216  # a side: six in a row of a wide page
MAX_IMAGES = 12  # that are shown
FULL_IMAGES = 5  # of so many or fewer, three crops each, else two
THUMB_PX = 640  # the long side of a whole picture
MAX_PIXELS = 2_000_000  # that places are looked for in
APART = 0.75  # of a side, that crops of an image are from one another


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture's part of a crop."""

    label: str
    method: str = ""  # its name; empty: the frame, the key photo or the truth
    picture: int | None = None  # in the album; None: there is none
    missing: str = ""  # why
    note: str = ""  # what to know when looking at it


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A place of an image, px of its canvas, in every picture."""

    left: int
    top: int
    width: int
    height: int
    why: str  # this place
    tiles: tuple[Tile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShownImage:
    """An image with its crops."""

    image: ImageInfo
    width: int  # of the canvas that all pictures are brought to: the truth's, where it is known
    height: int
    whole: int | None  # in the album
    crops: tuple[Crop, ...]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A picture to cut from, and what its tiles have in common."""

    tile: Tile
    pixels: Image.Image | None = None  # None: it is missing


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """All pictures of an image."""

    image: ImageInfo
    frame: _Source
    key: _Source
    truth: _Source | None
    methods: tuple[_Source, ...]
    reference: str  # a method's name

    def __iter__(self) -> Iterator[_Source]:
        yield from (self.frame, self.key, *([self.truth] if self.truth else []), *self.methods)

    @property
    def ours(self) -> _Source | None:
        """The picture of the reference method."""
        return next((s for s in self.methods if s.tile.method == self.reference), None)

    @property
    def main(self) -> Image.Image | None:
        """The picture that shows the image best, and whose size the others are brought to."""
        order = (self.truth, self.ours, *self.methods, self.frame)
        return next((s.pixels for s in order if s and s.pixels), None)


def cut_crops(findings: Findings, folder: Path, set_folder: Path, album: Album) -> list[ShownImage]:
    """Choose images, worst first, and places of them; pictures go into the album."""
    shown = _images(findings)[:MAX_IMAGES]
    count = 3 if len(shown) <= FULL_IMAGES else 2
    return [_cut(_read_all(findings, each, folder, set_folder), count, album) for each in shown]


def _images(findings: Findings) -> list[ImageInfo]:
    """Order images: where the reference method does worst first, where it has no value last."""
    images = {image.name: image for image in findings.run.images}
    order: list[str] = []
    if findings.reference and findings.gauge:
        order = findings.run.worst_first(findings.reference.name, findings.gauge)
    return [images[name] for name in dict.fromkeys([*order, *images]) if name in images]


def _read_all(findings: Findings, image: ImageInfo, folder: Path, set_folder: Path) -> _Pictures:
    scores = {s.method: s for s in findings.run.scores if s.image == image.name}
    methods = []
    for method in findings.methods:
        score, tile = scores.get(method.name), Tile(label=named(method), method=method.name)
        if score and score.picture:
            methods.append(_read(folder, score.picture, tile))
        else:
            why = method.failed or "its picture was not stored"
            methods.append(_Source(tile=replace(tile, missing=why)))
    key = Tile(label="key photo", note="the same place of it, not aligned")
    return _Pictures(
        image=image, frame=_read(set_folder, image.frame, Tile(label="frame")),
        key=_read(set_folder, image.key, key), methods=tuple(methods),
        truth=_read(set_folder, image.truth, Tile(label="truth")) if image.truth else None,
        reference=findings.reference.name if findings.reference else "",
    )  # fmt: skip


def _read(folder: Path, name: str, tile: Tile) -> _Source:
    """Read a picture, upright; one that cannot be read leaves its reason."""
    path = folder / name
    try:
        with opened(path) as image:
            icc = image.info.get("icc_profile")
            pixels = to_rgb(ImageOps.exif_transpose(image), icc)
            pixels.info = {"icc_profile": icc} if icc and image.mode in ("RGB", "RGBA") else {}
    except LiveMomentsError as error:
        # A report may be shown to others, so it does not name folders of this machine.
        return _Source(tile=replace(tile, missing=str(error).replace(str(path), name), note=""))
    return _Source(tile=tile, pixels=pixels)


def _cut(pictures: _Pictures, count: int, album: Album) -> ShownImage:
    main = pictures.main
    width, height = main.size if main else (pictures.image.width, pictures.image.height)
    whole = None
    if main:
        thumb = main.copy()
        thumb.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
        whole = album.add(thumb, small=True)
    crops = [
        replace(crop, tiles=tuple(_tile(s, crop, (width, height), album) for s in pictures))
        for crop in _places(pictures, (width, height), count)
    ]
    return ShownImage(
        image=pictures.image, width=width, height=height, whole=whole, crops=tuple(crops)
    )


def _tile(source: _Source, crop: Crop, canvas: tuple[int, int], album: Album) -> Tile:
    """Cut out a source's part; one of another size is brought to the canvas."""
    if source.pixels is None:
        return source.tile
    box = (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height)
    notes = [source.tile.note] if source.tile.note else []
    if source.pixels.size == canvas:
        cut = source.pixels.crop(box)
    else:
        x, y = (own / whole for own, whole in zip(source.pixels.size, canvas, strict=True))
        own = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
        size = (crop.width, crop.height)
        cut = source.pixels.resize(size, Image.Resampling.BICUBIC, box=own)
        notes.insert(0, f"enlarged {1 / x:.3g}\N{MULTIPLICATION SIGN}" if x < 1 else "reduced")
    cut.info = source.pixels.info
    return replace(source.tile, picture=album.add(cut), note="; ".join(notes))


def _places(pictures: _Pictures, canvas: tuple[int, int], count: int) -> list[Crop]:
    """Choose where to look: what shows most first, and no two that overlap much."""
    width, height = (max(1, min(CROP_PX, length)) for length in canvas)
    step = max(1, math.ceil(math.sqrt(canvas[0] * canvas[1] / MAX_PIXELS)))
    window = (max(1, width // step), max(1, height // step))
    found: list[Crop] = []
    for why, importance in _importances(pictures, canvas, step):
        if len(found) == count:
            break
        means = _window_means(importance, window)
        for crop in found:
            _strike(means, (crop.left // step, crop.top // step), window)
        at = int(np.argmax(means))
        if means.flat[at] >= 0:
            top, left = (step * int(i) for i in divmod(at, means.shape[1]))
            left, top = min(left, canvas[0] - width), min(top, canvas[1] - height)
            found.append(Crop(left=left, top=top, width=width, height=height, why=why))
    left, top = max(0, (canvas[0] - width) // 2), max(0, (canvas[1] - height) // 2)
    middle = Crop(left=left, top=top, width=width, height=height, why="in the middle")
    return found or [middle]


def _importances(
    pictures: _Pictures, canvas: tuple[int, int], step: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield maps of every step-th pixel, never negative, each with words for its largest place."""
    methods = [_grey(s.pixels, canvas, step) for s in pictures.methods if s.pixels]
    if len(methods) == 1 and pictures.frame.pixels:
        alone = _grey(pictures.frame.pixels, canvas, step)
        yield "where the method changes the frame most", np.abs(methods[0] - alone)
    elif len(methods) > 1:
        yield "where the methods differ most", _disagreement(methods)
    main = pictures.main
    if main is not None:
        known = pictures.truth is not None and pictures.truth.pixels is main
        why = "where the truth has most detail" if known else "where there is most detail"
        grey = _grey(main, canvas)
        yield why, np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0))[::step, ::step]
    ours = pictures.ours
    if pictures.truth and pictures.truth.pixels and ours and ours.pixels:
        one, two = (_grey(s.pixels, canvas, step) for s in (pictures.truth, ours) if s.pixels)
        yield f"where {ours.tile.label} is furthest from the truth", np.abs(one - two)


def _grey(pixels: Image.Image, canvas: tuple[int, int], step: int = 1) -> np.ndarray:
    """Return luma over the canvas, every step-th pixel, float32."""
    grey = pixels.convert("L")
    if grey.size != canvas:
        grey = grey.resize(canvas, Image.Resampling.BICUBIC)
    return np.asarray(grey)[::step, ::step].astype(np.float32)


def _disagreement(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return how far apart the middle half of pictures is: a single odd one must not count."""
    ordered = np.sort(np.stack(pictures), axis=0)
    apart = len(pictures) // 4
    return ordered[len(pictures) - 1 - apart] - ordered[apart]


def _window_means(values: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    """Return the mean of the window at every place that one can begin, by its first corner."""
    sums = cv2.integral(values, sdepth=cv2.CV_64F)
    w, h = side
    return (sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]) / (w * h)


def _strike(means: np.ndarray, corner: tuple[int, int], side: tuple[int, int]) -> None:
    """Rule out windows that overlap much with the one at corner (x, y)."""
    x, y = (round(APART * length) for length in side)
    top, left = max(0, corner[1] - y + 1), max(0, corner[0] - x + 1)
    means[top : corner[1] + y, left : corner[0] + x] = -1
