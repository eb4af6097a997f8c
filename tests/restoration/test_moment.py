"""restore_frame from end to end: sizes, laws, refusals, progress; with the shipped weights."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support import makers
from support.pictures import as_bytes, psnr, scene, spoil, view

import livemoments
from livemoments.align.alignment import align
from livemoments.align.flow import sample, warp
from livemoments.errors import ConfigError, InputError, MomentError, WeightsError
from livemoments.models.compact import SHIPPED
from livemoments.models.tile import TileConfig, TileResult
from livemoments.restoration.config import RestoreConfig
from livemoments.restoration.look import match_look
from livemoments.restoration.moment import RestoredMoment, restore, restore_frame

SMALL_TILES = RestoreConfig(tiles=TileConfig(size=96, overlap=24), threads=1)


def clip_frame(truth: np.ndarray, scale: int = 2) -> np.ndarray:
    """What a clip would have of a truth: smaller, a little noisy."""
    size = (max(16, truth.shape[1] // scale), max(16, truth.shape[0] // scale))
    return spoil(cv2.resize(truth, size, interpolation=cv2.INTER_AREA), blur_px=0, noise=0.006)


def moment(height: int, width: int, scale: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, frame, and a key photo of the same scene from a slightly other view."""
    key_photo = scene(height, width)
    motion = np.array([[1.0, 0.01, 3], [-0.01, 1.0, -2], [0, 0, 1]])
    truth = view(key_photo, motion, height, width)
    return truth, clip_frame(truth, scale), key_photo


