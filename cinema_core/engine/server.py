"""The engine's process: one job at a time in the main thread, the window's wishes in another.

Nothing here knows torch: what a request means is the business of a :class:`Tasks`, by default that of
:mod:`cinema_core.engine.tasks`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pkgutil
import queue
import signal
import threading
import time
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from cinema_core.engine.messages import (
    Cancel,
    Failed,
    Finished,
    FromEngine,
    Learned,
    Pause,
    Planned,
    Progressed,
    Resume,
    Run,
    Started,
    Stopped,
)
from cinema_core.engine.parcel import leave, pack, unpack
from cinema_core.errors import Cancelled, CinemaError
from cinema_core.process import prepare_to_compute
from cinema_core.progress import CancelToken, Report

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.shared_memory import SharedMemory

log = logging.getLogger(__name__)

PROGRESS_INTERVAL_S: Final = 0.05
"""The window is told at most 20 times a second."""

MESSAGE_LENGTH: Final = 200
"""Texts of unforeseen errors are cut to one line; torch writes pages."""

LOG_FILE: Final = "engine.log"
FAULT_FILE: Final = "engine-fault.log"
LOG_BYTES: Final = 1_000_000


class Tasks(Protocol):
    """What the engine can do. Made once, in the engine's main thread, and kept as long as the process lives."""

    def warm_up(self) -> None:
        """Load what every request needs, before there is one."""

    def run(self, request: Any, progress: Report, cancel: CancelToken, /) -> object:
        """Answer a request with its outcome.

        Raises
        ------
        CinemaError
            Its text is shown to the reader.
        Cancelled
            If ``cancel`` was raised.
        """


def serve(connection: Connection, tasks: str, log_folder: Path) -> None:
    """Work until the window ends: the body of the engine's process.

    Parameters
    ----------
    connection
        The engine's end of the pipe.
    tasks
        Where the class of the tasks is: ``package.module:Name``.
    log_folder
        Where to keep the log; no patient data is written to it.
    """
    prepare_to_compute()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the window, which closes the engine in its own way
    _keep_log(log_folder)
    inbox, outbox = Inbox(connection), Outbox(connection)
    inbox.listen()
    log.info("Engine %d started.", os.getpid())
    bench: Tasks = pkgutil.resolve_name(tasks)()
    try:
        bench.warm_up()
    except Exception as error:  # each job will meet it again and tell the reader
        log.error("Warming up failed: %s", without_values(error))
    desk = Desk(bench, outbox)
    while desk.is_open:
        run, cancel = inbox.next_run()
        desk.answer(run, cancel)


class Inbox:
    """Hears the window at any time. When the window is gone, however it went, the process ends at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs: queue.SimpleQueue[tuple[Run, CancelToken]] = queue.SimpleQueue()

    def listen(self) -> None:
        """Begin to hear."""
        threading.Thread(target=self._listen, name="engine-inbox", daemon=True).start()

    def next_run(self) -> tuple[Run, CancelToken]:
        """Wait for the next request and the token that stops it."""
        return self._runs.get()

    def _listen(self) -> None:
        job_id, token = -1, CancelToken()
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                # The main thread may be deep in a kernel of torch; nothing but this ends it.
                leave()
            if isinstance(message, Run):
                job_id, token = message.job_id, CancelToken()
                self._runs.put((message, token))
            elif message.job_id == job_id:
                act = {Cancel: token.cancel, Pause: token.pause, Resume: token.resume}[type(message)]
                act()


class Outbox:
    """Speaks to the window, one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: FromEngine) -> None:
        """Send one message."""
        with self._lock:
            try:
                self._connection.send(message)
            except OSError:
                leave()  # the window is gone


