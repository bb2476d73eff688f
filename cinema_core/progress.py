"""Progress and cancellation of long work, the same in the window, the engine and the command line."""

from __future__ import annotations

import threading
from typing import Protocol

from cinema_core.errors import Cancelled


class Progress(Protocol):
    """Told how far the work is: ``progress(0.4, "Segmenting phase 10 of 25")``."""

    def __call__(self, fraction: float, message: str, /) -> None:
        """Take the finished fraction, 0 to 1, and a line for the reader."""


def no_progress(fraction: float, message: str, /) -> None:
    """Ignore progress."""


class CancelToken:
    """A flag that the reader raises and long work looks at between steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the reader asked to stop."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Stop here if the reader asked to.

        Raises
        ------
        Cancelled
            If :meth:`cancel` was called.
        """
        if self.cancelled:
            raise Cancelled("Stopped at your request; nothing was changed.")
