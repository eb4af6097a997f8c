"""The clip: frames by time, tracks, turns, ranges and colours, as they come out of real codecs."""

import numpy as np
import pytest
from support import makers

from livemoments.errors import MomentError, UnsupportedFileError
from livemoments.imaging.colour import ColourSpace
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.movie.frame import turn
from livemoments.livephoto.movie.video import Clip, open_clip

SRGB = ColourSpace()
P3 = ColourSpace(name="Display P3", icc=b"x")
# Display matrix, degrees clockwise, and the same turn by NumPy.
DISPLAYS = [
    ((1, 0, 0, 1), 0, lambda p: p),
    ((0, 1, -1, 0), 90, lambda p: np.rot90(p, -1)),
    ((-1, 0, 0, -1), 180, lambda p: np.rot90(p, 2)),
    ((0, -1, 1, 0), 270, lambda p: np.rot90(p, 1)),
    ((-1, 0, 0, 1), 0, lambda p: p[:, ::-1]),
    ((1, 0, 0, -1), 0, lambda p: p[::-1]),
]


def clip_of(tmp_path, data: bytes, target: ColourSpace = SRGB) -> Clip:
    path = tmp_path / "clip.mov"
    path.write_bytes(data)
    return open_clip(Source.whole(path), target)


def error(frame: np.ndarray, picture: np.ndarray) -> float:
    """Mean difference in levels."""
    return float(np.abs(frame * 255 - picture).mean())


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return makers.moving(makers.scene(), step=8)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_variable_times(tmp_path, pictures, codec):
    clip = clip_of(tmp_path, makers.encode_clip(pictures, codec=codec))
    assert clip.times_s == pytest.approx(makers.TIMES_S)
    assert (clip.width, clip.height, clip.rotation) == (192, 144, 0)
    assert clip.codec == {"libx264": "h264", "libx265": "hevc"}[codec]
    assert clip.duration_s >= clip.times_s[-1]
    assert clip.audio_codec is None


def test_frame_nearest_to_a_time(tmp_path, pictures):
    clip = clip_of(tmp_path, makers.encode_clip(pictures))
    for time_s, index in ((0.0, 0), (0.19, 3), (0.21, 4), (0.36, 6), (0.7, 11), (0.72, 11)):
        frame = clip.frame(time_s)
        assert frame.index == index
        assert frame.time_s == pytest.approx(makers.TIMES_S[index])
        # The right picture, by far: the pan moves 8 pixels a frame.
        errors = [error(frame.image, picture) for picture in pictures]
        assert int(np.argmin(errors)) == index
        assert errors[index] < 9 and sorted(errors)[1] > 20


def test_every_way_to_a_frame_is_the_same(tmp_path, pictures):
    clip = clip_of(tmp_path, makers.encode_clip(pictures, codec="libx265"))
    whole = {frame.index: frame.image for frame in clip.frames()}
    assert sorted(whole) == list(range(12))
    for index in (0, 1, 4, 5, 6, 11):
        np.testing.assert_array_equal(clip.frame_at(index).image, whole[index])
    some = list(clip.frames([9, 2, 9, 5]))
    assert [frame.index for frame in some] == [2, 5, 9]
    for frame in some:
        np.testing.assert_array_equal(frame.image, whole[frame.index])
    assert list(clip.frames([])) == []


def test_frame_is_float_rgb(tmp_path, pictures):
    image = clip_of(tmp_path, makers.encode_clip(pictures)).frame_at(3).image
    assert image.dtype == np.float32 and image.shape == (144, 192, 3)
    assert image.flags.c_contiguous
    assert 0 <= image.min() and image.max() <= 1


def test_previews_are_small_frames(tmp_path, pictures):
    import cv2

    clip = clip_of(tmp_path, makers.encode_clip(pictures, display=(0, 1, -1, 0)))
    previews = list(clip.previews(96, [1, 6]))
    assert [frame.index for frame in previews] == [1, 6]
    for frame in previews:
        assert frame.image.shape == (96, 72, 3)
        small = cv2.resize(clip.frame_at(frame.index).image, (72, 96), interpolation=cv2.INTER_AREA)
        assert np.abs(small - frame.image).mean() * 255 < 8


@pytest.mark.parametrize("time_s", [-1.0, 5.0, float("nan"), float("inf")])
def test_a_time_outside_the_clip(tmp_path, pictures, time_s):
    clip = clip_of(tmp_path, makers.encode_clip(pictures))
    with pytest.raises(MomentError, match="clip.mov: no moment at .* the clip runs from 0.000 to"):
        clip.frame(time_s)


def test_a_known_time_widens_the_clip(tmp_path, pictures):
    """A key time may lie past the last frame, or before the first one."""
    late = tuple(time_s + 0.5 for time_s in makers.TIMES_S)
    clip = clip_of(tmp_path, makers.encode_clip(pictures, late))
    assert clip.times_s[0] == pytest.approx(0.5)
    with pytest.raises(MomentError):
        clip.nearest_index(0.1)
    assert clip.nearest_index(0.1, latest_s=0.1) == 0
    assert clip.nearest_index(2.0, latest_s=2.0) == 11
    with pytest.raises(MomentError):
        clip.nearest_index(2.2, latest_s=2.0)


