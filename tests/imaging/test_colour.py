"""Colour: profiles, curves, matrices, Y'CbCr, and the way to the still's space."""

import numpy as np
import pytest
from PIL import ImageCms
from support import makers

from livemoments.imaging.colour import (
    ClipColour,
    ColourSpace,
    between_stills,
    from_still_space,
    linear_to_srgb,
    recognise_profile,
    rgb_change_to_yuv,
    rgb_to_xyz,
    srgb_to_linear,
    to_still_space,
    yuv_to_rgb,
)

P3 = ColourSpace(name="Display P3", icc=b"x")
SRGB = ColourSpace()
SRGB_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_profiles():
    assert recognise_profile(None) == ColourSpace()
    assert recognise_profile(SRGB_ICC).name == "sRGB"
    assert recognise_profile(makers.rgb_profile("p3")).name == "Display P3"
    assert recognise_profile(makers.rgb_profile("adobe")).name == "Adobe RGB"
    assert recognise_profile(makers.rgb_profile("bt709")).name == "sRGB"
    assert recognise_profile(makers.rgb_profile("bt2020")).name == "unknown"
    assert recognise_profile(b"rubbish").name == "unknown"


def test_matrices_against_published_ones():
    # IEC 61966-2-1 and SMPTE EG 432-1.
    srgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    p3 = [[0.4866, 0.2657, 0.1982], [0.2290, 0.6917, 0.0793], [0.0, 0.0451, 1.0439]]
    np.testing.assert_allclose(rgb_to_xyz("bt709"), srgb, atol=6e-4)
    np.testing.assert_allclose(rgb_to_xyz("p3"), p3, atol=6e-4)


def test_srgb_curve_is_its_own_inverse():
    values = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-6)
    assert srgb_to_linear(np.array([0.5]))[0] == pytest.approx(0.21404, abs=1e-5)


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_yuv_of_known_colours(matrix, full_range, bits):
    """Colours are turned into Y'CbCr by the standards' own formulas, then back."""
    kr, kb = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    rgb = np.random.default_rng(1).random((4, 5, 3))
    y = rgb @ [kr, 1 - kr - kb, kb]
    cb, cr = (rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)
    step = 2 ** (bits - 8)
    if full_range:
        top = 2**bits - 1
        planes = (y * top, cb * top + 128 * step, cr * top + 128 * step)
    else:
        planes = ((219 * y + 16) * step, (224 * cb + 128) * step, (224 * cr + 128) * step)
    colour = ClipColour(matrix=matrix, full_range=full_range)
    back = yuv_to_rgb(*(plane.astype(np.float32) for plane in planes), bits=bits, colour=colour)
    np.testing.assert_allclose(back, rgb, atol=1e-5)


@pytest.mark.parametrize("primaries", [1, 12])
def test_same_primaries_keep_the_numbers(primaries):
    rgb = np.random.default_rng(2).random((3, 3, 3)).astype(np.float32)
    still = P3 if primaries == 12 else SRGB
    assert to_still_space(rgb, ClipColour(primaries=primaries, transfer=1), still) is rgb


def test_bt709_into_p3_by_the_icc_engine():
    """The same conversion by LittleCMS, through the profiles themselves."""
    from PIL import Image

    rgb = np.random.default_rng(3).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    wanted = np.array(
        ImageCms.profileToProfile(
            Image.fromarray(rgb),
            makers.profile("bt709"),
            makers.profile("p3"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    )
    ours = to_still_space((rgb / 255).astype(np.float32), ClipColour(primaries=1), P3) * 255
    assert np.abs(ours - wanted).max() < 2.5
    assert np.abs(wanted.astype(float) - rgb).max() > 15  # the conversion does something


def test_red_of_bt709_in_p3():
    red = np.array([[[1.0, 0.0, 0.0]]], np.float32)
    out = to_still_space(red, ClipColour(primaries=1), P3)[0, 0] * 255
    np.testing.assert_allclose(out, [234, 51, 35], atol=1)  # as CSS Color 4 gives it


def test_grey_stays_grey_everywhere():
    grey = np.full((1, 1, 3), 0.4, np.float32)
    for primaries in (1, 5, 6, 9, 12):
        for still in (SRGB, P3):
            out = to_still_space(grey, ClipColour(primaries=primaries), still)
            np.testing.assert_allclose(out, 0.4, atol=2e-3)


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.5807), (18, 0.75)])
def test_hdr_white_becomes_white(transfer, white):
    """BT.2408: reference white, 203 nits, is 58 % of PQ and 75 % of HLG."""
    colour = ClipColour(primaries=9, transfer=transfer, matrix=9)
    picture = np.array([[[0, 0, 0], [white] * 3, [1, 1, 1]]], np.float32)
    out = to_still_space(picture, colour, SRGB)[0, :, 0]
    assert out[0] == pytest.approx(0, abs=1e-3)
    assert 0.9 < out[1] < 1.0
    assert out[1] < out[2] <= 1.0


