"""The alignment: the output's size, where each pixel lies in the key photo, and refusal."""

import cv2
import numpy as np
import pytest
from support.pictures import as_bytes, scene, spoil, view

from livemoments.align.alignment import Alignment, align, output_size
from livemoments.align.flow import pixel_grid, sample, warp
from livemoments.align.registration import scaling
from livemoments.imaging.pixels import as_float

KEY_SIZE = (320, 416)


@pytest.fixture(scope="module")
def key_photo() -> np.ndarray:
    return scene(*KEY_SIZE)


def enlarged(picture: np.ndarray, alignment: Alignment) -> np.ndarray:
    size = (alignment.width, alignment.height)
    return cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)


def homography_flow(homography: np.ndarray, height: int, width: int) -> np.ndarray:
    grid = pixel_grid(height, width)
    return cv2.perspectiveTransform(grid.astype(np.float64), homography) - grid


# The output's size. Sizes are (height, width).


@pytest.mark.parametrize(
    ("frame", "key"),
    [
        ((1080, 1440), (3024, 4032)),
        ((64, 64), (128, 128)),
        ((99, 133), (301, 401)),
        ((320, 416), (320, 416)),
    ],
)
def test_the_same_view_has_the_key_photos_size(frame, key):
    assert output_size(frame, key, scaling(frame, key)) == key


def test_a_hand_that_shook_is_still_the_same_view():
    frame, key = (1080, 1440), (3024, 4032)
    shaken = scaling(frame, key) @ np.array([[0.99, 0.01, 12], [-0.01, 1.0, -9], [0, 0, 1]])
    assert output_size(frame, key, shaken) == key


def test_a_frame_that_shows_more_has_the_key_photos_density():
    frame, key = (1080, 1440), (3024, 4032)
    wider = scaling(frame, key) @ np.diag([1.25, 1.25, 1])
    assert output_size(frame, key, wider) == (3780, 5040)


def test_a_frame_that_shows_less_still_has_the_key_photos_size():
    """A stabilised clip is a crop of the view; its picture must not come out smaller."""
    frame, key = (1080, 1440), (3024, 4032)
    narrower = scaling(frame, key) @ np.array([[0.8, 0, 90], [0, 0.8, 70], [0, 0, 1]])
    assert output_size(frame, key, narrower) == key


def test_a_wide_clip_of_a_narrower_photo_has_its_width():
    """16:9 out of 4:3 over the full width: the key photo's density is that of the widths."""
    frame, key = (1080, 1920), (4284, 5712)
    homography = np.array([[2.975, 0, 1], [0, 2.975, 536], [0, 0, 1]])
    assert output_size(frame, key, homography) == (3213, 5712)


@pytest.mark.parametrize(("frame", "key"), [((100, 140), (300, 400)), ((100, 125), (300, 400))])
def test_the_output_is_not_stretched(frame, key):
    """Another shape is another view, and must not be squeezed into the key photo's."""
    middle = np.array([[2.8, 0, 4], [0, 2.8, 10], [0, 0, 1]])
    height, width = output_size(frame, key, middle)
    assert width / height == pytest.approx(frame[1] / frame[0], rel=0.01)


def test_the_output_is_never_smaller_than_the_frame():
    frame, key = (200, 300), (100, 150)
    assert output_size(frame, key, scaling(frame, key)) == frame
    assert output_size(frame, frame, np.diag([0.5, 0.5, 1])) == frame


@pytest.mark.parametrize("factor", [0.05, 10])
def test_a_registration_gone_astray_does_not_set_the_size(factor):
    frame, key = (100, 150), (270, 450)
    found = output_size(frame, key, scaling(frame, key) @ np.diag([factor, factor, 1]))
    assert found == (270, 405)  # the smaller of the two scales: the clip is a cut of the view


