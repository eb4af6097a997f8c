"""End the processes that help a run when it ends, however that happens."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import parent_process
from threading import Thread

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def follow_parent(_number: int = 0) -> None:
    """End this process, begun by multiprocessing, when its parent ends; to be called first in it.

    Otherwise such a process may wait for ever to hand over what no one takes any more.
    """
    parent = parent_process()
    if parent is None or parent.pid is None:
        return  # not begun by multiprocessing
    if hasattr(os, "setpgid"):
        # Ctrl-C and what `timeout` sends go to a whole group: the parent alone is to decide, and
        # saves first.
        with suppress(OSError):
            os.setpgid(0, 0)
    if sys.platform == "linux":
        # The kernel does it even where this process is busy and heeds no signal of Python's. It
        # counts from the end of the thread that began this process, which closes its helpers.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # the parent ended before that call
            os._exit(1)
    else:
        Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
