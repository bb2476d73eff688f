"""The work that the engine does for a reading: one piece at a time, told to the window, stopped by the reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cinema_app.news import Notice, ReadingEvents, Severity
from cinema_app.work import Work, WorkEnd
from cinema_core.errors import CinemaError
from cinema_core.progress import CancelToken

if TYPE_CHECKING:
    from cinema_core.engine.client import EngineClient, Job
    from cinema_core.engine.messages import Request


class EngineWork:
    """Follows a job of the engine to its end; refuses a second one meanwhile.

    Attributes
    ----------
    engine
        The one process that owns torch.
    """

    def __init__(self, engine: EngineClient, events: ReadingEvents) -> None:
        self.engine = engine
        self._events = events
        self._work: Work | None = None
        self._preparing: CancelToken | None = None
        self._may_pause = False

    @property
    def busy(self) -> bool:
        """Whether the engine works for this window, or is held for work that is being prepared."""
        return self._work is not None or self._preparing is not None

    @property
    def may_pause(self) -> bool:
        """Whether the work under way is a fine-tuning, the one kind that lasts long enough."""
        return self._may_pause

    @property
    def paused(self) -> bool:
        """Whether the work under way waits for :meth:`resume`."""
        return self._work is not None and self._work.job.paused

    def ask(self, request: Request, take: Callable[[Any], None]) -> Job:
        """Let the engine answer a request.

        Parameters
        ----------
        take
            Called with the outcome; what it raises on purpose is shown to the reader.

        Raises
        ------
        CinemaError
            If the engine is still at work.
        """
        self.refuse_while_busy()
        job = self.engine.submit(request)
        self.follow(job, take)
        return job

    def prepare(self, doing: str) -> CancelToken:
        """Hold the engine for work that another thread prepares, until :meth:`prepared`.

        Parameters
        ----------
        doing
            What is being done, for the reader.

        Returns
        -------
        Raised when the reader asks to stop.

        Raises
        ------
        CinemaError
            If the engine is still at work.
        """
        self.refuse_while_busy()
        self._preparing = CancelToken()
        self._events.job_changed.emit()
        self._events.progressed.emit(0.0, doing)
        return self._preparing

    def prepared(self) -> None:
        """Let go of the engine, so that the work can begin, or something else if it cannot."""
        self._preparing = None
        self._events.job_changed.emit()

    def cancel_preparing(self) -> None:
        """Ask the thread that prepares work to stop, if there is one."""
        if self._preparing is not None:
            self._preparing.cancel()

    def pause(self) -> None:
        """Let the fine-tuning wait after the step under way."""
        if self._work is not None and self.may_pause:
            self._work.job.pause()
            self._events.pause_changed.emit()

    def resume(self) -> None:
        """Let the fine-tuning go on."""
        if self._work is not None:
            self._work.job.resume()
            self._events.pause_changed.emit()

    def cancel(self) -> None:
        """Stop the work that is under way, or being prepared."""
        self.cancel_preparing()
        if self._work is not None:
            self._work.job.cancel()

    def refuse_while_busy(self) -> None:
        """Return if the engine is free.

        Raises
        ------
        CinemaError
            If it is still at work.
        """
        if self.busy:
            raise CinemaError("The engine is still at work. Wait for it, or press Cancel.")

    def follow(
        self,
        job: Job,
        take: Callable[[Any], None],
        ended: Callable[[WorkEnd], None] = lambda end: None,
        *,
        may_pause: bool = False,
    ) -> None:
        """Follow a job that has begun.

        Parameters
        ----------
        take
            Called with the outcome, if there is one, after everybody knows that the engine is free.
        ended
            Called first, however it ended.
        """
        self._may_pause = may_pause
        self._work = Work(
            job,
            self._events.progressed.emit,
            self._events.learned.emit,
            lambda end: self._work_ended(end, take, ended),
        )
        self._events.job_changed.emit()
        self._work.listen()

    def _work_ended(self, end: WorkEnd, take: Callable[[Any], None], ended: Callable[[WorkEnd], None]) -> None:
        self._work, self._may_pause = None, False
        ended(end)
        self._events.job_changed.emit()
        if end.cancelled:
            self._notify("Stopped at your request; nothing was changed.")
        elif end.failure:
            self._notify(end.failure, Severity.ERROR)
        else:
            try:
                take(end.outcome)
            except CinemaError as error:
                self._notify(str(error), Severity.ERROR)

    def _notify(self, text: str, severity: Severity = Severity.INFO) -> None:
        self._events.noticed.emit(Notice(text, severity))
