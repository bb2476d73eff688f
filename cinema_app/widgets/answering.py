"""The window's one handler of errors: what was raised on purpose becomes a line for the reader."""

from __future__ import annotations

from collections.abc import Callable

from psygnal import EmitLoopError

from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_core.errors import CinemaError


def answered(reading: Reading, action: Callable[[], object]) -> Callable[[], None]:
    """Return the action with its :class:`CinemaError` shown as a notice; anything else is a fault and goes on."""

    def run() -> None:
        try:
            action()
        except CinemaError as error:
            reading.notify(str(error), Severity.ERROR)
        except EmitLoopError as error:
            # psygnal wraps what a listener raises.
            if not isinstance(error.__cause__, CinemaError):
                raise
            reading.notify(str(error.__cause__), Severity.ERROR)

    return run
