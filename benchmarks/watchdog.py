"""Hear a process out, and notice when it hangs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import IO


class SilenceError(Exception):
    """A process said nothing for too long."""


def lines_of(stream: IO[str], silent_s: float) -> Iterator[str]:
    """Lines of a process as they come, until it closes the stream; a last one that was cut off is given as it is.

    A read of a pipe cannot be given up on every system, so a thread reads: it ends with the process.

    Raises
    ------
    SilenceError
        If no line came, and no end, for ``silent_s`` seconds.
    """
    heard: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        try:
            for line in stream:
                heard.put(line)
        finally:
            heard.put(None)

    threading.Thread(target=listen, name="hearing a process", daemon=True).start()
    while True:
        try:
            line = heard.get(timeout=silent_s)
        except queue.Empty:
            raise SilenceError(f"Nothing was said for {silent_s:.0f} s.") from None
        if line is None:
            return
        yield line
