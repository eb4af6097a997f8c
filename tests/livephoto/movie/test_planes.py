"""Planes of a picture: changed where RGB changed, enlarged, written and read."""

import cv2
import numpy as np
import pytest
from support import makers

from livemoments.errors import UnsupportedFileError
from livemoments.imaging.colour import ClipColour
from livemoments.livephoto.movie.frame import picture_to_rgb
from livemoments.livephoto.movie.planes import (
    LAYOUTS,
    Planes,
    change_planes,
    enlarge,
    layout_of,
    read_planes,
    to_picture,
)

COLOURS = [
    ClipColour(matrix=1), ClipColour(matrix=6, full_range=True), ClipColour(matrix=9),
    ClipColour(),
]  # fmt: skip


def smooth_planes(layout, height=48, width=64, seed=0):
    bits, across, down = LAYOUTS[layout]
    rng = np.random.default_rng(seed)
    kind = np.uint8 if bits == 8 else np.uint16

    def plane(h, w):
        small = rng.random((4, 5)).astype(np.float32) * 0.3 + 0.35
        return np.rint(cv2.resize(small, (w, h)) * (2**bits - 1)).astype(kind)

    size = (-(-height // down), -(-width // across))
    return Planes(layout=layout, luma=plane(height, width), chroma=(plane(*size), plane(*size)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_written_and_read(layout):
    planes = smooth_planes(layout, 50, 70)
    picture = to_picture(planes)
    assert (picture.format.name, picture.width, picture.height) == (layout, 70, 50)
    again = read_planes(picture)
    for one, other in zip((planes.luma, *planes.chroma), (again.luma, *again.chroma), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le"])
def test_a_change_of_rgb_is_what_comes_out(layout, colour):
    """The planes changed, read as RGB, are the RGB that was wanted: within rounding."""
    planes = smooth_planes(layout)
    before = picture_to_rgb(to_picture(planes), colour)
    change = np.zeros_like(before)
    y, x = np.mgrid[:48, :64]
    bump = np.exp(-(((y - 24) / 9) ** 2 + ((x - 30) / 9) ** 2))
    change[...] = np.where(bump > 0.05, bump, 0)[..., None] * np.float32([0.1, -0.05, 0.08])
    changed = change_planes(planes, change, colour, (64, 48))
    after = picture_to_rgb(to_picture(changed), colour)
    step = 1 / 255 if layout == "yuv420p" else 0.25 / 255
    # Half-size chroma cannot follow the bump's edge; within it, rounding is all.
    assert np.abs(after - before - change)[20:28, 26:34].max() < 2.5 * step + 0.004
    assert np.abs(after - before - change).mean() < step


def test_samples_stay_where_nothing_changed():
    rng = np.random.default_rng(0)
    planes = Planes(
        layout="yuv420p",
        luma=rng.integers(0, 256, (48, 64), np.uint8),
        chroma=tuple(rng.integers(0, 256, (24, 32), np.uint8) for _ in range(2)),
    )
    change = np.zeros((48, 64, 3), np.float32)
    assert change_planes(planes, change, COLOURS[0], (64, 48)) is planes
    change[17:23, 31:40] = 0.2
    changed = change_planes(planes, change, COLOURS[0], (64, 48))
    inside = np.zeros((48, 64), bool)
    inside[17:23, 31:40] = True
    assert np.array_equal(changed.luma[~inside], planes.luma[~inside])
    assert (changed.luma[inside] >= planes.luma[inside]).all()
    near = np.zeros((24, 32), bool)
    near[8:12, 15:21] = True
    for old, new in zip(planes.chroma, changed.chroma, strict=True):
        assert np.array_equal(new[~near], old[~near])
        assert np.abs(new.astype(int) - old).max() <= 1, "grey has no colour"


def test_a_change_at_the_edge():
    planes = smooth_planes("yuv420p")
    change = np.full((48, 64, 3), 0.05, np.float32)
    changed = change_planes(planes, change, COLOURS[1], (64, 48))
    assert np.abs(changed.luma.astype(int) - planes.luma - 13).max() <= 1


def test_values_end_at_black_and_white():
    planes = smooth_planes("yuv420p")
    bright = change_planes(planes, np.ones((48, 64, 3), np.float32), COLOURS[1], (64, 48))
    assert (bright.luma == 255).all()


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p"])
def test_enlarged_colours_lie_where_the_brightness_does(layout, scale):
    """A slope of colour and brightness stays one: half-size chroma is not moved."""
    bits, across, down = LAYOUTS[layout]
    top = 2**bits - 1
    x = np.linspace(0.2, 0.8, 64)

    def plane(values, h):
        return np.rint(np.tile(values * top, (h, 1))).astype(np.uint8 if bits == 8 else np.uint16)

    chroma = x[::across]  # on the left one of its two columns
    planes = Planes(layout=layout, luma=plane(x, 48), chroma=(plane(chroma, 48 // down),) * 2)
    large = enlarge(planes, scale)
    assert large.luma.shape == (48 * scale, 64 * scale)
    places = (np.arange(64 * scale) - (scale - 1) / 2) / scale
    slope = np.interp(places, np.arange(64), x * top)
    for row, wanted in ((large.luma[0], slope), (large.chroma[0][0], slope[::across])):
        away = (row - wanted)[8 * scale : -8 * scale]
        assert np.abs(away).max() < 2.5 and abs(away.mean()) < 0.2
    assert np.array_equal(enlarge(planes, 1).luma, planes.luma)


def test_pictures_that_cannot_be_written():
    assert layout_of("yuvj420p") == "yuv420p"
    with pytest.raises(UnsupportedFileError, match="layout gbrp cannot be written; expected yuv"):
        layout_of("gbrp")


def test_a_real_coding_keeps_what_it_is_given(tmp_path):
    """An encoder's file read back: the layout goes through unchanged."""
    import av

    (tmp_path / "a.mov").write_bytes(makers.encode_clip(makers.moving(makers.scene())[:2]))
    with av.open(str(tmp_path / "a.mov")) as container:
        picture = next(container.decode(video=0))
        planes = read_planes(picture)
    assert planes.layout == "yuv420p" and planes.luma.shape == (144, 192)
