"""End child processes with their parent, however that ends."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from multiprocessing import parent_process
from threading import Thread

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def follow_parent(_number: int = 0) -> None:
    """Make a process begun by multiprocessing end with its parent; called first in it.

    Otherwise such a process may wait for ever to hand over what nobody takes any more.
    """
    parent = parent_process()
    if parent is None or parent.pid is None:
        return  # nobody's helper
    if hasattr(os, "setpgid"):
        # Ctrl-C and what `timeout` sends go to a whole group: the parent alone is to decide, and
        # saves first.
        with suppress(OSError):
            os.setpgid(0, 0)
    if sys.platform == "linux":
        # The kernel does it even where this process is busy and heeds no signal of Python's. It
        # counts from the end of the thread that began this process, which closes its helpers.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:  # it ended before it could be asked for
            os._exit(1)
    else:
        Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