def test_unknown_space_keeps_the_clips_numbers():
    rgb = np.random.default_rng(4).random((2, 2, 3)).astype(np.float32)
    unknown = ColourSpace(name="unknown", icc=b"x")
    assert to_still_space(rgb, ClipColour(primaries=12), unknown) is rgb


@pytest.mark.parametrize("name", ["sRGB", "Display P3", "Adobe RGB"])
@pytest.mark.parametrize(
    "colour",
    [
        ClipColour(primaries=12, transfer=1), ClipColour(primaries=1, transfer=1),
        ClipColour(primaries=9, transfer=18), ClipColour(primaries=9, transfer=16),
    ],
)  # fmt: skip
def test_into_the_stills_space_and_back(name, colour):
    """Colours that both spaces have, and that are no brighter than white, come back."""
    still = ColourSpace(name=name)
    grey = np.random.default_rng(0).uniform(0.1, 0.5, (40, 50, 1))
    tint = np.random.default_rng(1).uniform(-0.03, 0.03, (40, 50, 3))
    rgb = (grey + tint).astype(np.float32)
    there = to_still_space(rgb, colour, still)
    inside = ((there > 0.01) & (there < 0.97)).all(axis=-1)
    assert inside.mean() > 0.9
    assert np.abs(from_still_space(there, colour, still) - rgb)[inside].max() < 1e-3


def test_what_was_rolled_off_comes_back_as_white():
    colour = ClipColour(primaries=9, transfer=16)
    white = np.ones((1, 1, 3), np.float32)
    back = from_still_space(white, colour, ColourSpace())
    assert np.isfinite(back).all() and 0.5 < back.mean() < 0.8


def test_from_one_stills_space_to_anothers():
    rgb = np.random.default_rng(0).uniform(0.3, 0.6, (9, 9, 3)).astype(np.float32)
    wide, plain = ColourSpace(name="Display P3"), ColourSpace()
    there = between_stills(rgb, plain, wide)
    assert np.abs(there - rgb).max() > 0.005
    assert np.abs(between_stills(there, wide, plain) - rgb).max() < 1e-4
    assert between_stills(rgb, plain, plain) is rgb
    assert between_stills(rgb, plain, ColourSpace(name="unknown")) is rgb


@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize(("matrix", "bits"), [(1, 8), (6, 8), (9, 10)])
def test_a_change_of_rgb_as_one_of_yuv(matrix, bits, full_range):
    """Planes with the change added are the RGB with the change added."""
    colour = ClipColour(matrix=matrix, full_range=full_range)
    rng = np.random.default_rng(0)
    planes = [rng.uniform(100, 140, (4, 5)).astype(np.float32) * 2 ** (bits - 8) for _ in range(3)]
    change = rng.uniform(-0.1, 0.1, (4, 5, 3)).astype(np.float32)
    more = rgb_change_to_yuv(change, bits=bits, colour=colour, matrix=matrix)
    before = yuv_to_rgb(*planes, bits=bits, colour=colour)
    changed = [plane + part for plane, part in zip(planes, more, strict=True)]
    after = yuv_to_rgb(*changed, bits=bits, colour=colour)
    assert np.abs(after - before - change).max() < 1e-5


def test_an_unstated_matrix_is_guessed_by_the_size():
    assert ClipColour().assumed_matrix(1920, 1080) == 1
    assert ClipColour().assumed_matrix(640, 480) == 6
    assert ClipColour(matrix=9).assumed_matrix(640, 480) == 9
