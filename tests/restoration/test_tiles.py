"""The grid: every pixel once more and no seam; PCR."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import DATA
from support.pictures import noise_picture

from livemoments.errors import ConfigError
from livemoments.models.tile import TileConfig, TileResult
from livemoments.restoration.tiles import Stitcher, Tile, grid, restore_tiles, retrieve, window

SMALL = TileConfig(size=64, overlap=16)


def stitch(parts, tiles: list[Tile], height: int, width: int) -> np.ndarray:
    stitcher = Stitcher(height, width, parts[0].shape[-1])
    for tile, part in zip(tiles, parts, strict=True):
        stitcher.add(tile, part)
    return stitcher.result()


def cut_and_stitch(picture: np.ndarray, config: TileConfig) -> np.ndarray:
    tiles = grid(*picture.shape[:2], config)
    return stitch([picture[tile.area] for tile in tiles], tiles, *picture.shape[:2])


def round_trip_error(height: int, width: int, config: TileConfig) -> float:
    picture = noise_picture(height, width, channels=2)
    return float(np.abs(cut_and_stitch(picture, config) - picture).max())


@pytest.mark.parametrize(
    "size",
    [
        (1, 1),
        (1, 70),
        (2, 3),
        (63, 64),
        (64, 64),
        (65, 64),
        (112, 113),
        (128, 127),
        (1000, 70),
        (200, 333),
    ],
)
def test_stitching_undoes_cutting(size):
    assert round_trip_error(*size, SMALL) < 1e-6


@pytest.mark.parametrize("side", [64, 65, 511, 512, 513, 575, 577, 960])
def test_stitching_undoes_cutting_with_the_default_tiles(side):
    assert round_trip_error(side, 70, TileConfig()) < 1e-6


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_grid_covers_joins_and_overlaps(data):
    size = data.draw(st.integers(16, 80), "size")
    config = TileConfig(size=size, overlap=data.draw(st.integers(0, size - 1), "overlap"))
    limit = 90 if config.overlap > size // 2 else 260
    height, width = (
        data.draw(st.integers(1, limit), "height"),
        data.draw(st.integers(1, limit), "width"),
    )
    tiles = grid(height, width, config)
    assert {(t.height, t.width) for t in tiles} == {(min(height, size), min(width, size))}
    for starts, length in (({t.top for t in tiles}, height), ({t.left for t in tiles}, width)):
        starts, tall = sorted(starts), min(length, size)
        assert starts[0] == 0 and starts[-1] + tall == length
        for a, b in zip(starts, starts[1:], strict=False):
            assert a + tall - b >= config.overlap
    assert round_trip_error(height, width, config) < 4e-6  # up to some 250 tiles share a pixel


def test_default_tiles_do_not_pile_up():
    """Six tiles of 1024 with overlap 64 are enough for 1984 x 2944, as in the release."""
    tiles = grid(1984, 2944, TileConfig(size=1024, overlap=64))
    assert [(t.top, t.left) for t in tiles] == [(y, x) for y in (0, 960) for x in (0, 960, 1920)]


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (16, 16), (512, 512), (1024, 33)])
def test_window_is_positive_symmetric_and_highest_in_the_middle(size):
    weight = window(*size)
    assert weight.shape == size and weight.dtype == np.float32
    assert weight.min() > 0 and weight.max() <= 1
    np.testing.assert_allclose(weight, weight[::-1, ::-1], atol=1e-6)
    assert weight[size[0] // 2, size[1] // 2] == weight.max()


def test_first_and_last_rows_and_columns_survive():
    picture = np.ones((150, 150, 3), np.float32)
    whole = cut_and_stitch(picture, SMALL)
    for edge in (whole[0], whole[-1], whole[:, 0], whole[:, -1]):
        np.testing.assert_allclose(edge, 1, atol=1e-6)


def test_blending_is_gradual():
    """Two tiles of different level meet without a step."""
    tiles = grid(64, 112, SMALL)
    assert len(tiles) == 2
    whole = stitch([np.zeros((64, 64, 1)), np.ones((64, 64, 1))], tiles, 64, 112)[32, :, 0]
    assert whole[:48].max() == 0 and whole[64:].min() == 1
    assert 0 < np.diff(whole).max() < 0.12 and np.diff(whole).min() >= 0


def test_the_order_of_tiles_does_not_matter():
    picture, tiles = noise_picture(100, 100), grid(100, 100, SMALL)
    stitcher = Stitcher(100, 100, 3)
    for tile in reversed(tiles):
        stitcher.add(tile, picture[tile.area])
    np.testing.assert_allclose(stitcher.result(), picture, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 15}, "at least 16, got 15"),
        ({"size": 64, "overlap": 64}, r"\[0, size=64\), got 64"),
        ({"overlap": -1}, "got -1"),
    ],
)
def test_impossible_tiles_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TileConfig(**settings)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_empty_picture_is_refused(size):
    with pytest.raises(ConfigError, match="cannot be cut"):
        grid(*size, SMALL)


# The loop


class Recorder:
    """A model that returns its frames, two at a time, and remembers its arguments."""

    batch = 2

    def __init__(self) -> None:
        self.inputs, self.steps_given, self.draws = [], [], []

    def restore_tiles(self, tiles, steps, rngs) -> list[TileResult]:
        assert 1 <= len(tiles) == len(rngs) <= self.batch
        self.inputs += tiles
        self.steps_given.append(steps)
        self.draws += [rng.random() for rng in rngs]
        used = np.ones(tiles[0].frame.shape[:2], np.float32)
        return [TileResult(image=tile.frame, used=used) for tile in tiles]


def restored(flow=None, size=(100, 150), **settings):
    frame, model, progress = noise_picture(*size), Recorder(), []
    if flow is not None:
        flow = np.broadcast_to(np.float32(flow), (*size, 2))
    sure = np.ones(size, np.float32)
    settings = {"steps": 3, "tiles": SMALL} | settings
    found = restore_tiles(
        model, frame, frame, flow, sure, progress=lambda *step: progress.append(step), **settings
    )
    np.testing.assert_allclose(found.picture, frame, atol=1e-5)
    assert found.share_from_reference == 1
    return model, progress


def test_every_tile_has_noise_of_its_own_by_seed_and_number():
    model, progress = restored(seed=7)
    count = len(grid(100, 150, SMALL))
    assert model.draws == [np.random.default_rng([7, i]).random() for i in range(count)]
    assert progress[-1] == ("restoring", count, count) and count % 2 == 0
    assert [done for _, done, _ in progress] == list(range(2, count + 1, 2))


def test_the_model_gets_the_steps_and_tiles_that_are_asked_for():
    model, _ = restored(steps=2, tiles=TileConfig(size=200))
    assert model.steps_given == [2] and model.inputs[0].frame.shape == (100, 150, 3)


def test_positions_lead_to_the_same_pixels_of_each_tiles_crop():
    model, _ = restored((3, -2), scale=2.5)
    picture = noise_picture(100, 150)
    for tile, each in zip(grid(100, 150, SMALL), model.inputs, strict=True):
        assert each.enlarged == 2.5
        y, x = tile.top + 20, tile.left + 20
        column, row = each.positions[20, 20].astype(int)
        np.testing.assert_array_equal(each.reference[row, column], picture[y - 2, x + 3])
        corner = retrieve(tile, np.broadcast_to(np.float32([3, -2]), (64, 64, 2)), 100, 150)
        np.testing.assert_array_equal(each.reference[each.corner], picture[corner])


@pytest.mark.parametrize("flow", [None, (999, 0), (0, -999)])
def test_without_a_flow_into_the_key_photo_there_is_no_reference(flow):
    model, _ = restored(flow)
    for each in model.inputs:
        assert each.reference is each.positions is each.confidence is None


# PCR


def test_pcr_agrees_with_the_official_release():
    with np.load(DATA / "official_look_and_patches.npz") as official:
        corners = official["corners_yx"]
    height, width = 1984, 2944
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    flow = np.stack([60 * np.sin(x / 700) + y / 50, -40 * np.cos(y / 500) + x / 90], -1)
    tiles = grid(height, width, TileConfig(size=1024, overlap=64))
    found = [retrieve(tile, flow[tile.area], height, width) for tile in tiles]
    np.testing.assert_array_equal(found, corners)


def flow_of(dx: float, dy: float) -> np.ndarray:
    return np.broadcast_to(np.float32([dx, dy]), (64, 64, 2))


def test_pcr_moves_the_corner_by_the_mean_flow():
    tile = Tile(100, 200, 64, 64)
    assert retrieve(tile, flow_of(7, -5), 1000, 1000) == (95, 207)
    uneven = flow_of(10, 4).copy()
    uneven[:32, :, 0] = 30
    assert retrieve(tile, uneven, 1000, 1000) == (104, 220)


def test_pcr_cuts_to_whole_pixels():
    assert retrieve(Tile(100, 200, 64, 64), flow_of(0.9, -0.9), 1000, 1000) == (99, 200)


@pytest.mark.parametrize(
    ("shift", "corner"),
    [((-999, 0), (100, 0)), ((999, 0), (100, 236)), ((0, -999), (0, 200)), ((0, 999), (136, 200))],
)
def test_pcr_stays_inside_the_key_photo(shift, corner):
    assert retrieve(Tile(100, 200, 64, 64), flow_of(*shift), 200, 300) == corner


def test_pcr_in_a_key_photo_smaller_than_the_tile_starts_at_its_corner():
    assert retrieve(Tile(100, 200, 64, 64), flow_of(3, 3), 50, 40) == (0, 0)
