"""The engine's process as its parent sees it: start it, speak to it, end it, say how it ended."""

from __future__ import annotations

import multiprocessing
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from cinema_core.engine.server import serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from cinema_core.engine.messages import FromEngine, ToEngine

END_S: Final = 2.0
"""How long the system may take to end a process that was told to."""

UNCHANGED: Final = "Your labels and the current model are unchanged."


class ChildEnded(Exception):
    """The engine's process is gone."""


class Child:
    """One process. Used by one thread, except for :attr:`alive`."""

    def __init__(self, process: SpawnProcess, connection: Connection) -> None:
        self._process = process
        self._connection = connection

    @classmethod
    def start(cls, tasks: str, log_folder: Path) -> Self:
        """Start a process; it warms up by itself.

        Spawned, not forked, on every system: CUDA does not survive a fork, nor do Qt's threads.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        # A daemon: should the program end without closing the client, Python ends the process instead of waiting.
        process = context.Process(target=serve, args=(theirs, tasks, log_folder), name="cinema-engine", daemon=True)
        process.start()
        theirs.close()  # or its end would never be seen
        return cls(process, ours)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def send(self, message: ToEngine) -> None:
        """Send a message.

        Raises
        ------
        ChildEnded
            If nobody is there to read it.
        """
        try:
            self._connection.send(message)
        except OSError:
            raise ChildEnded from None

    def receive(self, timeout_s: float) -> FromEngine | None:
        """Next message; None if none came in time.

        Raises
        ------
        ChildEnded
            If none will come any more.
        """
        try:
            if not self._connection.poll(timeout_s):
                return None
            message: FromEngine = self._connection.recv()
        except (EOFError, OSError):
            raise ChildEnded from None
        return message

    def end(self) -> None:
        """End the process, whatever it is doing, and wait until it is gone."""
        self._process.terminate()
        self._process.join(END_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(END_S)
        self._connection.close()

    def last_words(self, doing: str) -> str:
        """Tell the reader how the process ended."""
        self._process.join(END_S)  # its end of the pipe closes a moment before the process is gone
        code = self._process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                if signal.Signals(-code).name == "SIGKILL":
                    return (
                        f"The system stopped the engine while {doing}, most likely because memory ran out. "
                        f"{UNCHANGED} Close other programs and try again."
                    )
                return f"The engine crashed while {doing} ({signal.Signals(-code).name}). {UNCHANGED} Try again."
        how = "it stopped answering" if code is None else f"exit code {code}"
        return f"The engine ended unexpectedly while {doing} ({how}). {UNCHANGED} Try again."
