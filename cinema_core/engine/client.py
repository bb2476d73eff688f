"""The window's way to the engine: jobs in a queue, news as events. Imports neither torch nor Qt.

One thread owns the child process, the pipe and the running job, so nothing here waits in the window's thread.
All events are emitted from that thread; a window connects with ``thread="main"``.

The process is spawned, so it imports the program's main script again, under another name: a script of your own
that makes a client needs ``if __name__ == "__main__":``, as everywhere with :mod:`multiprocessing`.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from platformdirs import user_log_path
from psygnal import EmitLoopError, Signal, SignalGroup, SignalInstance

from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine
from cinema_core.engine.child import Child, ChildEnded
from cinema_core.engine.messages import (
    Cancel,
    Failed,
    FineTuneRequest,
    Finished,
    Learned,
    Pause,
    Planned,
    Progressed,
    Request,
    Resume,
    Run,
    SegmentRequest,
    Started,
    Stopped,
)
from cinema_core.engine.parcel import discard, new_block_name, pack, release, take
from cinema_core.engine.server import without_values
from cinema_core.errors import Cancelled, CinemaError, EngineError
from cinema_core.learn.settings import FineTuneSettings

log = logging.getLogger(__name__)

TORCH_TASKS: Final = "cinema_core.engine.tasks:TorchTasks"

LOOK_S: Final = 0.05
"""How often the thread looks whether the reader cancelled or closed while it waits for the engine."""

CANCEL_GRACE_S: Final = 1.5
"""Work that has not stopped by then is ended with its process: cancel takes 2 s at most, even in the middle of a
training step of a large model on a CPU, which takes a minute."""

CLOSE_S: Final = 10.0
"""Longest wait for the thread when the client closes; it ends within a second unless the system is stuck."""


class JobState(StrEnum):
    """Where a job is in its life; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobEvents(SignalGroup):
    """News of a job, in order: progress, then exactly one of the others."""

    progressed = Signal(float, str)
    """Finished fraction, 0 to 1, and a line for the reader."""
    learned = Signal(int, float)
    """Loss of one more training step, with the number of its run, from 1."""
    finished = Signal(object)
    """The outcome."""
    failed = Signal(str)
    """What happened and what to do, for the reader."""
    cancelled = Signal()


