"""The stream of training crops: repeatable, and what its docstrings say."""

from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pictures import as_bytes, scene

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.errors import DamagedFileError, MissingFileError  # noqa: E402
from livemoments.training import pairs  # noqa: E402
from livemoments.training.objective import warp_with_margin  # noqa: E402
from livemoments.training.pairs import (  # noqa: E402
    PairConfig,
    PairStream,
    PhotoPool,
    crops_of,
    photographs,
    scene_of,
)
from livemoments.training.photographs import packages  # noqa: E402

TINY = PairConfig(crop=64, margin=16, scene=128, crops_per_scene=3, scenes_mixed=2)


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


def stream(paths, *, worker=None, workers=1, monkeypatch=None, **settings) -> PairStream:
    """A stream as one of several workers sees it, in this process."""
    if worker is not None:
        info = SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr(pairs, "get_worker_info", lambda: info)
    return PairStream(paths, TINY, **{"seed": 1, "batch": 4} | settings)


def loaded(paths, count: int, workers: int, monkeypatch, first_step: int = 0) -> list[dict]:
    """So many batches in the order a DataLoader takes them: from its workers in turn."""
    each = [
        list(
            islice(
                stream(
                    paths, worker=w, workers=workers, monkeypatch=monkeypatch, first_step=first_step
                ),
                -(-count // workers),
            )
        )
        for w in range(workers)
    ]
    return [each[i % workers][i // workers] for i in range(count)]


def test_the_stream_repeats(folder):
    paths = photographs(folder)
    runs = [list(islice(stream(paths), 3)) for _ in range(2)]
    for first, second in zip(*runs, strict=True):
        assert_same(first, second)
    other = next(iter(stream(paths, seed=2)))
    assert not torch.equal(other["truth"], runs[0][0]["truth"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_started_late_is_the_tail_of_the_whole(folder, workers, monkeypatch):
    """Wherever it starts: within a group of scenes, at its end, and whichever worker's turn it is.

    Groups have 6 crops and batches 4, so that batches lie across groups too.
    """
    paths = photographs(folder)
    whole = loaded(paths, 7, workers, monkeypatch)
    for first_step in (1, 2, 3, 5):
        late = loaded(paths, 7 - first_step, workers, monkeypatch, first_step)
        for expected, found in zip(whole[first_step:], late, strict=True):
            assert_same(expected, found)


def test_workers_share_the_groups(folder, monkeypatch):
    """No scene is made twice, and together they make those that one alone would make."""
    paths = photographs(folder)
    one = truths(loaded(paths, 6, 1, monkeypatch))  # 24 crops: 4 groups
    two = truths(loaded(paths, 6, 2, monkeypatch))
    assert len(set(one)) == len(set(two)) == 24 and set(one) == set(two)
    assert one != two


def truths(batches: list[dict]) -> list[float]:
    """A number for each crop that no other crop has."""
    return [float(truth.double().sum()) for batch in batches for truth in batch["truth"]]


def test_a_group_gives_out_every_crop_of_its_scenes_once_and_mixed(folder, pool):
    paths = photographs(folder)
    batches = list(islice(stream(paths, batch=3), 2))
    assert TINY.crops_mixed == 6
    assert all(batch["truth"].shape == (3, 3, 64, 64) for batch in batches)
    made = [scene_of(PhotoPool(paths), TINY, 1, index) for index in range(2)]
    places = []
    for truth in truths(batches):
        sums = [[float(s) for s in windows(scene.truth, TINY.crop).reshape(-1)] for scene in made]
        gaps = [min(abs(s - truth) for s in each) for each in sums]
        assert min(gaps) < 1e-2 < max(gaps)
        places.append(int(np.argmin(gaps)))
    assert sorted(places) == [0, 0, 0, 1, 1, 1] and places != sorted(places)
    assert len(set(truths(batches))) == 6


def windows(image: np.ndarray, side: int) -> np.ndarray:
    """The sum of every side x side window of an image."""
    total = np.pad(image.sum(-1, dtype=np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


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


def test_the_demos_photograph_is_held_out(tmp_path):
    """The demo's numbers would say nothing if the weights had seen its photograph."""
    for name in (pairs.DEMO_PHOTOGRAPH, "0.png", "1.png"):
        (tmp_path / name).touch()
    assert tmp_path / pairs.DEMO_PHOTOGRAPH in photographs(tmp_path, held_out=True)
    listed = {picture.name for package in packages() for picture in package.pictures}
    assert pairs.DEMO_PHOTOGRAPH in listed


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
