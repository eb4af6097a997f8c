"""Registration: known homographies are found again, and other places are not."""

import cv2
import numpy as np
import pytest
from support.pictures import corner_error, scene, spoil, view

from livemoments.align.registration import (
    Registration,
    agreement,
    match_homography,
    plausible,
    prepare,
    register,
    scaling,
)
from livemoments.imaging.pixels import fit_side

KEY_SIZE = (384, 512)


@pytest.fixture(scope="module")
def key_photo() -> np.ndarray:
    return scene(*KEY_SIZE)


def moved(
    scale: float, *, turn_deg: float = 1.5, zoom: float = 0.94, perspective: float = 2e-5
) -> np.ndarray:
    """Pixels of a frame `scale` times smaller than the key photo -> pixels of the key photo."""
    h, w = KEY_SIZE
    turn = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), turn_deg, zoom)
    turn = np.vstack([turn, [0, 0, 1]]) @ np.array(
        [[1, 0, 4], [0, 1, -3], [perspective, -perspective, 1]]
    )
    return turn @ scaling(frame_size(scale), KEY_SIZE)


def frame_size(scale: float) -> tuple[int, int]:
    return round(KEY_SIZE[0] / scale), round(KEY_SIZE[1] / scale)


def seen(key_photo: np.ndarray, scale: float, homography: np.ndarray) -> np.ndarray:
    return view(key_photo, homography, *frame_size(scale))


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0, 4.0])
def test_a_known_homography_is_found(key_photo, scale):
    truth = moved(scale)
    found = register(seen(key_photo, scale, truth), key_photo)
    assert found.method == "features"
    error_in_frame_px = corner_error(found.homography, truth, *frame_size(scale)) / scale
    assert error_in_frame_px < 0.3
    assert found.agreement > 0.7 and found.error_px is not None and 0 < found.error_px < 0.6
    assert found.homography[2, 2] == 1


@pytest.mark.parametrize(
    "spoiled",
    [
        {"noise": 0.03},
        {"blur_px": 1.2},
        {"gamma": 1.4, "gain": 0.75},
        {"gamma": 0.7, "noise": 0.02},
    ],
    ids=str,
)
def test_noise_blur_and_tone_do_not_matter(key_photo, spoiled):
    truth = moved(2.0)
    frame = spoil(seen(key_photo, 2.0, truth), **spoiled)
    found = register(frame, key_photo)
    assert found.method == "features"
    assert corner_error(found.homography, truth, *frame_size(2.0)) / 2 < 0.3