@pytest.mark.parametrize("index", [-1, 12])
def test_a_frame_that_is_not_there(tmp_path, pictures, index):
    clip = clip_of(tmp_path, makers.encode_clip(pictures))
    with pytest.raises(MomentError, match="frames 0 to 11"):
        clip.frame_at(index)
    with pytest.raises(MomentError):
        list(clip.frames([index]))


@pytest.mark.parametrize(("display", "degrees", "turned"), DISPLAYS)
def test_display_matrix(tmp_path, pictures, display, degrees, turned):
    clip = clip_of(tmp_path, makers.encode_clip(pictures, display=display))
    wanted = turned(pictures[2])
    image = clip.frame_at(2).image
    assert clip.rotation == degrees
    assert (clip.height, clip.width) == wanted.shape[:2] == image.shape[:2]
    assert error(image, wanted) < 9


def test_turn_follows_ffmpegs_reading_of_the_matrix():
    # x' = a x + c y, y' = b x + d y: a quarter turn clockwise sends the top row to the right.
    picture = np.array([[1, 2], [3, 4]])
    assert turn(picture, (0, 1, -1, 0)).tolist() == [[3, 1], [4, 2]]


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_flat_patches_keep_their_colour(tmp_path, full_range, matrix, codec):
    patches = [(230, 40, 30), (20, 200, 60), (30, 50, 220), (128, 128, 128), (255, 255, 255)]
    pictures = [np.full((64, 64, 3), patch, np.uint8) for patch in patches]
    data = makers.encode_clip(
        pictures, makers.TIMES_S[:5], codec=codec, full_range=full_range, matrix=matrix
    )
    clip = clip_of(tmp_path, data)
    assert clip.colour.full_range is full_range and clip.colour.matrix == matrix
    for frame, patch in zip(clip.frames(), patches, strict=True):
        # The encoder's own 8-bit conversion costs up to 2 levels.
        assert np.abs(frame.image.mean((0, 1)) * 255 - patch).max() < 3


def test_p3_clip_with_p3_still_is_kept_and_bt709_is_converted(tmp_path):
    picture = np.full((64, 64, 3), (230, 40, 30), np.uint8)
    p3_clip = makers.encode_clip([picture], (0.0,), primaries=12)
    bt709_clip = makers.encode_clip([picture], (0.0,), primaries=1)

    def colour(data: bytes, target: ColourSpace) -> np.ndarray:
        return clip_of(tmp_path, data, target).frame_at(0).image.mean((0, 1)) * 255

    np.testing.assert_allclose(colour(p3_clip, P3), picture[0, 0], atol=3)
    np.testing.assert_allclose(colour(bt709_clip, SRGB), picture[0, 0], atol=3)
    # sRGB (230, 40, 30) is about (211, 60, 45) in Display P3: less extreme numbers.
    assert colour(bt709_clip, P3)[0] < 217 and colour(bt709_clip, P3)[1] > 50
    # The other way, red is outside sRGB: more extreme, clipped.
    assert colour(p3_clip, SRGB)[0] > 240 and colour(p3_clip, SRGB)[1] < 20


def test_track_with_frames_wins_over_the_larger_one(tmp_path, pictures):
    large = [makers.enlarged(pictures[5])]
    clip = clip_of(tmp_path, makers.encode_clip(pictures, extra_track=large))
    assert clip.video_tracks == 2
    assert len(clip.times_s) == 12 and clip.width == 192
    assert error(clip.frame_at(5).image, pictures[5]) < 9


def test_auxiliary_pictures_are_not_the_clip(tmp_path, pictures):
    data = makers.encode_clip(pictures[:4], makers.TIMES_S[:4], extra_track=pictures)
    at = data.rfind(b"hdlr", 0, data.rfind(b"vide") + 1)
    assert data[at + 12 : at + 16] == b"vide"
    clip = clip_of(tmp_path, data[: at + 12] + b"auxv" + data[at + 16 :])
    assert len(clip.times_s) == 4


def test_sound_is_named(tmp_path, pictures):
    assert clip_of(tmp_path, makers.encode_clip(pictures, sound=True)).audio_codec == "aac"


def test_sound_alone_is_no_clip(tmp_path, pictures):
    data = makers.encode_clip(pictures, sound=True)
    at = data.find(b"vide", data.find(b"moov"))
    with pytest.raises(UnsupportedFileError, match="clip.mov: the file has no video track"):
        clip_of(tmp_path, data[:at] + b"zzzz" + data[at + 4 :])


def test_odd_sizes(tmp_path):
    picture = makers.scene(66, 50)
    clip = clip_of(tmp_path, makers.encode_clip([picture] * 3, makers.TIMES_S[:3]))
    assert clip.frame_at(1).image.shape == (50, 66, 3)


def test_other_containers(tmp_path, pictures):
    for container in ("matroska", "avi"):
        data = makers.encode_clip(
            pictures, tuple(i / 30 for i in range(12)), container=container, time_base=30
        )
        clip = clip_of(tmp_path, data)
        assert len(clip.times_s) == 12 and clip.movie is None
        assert error(clip.frame_at(7).image, pictures[7]) < 9
