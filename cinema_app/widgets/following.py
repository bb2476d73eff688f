"""Follow the heart's motion in another thread: how far it is stands in napari's activity dock, with Cancel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from napari.utils import cancelable_progress
from psygnal import Signal
from qtpy.QtWidgets import QDialog, QWidget
from superqt.utils import create_worker

from cinema_app.contours.drawing import Mask
from cinema_app.contours.propagation import MotionToFollow, propagated_slices
from cinema_app.labelling import Slice
from cinema_app.reading import Reading
from cinema_core.errors import Cancelled
from cinema_core.progress import CancelToken

ACTIVITY: Final = "Activity"
"""What napari calls the dialog of its activity dock."""

DOCK_PX: Final = 680
"""Width at which Cancel, the last in its row, is not scrolled out of sight."""

MARGIN_PX: Final = 8
"""What napari leaves between the dock and the edges of the image."""

PREFIX: Final = "Following the motion: "
"""Left out where the row is narrow."""


class Following:
    """One motion at a time is followed.

    The activity dock is shown meanwhile: its button stands in napari's status bar, which this window does not show.
    It lies over a corner of the image, not over the figures.

    Parameters
    ----------
    host
        Widget in napari's window.
    take
        Called with the study and the labels that were found, by (t, z).
    """

    changed = Signal()
    """Following began or ended."""
    _progressed = Signal(float, str)

    def __init__(self, reading: Reading, host: QWidget, take: Callable[[str, dict[Slice, Mask]], None]) -> None:
        self._reading = reading
        self._host = host
        self._take = take
        self._cancel: CancelToken | None = None
        self._bar: cancelable_progress | None = None
        self._is_closed = False
        self._progressed.connect(self._show_progress, thread="main")

    @property
    def is_running(self) -> bool:
        """Whether a motion is being followed."""
        return self._cancel is not None

    def start(self, motions: Sequence[MotionToFollow]) -> None:
        """Follow the motion of some slices of one study."""
        if self.is_running:
            return
        self._cancel = cancel = CancelToken()
        self._bar = cancelable_progress(total=100, desc="Following the motion")
        self._show_dock(True)
        self.changed.emit()
        worker = create_worker(_followed, motions, self._progressed.emit, cancel)
        worker.returned.connect(lambda masks: self._ended(motions[0].study_id, masks))
        worker.errored.connect(lambda _: self._end())
        worker.start()

    def stop(self) -> None:
        """Stop, if a motion is being followed; nothing is changed then."""
        if self._cancel is not None:
            self._cancel.cancel()

    def close(self) -> None:
        """Stop, take the bar out of napari's list, which outlives a window, and drop what the thread ends with."""
        self.stop()
        self._is_closed = True
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show_progress(self, fraction: float, message: str) -> None:
        bar = self._bar
        if bar is None:
            return
        if bar.is_canceled:
            self.stop()
        bar.set_description(message.removeprefix(PREFIX))
        if self.is_running:  # napari lets events run as it draws the words, and the end may be one of them
            bar.update(round(100 * fraction) - bar.n)

    def _ended(self, study_id: str, masks: dict[Slice, Mask] | None) -> None:
        if self._is_closed:
            return  # the panels are gone
        self._end()
        if masks is None:
            self._reading.notify("Following the motion was stopped; nothing was changed.")
        else:
            self._take(study_id, masks)

    def _end(self) -> None:
        if self._is_closed:
            return
        if self._bar is not None:
            self._bar.close()
        self._cancel = self._bar = None
        self._show_dock(False)
        self.changed.emit()

    def _show_dock(self, shown: bool) -> None:
        dock: Any = self._host.window().findChild(QDialog, ACTIVITY)
        if dock is None:
            return  # the panel floats in a window of its own; the notice and the menu are left
        dock.setVisible(shown)
        if shown:
            dock.resize(min(DOCK_PX, dock.parentWidget().width() - 2 * MARGIN_PX), dock.height())
            dock.move_to_bottom_right()  # of the image, which may have been resized while it was hidden
            dock.raise_()


def _followed(
    motions: Sequence[MotionToFollow], progress: Callable[[float, str], None], cancel: CancelToken
) -> dict[Slice, Mask] | None:
    """Labels by phase and slice, None if it was stopped; superqt takes a returned exception for a fault."""
    try:
        return propagated_slices(motions, progress, cancel)
    except Cancelled:
        return None
