"""Let Ctrl-C and SIGTERM stop a run only after the step, when it is saved."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from livemoments.progress import Terminated

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Hears, while it is open, that the run shall stop.

    Before the first step that ends the run at once; from then on, where `waits` is set, it waits
    for the step to be over and saved. Asking a second time ends it at once again.
    """

    def __init__(self) -> None:
        self.waits = False
        self.asked = 0  # the signal that asked
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        # Python lets the main thread alone hear signals; an app stops a run by its progress.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before is not signal.SIG_IGN:  # whoever began this does not want it heard
                    self._before[number] = before or signal.SIG_DFL
                    signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        if self.asked and isinstance(error, RuntimeError):
            # A worker process that had just begun heard the signal too, and is missed now.
            raise stopped_by(self.asked) from error

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.waits or self.asked:
            raise stopped_by(number)
        self.asked = number


def stopped_by(number: int) -> KeyboardInterrupt:
    """Make the exception that ends a run stopped by a signal."""
    return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
