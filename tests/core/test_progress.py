"""Pause, resume and cancel as long work meets them."""

import threading

import pytest

from cinema_core.errors import Cancelled
from cinema_core.progress import CancelToken

WAIT_S = 30.0


class Worker:
    """Looks at a token over and over in a thread of its own, as training steps do."""

    def __init__(self, token: CancelToken) -> None:
        self._token = token
        self.looked = threading.Semaphore(0)
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            while True:
                self._token.raise_if_cancelled()
                self.looked.release()
        except Cancelled:
            self.stopped.set()

    def rests(self) -> bool:
        """Whether no look comes any more, the one under way apart."""
        while self.looked.acquire(blocking=False):
            pass
        self.looked.acquire(timeout=0.05)
        return not self.looked.acquire(timeout=0.1)


@pytest.fixture
def token() -> CancelToken:
    return CancelToken()


def test_work_waits_while_paused_and_goes_on(token: CancelToken) -> None:
    worker = Worker(token)
    assert worker.looked.acquire(timeout=WAIT_S)
    token.pause()
    assert worker.rests()
    token.resume()
    assert worker.looked.acquire(timeout=WAIT_S)
    assert token.paused_s > 0
    token.cancel()
    assert worker.stopped.wait(WAIT_S)


def test_cancel_ends_work_that_waits(token: CancelToken) -> None:
    token.pause()
    worker = Worker(token)
    assert worker.rests()
    token.cancel()
    assert worker.stopped.wait(WAIT_S)


def test_a_pause_after_cancel_keeps_nobody_waiting(token: CancelToken) -> None:
    token.cancel()
    token.pause()
    with pytest.raises(Cancelled):
        token.raise_if_cancelled()