class ProgressReport:
    """Tells of progress at regular intervals; what comes faster is left out, but the newest word always arrives."""

    def __init__(self, job_id: int, outbox: Outbox) -> None:
        self._job_id = job_id
        self._outbox = outbox
        self._lock = threading.Lock()
        self._newest: Progressed | None = None
        self._timer: threading.Timer | None = None
        self._next_at = 0.0

    def __call__(self, fraction: float, message: str, /) -> None:
        """Take how far the work is."""
        with self._lock:
            self._newest = Progressed(self._job_id, float(fraction), message)
            wait_s = self._next_at - time.monotonic()
            if wait_s <= 0:
                self._tell()
            elif self._timer is None:
                self._timer = threading.Timer(wait_s, self._tell_later)
                self._timer.daemon = True
                self._timer.start()

    def planned(self, steps: int, /) -> None:
        """Tell how many steps there will be."""
        self._outbox.send(Planned(self._job_id, steps))

    def learned(self, run: int, loss: float, /) -> None:
        """Tell of every step: there are some hundreds, and none may be missing in the curve."""
        self._outbox.send(Learned(self._job_id, run, loss))

    def close(self) -> None:
        """Say the last word now; nothing comes after it."""
        with self._lock:
            self._tell()

    def _tell_later(self) -> None:
        with self._lock:
            self._timer = None
            self._tell()

    def _tell(self) -> None:
        if self._newest is not None:
            self._outbox.send(self._newest)
            self._newest = None
            self._next_at = time.monotonic() + PROGRESS_INTERVAL_S


class Desk:
    """Answers requests one after the other."""

    def __init__(self, tasks: Tasks, outbox: Outbox) -> None:
        self.is_open = True
        self._tasks = tasks
        self._outbox = outbox
        self._reply: SharedMemory | None = None

    def answer(self, run: Run, cancel: CancelToken) -> None:
        """Do what a request asks for, and say how it ended."""
        if self._reply is not None:
            self._reply.close()  # a new request: the client has taken the last outcome
            self._reply = None
        started = time.monotonic()
        end = self._answer(run, cancel)
        log.info("Job %d: %s after %.1f s.", run.job_id, type(end).__name__.lower(), time.monotonic() - started)
        if isinstance(end, Failed) and end.engine_ends:
            self.is_open = False
        self._outbox.send(end)

    def _answer(self, run: Run, cancel: CancelToken) -> Finished | Failed | Stopped:
        progress = ProgressReport(run.job_id, self._outbox)
        doing = "working"
        try:
            request = unpack(run.request)
            doing = request.doing
            self._outbox.send(Started(run.job_id))
            cancel.raise_if_cancelled()
            outcome = self._tasks.run(request, progress, cancel)
            parcel, self._reply = pack(outcome, run.reply_block)
            return Finished(run.job_id, parcel)
        except Cancelled:
            return Stopped(run.job_id)
        except CinemaError as error:
            log.warning("Job %d, %s: %s", run.job_id, doing, without_values(error))
            return Failed(run.job_id, str(error))
        except Exception as error:
            log.error("Job %d, %s: %s", run.job_id, doing, without_values(error))
            return _unexpected(run.job_id, doing, error)
        finally:
            progress.close()


def _unexpected(job_id: int, doing: str, error: Exception) -> Failed:
    """Tell of an error that nobody foresaw."""
    if _is_out_of_memory(error):
        message = (
            f"Memory ran out while {doing}. Your labels and the current model are unchanged. "
            "Close other programs and try again, or choose a smaller model."
        )
        # Ending is the one sure way to give all memory back, to this computer and to its GPU.
        return Failed(job_id, message, engine_ends=True)
    what = " ".join(f"{type(error).__name__}: {error}".split())[:MESSAGE_LENGTH].rstrip(": ")
    return Failed(
        job_id,
        f"An unexpected error stopped the engine while {doing} ({what}). "
        "Your labels and the current model are unchanged. Please report it.",
    )


def _is_out_of_memory(error: Exception) -> bool:
    # Torch's own class, by name: this module does not import torch. On the CPU torch raises a RuntimeError.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
        or "_STATUS_ALLOC_FAILED" in str(error)  # cuBLAS and its like, whose error is a RuntimeError, too
    )


def without_values(error: BaseException) -> str:
    """Kind of an error and where it was raised; not its text, which may name a folder and with it a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    cause = error.__cause__ or error.__context__
    return f"{type(error).__name__} at {where}" + (f"; after {without_values(cause)}" if cause else "")


def _keep_log(folder: Path) -> None:
    """Log this process to a file; without one, if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / LOG_FILE, maxBytes=LOG_BYTES, backupCount=2, encoding="utf-8")
        faulthandler.enable((folder / FAULT_FILE).open("a", encoding="utf-8"))  # a crash in C leaves its stack there
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("cinema_core")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