# Alignment


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("as_uint8", [False, True])
def test_every_pixel_is_found_in_the_key_photo(key_photo, scale, as_uint8):
    size = round(KEY_SIZE[0] / scale), round(KEY_SIZE[1] / scale)
    motion = np.array([[1.0, 0.012, 5], [-0.012, 1.0, -4], [1e-5, 0, 1]])
    frame = spoil(view(key_photo, motion @ scaling(size, KEY_SIZE), *size), noise=0.008)
    found = align(frame, as_bytes(key_photo) if as_uint8 else key_photo)
    assert (found.height, found.width) == KEY_SIZE and found.reason is None
    assert (
        found.flow_frame_to_key.shape == (*KEY_SIZE, 2)
        and found.flow_frame_to_key.dtype == np.float32
    )
    assert (
        found.confidence.shape == KEY_SIZE
        and 0 <= found.confidence.min() <= found.confidence.max() <= 1
    )
    true_flow = homography_flow(motion, *KEY_SIZE)
    error = np.linalg.norm(found.flow_frame_to_key - true_flow, axis=-1)[16:-16, 16:-16]
    assert np.median(error) < 0.5
    trusted = found.confidence[16:-16, 16:-16] > 0.5
    assert trusted.mean() > 0.6 and np.median(error[trusted]) < 0.5
    brought = warp(key_photo, found.flow_frame_to_key)
    after = np.abs(brought - enlarged(frame, found))[16:-16, 16:-16].mean()
    assert after < 0.6 * np.abs(key_photo - enlarged(frame, found))[16:-16, 16:-16].mean()


def test_local_motion_is_followed_on_top_of_the_homography(key_photo):
    y, x = np.mgrid[: KEY_SIZE[0], : KEY_SIZE[1]].astype(np.float32)
    true_flow = np.stack([4 + 3 * np.sin(y / 40), -2 + 3 * np.cos(x / 50)], -1)
    frame = cv2.resize(
        np.clip(warp(key_photo, true_flow), 0, 1),
        None,
        fx=0.5,
        fy=0.5,
        interpolation=cv2.INTER_AREA,
    )
    found = align(frame, key_photo)
    assert (found.height, found.width) == KEY_SIZE
    error = np.linalg.norm(found.flow_frame_to_key - true_flow, axis=-1)[16:-16, 16:-16]
    assert np.median(error) < 0.5


def test_a_view_inside_the_key_photo_is_found_there(key_photo):
    """The clip shows the middle two thirds, at half the key photo's density."""
    size, inside = (107, 139), np.array([[2.0, 0, 69], [0, 2.0, 53], [0, 0, 1]])
    found = align(view(key_photo, inside, *size), key_photo)
    assert (found.height, found.width) == KEY_SIZE
    true_flow = homography_flow(inside @ scaling(KEY_SIZE, size), *KEY_SIZE)
    error = np.linalg.norm(found.flow_frame_to_key - true_flow, axis=-1)
    assert np.median(error) < 0.5


def test_what_lies_past_the_key_photo_is_not_trusted(key_photo):
    size = (160, 208)
    shifted = np.array([[1, 0, 80], [0, 1, 0], [0, 0, 1.0]]) @ scaling(size, KEY_SIZE)
    padded = cv2.copyMakeBorder(key_photo, 0, 0, 0, 80, cv2.BORDER_REFLECT_101)
    found = align(view(padded, shifted, *size), key_photo)
    beyond = found.confidence[:, -70:]
    assert beyond.max() < 0.1 and np.median(found.confidence[20:-20, 20:-110]) > 0.7


def test_a_key_photo_of_another_place_is_refused(key_photo):
    frame = cv2.resize(scene(*KEY_SIZE, seed=8), (208, 160), interpolation=cv2.INTER_AREA)
    found = align(frame, key_photo)
    assert found.flow_frame_to_key is None and found.confidence is None
    assert (found.height, found.width) == KEY_SIZE
    assert "does not show this moment's view" in found.reason and "\n" not in found.reason


