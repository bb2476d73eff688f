"""Progress and cancellation of long work, the same in the window, the engine and the command line."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from cinema_core.errors import Cancelled


class Progress(Protocol):
    """Told how far the work is: ``progress(0.4, "Segmenting phase 10 of 25")``."""

    def __call__(self, fraction: float, message: str, /) -> None:
        """Take the finished fraction, 0 to 1, and a line for the reader."""


def no_progress(fraction: float, message: str, /) -> None:
    """Ignore progress."""


class Report(Progress, Protocol):
    """Progress of work that also says how much it will do, and how well it learns."""

    def planned(self, steps: int, /) -> None:
        """Take the number of steps that the work fixed at its start."""

    def learned(self, run: int, loss: float, /) -> None:
        """Take the loss of one more training step; runs count from 1, the last one is from all labels."""


class CancelToken:
    """What the reader asks of long work: to stop, or to wait. The work looks at it between steps.

    Attributes
    ----------
    paused_s
        How long the work has waited so far; no time that it took.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self.paused_s = 0.0

    def cancel(self) -> None:
        """Ask the work to stop at its next step, also while it waits."""
        self._event.set()
        self._may_go_on.set()

    def pause(self) -> None:
        """Ask the work to wait at its next step; nothing after :meth:`cancel`."""
        if not self.cancelled:
            self._may_go_on.clear()

    def resume(self) -> None:
        """Let the work go on."""
        self._may_go_on.set()

    @property
    def cancelled(self) -> bool:
        """Whether the reader asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Wait here while the reader asked for a pause; stop here if the reader asked to stop.

        Raises
        ------
        Cancelled
            If :meth:`cancel` was called.
        """
        if not self._may_go_on.is_set():
            began = time.monotonic()
            self._may_go_on.wait()
            self.paused_s += time.monotonic() - began
        if self.cancelled:
            raise Cancelled("Stopped at your request; nothing was changed.")
