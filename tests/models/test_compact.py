"""The compact model at run time. Nothing here depends on how good the weights are."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.pictures import scene

from livemoments.align.flow import pixel_grid
from livemoments.errors import WeightsError
from livemoments.models.compact import SHIPPED, CompactModel, load_compact
from livemoments.models.tile import TileInput, TileResult


@pytest.fixture(scope="module")
def model() -> CompactModel:
    return load_compact(threads=1)


def tile_of(
    height: int, width: int, *, with_reference: bool = True, margin: int = 8, trust: float = 1.0
) -> TileInput:
    whole = scene(height + 2 * margin, width + 2 * margin)
    inner = whole[margin : margin + height, margin : margin + width]
    frame = np.clip(inner * 0.9 + 0.02, 0, 1)
    if not with_reference:
        return TileInput(frame=frame, reference=None, positions=None, confidence=None)
    positions = pixel_grid(height, width) + np.float32(margin)
    confidence = np.full((height, width), trust, np.float32)
    return TileInput(frame=frame, reference=whole, positions=positions, confidence=confidence)


def run(model: CompactModel, tile: TileInput, steps: int = 1, seed: int = 0) -> TileResult:
    return model.restore_tile(tile, steps, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "size",
    [(64, 64), (64, 128), (65, 100), (127, 66), (1, 1), (16, 16), (20, 63), (63, 17), (192, 70)],
)
@pytest.mark.parametrize("with_reference", [True, False])
def test_any_size_goes_in_and_comes_out(model, size, with_reference):
    tile = tile_of(*size, with_reference=with_reference)
    result = run(model, tile)
    assert result.image.shape == (*size, 3) and result.image.dtype == np.float32
    assert result.used.shape == size and result.used.dtype == np.float32
    assert np.isfinite(result.image).all()
    assert 0 <= result.used.min() <= result.used.max() <= 1
    # One pixel says little of a picture.
    assert np.abs(result.image - tile.frame).mean() < (0.1 if min(size) > 1 else 0.4)


def test_without_a_reference_nothing_is_trusted(model):
    assert run(model, tile_of(64, 64, with_reference=False)).used.max() == 0


@pytest.mark.parametrize("missing", ["reference", "positions", "confidence"])
def test_a_reference_in_part_is_no_reference(model, missing):
    whole = tile_of(64, 64)
    parts = {**vars(whole), missing: None}
    alone = run(model, tile_of(64, 64, with_reference=False))
    np.testing.assert_array_equal(run(model, TileInput(**parts)).image, alone.image)


def test_the_reference_changes_the_result(model):
    with_it, without = (
        run(model, tile_of(64, 64)),
        run(model, tile_of(64, 64, with_reference=False)),
    )
    assert np.abs(with_it.image - without.image).max() > 1e-3


def test_a_wrong_reference_is_as_none(model):
    tile = tile_of(128, 128)
    other = scene(*tile.reference.shape[:2], seed=7)[:, ::-1]
    wrong = run(model, TileInput(**{**vars(tile), "reference": np.ascontiguousarray(other)}))
    alone = run(model, tile_of(128, 128, with_reference=False))
    helped = run(model, tile)
    apart = np.abs(wrong.image - alone.image).mean()
    assert apart < 0.2 * np.abs(helped.image - alone.image).mean()


def test_noise_of_the_positions_from_pixel_to_pixel_does_little(model):
    tile = tile_of(128, 128)
    noise = np.random.default_rng(0).normal(0, 1.0, tile.positions.shape).astype(np.float32)
    shaken = run(model, TileInput(**{**vars(tile), "positions": tile.positions + noise}))
    assert np.abs(shaken.image - run(model, tile).image).mean() < 0.02


def test_the_same_seed_gives_the_same_bytes(model):
    tile = tile_of(64, 96)
    np.testing.assert_array_equal(run(model, tile, seed=5).image, run(model, tile, seed=5).image)


def test_another_seed_gives_another_draw_where_the_bridge_is_walked_in_steps(model):
    tile = tile_of(64, 64)
    one, other = (run(model, tile, 1, seed=seed).image for seed in (5, 6))
    np.testing.assert_array_equal(one, other)  # the start tells the network nothing but the frame
    one, other = (run(model, tile, 2, seed=seed).image for seed in (5, 6))
    assert (one != other).any()


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_any_number_of_steps_ends_at_a_picture(model, steps):
    tile = tile_of(64, 64)
    result = run(model, tile, steps)
    assert np.isfinite(result.image).all()
    assert np.abs(result.image - tile.frame).mean() < 0.1


def test_inputs_are_left_alone(model):
    tile = tile_of(70, 64)
    before = copy.deepcopy(vars(tile))
    run(model, tile)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(tile, name), value)


@pytest.mark.parametrize("crop", [(2, 2), (40, 300), (64, 64)])
def test_the_reference_may_have_any_size(model, crop):
    tile = tile_of(64, 64, margin=0)
    other = TileInput(
        frame=tile.frame,
        reference=scene(*crop),
        positions=tile.positions,
        confidence=tile.confidence,
    )
    assert np.isfinite(run(model, other).image).all()


def test_positions_far_outside_the_reference_are_survived(model):
    tile = tile_of(64, 64)
    lost = TileInput(
        frame=tile.frame, reference=tile.reference, positions=tile.positions + 5000,
        confidence=np.zeros_like(tile.confidence),
    )  # fmt: skip
    assert np.isfinite(run(model, lost).image).all()


def test_the_shipped_model_says_what_it_is(model):
    assert set(model.about) >= {"network", "step"}


# Weights that are not there, or not what they should be


def copy_of_weights(folder: Path) -> Path:
    shutil.copytree(SHIPPED, folder / "weights")
    return folder / "weights"


def assert_refused(folder: Path, name: str) -> None:
    with pytest.raises(WeightsError) as caught:
        CompactModel(folder, threads=1)
    message = str(caught.value)
    assert name in message and "\n" not in message


def test_a_missing_folder_is_named(tmp_path):
    assert_refused(tmp_path / "nowhere", "nowhere")


@pytest.mark.parametrize(
    "name", ["refiner.onnx", "reference.onnx", "restoration.onnx", "compact.json"]
)
def test_a_missing_file_is_named(tmp_path, name):
    folder = copy_of_weights(tmp_path)
    (folder / name).unlink()
    assert_refused(folder, name)


@pytest.mark.parametrize("name", ["refiner.onnx", "restoration.onnx", "compact.json"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights \xff\xfe\x00", None], ids=["empty", "text", "cut"]
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    folder = copy_of_weights(tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    assert_refused(folder, name)


def test_another_networks_file_is_refused(tmp_path):
    folder = copy_of_weights(tmp_path)
    shutil.copy(folder / "reference.onnx", folder / "refiner.onnx")
    assert_refused(folder, "refiner.onnx")


@pytest.mark.parametrize(
    "content", [["a list"], {}, {"sha256": None}, {"sha256": ["refiner.onnx"]}, 3]
)
def test_a_description_of_something_else_is_refused(tmp_path, content):
    folder = copy_of_weights(tmp_path)
    (folder / "compact.json").write_text(json.dumps(content))
    assert_refused(folder, "compact.json")


def test_the_description_names_all_three_networks(model):
    """A file it does not name would be loaded unchecked."""
    assert set(model.about["sha256"]) == {path.name for path in SHIPPED.glob("*.onnx")}
    assert len(model.about["sha256"]) == 3
