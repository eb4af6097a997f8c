"""The cache of models: loaded once, whichever thread asks, and let go on demand."""

import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from livemoments.models.cache import ModelCache, unload_models
from livemoments.models.compact import load_compact


class Model:
    def __init__(self, name: str) -> None:
        self.name = name


class Loader:
    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, name: str) -> Model:
        self.loaded.append(name)
        time.sleep(0.02)  # long enough for other threads to ask
        if name == "broken":
            raise ValueError(name)
        return Model(name)


def test_threads_that_ask_together_get_one_model():
    load = Loader()
    cache = ModelCache(load)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(cache.get, ["a", "b"] * 8))
    assert sorted(load.loaded) == ["a", "b"]
    assert {id(each) for each in found} == {id(cache.get("a")), id(cache.get("b"))}


def test_the_model_that_was_not_asked_for_longest_goes():
    load = Loader()
    cache = ModelCache(load, size=2)
    for name in "abacab":
        assert cache.get(name).name == name
    assert load.loaded == ["a", "b", "c", "b"]


def test_what_cannot_be_loaded_is_tried_again():
    load = Loader()
    cache = ModelCache(load)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            cache.get("broken")
    assert load.loaded == ["broken", "broken"]
    assert cache.get("a").name == "a"


def test_unloading_lets_go_but_not_of_models_in_use():
    cache, other = ModelCache(Loader()), ModelCache(Loader())
    used, unused = cache.get("used"), weakref.ref(other.get("unused"))
    unload_models()
    gc.collect()
    assert unused() is None and used.name == "used"
    assert cache.get("used") is not used


def test_the_compact_model_is_loaded_once_and_can_be_unloaded():
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(lambda _: load_compact(threads=1), range(2))
    assert first is second is load_compact(threads=1)
    unload_models()
    assert load_compact(threads=1) is not first
