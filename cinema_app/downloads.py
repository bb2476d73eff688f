"""Fetch a published model in another thread, with news for the window. No Qt."""

from __future__ import annotations

import logging
import threading

from psygnal import Signal

from cinema_core.errors import Cancelled, CinemaError
from cinema_core.hub import pull
from cinema_core.progress import CancelToken

log = logging.getLogger(__name__)

OFFERED = "acdc-sax-seg/0"
"""Published model that draws the short axis, as in the paper's examples."""

OFFERED_MB = 510
"""127.4 M parameters of 4 bytes (model specification 8.5)."""


class Download:
    """One download at a time. Its signals come from the download's thread: connect with ``thread="main"``."""

    progressed = Signal(float, str)
    ended = Signal(str)
    """Empty if the model is here, else why it is not."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._cancel = CancelToken()

    @property
    def running(self) -> bool:
        """Whether a model is being fetched."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, name: str) -> None:
        """Begin to fetch a model; does nothing while one is being fetched."""
        if self.running:
            return
        self._cancel = CancelToken()
        # A daemon: what was fetched so far is kept, so the program need not wait for it to end.
        self._thread = threading.Thread(target=self._fetch, args=(name, self._cancel), name="download", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """Stop; the next download of the same model goes on from there."""
        self._cancel.cancel()

    def _fetch(self, name: str, cancel: CancelToken) -> None:
        try:
            pull(name, self.progressed.emit, cancel)
        except Cancelled:
            self.ended.emit("The download was stopped. It goes on from there the next time.")
        except CinemaError as error:
            self.ended.emit(str(error))
        except Exception:
            log.exception("A download failed because of a fault in the program.")
            self.ended.emit("The download failed because of a fault in the program.")
        else:
            self.ended.emit("")