def enlarge(frame: np.ndarray, like: np.ndarray) -> np.ndarray:
    return np.clip(cv2.resize(frame, like.shape[1::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def assert_a_picture(result: RestoredMoment, size: tuple[int, int]) -> None:
    assert result.image.shape == (*size, 3) and result.image.dtype == np.float32
    assert result.image.min() >= 0 and result.image.max() <= 1  # NaN fails both
    assert (result.report.height, result.report.width) == size


@pytest.mark.parametrize(
    ("frame_size", "key_size"),
    [
        ((64, 64), (128, 128)),
        ((65, 47), (195, 141)),
        ((61, 83), (133, 181)),
        ((120, 90), (120, 90)),
        ((16, 16), (16, 16)),
        ((16, 24), (64, 96)),
    ],
)
def test_the_same_view_gives_exactly_the_key_photos_size(frame_size, key_size):
    key_photo = scene(*key_size)
    frame = cv2.resize(key_photo, frame_size[::-1], interpolation=cv2.INTER_AREA)
    result = restore_frame(frame, key_photo, config=SMALL_TILES)
    assert_a_picture(result, key_size)
    np.testing.assert_allclose(result.image.mean((0, 1)), frame.mean((0, 1)), atol=0.06)


def test_a_key_photo_smaller_than_the_frame_does_not_reduce_it():
    picture = scene(96, 128)
    small = cv2.resize(picture, (64, 48), interpolation=cv2.INTER_AREA)
    assert_a_picture(restore_frame(picture, small, config=SMALL_TILES), (96, 128))


def test_the_restored_moment_is_nearer_to_the_truth_than_the_frame():
    truth, frame, key_photo = moment(256, 320)
    result = restore_frame(frame, key_photo, config=RestoreConfig(threads=1))
    assert result.report.reference_used
    gain = psnr(result.image, truth, 8) - psnr(enlarge(frame, truth), truth, 8)
    assert gain >= 1


def test_many_tiles_agree_with_one():
    """No seams: cut otherwise, the picture is nearly the same, at the borders of tiles as well."""
    _, frame, key_photo = moment(200, 232)
    whole = restore_frame(frame, key_photo, config=RestoreConfig(threads=1)).image
    parts = restore_frame(frame, key_photo, config=SMALL_TILES).image
    gap = np.abs(whole - parts)
    assert gap.mean() < 0.01
    assert np.abs(np.diff(parts - whole, axis=0)).max() < 0.2


def test_the_picture_has_no_grey_border():
    """Every row and column of a white frame stays white, the first and last included."""
    white = np.ones((100, 120, 3), np.float32)
    result = restore_frame(white[::2, ::2], white, config=SMALL_TILES)
    assert result.image.min() > 0.95


def test_a_constant_picture_stays_constant():
    grey = np.full((64, 80, 3), 0.5, np.float32)
    result = restore_frame(grey, np.full((128, 160, 3), 0.5, np.float32), config=SMALL_TILES)
    assert_a_picture(result, (128, 160))
    np.testing.assert_allclose(result.image, 0.5, atol=0.04)


def test_the_frames_colour_is_kept_where_the_light_changed():
    """Colour comes from the frame and not from the key photo."""
    _, frame, key_photo = moment(128, 128)
    result = restore_frame(frame * np.float32([1, 0.8, 0.6]), key_photo, config=SMALL_TILES)
    expected = (enlarge(frame, key_photo) * np.float32([1, 0.8, 0.6])).mean((0, 1))
    np.testing.assert_allclose(result.image.mean((0, 1)), expected, atol=0.02)


def test_bytes_and_floats_give_the_same():
    _, frame, key_photo = moment(96, 96)
    frame, key_photo = as_bytes(frame), as_bytes(key_photo)
    from_bytes = restore_frame(frame, key_photo, config=SMALL_TILES)
    for dtype in (np.float32, np.float64):
        floats = restore_frame(
            (frame / 255).astype(dtype), (key_photo / 255).astype(dtype), config=SMALL_TILES
        )
        np.testing.assert_allclose(floats.image, from_bytes.image, atol=2e-3)


def test_arrays_need_not_be_contiguous_and_are_left_alone():
    _, frame, key_photo = moment(96, 96)
    flipped_frame, flipped_key = frame[:, ::-1].copy(), key_photo[:, ::-1].copy()
    expected = restore_frame(flipped_frame, flipped_key, config=SMALL_TILES).image
    before = frame.copy(), key_photo.copy()
    found = restore_frame(frame[:, ::-1], key_photo[:, ::-1], config=SMALL_TILES).image
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(frame, before[0])
    np.testing.assert_array_equal(key_photo, before[1])


class Stand:
    """In the model's place: makes of each tile what a function of it gives."""

    name, tiles, steps, batch, estimator = "stand", TileConfig(), 1, 2, None

    def __init__(self, make) -> None:
        self.make = make

    def restore_tiles(self, tiles, steps, rngs) -> list[TileResult]:
        assert 1 <= len(tiles) == len(rngs) <= self.batch
        trust = np.zeros(tiles[0].frame.shape[:2], np.float32)
        return [TileResult(image=self.make(tile), used=trust) for tile in tiles]


UNCHANGED = Stand(lambda tile: tile.frame)


def test_the_look_is_the_frames_whatever_the_model_does():
    """A model that changes the level and the tint has its change taken back."""
    _, frame, key_photo = moment(160, 192)
    frame = 0.3 + 0.4 * frame
    model = Stand(lambda tile: tile.frame + np.float32([0.2, -0.1, 0.05]))
    result = restore_frame(frame, key_photo, config=SMALL_TILES, model=model)
    np.testing.assert_allclose(result.image, enlarge(frame, key_photo), atol=1e-4)


def test_each_tile_is_given_its_place_in_the_key_photo():
    """A model that copies the reference at its positions makes the aligned key photo."""
    _, frame, key_photo = moment(200, 232)
    model = Stand(lambda tile: sample(tile.reference, tile.positions))
    result = restore_frame(frame, key_photo, config=SMALL_TILES, model=model)
    alignment = align(frame, key_photo)
    expected = match_look(warp(key_photo, alignment.flow_frame_to_key), enlarge(frame, key_photo))
    # Within a crop, edges are repeated at the key photo's own border alone.
    np.testing.assert_allclose(result.image, np.clip(expected, 0, 1), atol=0.02)


# The reference


def test_an_unrelated_key_photo_is_not_used():
    _, frame, _ = moment(128, 160)
    unrelated = scene(128, 160, seed=11)
    result = restore_frame(frame, unrelated, config=SMALL_TILES)
    without = restore_frame(frame, unrelated, config=replace(SMALL_TILES, use_reference=False))
    assert not result.report.reference_used and result.report.share_from_reference == 0
    assert "does not show this moment's view" in result.report.reason
    np.testing.assert_array_equal(result.image, without.image)


def test_doing_without_the_reference_is_reported():
    _, frame, key_photo = moment(128, 128)
    report = restore_frame(
        frame, key_photo, config=replace(SMALL_TILES, use_reference=False)
    ).report
    assert not report.reference_used and report.share_from_reference == 0
    assert report.reason == "asked to do without"


def test_no_texture_is_invented_on_a_plain_frame():
    """A grey wall says nothing of where the key photo's texture would belong."""
    result = restore_frame(
        np.full((96, 128, 3), 0.5, np.float32), scene(192, 256), config=SMALL_TILES
    )
    assert not result.report.reference_used and result.report.share_from_reference == 0
    assert result.report.reason
    assert np.abs(result.image - 0.5).max() < 0.1


def test_the_report_says_what_was_done():
    _, frame, key_photo = moment(160, 160)
    report = restore_frame(frame, key_photo, config=SMALL_TILES, steps=2, seed=9).report
    assert (report.steps, report.seed, report.reference_used, report.reason) == (2, 9, True, None)
    assert 0 <= report.share_from_reference <= 1 and 0.35 < report.agreement <= 1
    assert report.registration in ("features", "same view")
    assert {"aligning", "restoring", "look"} <= set(report.seconds)
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


def test_weights_of_ones_own_are_taken(tmp_path):
    _, frame, key_photo = moment(64, 64)
    with pytest.raises(WeightsError, match="my-model"):
        restore_frame(frame, key_photo, config=RestoreConfig(weights=tmp_path / "my-model"))
    shutil.copytree(SHIPPED, tmp_path / "my-model")
    own = replace(SMALL_TILES, weights=tmp_path / "my-model")
    first, second = (restore_frame(frame, key_photo, config=c) for c in (own, SMALL_TILES))
    np.testing.assert_array_equal(first.image, second.image)


# Steps and seed


@pytest.mark.parametrize("steps", [1, 2])
def test_the_same_seed_gives_the_same_bytes(steps):
    _, frame, key_photo = moment(64, 64)
    first, second, other = (
        restore_frame(frame, key_photo, config=SMALL_TILES, steps=steps, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first.image.tobytes() == second.image.tobytes()
    # The bridge's start tells the network nothing but the frame: noise counts from two steps on.
    assert (first.image != other.image).any() == (steps > 1)


def test_steps_and_seed_override_the_configuration():
    _, frame, key_photo = moment(64, 64)
    config = replace(SMALL_TILES, steps=3, seed=5)
    by_argument = restore_frame(frame, key_photo, config=SMALL_TILES, steps=3, seed=5)
    by_config = restore_frame(frame, key_photo, config=config)
    np.testing.assert_array_equal(by_argument.image, by_config.image)
    report = restore_frame(frame, key_photo, config=config, seed=0).report
    assert (report.steps, report.seed) == (3, 0)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"steps": 7}, {"seed": -1}])
def test_settings_outside_their_range_are_refused(settings):
    name = next(iter(settings))
    with pytest.raises(ConfigError, match=name):
        RestoreConfig(**settings)
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ConfigError, match=name):
        restore_frame(picture, picture, **settings)


# Progress


def test_progress_goes_forward_in_each_stage_and_ends_whole():
    _, frame, key_photo = moment(200, 200)
    steps: list[tuple[str, int, int]] = []
    restore_frame(frame, key_photo, config=SMALL_TILES, progress=lambda *step: steps.append(step))
    stages = list(dict.fromkeys(stage for stage, _, _ in steps))
    assert stages == ["loading", "aligning", "restoring", "look"]
    assert [stage for stage, _, _ in steps] == sorted((s for s, _, _ in steps), key=stages.index)
    for stage in stages:
        shares = [done / total for name, done, total in steps if name == stage]
        assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)
    tiles = {total for stage, done, total in steps if stage == "restoring" and 0 < done}
    assert 9 in tiles  # 200 px in tiles of 96 with overlap 24: three a side


