"""Latents of crops: encoded once, kept, streamed in an order that follows from the step."""

from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from support.pictures import write_photographs

torch = pytest.importorskip("torch", reason="the train extra is not installed")
pytest.importorskip("diffusers", reason="the sd3 extra is not installed")

from support.tiny.sd3 import tiny_parts

from livemoments.align.flow import compose
from livemoments.errors import DamagedFileError
from livemoments.lab.training.data.pairs import PairConfig, PairStream
from livemoments.lab.training.data.scenes import PhotoScenes, SceneStore
from livemoments.lab.training.data.scenes import photographs as photographs_of
from livemoments.lab.training.sd3 import latents
from livemoments.lab.training.sd3.latents import LatentStore, LatentStream
from livemoments.networks.autoencoder import decode, encode

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = PairConfig(
    crop=64, margin=0, scene=128, scenes=4, crops_per_scene=3, scenes_mixed=2, trembling=0.0,
    led_astray=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> SceneStore:
    folder = write_photographs(tmp_path_factory.mktemp("photographs"), [(260, 260)] * 3)
    maker = PhotoScenes(photographs_of(folder), PAIRS.scene)
    return SceneStore(tmp_path_factory.mktemp("scenes"), maker, seed=0)


@pytest.fixture(scope="module")
def vae():
    return tiny_parts(0).vae


@pytest.fixture(scope="module")
def store(scenes, vae, tmp_path_factory) -> LatentStore:
    made = LatentStore(tmp_path_factory.mktemp("latents"), scenes, PAIRS, vae)
    made.prepare(vae)
    return made


def same(first: dict, second: dict) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_latents_are_scaled_as_sd3_has_them(vae):
    picture = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    mean = vae.encode(2 * picture - 1).latent_dist.mean
    found = encode(vae, picture)
    assert found.shape == (2, 16, 8, 8)
    torch.testing.assert_close(found, (mean - 0.0609) * 1.5305)
    torch.testing.assert_close(decode(vae, found), vae.decode(mean).sample / 2 + 0.5)


def test_kept_crops_are_the_streams(store, scenes, vae):
    """Number i of the store is number i of PairStream, its flow the other way round."""
    assert store.count == 12
    crops = islice(PairStream(scenes, PAIRS, batch=1), store.count)
    for index, crop in enumerate(crops):
        kept = store[index]
        assert {n: tuple(v.shape) for n, v in kept.items()} == {
            "truth": (16, 8, 8), "frame": (16, 8, 8), "key": (16, 8, 8), "flow": (2, 64, 64)
        }  # fmt: skip
        for name in ("truth", "frame", "key"):
            expected = encode(vae, crop[name])[0]
            torch.testing.assert_close(kept[name], expected, atol=2e-3, rtol=1e-3)
        to_key, to_frame = (
            x.permute(1, 2, 0).contiguous().numpy() for x in (crop["flow"][0], kept["flow"])
        )
        left = np.abs(compose(to_frame, to_key))[16:-16, 16:-16]
        assert np.median(left) < 0.02


def test_what_is_kept_is_not_made_again_and_what_is_missing_is(store, vae):
    path = store._path(3)
    before = {p: p.stat().st_mtime_ns for p in store.folder.iterdir()}
    store.prepare(vae)
    assert {p: p.stat().st_mtime_ns for p in store.folder.iterdir()} == before
    kept = store[3]
    path.unlink()
    told = []
    store.prepare(vae, lambda *said: told.append(said))
    assert told == [("encoding crops", 1, 1)] and same(kept, store[3])


def test_processes_share_the_work(store, scenes, vae, tmp_path):
    shared = LatentStore(tmp_path, scenes, PAIRS, vae)
    for process in (1, 0):
        shared.prepare(vae, process=process, processes=2)
        assert len(list(shared.folder.iterdir())) == (12 if process == 0 else 6)
    assert all(same(shared[i], store[i]) for i in range(store.count))


def test_the_folder_is_of_everything_that_the_latents_depend_on(store, scenes, vae, tmp_path):
    root = store.folder.parent
    assert LatentStore(root, scenes, PAIRS, vae).folder == store.folder
    others = [
        LatentStore(root, scenes, replace(PAIRS, led_astray=0.5), vae),
        LatentStore(root, scenes, PAIRS, tiny_parts(1).vae),
        LatentStore(root, SceneStore(tmp_path, scenes.maker, seed=1), PAIRS, vae),
    ]
    assert len({store.folder, *(other.folder for other in others)}) == 4


def test_a_damaged_file_is_named(scenes, vae, tmp_path):
    store = LatentStore(tmp_path, scenes, PAIRS, vae)
    store.folder.mkdir()
    for content in (None, b"", b"broken, and long enough to be read"):
        if content is not None:
            store._path(0).write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"0000000\.safetensors: cannot be read"):
            store[0]


# The stream


def test_each_turn_shows_every_crop_once(store):
    batches = list(islice(LatentStream(store, batch=4), 6))
    turns = [torch.cat([b["truth"] for b in batches[i : i + 3]]) for i in (0, 3)]
    expected = sorted(float(store[i]["truth"].sum()) for i in range(store.count))
    for turn in turns:
        assert sorted(float(x.sum()) for x in turn) == pytest.approx(expected, abs=1e-3)
    assert not torch.equal(*turns)
    draws = torch.cat([b["draw"] for b in batches])
    assert len(set(draws.tolist())) == 24


def test_the_stream_is_the_same_wherever_it_begins(store):
    whole = list(islice(LatentStream(store, batch=5), 6))
    late = list(islice(LatentStream(store, batch=5, first_step=4), 2))
    assert all(same(a, b) for a, b in zip(whole[4:], late, strict=True))


def test_two_processes_are_shown_what_one_is(store):
    for batch in islice(zip(*(streams(store, 2)), LatentStream(store, batch=4), strict=False), 4):
        first, second, both = batch
        joined = {name: torch.cat([first[name], second[name]]) for name in first}
        assert same(joined, both)


def streams(store, processes: int) -> list[LatentStream]:
    return [LatentStream(store, batch=2, process=i, processes=processes) for i in range(processes)]


@pytest.mark.slow
def test_workers_change_nothing(store, monkeypatch):
    """As a DataLoader asks its workers in turn, but in this process."""
    alone = list(islice(LatentStream(store, batch=2, first_step=1), 4))
    each = []
    for worker in range(2):
        info = SimpleNamespace(id=worker, num_workers=2)
        monkeypatch.setattr(latents, "get_worker_info", lambda info=info: info)
        each.append(list(islice(LatentStream(store, batch=2, first_step=1), 2)))
    helped = [each[0][0], each[1][0], each[0][1], each[1][1]]
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))
