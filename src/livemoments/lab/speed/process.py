"""Run a command in a process of its own, and measure its seconds and memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from livemoments.errors import LiveMomentsError


class Watched(NamedTuple):
    """A command that ran, and printed JSON."""

    report: dict[str, Any]  # what it printed
    seconds: float  # of the process, from start to end
    memory_gb: float | None  # 10^9 bytes resident at most; None where the system does not tell


def watch(command: Sequence[str]) -> Watched:
    """Run a command that prints JSON, and measure what it takes.

    Raises:
        LiveMomentsError: the command failed; the message holds its own.
    """
    began_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output = process.stdout.read() if process.stdout else ""
            memory = _wait(process)
        except BaseException:
            process.kill()
            raise
    seconds = time.perf_counter() - began_s
    report = json.loads(output or "{}")
    if process.returncode != 0:
        reason = report.get("error", f"it ended with code {process.returncode}")
        raise LiveMomentsError(f"the measured run failed: {reason}")
    return Watched(report, seconds, memory)


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes, once."""
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _wait(process: subprocess.Popen[str]) -> float | None:
    """Wait for a process; return the most memory it held, in 10^9 bytes, where that is known."""
    if not hasattr(os, "wait4"):  # Windows
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kibibytes
    return round(usage.ru_maxrss * unit / 1e9, 2)