def test_a_view_that_moved_away_is_refused(key_photo, monkeypatch):
    """Registered, but hardly anything is found again: another reason is given."""
    monkeypatch.setattr("livemoments.align.alignment.MIN_TRUSTED", 1.1)
    frame = cv2.resize(key_photo, (208, 160), interpolation=cv2.INTER_AREA)
    found = align(frame, key_photo)
    assert found.flow_frame_to_key is None
    assert "hardly any of the key photo is found" in found.reason


def test_a_plain_frame_does_not_trust_a_textured_key_photo(key_photo):
    """Never invent: nothing in a plain wall says that the key photo's texture belongs there."""
    found = align(np.full((160, 208, 3), 0.5, np.float32), key_photo)
    assert found.confidence is None or (found.confidence > 0.5).mean() < 0.1


def test_the_files_transform_leads_to_the_same_place(key_photo, monkeypatch):
    """In pixels of the key photo itself, although registration sees a reduced one."""
    from livemoments.align import registration

    size, matching = (107, 139), registration.match_homography  # the key photo is reduced to 278 px
    to_key = np.array([[1.0, 0.02, 6], [-0.02, 1.0, 3], [0, 0, 1]]) @ scaling(size, KEY_SIZE)
    key_frame_to_key = np.array([[1.0, -0.03, -8], [0.03, 1.0, 5], [0, 0, 1]]) @ scaling(
        size, KEY_SIZE
    )
    frame, key_frame = view(key_photo, to_key, *size), view(key_photo, key_frame_to_key, *size)
    monkeypatch.setattr(
        registration, "match_homography", lambda a, b: matching(a, b) if a.size == b.size else None
    )
    found = align(frame, key_photo, key_frame=key_frame, key_transform=key_frame_to_key)
    assert found.registration.method == "still-image transform"
    true_flow = homography_flow(
        to_key @ scaling((found.height, found.width), size), found.height, found.width
    )
    error = np.linalg.norm(found.flow_frame_to_key - true_flow, axis=-1)[16:-16, 16:-16]
    assert np.median(error) < 0.5


def test_another_estimator_can_be_given(key_photo):
    calls = []

    def still(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        calls.append(first.shape)
        return np.zeros((*first.shape, 2), np.float32)

    frame = cv2.resize(key_photo, (208, 160), interpolation=cv2.INTER_AREA)
    found = align(frame, key_photo, estimator=still)
    assert calls[0] == (160, 208) and len(calls) == 2  # there and back; the fine pass is DIS
    assert np.abs(found.flow_frame_to_key).max() < 1.5


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 64), (65, 33)])
@pytest.mark.parametrize("ratio", [1, 2, 5])
def test_small_pictures_align(size, ratio):
    key_photo = scene(size[0] * ratio, size[1] * ratio)
    found = align(cv2.resize(key_photo, size[::-1], interpolation=cv2.INTER_AREA), key_photo)
    assert (found.height, found.width) == key_photo.shape[:2]
    if found.flow_frame_to_key is not None:
        assert np.isfinite(found.flow_frame_to_key).all()
        assert np.median(np.abs(found.flow_frame_to_key)) < ratio


def test_bytes_and_floats_mean_the_same():
    picture = as_bytes(scene(20, 30))
    np.testing.assert_allclose(as_float(picture), picture / 255, atol=1e-7)
    assert as_float(picture).dtype == as_float(np.zeros((2, 2, 3))).dtype == np.float32
    floats = np.zeros((2, 2, 3), np.float32)
    assert as_float(floats) is floats


def test_sampling_at_the_alignments_positions_is_warping(key_photo):
    frame = cv2.resize(key_photo, (208, 160), interpolation=cv2.INTER_AREA)
    found = align(frame, key_photo)
    y, x = np.mgrid[: found.height, : found.width].astype(np.float32)
    positions = found.flow_frame_to_key + np.stack([x, y], -1)
    np.testing.assert_array_equal(
        sample(key_photo, positions), warp(key_photo, found.flow_frame_to_key)
    )
