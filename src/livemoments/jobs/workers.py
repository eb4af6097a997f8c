"""Spread work over processes of this machine, with its threads shared out among them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import TracebackType
from typing import TypeVar

import cv2

from livemoments.errors import ConfigError, LiveMomentsError

J = TypeVar("J")
R = TypeVar("R")
WAIT_S = 1.0  # between looks at whether somebody cancels


class Workers:
    """Processes that work side by side; of one, the work is done in this process.

    A context manager: when its body is left by an exception, Ctrl-C included, the processes are
    ended at once.
    """

    def __init__(self, processes: int = 1, threads: int = 0) -> None:
        """Prepare to work.

        Args:
            processes: how many.
            threads: of all of them together; 0: one per core.
        """
        if processes < 1:
            raise ConfigError(f"jobs must be 1 or more, got {processes}")
        if threads < 0:
            raise ConfigError(f"threads must be 0 (one per core) or more, got {threads}")
        self.processes = processes
        self.threads = max(1, (threads or cores()) // processes)  # of each process
        self._pool: ProcessPoolExecutor | None = None
        self._others = {*multiprocessing.active_children()}

    def __enter__(self) -> "Workers":
        if self.processes > 1:
            self._pool = ProcessPoolExecutor(
                self.processes,
                multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self.threads,),
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in {*multiprocessing.active_children()} - self._others:
                child.terminate()
        self._pool.shutdown(wait=True)

    def map(self, function: Callable[[J], R], jobs: Iterable[J]) -> Iterator[tuple[J, R]]:
        """Yield each job with what the function makes of it, as they are done.

        Jobs are asked for shortly before they are begun, so that what was found by then can decide
        which ones there are. The function must be one of a module.

        Raises:
            LiveMomentsError: a process was ended from outside.
        """
        if self._pool is None:
            for job in jobs:
                yield job, function(job)
            return
        coming, running = iter(jobs), dict[Future[R], J]()
        while True:
            for job in islice(coming, self.processes + 1 - len(running)):
                running[self._pool.submit(function, job)] = job
            if not running:
                return
            for future in wait(running, WAIT_S, return_when=FIRST_COMPLETED).done:
                try:
                    yield running.pop(future), future.result()
                except BrokenProcessPool as error:
                    raise LiveMomentsError(
                        f"one of {self.processes} processes was ended from outside, as the system"
                        " does where memory runs out; take fewer processes and run again to go on",
                        settings=("jobs",),
                    ) from error


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _begin(threads: int) -> None:
    """Set up a process."""
    # Ctrl-C reaches all of them: the first one tells the others, by terminate, to leave quietly.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    cv2.setNumThreads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by PyTorch, which is not yet imported


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
