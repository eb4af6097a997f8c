"""Report the progress of long work, and time its stages."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Called as progress(stage, done, total). Whatever it raises cancels the work, KeyboardInterrupt
# included.
Progress = Callable[[str, int, int], None]


class Terminated(KeyboardInterrupt):
    """Cancelled as by Ctrl-C, but by the signal SIGTERM."""


class Stages:
    """Times the stages of one piece of work, and passes its progress on."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}  # by stage, of those that came to their end
        self._progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs within; report 0 of 1 at the start and 1 of 1 at the end."""
        self.report(name, 0, 1)
        began_s = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began_s, 3)
        self.report(name, 1, 1)

    def report(self, name: str, done: int, total: int) -> None:
        """Report that done of total parts of a stage are finished."""
        if self._progress:
            self._progress(name, done, total)
