"""Let Ctrl-C and SIGTERM stop a run only after the step, when it is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from livemoments.progress import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether a run was asked to stop."""

    waits: bool = False  # for the step to be over and saved; else it ends at once
    asked: int = 0  # the signal that asked

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, or end the run: before its first step, or asked a second time."""
        if not self.waits or self.asked:
            raise stopped_by(number)
        self.asked = number


@contextmanager
def hearing_signals() -> Iterator[Stop]:
    """Hear Ctrl-C and SIGTERM for a while."""
    stop, handlers = Stop(), {}
    # Python lets the main thread alone hear signals; an app stops a run by its progress.
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number, before in handlers.items():
            if before is not signal.SIG_IGN:  # whoever began this does not want it heard
                signal.signal(number, stop.hear)
        yield stop
    except RuntimeError as error:
        if stop.asked:
            # A worker process that had just begun heard the signal too, and is missed now.
            raise stopped_by(stop.asked) from error
        raise
    finally:
        for number, before in handlers.items():
            signal.signal(number, before or signal.SIG_DFL)


def stopped_by(number: int) -> KeyboardInterrupt:
    """Make the exception that ends a run stopped by a signal."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
