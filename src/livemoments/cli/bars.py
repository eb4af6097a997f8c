"""Show progress on stderr: bars with the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class StageProgress:
    """A progress callback, progress(stage, done, total), that shows itself while it is open.

    Use it as a context manager, so that the terminal is left clean whatever happens. stdout is
    never touched: facts go there, and programs read them.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._totals: dict[str, int] = {}
        self._started_s: dict[str, float] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> StageProgress:
        if sys.stderr.isatty():
            self._bars = _bars()
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that done of total steps of a stage are finished."""
        if self._bars is None:
            self._plain(stage, done, total)
            return
        if done >= total:
            done = max(done, self._totals.get(stage, 1))
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        # A stage may begin and end as "one of one" and count tiles in between.
        self._totals[stage] = total = max(total, self._totals.get(stage, 1))
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def _plain(self, stage: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if stage not in self._started_s:
            self._started_s[stage] = now_s
            sys.stderr.write(f"{stage} ...\n")
        elif done >= total and stage not in self._ended:
            self._ended.add(stage)  # written once, however often the end is reported
            sys.stderr.write(f"{stage}: {now_s - self._started_s[stage]:.1f} s\n")
        sys.stderr.flush()


@contextmanager
def logged_lines() -> Iterator[None]:
    """Say line by line on stderr what the library logs within, where no bars stand there."""
    if sys.stderr.isatty():
        yield
        return
    logger = logging.getLogger("livemoments")
    handler, level = logging.StreamHandler(sys.stderr), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _bars() -> Bars:
    """Make bars: one a stage, with steps done, time gone and an estimate of the time left."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description:<18}"), progress.BarColumn(bar_width=30),
        progress.MofNCompleteColumn(), progress.TimeElapsedColumn(),
        progress.TextColumn("left"), progress.TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
