"""Stills: every orientation, every pixel layout, facts and limits."""

import io
import struct
import zlib
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image, ImageCms
from support import makers

from livemoments.errors import DamagedFileError, MissingFileError, UnsupportedFileError
from livemoments.livephoto.still.still import MAX_PIXELS, read_still, to_rgb


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".heic"])
def test_upright_whatever_the_orientation(tmp_path, orientation, suffix):
    picture = makers.scene(96, 64)
    exif = makers.make_exif(orientation=orientation)
    path = tmp_path / f"a{suffix}"
    makers.save_still(path, makers.oriented(picture, orientation), exif=exif)
    still = read_still(path)
    pixels = still.pixels()
    assert (still.width, still.height) == (96, 64)
    assert pixels.shape == (64, 96, 3) and pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - picture).mean() < 9
    small = still.thumbnail(48)
    assert small.shape == (32, 48, 3)
    assert small[2, 2, 0] > 150 and small[-3, 2, 2] > 150  # red above, blue below


def test_facts(tmp_path):
    exif = makers.make_exif(makers.IDENTIFIER)
    still = read_still(makers.save_still(tmp_path / "a.jpg", makers.scene(), exif=exif))
    assert (still.format, still.width, still.height) == ("JPEG", 192, 144)
    assert (still.make, still.model, still.software) == ("Apple", "iPhone 99", "99.1")
    assert still.identifier == makers.IDENTIFIER
    assert still.taken is not None
    assert still.taken.isoformat() == "2024-05-06T07:08:09.250000+02:00"
    assert still.taken.utcoffset() == timedelta(hours=2)
    assert still.exif is not None and still.exif[:2] in (b"MM", b"II")


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "", "not a date", "2024:13:40 99:99:99"])
def test_a_date_that_is_none(tmp_path, taken):
    exif = makers.make_exif(taken=taken)
    assert (
        read_still(makers.save_still(tmp_path / "a.jpg", makers.scene(), exif=exif)).taken is None
    )


def test_no_exif(tmp_path):
    still = read_still(makers.save_still(tmp_path / "a.jpg", makers.scene()))
    assert still.exif is None and still.make is None and still.taken is None
    assert still.colour.name == "sRGB" and still.colour.icc is None


def ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 255, 64), (32, 1)).round().astype(np.uint8)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "RGB", "I;16", "CMYK"])
def test_pixel_layouts(tmp_path, mode):
    grey = Image.fromarray(ramp())
    if mode == "I;16":
        image = Image.fromarray(ramp().astype(np.uint16) * 257)
    elif mode == "P":
        image = grey.convert("RGB").quantize(128)
    else:
        image = grey.convert("RGB").convert(mode) if mode != "LA" else grey.convert("LA")
    suffix = ".tif" if mode == "CMYK" else ".png"
    still = read_still(makers.save_still(tmp_path / f"a{suffix}", image))
    pixels = still.pixels()
    assert pixels.shape == (32, 64, 3) and pixels.dtype == np.uint8
    if mode == "1":
        assert set(np.unique(pixels)) == {0, 255}
        assert abs(pixels.mean() - ramp().mean()) < 6
    else:
        assert np.abs(pixels[..., 1].astype(int) - ramp()).max() <= 6
    assert still.mode == image.mode


def test_transparency_lies_over_white(tmp_path):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:8] = (10, 20, 30, 255)
    pixels = read_still(makers.save_still(tmp_path / "a.png", Image.fromarray(rgba))).pixels()
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert pixels[-1, 0].tolist() == [255, 255, 255]


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.fromarray(np.repeat(ramp()[..., None], 3, 2)).quantize(16)
    pixels = read_still(makers.save_still(tmp_path / "a.png", image, transparency=0)).pixels()
    assert pixels.shape == (32, 64, 3)


def test_wide_grey_of_int_and_float():
    wide = Image.fromarray(ramp().astype(np.int32) * 257)
    unit = Image.fromarray((ramp() / 255).astype(np.float32))
    for image in (wide, unit):
        assert np.abs(np.array(to_rgb(image))[..., 0].astype(int) - ramp()).max() <= 1


def test_cmyk_without_a_profile_that_fits(tmp_path):
    # An RGB profile on a CMYK picture cannot be used; the picture is still read.
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(makers.scene(64, 48)).convert("CMYK")
    still = read_still(makers.save_still(tmp_path / "a.jpg", image, icc_profile=icc))
    assert still.pixels().shape == (48, 64, 3)
    assert still.colour.name == "sRGB" and still.colour.icc is None


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1)])
def test_pictures_of_one_pixel(tmp_path, size):
    image = Image.new("RGB", size, (200, 100, 50))
    still = read_still(makers.save_still(tmp_path / "a.png", image))
    assert still.pixels().shape == (size[1], size[0], 3)
    assert still.thumbnail(16).shape[2] == 3


def test_too_many_pixels(tmp_path):
    data = io.BytesIO()
    Image.new("1", (10, 10)).save(data, "PNG")
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    raw = data.getvalue()
    chunk = b"IHDR" + header
    crafted = raw[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + raw[33:]
    path = tmp_path / "bomb.png"
    path.write_bytes(crafted)
    with pytest.raises(UnsupportedFileError, match="bomb.png: .*178 megapixels"):
        read_still(path)
    assert MAX_PIXELS < 20_000 * 20_000


def test_large_but_allowed(tmp_path):
    # Above Pillow's warning threshold (89 megapixels), below the limit: no warning, no error.
    path = tmp_path / "large.png"
    Image.new("1", (12_000, 9_000)).save(path)
    assert read_still(path).width == 12_000


def test_missing_empty_text_and_truncated(tmp_path):
    with pytest.raises(MissingFileError, match="none.jpg: no such file"):
        read_still(tmp_path / "none.jpg")
    (tmp_path / "empty.heic").touch()
    with pytest.raises(DamagedFileError, match="empty.heic: the file is empty"):
        read_still(tmp_path / "empty.heic")
    (tmp_path / "text.heic").write_text("this is not a picture\n" * 50)
    with pytest.raises(UnsupportedFileError, match="text.heic: not a picture"):
        read_still(tmp_path / "text.heic")
    path = makers.save_still(tmp_path / "cut.jpg", makers.scene())
    path.write_bytes(path.read_bytes()[:-4000])
    still = read_still(path)
    with pytest.raises(DamagedFileError, match="cut.jpg: the picture is truncated"):
        still.pixels()