@pytest.mark.parametrize("stage", ["aligning", "restoring", "look"])
def test_cancelling_from_progress_passes_through(stage):
    _, frame, key_photo = moment(128, 128)

    def cancel(name: str, done: int, total: int) -> None:
        if name == stage and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_frame(frame, key_photo, model=UNCHANGED, progress=cancel)


# Pictures that cannot be used

GOOD = np.full((32, 32, 3), 0.5, np.float32)
NOT_PICTURES = [
    (np.zeros((32, 32), np.uint8), r"RGB picture \(H x W x 3\)"),
    (np.zeros((32, 32, 4), np.uint8), r"\(32, 32, 4\)"),
    (np.zeros((1, 32, 32, 3), np.uint8), "H x W x 3"),
    ("IMG_1.HEIC", "got str"),
    (None, "got NoneType"),
    (np.zeros((32, 32, 3), np.uint16), "got uint16"),
    (np.zeros((32, 32, 3), np.int64), "got int64"),
    (np.zeros((32, 32, 3), bool), "got bool"),
    (np.zeros((32, 32, 3), complex), "got complex128"),
    (np.zeros((0, 0, 3), np.uint8), "0 x 0 pixels are too few"),
    (np.zeros((1, 1, 3), np.uint8), "1 x 1 pixels are too few"),
    (np.zeros((40, 15, 3), np.uint8), "15 x 40 pixels are too few"),
    (np.full((32, 32, 3), 128.0), r"must lie in \[0, 1\], found 128"),
    (GOOD - 1, "found -0.5"),
    (np.where(np.arange(32)[:, None, None] == 5, np.nan, GOOD), "found nan"),
    (np.where(np.arange(32)[:, None, None] == 5, np.inf, GOOD), "inf"),
]


