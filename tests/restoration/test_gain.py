"""A gain map brought to a moment: right where it is trusted, and no ghosts where it is not."""

import cv2
import numpy as np
import pytest
from support import gain_maps, pictures

from livemoments.align.alignment import Alignment
from livemoments.align.registration import Registration
from livemoments.livephoto.hdr.gain_map import GainMap, from_apple
from livemoments.restoration.gain import MIN_TRUSTED, move_gain_map

HEIGHT, WIDTH = 240, 320


def registered(method, agreement):
    return Registration(homography=np.eye(3), method=method, agreement=agreement, error_px=None)


def alignment(flow=None, confidence=None, height=HEIGHT, width=WIDTH):
    """An alignment with a flow, by default none, trusted as given, by default everywhere."""
    flow = np.zeros((height, width, 2), np.float32) if flow is None else flow
    return Alignment(
        height=height,
        width=width,
        enlarged=2.0,
        registration=Registration(
            homography=np.eye(3), method="features", agreement=0.9, error_px=0.5
        ),
        flow_frame_to_key=flow,
        confidence=np.ones((height, width), np.float32) if confidence is None else confidence,
    )


def scene():
    return pictures.smooth_picture(HEIGHT, WIDTH).astype(np.float32)


def like(picture, scale=0.5, headroom=4.0):
    """A gain map that a camera could give a picture: brighter places get more."""
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return from_apple(np.clip(0.3 + 0.6 * small.mean(-1), 0, 1), headroom)


def shifted(array, dx, dy):
    return np.roll(array, (dy, dx), (0, 1))


def test_the_key_photos_own_moment_keeps_its_map():
    picture = scene()
    gain_map = like(picture)
    moved = move_gain_map(gain_map, alignment(), key_photo=picture, image=picture)
    assert moved.reason is None
    np.testing.assert_allclose(moved.gain_map.stops(), gain_map.stops(), atol=0.01)
    assert moved.gain_map.capacity_max == gain_map.capacity_max


def test_a_moved_view_moves_its_map():
    """The moment shows everything 20 pixels further right and 8 down, half as many of the map's."""
    key, flow = scene(), np.full((HEIGHT, WIDTH, 2), (-20, -8), np.float32)
    gain_map = like(key)
    moved = move_gain_map(gain_map, alignment(flow), key_photo=key, image=shifted(key, 20, 8))
    inner = np.s_[12:-4, 18:-4]
    expected = shifted(gain_map.stops(), 10, 4)
    assert np.abs(moved.gain_map.stops() - expected)[inner].mean() < 0.01
    assert np.abs(moved.gain_map.stops() - expected)[inner].max() < 0.1