def test_the_error_is_in_the_frames_pixels(key_photo):
    """An enlarged key photo is no worse a match, measured in the frame."""
    truth = moved(2.0)
    frame = seen(key_photo, 2.0, truth)
    large = cv2.resize(key_photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    small_error, large_error = register(frame, key_photo).error_px, register(frame, large).error_px
    assert large_error == pytest.approx(small_error, rel=0.6, abs=0.05)


def test_the_same_picture_is_the_same_view(key_photo):
    found = register(cv2.resize(key_photo, (256, 192), interpolation=cv2.INTER_AREA), key_photo)
    assert corner_error(found.homography, scaling((192, 256), KEY_SIZE), 192, 256) < 0.6
    assert found.agreement > 0.9


def test_a_picture_of_another_place_does_not_agree(key_photo):
    found = register(
        cv2.resize(scene(*KEY_SIZE, seed=4), (256, 192), interpolation=cv2.INTER_AREA), key_photo
    )
    assert found.agreement < 0.3


def test_registering_twice_gives_the_same(key_photo):
    frame = spoil(seen(key_photo, 2.0, moved(2.0)))
    np.testing.assert_array_equal(
        register(frame, key_photo).homography, register(frame, key_photo).homography
    )


def test_registering_neither_sets_nor_needs_the_processs_random_numbers(key_photo):
    """Two jobs in two threads share OpenCV's generator."""
    frame = spoil(seen(key_photo, 2.0, moved(2.0)))
    homographies, drawn = [], []
    for seed in (5, 6):
        cv2.setRNGSeed(seed)
        homographies.append(register(frame, key_photo).homography)
        drawn.append(cv2.randu(np.zeros((1, 8), np.float32), 0, 1))
        cv2.setRNGSeed(seed)
        np.testing.assert_array_equal(drawn[-1], cv2.randu(np.zeros((1, 8), np.float32), 0, 1))
    np.testing.assert_array_equal(*homographies)


@pytest.fixture(scope="module")
def with_transform(key_photo) -> dict[str, np.ndarray]:
    """A frame, a key frame of another view, and what the file says of the latter."""
    truth = moved(2.0, turn_deg=0.5, zoom=1.0)
    key_frame_to_key = moved(2.0, turn_deg=3.0, zoom=0.9)
    return {
        "frame": seen(key_photo, 2.0, truth),
        "key_frame": seen(key_photo, 2.0, key_frame_to_key),
        "key_transform": key_frame_to_key,
        "truth": truth,
    }


def test_the_files_transform_is_used_where_features_fail(key_photo, with_transform, monkeypatch):
    given = with_transform
    straight = register(given["frame"], key_photo)
    assert straight.method == "features"

    def blind_to_the_key_photo(first, second):
        return None if second.size == KEY_SIZE else match_homography(first, second)

    monkeypatch.setattr("livemoments.align.registration.match_homography", blind_to_the_key_photo)
    transforms = {"key_frame": given["key_frame"], "key_transform": given["key_transform"]}
    found = register(given["frame"], key_photo, **transforms)
    assert found.method == "still-image transform"
    assert corner_error(found.homography, given["truth"], *frame_size(2.0)) / 2 < 0.3
    assert register(given["frame"], key_photo).method == "same view"


def test_a_wrong_transform_in_the_file_does_not_win(key_photo, with_transform):
    given = with_transform
    wrong = np.array([[1, 0, 60], [0, 1, 40], [0, 0, 1.0]]) @ given["key_transform"]
    found = register(given["frame"], key_photo, key_frame=given["key_frame"], key_transform=wrong)
    assert found.method == "features"
    assert corner_error(found.homography, given["truth"], *frame_size(2.0)) / 2 < 0.3


@pytest.mark.parametrize("size", [(16, 16), (16, 60), (33, 20)])
def test_tiny_and_flat_pictures_register_as_the_same_view(size):
    for picture in (scene(*size), np.full((*size, 3), 0.5, np.float32)):
        found = register(picture, picture)
        assert isinstance(found, Registration)
        assert corner_error(found.homography, np.eye(3), *size) < 0.5


# Parts


@pytest.mark.parametrize(("a", "b"), [((30, 40), (60, 80)), ((100, 50), (33, 17))])
def test_scaling_maps_pixel_centres(a, b):
    there = scaling(a, b)
    outer = there @ [[-0.5, a[1] - 0.5], [-0.5, a[0] - 0.5], [1, 1]]
    np.testing.assert_allclose(outer[:2], [[-0.5, b[1] - 0.5], [-0.5, b[0] - 0.5]], atol=1e-12)
    np.testing.assert_allclose(scaling(b, a) @ there, np.eye(3), atol=1e-12)


def test_reducing_keeps_shape_and_never_enlarges(key_photo):
    assert fit_side(key_photo, 128).shape == (96, 128, 3)
    assert fit_side(key_photo, 1000) is key_photo
    assert fit_side(np.zeros((1, 600, 3), np.float32), 100).shape == (1, 100, 3)


def test_large_pictures_are_matched_in_their_own_pixels():
    """Beyond the working size too: 1400 pixels are reduced before features are found."""
    large = cv2.resize(scene(263, 700), (1400, 526), interpolation=cv2.INTER_CUBIC)
    shift = np.array([[1, 0, 24], [0, 1, -12], [0, 0, 1.0]])
    frame = cv2.warpPerspective(
        large, np.linalg.inv(shift), (1400, 526), borderMode=cv2.BORDER_REFLECT_101
    )
    found, error_px = match_homography(prepare(frame), prepare(large))
    assert corner_error(found, shift, 526, 1400) < 1
    assert error_px < 0.5


@pytest.mark.parametrize(
    ("homography", "fits"),
    [
        (np.eye(3), True),
        (np.diag([3.0, 3, 1]), True),
        (-2 * np.eye(3), True),  # the same as the identity
        (np.array([[0.9, -0.3, 5], [0.3, 0.9, 2], [0, 0, 1]]), True),
        (np.diag([-1.0, 1, 1]), False),  # mirrored
        (np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]), False),  # a quarter turn
        (np.diag([3.0, 1, 1]), False),  # stretched
        (np.array([[1, 0, 0], [0, 1, 0], [0.02, 0, 1.0]]), False),  # seen from the side
        (np.array([[1, 0, 0], [0, 1, 0], [-0.02, 0, 1.0]]), False),  # partly behind the camera
        (np.full((3, 3), np.nan), False),
        (np.zeros((3, 3)), False),
    ],
    ids=str,
)
def test_only_what_a_hand_held_phone_can_do_is_plausible(homography, fits):
    assert plausible(homography, (100, 150)) is fits


def test_agreement_falls_with_misalignment(key_photo):
    there = prepare(key_photo)
    values = []
    for shift in (0, 2, 6, 20):
        values.append(agreement(np.array([[1, 0, shift], [0, 1, 0], [0, 0, 1.0]]), there, there))
    assert values[0] > 0.99 and all(a > b for a, b in zip(values, values[1:], strict=False))


def test_views_that_hardly_overlap_do_not_agree(key_photo):
    there = prepare(key_photo)
    far = np.array([[1, 0, 500], [0, 1, 0], [0, 0, 1.0]])
    assert agreement(far, there, there) == 0
