"""Photographs, crops of them, and scenes kept as files."""

import cv2
import numpy as np
import pytest
from support.pictures import assert_same_scene, write_photographs

pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import DamagedFileError, MissingFileError
from livemoments.lab.training.data import scenes
from livemoments.lab.training.data.photographs import packages
from livemoments.lab.training.data.scenes import PhotoPool, PhotoScenes, SceneStore, photographs

SIZE = 128  # of a scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = [(300, 260 + 40 * i) for i in range(4)]
    return write_photographs(tmp_path_factory.mktemp("photographs"), sizes)


@pytest.fixture(scope="module")
def pool(folder):
    return PhotoPool(sorted(folder.glob("*.png")))


def test_scenes_are_fixed_by_seed_and_index(folder):
    maker = PhotoScenes(photographs(folder), SIZE)
    first, again = maker.scene(3, 7), maker.scene(3, 7)
    assert_same_scene(first, again)
    for seed, index in ((3, 8), (4, 7)):
        assert (maker.scene(seed, index).truth != first.truth).any()


# Scenes kept


@pytest.fixture
def store(folder, tmp_path):
    return SceneStore(tmp_path / "kept", PhotoScenes(photographs(folder), SIZE), seed=3)


def test_a_kept_scene_is_the_one_that_was_made(store):
    made = store[7]
    assert_same_scene(store[7], made)
    original = store.maker.scene(3, 7)
    for name, value in vars(original).items():
        kept = getattr(made, name)
        assert kept.dtype == np.float32 and kept.shape == value.shape
        step = 0.51 / 255 if name in scenes.PICTURES else 0.02  # 8 bits; half floats, pixels
        np.testing.assert_allclose(kept, np.clip(value, -60, 60), atol=step, err_msg=name)


@pytest.mark.slow
def test_scenes_are_prepared_in_several_processes_and_only_once(store, folder, tmp_path):
    told = []
    store.prepare(5, 2, lambda *step: told.append(step))
    assert told == [("making scenes", i, 5) for i in range(1, 6)]
    alone = SceneStore(tmp_path / "alone", PhotoScenes(photographs(folder), SIZE), seed=3)
    assert_same_scene(store[4], alone[4])
    told.clear()
    store.prepare(5, 2, lambda *step: told.append(step))
    assert not told
    store.prepare(6, 1, lambda *step: told.append(step))
    assert told == [("making scenes", 1, 1)]
    assert not list(tmp_path.rglob("*.tmp"))


def test_scenes_of_other_photographs_seeds_or_sizes_are_kept_apart(folder, tmp_path):
    paths = photographs(folder)
    stores = [
        SceneStore(tmp_path, PhotoScenes(paths, SIZE), seed=0),
        SceneStore(tmp_path, PhotoScenes(paths, SIZE), seed=1),
        SceneStore(tmp_path, PhotoScenes(paths, 2 * SIZE), seed=0),
        SceneStore(tmp_path, PhotoScenes(paths[1:], SIZE), seed=0),
        SceneStore(tmp_path, PhotoScenes(paths, SIZE, "seesr"), seed=0),
    ]
    assert len({store.folder for store in stores}) == 5


def test_a_damaged_scene_is_named(store):
    store[0]
    path = store.folder / "000000.npz"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamagedFileError, match=r"000000\.npz: cannot be read .*; delete it"):
        store[0]


# Photographs


def test_crops_of_the_pool_are_pictures(pool):
    rng = np.random.default_rng(0)
    for size in (64, 200, 400):  # the last is larger than any photograph
        crop = pool.crop(size, rng)
        assert crop.shape == (size, size, 3) and crop.dtype == np.float32
        assert 0 <= crop.min() and crop.max() <= 1 and crop.flags.c_contiguous


def test_pool_keeps_the_order_of_colours(tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((80, 80, 3), (10, 20, 200), np.uint8))  # BGR: red
    crop = PhotoPool(sorted(tmp_path.glob("*.png"))).crop(64, np.random.default_rng(0))
    np.testing.assert_allclose(crop.mean((0, 1)) * 255, [200, 20, 10], atol=1)


def test_a_photograph_keeps_its_side_when_others_come(tmp_path):
    for i in range(30):
        (tmp_path / f"{i}.png").touch()
    train, held_out = photographs(tmp_path), photographs(tmp_path, held_out=True)
    assert not set(train) & set(held_out) and len(train) + len(held_out) == 30
    assert 0 < len(held_out) < 10
    for i in range(30, 60):
        (tmp_path / f"{i}.png").touch()
    assert set(train) <= set(photographs(tmp_path))
    assert set(held_out) <= set(photographs(tmp_path, held_out=True))


def test_the_demos_photograph_is_held_out(tmp_path):
    """The demo's numbers would say nothing if the weights had seen its photograph."""
    for name in (scenes.DEMO_PHOTOGRAPH, "0.png", "1.png"):
        (tmp_path / name).touch()
    assert tmp_path / scenes.DEMO_PHOTOGRAPH in photographs(tmp_path, held_out=True)
    listed = {picture.name for package in packages() for picture in package.pictures}
    assert scenes.DEMO_PHOTOGRAPH in listed


def test_too_few_photographs_are_named(tmp_path):
    (tmp_path / "one.png").touch()
    with pytest.raises(MissingFileError, match="1 photographs .* found; make them with") as caught:
        photographs(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(MissingFileError):
        photographs(tmp_path / "nowhere")


def test_a_damaged_photograph_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DamagedFileError, match=r"broken\.png: not a picture"):
        PhotoPool([tmp_path / "broken.png"])