@pytest.mark.parametrize("height", [120, 180, 480])
def test_the_map_has_the_key_photos_density(height):
    """A moment of another size than the key photo's gets a map of as many pixels a pixel."""
    width = height * WIDTH // HEIGHT
    image = cv2.resize(scene(), (width, height), interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    ratio = HEIGHT / height
    flow = np.stack([(x + 0.5) * ratio - 0.5 - x, (y + 0.5) * ratio - 0.5 - y], -1)
    gain_map = like(scene())
    moved = move_gain_map(
        gain_map, alignment(flow, None, height, width), key_photo=scene(), image=image
    )
    assert moved.gain_map.values.shape == (height // 2, width // 2)
    expected = cv2.resize(gain_map.stops(), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    assert np.abs(moved.gain_map.stops() - expected).mean() < 0.02


def square(where, level=0.95):
    """A plain grey wall with a bright square on it, and the gain that a camera gives it."""
    picture = np.full((HEIGHT, WIDTH, 3), 0.35, np.float32)
    picture += pictures.noise_picture(HEIGHT, WIDTH).astype(np.float32) * 0.02
    picture[where] = level
    gain = np.full((HEIGHT, WIDTH), 0.2, np.float32)
    gain[where] = 1.8
    return picture, cv2.resize(gain, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


HERE, THERE = np.s_[60:120, 40:100], np.s_[100:160, 200:260]


def on_map(where, inset=6):
    rows, columns = where
    return np.s_[
        rows.start // 2 + inset : rows.stop // 2 - inset,
        columns.start // 2 + inset : columns.stop // 2 - inset,
    ]


@pytest.mark.parametrize("confident", [False, True])
def test_a_bright_thing_that_moved_leaves_no_ghost(confident):
    """Where it was, the wall's gain; where it is, its own: also where the flow says all is well."""
    key, stops = square(HERE)
    moment, expected = square(THERE)
    gain_map = GainMap(
        values=stops / 2, min_stops=(0.0,) * 3, max_stops=(2.0,) * 3, capacity_max=2.0
    )
    confidence = np.ones((HEIGHT, WIDTH), np.float32)
    if not confident:
        confidence[HERE] = confidence[THERE] = 0
    found = move_gain_map(
        gain_map, alignment(confidence=confidence), key_photo=key, image=moment
    ).gain_map.stops()
    assert np.abs(found[on_map(HERE)] - 0.2).max() < 0.1
    assert np.abs(found[on_map(THERE)] - 1.8).max() < 0.25
    assert np.abs(found - expected).mean() < 0.05


def test_a_bright_thing_that_the_key_photo_has_not_gets_no_more_than_what_it_has():
    key, stops = square(np.s_[0:0, 0:0])
    moment, _ = square(THERE)
    gain_map = GainMap(
        values=stops / 2, min_stops=(0.0,) * 3, max_stops=(2.0,) * 3, capacity_max=2.0
    )
    moved = move_gain_map(gain_map, alignment(), key_photo=key, image=moment)
    assert moved.gain_map.stops().max() < 0.25


def test_a_lamp_that_went_out_shines_no_more():
    key, stops = square(HERE)
    moment, _ = square(HERE, level=0.35)
    gain_map = GainMap(
        values=stops / 2, min_stops=(0.0,) * 3, max_stops=(2.0,) * 3, capacity_max=2.0
    )
    moved = move_gain_map(gain_map, alignment(), key_photo=key, image=moment)
    assert moved.gain_map.stops()[on_map(HERE)].max() < 0.35


def test_another_tone_is_no_reason_for_distrust():
    """The clip's picture is flatter and darker than the key photo everywhere."""
    key = scene()
    moved = move_gain_map(
        like(key), alignment(), key_photo=(key * 255).astype(np.uint8), image=0.1 + 0.6 * key**1.3
    )
    np.testing.assert_allclose(moved.gain_map.stops(), like(key).stops(), atol=0.05)


def test_half_a_picture_unseen_is_like_the_other_half():
    picture = scene()
    gain_map = like(picture)
    confidence = np.ones((HEIGHT, WIDTH), np.float32)
    confidence[:, WIDTH // 2 :] = 0
    # What lies there in the map belongs to something else: noise.
    values = gain_map.values.copy()
    values[:, WIDTH // 4 :] = np.random.default_rng(0).random(values[:, WIDTH // 4 :].shape)
    mixed = GainMap(**{**vars(gain_map), "values": values})
    moved = move_gain_map(mixed, alignment(confidence=confidence), key_photo=picture, image=picture)
    error = np.abs(moved.gain_map.stops() - gain_map.stops())
    assert error[:, : WIDTH // 4 - 4].max() < 0.03
    assert error[:, WIDTH // 4 :].mean() < 0.15


def test_three_channels_each_get_their_own():
    picture = scene()
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    gain_map = GainMap(**{**vars(gain_maps.colour_map()), "values": small.astype(np.float32)})
    confidence = np.ones((HEIGHT, WIDTH), np.float32)
    confidence[:60] = 0
    moved = move_gain_map(
        gain_map, alignment(confidence=confidence), key_photo=picture, image=picture
    )
    assert moved.gain_map.values.shape == small.shape
    inner = np.s_[40:, :]
    np.testing.assert_allclose(moved.gain_map.stops()[inner], gain_map.stops()[inner], atol=0.02)


def test_without_an_alignment_there_is_no_map():
    without = Alignment(
        height=HEIGHT,
        width=WIDTH,
        enlarged=2.0,
        registration=Registration(
            homography=np.eye(3), method="none", agreement=0.1, error_px=None
        ),
        reason="the key photo does not show this moment's view",
    )
    moved = move_gain_map(like(scene()), without, key_photo=scene(), image=scene())
    assert (moved.gain_map, moved.reason) == (None, without.reason)


def test_too_little_trust_is_no_map():
    confidence = np.zeros((HEIGHT, WIDTH), np.float32)
    confidence[: round(HEIGHT * MIN_TRUSTED / 2)] = 1
    moved = move_gain_map(
        like(scene()), alignment(confidence=confidence), key_photo=scene(), image=scene()
    )
    assert moved.gain_map is None
    assert moved.reason.startswith("only ") and moved.reason.endswith("hold for this moment")