@pytest.mark.parametrize(
    ("bad", "message"), NOT_PICTURES, ids=[message for _, message in NOT_PICTURES]
)
@pytest.mark.parametrize("which", ["frame", "key photo"])
def test_unusable_pictures_are_named_in_one_line(bad, message, which):
    pictures = (bad, GOOD) if which == "frame" else (GOOD, bad)
    with pytest.raises(InputError, match=message) as caught:
        restore_frame(*pictures)
    assert str(caught.value).startswith(f"the {which}: ") and "\n" not in str(caught.value)


# A Live Photo, of which restore() needs little


def live_photo_of(
    frames: dict[float, np.ndarray], key_photo: np.ndarray, **more: object
) -> SimpleNamespace:
    """Frames by time, and a key photo whose instant is the first frame's."""
    times_s = sorted(frames)

    def frame_at(index: int) -> SimpleNamespace:
        return SimpleNamespace(image=frames[times_s[index]], time_s=times_s[index], index=index)

    def frame(time_s: float) -> SimpleNamespace:
        return frame_at(int(np.argmin([abs(each - time_s) for each in times_s])))

    facts = {"key_index": 0, "key_transform": None} | more
    clip = SimpleNamespace(frame_at=frame_at, times_s=tuple(times_s))
    still = SimpleNamespace(pixels=lambda: as_bytes(key_photo), path=None, format="JPEG")
    return SimpleNamespace(name="made.jpg", clip=clip, frame=frame, still=still, **facts)


def test_restore_takes_the_frame_at_the_time_and_says_which():
    _, frame, key_photo = moment(128, 128)
    live = live_photo_of({0.0: np.zeros_like(frame), 0.5: frame}, key_photo)
    result = restore(live, time_s=0.45, model=UNCHANGED)
    assert result.time_s == 0.5 and "decoding" in result.report.seconds
    expected = restore_frame(frame, as_bytes(key_photo), model=UNCHANGED)
    np.testing.assert_array_equal(result.image, expected.image)


def test_restore_carries_the_files_transform():
    _, frame, key_photo = moment(128, 128)
    to_key = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
    live = live_photo_of({0.0: frame, 0.5: frame}, key_photo, key_index=1, key_transform=to_key)
    result = restore(live, time_s=0.0, model=UNCHANGED)
    assert result.report.reference_used
    assert result.report.registration in ("features", "still-image transform", "same view")


