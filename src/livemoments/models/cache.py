"""Store loaded models: each is loaded once, whichever thread asks first, and can be let go."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar
from weakref import WeakSet

M = TypeVar("M")
_CACHES: "WeakSet[ModelCache[Any]]" = WeakSet()


class ModelCache(Generic[M]):
    """Models by the arguments that they were loaded with; the oldest goes when there are too many.

    Threads that ask for a model while it is loaded wait for it. A model that was handed out lives
    on with whoever uses it.
    """

    def __init__(self, load: Callable[..., M], size: int = 2) -> None:
        """Prepare an empty cache of at most `size` models, each made by `load`."""
        self._load = load
        self._size = size
        self._models: OrderedDict[Hashable, M] = OrderedDict()
        self._lock = Lock()
        _CACHES.add(self)

    def get(self, *arguments: Hashable) -> M:
        """Return load(*arguments), from the cache where it is there."""
        with self._lock:
            if arguments not in self._models:
                while len(self._models) >= self._size:  # before: a new one may need its memory
                    self._models.popitem(last=False)
                self._models[arguments] = self._load(*arguments)
            self._models.move_to_end(arguments)
            return self._models[arguments]

    def unload(self) -> None:
        """Let go of every model."""
        with self._lock:
            self._models.clear()


def unload_models() -> None:
    """Let go of the models in all caches."""
    for cache in list(_CACHES):
        cache.unload()
