"""Apple's metadata: identifiers, the still's time, the transform and its direction."""

import struct

import cv2
import numpy as np
import pytest
from support import makers

from livemoments.livephoto import open_live_photo
from livemoments.livephoto.container.source import Source
from livemoments.livephoto.metadata.apple_note import maker_note_identifier
from livemoments.livephoto.movie.tracks import read_movie
from livemoments.livephoto.reading.apple import key_transform, still_image_time

SIZE = (192.0, 144.0)
TURN_RIGHT = (0, 1, -1, 0)


def test_maker_note():
    assert maker_note_identifier(makers.maker_note(makers.IDENTIFIER)) == makers.IDENTIFIER


@pytest.mark.parametrize("length", range(0, 69, 4))
def test_maker_note_cut_short(length):
    found = maker_note_identifier(makers.maker_note(makers.IDENTIFIER)[:length])
    assert found is None or makers.IDENTIFIER.startswith(found)


def test_maker_notes_of_others():
    assert maker_note_identifier(b"") is None
    assert maker_note_identifier(b"Nikon\0" + bytes(60)) is None
    assert maker_note_identifier(b"Apple iOS\0\0\x01MM\xff\xff" + bytes(100)) is None
    far = b"Apple iOS\0\0\x01MM\0\x01" + struct.pack(">HHII", 17, 2, 37, 1 << 31)
    assert maker_note_identifier(far) is None


@pytest.mark.parametrize("key_time_s", [0.0, 0.25, 0.4, 1.5])
def test_still_image_time(tmp_path, key_time_s):
    _, video = makers.apple_pair(tmp_path, key_time_s=key_time_s)
    source = Source.whole(video)
    found = still_image_time(source, read_movie(source))
    assert found is not None and found.transform is None
    assert found.time_s == pytest.approx(key_time_s, abs=1e-3)


def test_no_track_no_time(tmp_path):
    _, video = makers.apple_pair(tmp_path, track=False)
    source = Source.whole(video)
    assert still_image_time(source, read_movie(source)) is None


def test_transform_is_read(tmp_path):
    matrix = np.array([[1.01, 0.02, 3.0], [-0.02, 0.99, 4.0], [1e-5, 2e-5, 1.0]])
    _, video = makers.apple_pair(tmp_path, transform=matrix)
    source = Source.whole(video)
    found = still_image_time(source, read_movie(source))
    assert found is not None and found.reference_size == SIZE
    np.testing.assert_array_equal(found.transform, matrix)


def test_transform_that_is_no_number(tmp_path):
    _, video = makers.apple_pair(tmp_path, transform=np.full((3, 3), np.nan))
    source = Source.whole(video)
    found = still_image_time(source, read_movie(source))
    assert found is not None and found.transform is None


def moved(matrix: np.ndarray, x: float, y: float) -> list[float]:
    point = matrix @ [x, y, 1.0]
    return (point[:2] / point[2]).tolist()


SHIFT = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 7.0], [0.0, 0.0, 1.0]])  # right 5, up 7


@pytest.mark.parametrize(
    ("display", "clip", "still", "shift"),
    [
        ((1, 0, 0, 1), (192, 144), (192, 144), (5, -7)),
        (TURN_RIGHT, (144, 192), (144, 192), (7, 5)),  # turned right: up is right, right is down
        ((-1, 0, 0, -1), (192, 144), (192, 144), (-5, 7)),
        ((0, -1, 1, 0), (144, 192), (144, 192), (-7, -5)),
    ],
)
def test_transform_by_display_matrix(display, clip, still, shift):
    """A shift to the right and up, from a lower left origin, in every orientation."""
    matrix = key_transform(SHIFT, SIZE, display, clip, still)
    for x, y in ((0, 0), (50, 20), (100, 140)):
        assert moved(matrix, x, y) == pytest.approx([x + shift[0], y + shift[1]])


def test_transform_between_sizes():
    """Pixel centres are at whole numbers: twice the size maps 0 to 0.5."""
    matrix = key_transform(np.eye(3), (1920.0, 1440.0), (1, 0, 0, 1), (192, 144), (384, 288))
    assert moved(matrix, 0, 0) == pytest.approx([0.5, 0.5])
    assert moved(matrix, 191, 143) == pytest.approx([382.5, 286.5])


def homography() -> np.ndarray:
    """A known view change between two upright portrait pictures of 144 x 192 pixels."""
    return np.array([[1.03, 0.02, 4.0], [-0.03, 1.02, -6.0], [1e-4, -5e-5, 1.0]])


def as_apple_writes(upright: np.ndarray, height: float = 144.0) -> np.ndarray:
    """Take a homography of portrait pictures back to sensor pixels, origin at the lower left.

    The sensor's (x, y) is the portrait's (height - y, x): the display turns it right.
    """
    turn = np.array([[0.0, -1.0, height], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    flip = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, height], [0.0, 0.0, 1.0]])
    corner = half @ upright @ np.linalg.inv(half)
    return flip @ np.linalg.inv(turn) @ corner @ turn @ flip


def test_transform_lays_the_frame_on_the_still(tmp_path):
    """A clip filmed through a known homography, warped back by the file's own transform."""
    view = homography()
    big = makers.scene(220, 260, seed=5)
    still = np.ascontiguousarray(big[30:222, 30:174])
    # frame(p) = still(view p): the frame shows the still's scene moved by the inverse view.
    shift = np.array([[1.0, 0, 30], [0, 1, 30], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    frame = cv2.warpPerspective(big, shift @ view, (144, 192), flags=flags)
    stored = np.ascontiguousarray(np.rot90(frame, 1))  # as the sensor saw it
    clip = makers.encode_clip([stored] * 4, makers.TIMES_S[:4], display=TURN_RIGHT)
    clip = makers.with_keys(clip, {"com.apple.quicktime.content.identifier": makers.IDENTIFIER})
    (tmp_path / "a.mov").write_bytes(makers.with_still_time(clip, 0.1, as_apple_writes(view)))
    exif = makers.make_exif(makers.IDENTIFIER)
    makers.save_still(tmp_path / "a.jpg", makers.enlarged(still), exif=exif)

    live = open_live_photo(tmp_path / "a.jpg")
    assert live.key_transform is not None
    image = live.frame(live.key_time_s).image
    assert image.shape == (192, 144, 3)
    size = (live.still.width, live.still.height)
    target = live.still.pixels()[40:-40, 40:-40]

    def error(matrix: np.ndarray) -> float:
        warped = cv2.warpPerspective(image, matrix, size) * 255
        return float(np.abs(warped[40:-40, 40:-40] - target).mean())

    twice = np.diag([2.0, 2.0, 1.0])
    right = error(live.key_transform)
    wrong_way = error(twice @ np.linalg.inv(view))
    assert right < 10
    assert right < 0.5 * error(twice) and right < 0.5 * wrong_way
    np.testing.assert_allclose(
        live.key_transform,
        np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]) @ view,
        rtol=1e-6,
        atol=1e-6,
    )


def test_a_cropped_still_has_no_transform(tmp_path):
    photo, _ = makers.apple_pair(tmp_path, transform=np.eye(3), still=makers.scene(200, 200))
    live = open_live_photo(photo)
    assert live.key_transform is None
    assert any("stored transform is not used" in note for note in live.notes)
    assert any("different shapes" in note for note in live.notes)
