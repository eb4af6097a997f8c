"""The stream of training crops: repeatable, and what its docstrings say."""

from itertools import islice

import cv2
import numpy as np
import pytest
from pictures import as_bytes, scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import MissingFileError  # noqa: E402
from livemoments.training.objective import warp_with_margin  # noqa: E402
from livemoments.training.pairs import (  # noqa: E402
    PairConfig,
    PairStream,
    PhotoPool,
    crops_of,
    photographs,
    scene_of,
)

TINY = PairConfig(crop=64, margin=16, scene=128, crops_per_scene=3, shuffle=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for i in range(4):
        cv2.imwrite(str(folder / f"{i}.png"), as_bytes(scene(300, 260 + 40 * i, seed=i))[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def pool(folder):
    return PhotoPool(sorted(folder.glob("*.png")))


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_scenes_are_fixed_by_seed_and_index(pool):
    first, again = scene_of(pool, TINY, 3, 7), scene_of(pool, TINY, 3, 7)
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(again, name))
    for seed, index in ((3, 8), (4, 7)):
        assert (scene_of(pool, TINY, seed, index).truth != first.truth).any()


def test_the_stream_repeats(folder):
    paths = photographs(folder)
    runs = [list(islice(PairStream(paths, TINY, seed=1), 7)) for _ in range(2)]
    for first, second in zip(*runs, strict=True):
        assert_same(first, second)
    other = next(iter(PairStream(paths, TINY, seed=2)))
    assert not torch.equal(other["truth"], runs[0][0]["truth"])


def test_without_shuffling_a_stream_can_start_at_any_scene(folder):
    config = PairConfig(crop=64, margin=16, scene=128, crops_per_scene=2, shuffle=0)
    paths = photographs(folder)
    whole = list(islice(PairStream(paths, config, seed=1), 6))
    late = list(islice(PairStream(paths, config, seed=1, first=2), 2))
    for first, second in zip(whole[4:], late, strict=True):
        assert_same(first, second)


def test_shuffling_gives_out_every_crop_once(folder):
    """Crops of several scenes mixed: none lost before it is drawn, none twice."""
    paths = photographs(folder)
    sums = [
        float(crop["truth"].double().sum()) for crop in islice(PairStream(paths, TINY, seed=1), 12)
    ]
    assert len(set(sums)) == 12


def test_workers_share_the_scenes(folder, monkeypatch):
    config = PairConfig(crop=64, margin=16, scene=128, crops_per_scene=1, shuffle=0)
    paths = photographs(folder)
    whole = list(islice(PairStream(paths, config, seed=1), 4))
    from types import SimpleNamespace

    from livemoments.training import pairs

    for worker in (0, 1):
        monkeypatch.setattr(
            pairs, "get_worker_info", lambda w=worker: SimpleNamespace(id=w, num_workers=2)
        )
        half = list(islice(PairStream(paths, config, seed=1), 2))
        for index, crop in enumerate(half):
            assert_same(crop, whole[2 * index + worker])


def test_crops_have_the_key_photos_margin(pool):
    made = scene_of(pool, TINY, 0, 0)
    crops = list(crops_of(made, TINY, np.random.default_rng(0)))
    assert len(crops) == TINY.crops_per_scene
    shapes = {"truth": 3, "frame": 3, "flow": 2, "true_flow": 2, "confidence": 1, "visible": 1}
    for crop in crops:
        assert crop["key"].shape == (3, 96, 96)
        assert all(crop[name].shape == (channels, 64, 64) for name, channels in shapes.items())
        assert all(
            value.dtype is torch.float32 and value.is_contiguous() for value in crop.values()
        )


def test_a_crops_flow_leads_into_its_key_crop(pool):
    """Without PCR's whole-pixel shift, what remains leads to the truth's content."""

    def detail(plane):
        luma = plane.mean(0).numpy()
        return luma - cv2.GaussianBlur(luma, (0, 0), 4)

    likeness = []
    for index in range(6):
        made = scene_of(pool, TINY, 0, index)
        for crop in crops_of(made, TINY, np.random.default_rng(index)):
            brought = warp_with_margin(crop["key"][None], crop["true_flow"][None], TINY.margin)[0]
            seen = crop["visible"][0].numpy() > 0.9
            if seen.mean() > 0.5:
                likeness.append(
                    np.corrcoef(detail(crop["truth"])[seen], detail(brought)[seen])[0, 1]
                )
    assert len(likeness) > 6 and np.median(likeness) > 0.9 and min(likeness) > 0.6


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


def test_too_few_photographs_are_named(tmp_path):
    (tmp_path / "one.png").touch()
    with pytest.raises(MissingFileError, match="1 photographs .* found; make them with") as caught:
        photographs(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(MissingFileError):
        photographs(tmp_path / "nowhere")