def test_the_key_photos_own_time_can_be_restored_where_it_lies_past_the_clip(tmp_path):
    """As Samsung phones write it: the frame is then the clip's last one."""
    makers.samsung_jpeg(tmp_path / "moment.jpg")
    live = livemoments.open(tmp_path / "moment.jpg")
    assert live.key_time_s > live.clip.times_s[-1]
    result = restore(live, time_s=live.key_time_s, model=UNCHANGED)
    assert result.time_s == live.clip.times_s[-1]
    last = live.clip.frame_at(len(live.clip.times_s) - 1).image
    assert_a_picture(result, live.still.pixels().shape[:2])
    assert np.abs(result.image - enlarge(last, result.image)).mean() < 0.05
    with pytest.raises(MomentError, match="no moment at"):
        restore(live, time_s=live.key_time_s + 1, model=UNCHANGED)


def test_restore_names_the_photo_whose_pictures_are_unusable():
    tiny, good = np.full((8, 8, 3), 0.5, np.float32), np.full((32, 32, 3), 0.5, np.float32)
    with pytest.raises(InputError, match=r"^made\.jpg: the frame: 8 x 8 pixels are too few"):
        restore(live_photo_of({0.0: tiny}, good), time_s=0.0)
    with pytest.raises(InputError, match=r"^made\.jpg: the key photo: 8 x 8 pixels are too few"):
        restore(live_photo_of({0.0: good}, tiny), time_s=0.0)


# --- look and HDR ---------------------------------------------------------------------------


def flatter(picture: np.ndarray) -> np.ndarray:
    """As a clip tones what its key photo shows."""
    return (0.12 + 0.7 * picture).astype(np.float32)


@pytest.fixture(scope="module")
def toned():
    """A clip flatter than its key photo: the truth at 0.5 s as the key photo would have it."""
    truth, frame, key_photo = moment(192, 240)
    key_frame = clip_frame(key_photo)
    return truth, live_photo_of({0.0: flatter(key_frame), 0.5: flatter(frame)}, key_photo)


@pytest.mark.parametrize(("look", "expected"), [("key", lambda x: x), ("frame", flatter)])
def test_tone_and_colour_are_the_key_photos_by_default_or_the_clips(toned, look, expected):
    truth, live = toned
    config = SMALL_TILES if look == "key" else replace(SMALL_TILES, look=look)
    result = restore(live, time_s=0.5, config=config)
    assert (result.report.look, result.report.look_reason) == (look, None)
    of_key, of_clip = (np.abs(result.image - x).mean() for x in (truth, flatter(truth)))
    assert np.abs(result.image - expected(truth)).mean() == min(of_key, of_clip)
    assert max(of_key, of_clip) > 1.8 * min(of_key, of_clip)


def test_without_the_reference_the_key_photo_gives_no_look_either(toned):
    config = replace(SMALL_TILES, use_reference=False)
    report = restore(toned[1], time_s=0.5, config=config, model=UNCHANGED).report
    assert (report.look, report.look_reason) == ("frame", None)


def test_two_arrays_have_a_look_where_the_key_frame_is_given(toned):
    truth, live = toned
    frame, key_photo = live.frame(0.5).image, live.still.pixels()
    alone = restore_frame(frame, key_photo, model=UNCHANGED)
    assert alone.report.look == "frame" and "is needed" in alone.report.look_reason
    key_frame = live.frame(0.0).image
    both = restore_frame(frame, key_photo, key_frame=key_frame, model=UNCHANGED)
    assert both.report.look == "key"
    assert np.abs(both.image - truth).mean() < 0.75 * np.abs(alone.image - truth).mean()


def test_another_light_keeps_the_clips_look_and_says_why(toned):
    _, live = toned
    frames = {0.0: live.frame(0.0).image, 0.5: 0.55 * live.frame(0.5).image}
    changed = live_photo_of(frames, live.still.pixels() / np.float32(255))
    report = restore(changed, time_s=0.5, model=UNCHANGED).report
    assert report.look == "frame" and "the light changed" in report.look_reason


def test_a_look_that_does_not_exist():
    with pytest.raises(ConfigError, match="look must be one of frame, key"):
        RestoreConfig(look="sepia")