class Job:
    """One request on its way.

    A job may end before its maker listens: connect to :attr:`events` first, then look at :attr:`state`.

    Attributes
    ----------
    doing
        What the engine does for it: ``segmenting``, ``fine-tuning``.
    events
        Its news.
    steps
        Number of steps that a fine-tuning fixed at its start; None before that, and for other work.
    engine_died
        Whether it failed because the engine's process ended under it: the same request may well succeed.
    """

    def __init__(self, job_id: int, doing: str) -> None:
        self.id = job_id
        self.doing = doing
        self.events = JobEvents()
        self._state = JobState.QUEUED
        self.steps: int | None = None
        self.engine_died = False
        self._pause_asked = threading.Event()
        self._cancel_asked = threading.Event()
        self._ended = threading.Event()
        self._outcome: Any = None
        self._failure = ""

    @property
    def state(self) -> JobState:
        """Where the job is."""
        return self._state

    def cancel(self) -> None:
        """Ask for an end; it comes within 2 s, as an event. A job that has ended is left as it is."""
        self._cancel_asked.set()

    def pause(self) -> None:
        """Ask the work to wait at its next step. A job that has not begun waits as it begins."""
        self._pause_asked.set()

    def resume(self) -> None:
        """Let the work go on."""
        self._pause_asked.clear()

    @property
    def paused(self) -> bool:
        """Whether the job was asked to wait; a step under way is finished first."""
        return self._pause_asked.is_set()

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the outcome.

        Raises
        ------
        EngineError
            If the job failed.
        Cancelled
            If it was cancelled.
        TimeoutError
            If it has not ended in time.
        """
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"The engine is still {self.doing} after {timeout_s} s.")
        if self._state is JobState.FAILED:
            raise EngineError(self._failure)
        if self._state is JobState.CANCELLED:
            raise Cancelled("Stopped at your request; nothing was changed.")
        return self._outcome

    # ---------------------------------------------------------------- for the client's thread

    def _finish(self, outcome: Any) -> None:
        self._outcome = outcome
        self._end(JobState.DONE, self.events.finished, outcome)

    def _fail(self, message: str) -> None:
        self._failure = message
        self._end(JobState.FAILED, self.events.failed, message)

    def _stop(self) -> None:
        self._end(JobState.CANCELLED, self.events.cancelled)

    def _end(self, state: JobState, event: SignalInstance, *news: Any) -> None:
        self._state = state
        self._ended.set()
        self._tell(event, *news)

    def _tell(self, event: SignalInstance, *news: Any) -> None:
        try:
            event.emit(*news)
        except EmitLoopError as error:
            # The listener's fault must not end the thread that every other job needs.
            log.error("A listener of job %d failed: %s.", self.id, type(error.__cause__).__name__)


class EngineClient:
    """Owns the engine's process: starts it with the first request, and again after a crash.

    Parameters
    ----------
    tasks
        Where the class is that answers requests, in the engine's process: ``package.module:Name`` of a
        :class:`cinema_core.engine.server.Tasks`.
    log_folder
        Where the engine keeps its log; the user's own log folder if None.
    """

    def __init__(self, tasks: str = TORCH_TASKS, log_folder: Path | None = None) -> None:
        self._tasks = tasks
        self._log_folder = log_folder or user_log_path("napari-cinema", appauthor=False)
        self._job_ids = itertools.count(1)
        self._changed = threading.Condition()  # guards the next four
        self._queue: deque[tuple[Job, Request]] = deque()
        self._start_asked = False
        self._closing = False
        self._thread: threading.Thread | None = None
        self._child: Child | None = None  # belongs to the thread

    @property
    def alive(self) -> bool:
        """Whether the engine's process runs."""
        child = self._child
        return child is not None and child.alive

    def start(self) -> None:
        """Start the process ahead of the first request; it loads torch meanwhile. Returns at once."""
        with self._changed:
            self._start_asked = True
            self._wake()

    def segment(
        self,
        cine: Cine,
        *,
        model: str,
        project_models: Path | None = None,
        device: str = "auto",
        phases: Sequence[int] | None = None,
    ) -> Job:
        """Ask for the ventricles on a cine; the outcome is a :class:`~cinema_core.engine.messages.SegmentOutcome`."""
        chosen = None if phases is None else tuple(phases)
        return self.submit(SegmentRequest(cine, model, project_models, device, chosen))

    def finetune(
        self,
        cases: Sequence[TrainingCase],
        *,
        base: str,
        settings: FineTuneSettings | Mapping[str, Any],
        out: Path,
        name: str,
        project_models: Path | None = None,
        ledger: Mapping[str, int] | None = None,
    ) -> Job:
        """Ask for a new model; the outcome is a :class:`~cinema_core.engine.messages.FineTuneOutcome`."""
        checked = FineTuneSettings.model_validate(settings)
        return self.submit(FineTuneRequest(tuple(cases), base, checked, out, name, project_models, ledger))

    def submit(self, request: Request) -> Job:
        """Put a request at the end of the queue.

        Raises
        ------
        EngineError
            If the client was closed.
        """
        job = Job(next(self._job_ids), request.doing)
        with self._changed:
            if self._closing:
                raise EngineError("The engine was closed. Open the window again.")
            self._queue.append((job, request))
            self._wake()
        return job

    def close(self) -> None:
        """End the process, whatever it is doing; jobs that have not ended are cancelled. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_S)

    def __enter__(self) -> EngineClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="cinema-engine-client", daemon=True)
            self._thread.start()
        self._changed.notify()

    # ---------------------------------------------------------------- in the client's thread

    def _work(self) -> None:
        while self._wait_for_job():
            self._run(*self._queue.popleft())
        self._end_child()
        while self._queue:
            self._queue.popleft()[0]._stop()

    def _wait_for_job(self) -> bool:
        """Wait until a job is in the queue, starting the process if that is asked for; False if the client closes."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._start_asked or self._closing)
                if self._closing or self._queue:
                    return not self._closing
                self._start_asked = False
            try:
                self._living_child()
            except OSError as error:  # the first job will meet it again and tell the reader
                log.warning("The engine could not be started ahead (%s).", type(error).__name__)

    def _living_child(self) -> Child:
        if self._child is None or not self._child.alive:
            self._end_child()
            self._child = Child.start(self._tasks, self._log_folder)
        return self._child

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _run(self, job: Job, request: Request) -> None:
        """Bring a job to its end, whatever happens on the way."""
        if job._cancel_asked.is_set():
            return job._stop()
        job._state = JobState.RUNNING
        reply_block = new_block_name()
        try:
            with ExitStack() as request_memory:
                child = self._living_child()
                parcel, memory = pack(request, new_block_name())
                request_memory.callback(release, memory)
                child.send(Run(job.id, parcel, reply_block))
                self._follow(job, child, request_memory)
        except ChildEnded:
            words = child.last_words(job.doing)
            self._end_child()
            job.engine_died = True
            job._fail(words)
        except CinemaError as error:
            job._fail(str(error))
        except Exception as error:
            log.error("The engine cannot be reached: %s", without_values(error))
            self._end_child()
            job._fail(f"The engine could not be started or reached ({type(error).__name__}). Restart the program.")
        finally:
            if not self.alive:
                discard(reply_block)  # written by a process that ended before it could say so

    def _follow(self, job: Job, child: Child, request_memory: ExitStack) -> None:
        """Take the engine's messages until the job has ended."""
        give_up_at: float | None = None
        waits = False
        while True:
            message = child.receive(LOOK_S)
            match message:
                case Started():
                    request_memory.close()
                case Planned(steps=steps):
                    job.steps = steps
                case Learned(run=run, loss=loss):
                    job._tell(job.events.learned, run, loss)
                case Progressed(fraction=fraction, message=line):
                    job._tell(job.events.progressed, fraction, line)
                case Finished(outcome=parcel):
                    return job._finish(take(parcel))
                case Stopped():
                    return job._stop()
                case Failed(message=line, engine_ends=ends):
                    if ends:
                        self._end_child()
                        job.engine_died = True
                    return job._fail(line)
            self._drop_cancelled_from_queue()
            if self._closing or (give_up_at is not None and time.monotonic() > give_up_at):
                self._end_child()
                return job._stop()
            if job.paused != waits:
                waits = job.paused
                child.send(Pause(job.id) if waits else Resume(job.id))
            if job._cancel_asked.is_set() and give_up_at is None:
                child.send(Cancel(job.id))
                give_up_at = time.monotonic() + CANCEL_GRACE_S

    def _drop_cancelled_from_queue(self) -> None:
        with self._changed:
            dropped = [entry for entry in self._queue if entry[0]._cancel_asked.is_set()]
            for entry in dropped:
                self._queue.remove(entry)
        for job, _ in dropped:
            job._stop()
