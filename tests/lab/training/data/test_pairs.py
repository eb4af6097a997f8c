"""The stream of training crops: repeatable, and what its docstrings say."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from livemoments.lab.training.compact.aligning import warp_with_margin
from livemoments.lab.training.data import pairs
from livemoments.lab.training.data.pairs import PairConfig, PairStream, crops_of, error_in_places
from livemoments.lab.training.data.scenes import PhotoScenes, SceneStore, photographs

TINY = PairConfig(
    crop=64, margin=16, scene=128, scenes=9, crops_per_scene=3, scenes_mixed=2, led_astray=0.0
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = [(300, 260 + 40 * i) for i in range(4)]
    return write_photographs(tmp_path_factory.mktemp("photographs"), sizes)


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def scenes(folder, tmp_path_factory):
    """Kept once for all tests: what the stream does with them is what is tested here."""
    return SceneStore(
        tmp_path_factory.mktemp("scenes"), PhotoScenes(photographs(folder), TINY.scene), seed=1
    )


def stream(scenes, *, worker=None, workers=1, monkeypatch=None, **settings) -> PairStream:
    """A stream as one of several workers sees it, in this process."""
    if worker is not None:
        info = SimpleNamespace(id=worker, num_workers=workers)
        monkeypatch.setattr(pairs, "get_worker_info", lambda: info)
    return PairStream(scenes, TINY, **{"batch": 4} | settings)


def loaded(scenes, count: int, workers: int, monkeypatch, first_step: int = 0) -> list[dict]:
    """So many batches in the order a DataLoader takes them: from its workers in turn."""
    each = [
        list(
            islice(
                stream(
                    scenes,
                    worker=w,
                    workers=workers,
                    monkeypatch=monkeypatch,
                    first_step=first_step,
                ),
                -(-count // workers),
            )
        )
        for w in range(workers)
    ]
    return [each[i % workers][i // workers] for i in range(count)]


def test_the_stream_repeats(scenes, folder, tmp_path):
    runs = [list(islice(stream(scenes), 3)) for _ in range(2)]
    for first, second in zip(*runs, strict=True):
        assert_same(first, second)
    elsewhere = SceneStore(tmp_path, PhotoScenes(photographs(folder), TINY.scene), seed=2)
    other = next(iter(stream(elsewhere)))
    assert not torch.equal(other["truth"], runs[0][0]["truth"])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_started_late_is_the_tail_of_the_whole(scenes, workers, monkeypatch):
    """Wherever it starts: within a group of scenes, at its end, and whichever worker's turn it is.

    Groups have 6 crops and batches 4, so that batches lie across groups too.
    """
    whole = loaded(scenes, 7, workers, monkeypatch)
    for first_step in (1, 2, 3, 5):
        late = loaded(scenes, 7 - first_step, workers, monkeypatch, first_step)
        for expected, found in zip(whole[first_step:], late, strict=True):
            assert_same(expected, found)


def test_workers_share_the_groups(scenes, monkeypatch):
    """No scene is made twice, and together they make those that one alone would make."""
    one = truths(loaded(scenes, 6, 1, monkeypatch))  # 24 crops: 4 groups
    two = truths(loaded(scenes, 6, 2, monkeypatch))
    assert len(set(one)) == len(set(two)) == 24 and set(one) == set(two)
    assert one != two


def truths(batches: list[dict]) -> list[float]:
    """A number for each crop that no other crop has."""
    return [float(truth.double().sum()) for batch in batches for truth in batch["truth"]]


def test_a_group_gives_out_every_crop_of_its_scenes_once_and_mixed(scenes):
    batches = list(islice(stream(scenes, batch=3), 2))
    assert TINY.crops_mixed == 6
    assert all(batch["truth"].shape == (3, 3, 64, 64) for batch in batches)
    made = [scenes[index] for index in range(2)]
    places = []
    for truth in (truth.double() for batch in batches for truth in batch["truth"]):
        # Mirrored or not, a crop's sum and its sum of squares are those of one window of its scene.
        gaps = [
            float(
                (
                    np.abs(windows(scene.truth, TINY.crop) - float(truth.sum()))
                    + np.abs(windows(scene.truth**2, TINY.crop) - float((truth**2).sum()))
                ).min()
            )
            for scene in made
        ]
        assert min(gaps) < 1e-2 < max(gaps)
        places.append(int(np.argmin(gaps)))
    assert sorted(places) == [0, 0, 0, 1, 1, 1] and places != sorted(places)
    assert len(set(truths(batches))) == 6


def windows(image: np.ndarray, side: int) -> np.ndarray:
    """The sum of every side x side window of an image."""
    total = np.pad(image.sum(-1, dtype=np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def test_crops_have_the_key_photos_margin(scenes):
    crops = list(crops_of(scenes[0], TINY, np.random.default_rng(0)))
    assert len(crops) == TINY.crops_per_scene
    shapes = {"truth": 3, "frame": 3, "flow": 2, "true_flow": 2, "confidence": 1, "visible": 1}
    for crop in crops:
        assert crop["key"].shape == (3, 96, 96)
        assert all(crop[name].shape == (channels, 64, 64) for name, channels in shapes.items())
        assert all(
            value.dtype is torch.float32 and value.is_contiguous() for value in crop.values()
        )


def test_a_crops_flow_leads_into_its_key_crop(scenes):
    """Without PCR's whole-pixel shift, what remains leads to the truth's content."""

    def detail(plane):
        luma = plane.mean(0).numpy()
        return luma - cv2.GaussianBlur(luma, (0, 0), 4)

    likeness = []
    for index in range(6):
        for crop in crops_of(scenes[index], TINY, np.random.default_rng(index)):
            brought = warp_with_margin(crop["key"][None], crop["true_flow"][None], TINY.margin)[0]
            seen = crop["visible"][0].numpy() > 0.9
            if seen.mean() > 0.5:
                likeness.append(
                    np.corrcoef(detail(crop["truth"])[seen], detail(brought)[seen])[0, 1]
                )
    assert len(likeness) > 6 and np.median(likeness) > 0.9 and min(likeness) > 0.6


def test_a_crop_is_mirrored_with_its_flows(scenes):
    """Of one draw, mirrored or not: the flow leads to the same content."""
    crops = list(crops_of(scenes[0], TINY, np.random.default_rng(3)))
    plain = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]], np.float32)
    np.testing.assert_array_equal(
        pairs._mirror(plain, np.array([False, True])), plain[:, ::-1] * [-1, 1]
    )
    np.testing.assert_array_equal(
        pairs._mirror(plain, np.array([True, False])), plain[::-1] * [1, -1]
    )
    kept = np.ones((2, 2, 3), np.float32) * np.arange(2, dtype=np.float32)[:, None, None]
    np.testing.assert_array_equal(pairs._mirror(kept, np.array([True, True])), kept[::-1])
    assert len({float(c["truth"].sum()) for c in crops}) == len(crops)


def test_some_given_flows_are_wrong_in_places(scenes):
    config = replace(TINY, led_astray=1.0, crops_per_scene=20)
    drawn = list(crops_of(scenes[0], config, np.random.default_rng(0)))
    honest = [(crop["flow"] - crop["true_flow"]).norm(dim=0) for crop in crops_of(
        scenes[0], replace(config, led_astray=0.0), np.random.default_rng(0))]  # fmt: skip
    wrong = [(crop["flow"] - crop["true_flow"]).norm(dim=0) for crop in drawn]
    means = [np.mean([float(error.mean()) for error in errors]) for errors in (wrong, honest)]
    assert means[0] > means[1] + 0.3
    assert any((error_in_places(64, np.random.default_rng(i)) == 0).mean() > 0.3 for i in range(9))
