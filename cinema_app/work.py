"""One piece of work in the engine, followed from the main thread until it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cinema_core.engine.client import Job, JobState
from cinema_core.errors import EngineError


@dataclass(frozen=True, eq=False)
class WorkEnd:
    """How it ended: with an outcome, a failure in one line, or at the reader's request."""

    outcome: Any = None
    failure: str = ""
    cancelled: bool = False


class Work:
    """Takes a job's news, which comes from another thread, in the main one; tells its end exactly once.

    Parameters
    ----------
    progressed
        Called with the finished fraction and a line for the reader.
    learned
        Called with the number of a training run and the loss of one more of its steps.
    ended
        Called once.
    """

    def __init__(
        self,
        job: Job,
        progressed: Callable[[float, str], None],
        learned: Callable[[int, float], None],
        ended: Callable[[WorkEnd], None],
    ) -> None:
        self.job = job
        self._progressed = progressed
        self._learned = learned
        self._tell_end = ended
        self._has_ended = False

    def listen(self) -> None:
        """Begin to follow the job, which may have ended already."""
        events = self.job.events
        events.progressed.connect(self._on_progress, thread="main")
        events.learned.connect(self._on_learned, thread="main")
        events.finished.connect(self._on_finished, thread="main")
        events.failed.connect(self._on_failed, thread="main")
        events.cancelled.connect(self._on_cancelled, thread="main")
        match self.job.state:
            case JobState.DONE:
                self._on_finished(self.job.result(0))
            case JobState.CANCELLED:
                self._on_cancelled()
            case JobState.FAILED:
                try:
                    self.job.result(0)
                except EngineError as error:
                    self._on_failed(str(error))

    def _on_progress(self, fraction: float, message: str) -> None:
        if not self._has_ended:
            self._progressed(fraction, message)

    def _on_learned(self, run: int, loss: float) -> None:
        if not self._has_ended:
            self._learned(run, loss)

    def _on_finished(self, outcome: Any) -> None:
        self._end(WorkEnd(outcome=outcome))

    def _on_failed(self, message: str) -> None:
        self._end(WorkEnd(failure=message))

    def _on_cancelled(self) -> None:
        self._end(WorkEnd(cancelled=True))

    def _end(self, end: WorkEnd) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._tell_end(end)
