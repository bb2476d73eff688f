"""The lines at the foot of the panel: work under way, what just happened, and what this program is not for."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from cinema_app.news import Notice, Severity
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import NOTICE_COLOURS, button, muted, tool_button
from cinema_app.widgets.loss_curve import LossCurve

PAUSE = "Pause"
PAUSE_TIP = "Let the fine-tuning wait after its next step, so that the computer is free; nothing is lost"
RESUME_TIP = "Let the fine-tuning go on where it waits; pausing does not change the new model"
PAUSED = "Paused after this step. Go on reading, or press Resume."


class StatusPanel(QWidget):
    """Progress with Cancel and the curve of what is learned, the last notice, and the standing line."""

    def __init__(self, reading: Reading, device: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._stop: Callable[[], None] | None = None
        self._build(device)
        self._show_job()
        reading.events.job_changed.connect(self._show_job)
        reading.events.progressed.connect(self._show_progress)
        reading.events.learned.connect(self.curve.add)
        reading.events.pause_changed.connect(self._show_pause)
        reading.events.noticed.connect(self.show_notice)
        reading.events.cine_changed.connect(self._forget_notice)

    def _build(self, device: str) -> None:
        self._work = QWidget()
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(10)
        self._doing = muted(wrap=False)
        self.curve = LossCurve()
        self.pause = button(PAUSE, PAUSE_TIP, self._pause_or_resume)
        self.cancel = button("Cancel", "Stop; nothing is changed", self._cancel)
        row = QHBoxLayout()
        row.addWidget(self._bar, 1)
        row.addWidget(self.pause)
        row.addWidget(self.cancel)
        work = QVBoxLayout(self._work)
        work.setContentsMargins(0, 0, 0, 0)
        work.setSpacing(2)
        work.addWidget(self.curve)
        work.addWidget(self._doing)
        work.addLayout(row)
        self.notice = QLabel()
        self.notice.setWordWrap(True)
        self.notice.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.notice.hide()
        self.offered = button("", "", self._take_offer)
        self.offered.hide()
        self._offer: Callable[[], object] | None = None
        self.standing = muted(f"Research use only, not for diagnosis · {device}", wrap=False)
        self._foot = QHBoxLayout()
        self._foot.setSpacing(4)
        self._foot.addWidget(self.standing, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._work)
        layout.addWidget(self.notice)
        layout.addWidget(self.offered)
        layout.addLayout(self._foot)

    def add_help(self, text: str, tip: str, action: Callable[[], object]) -> None:
        """Add a button of help to the last line."""
        made = tool_button(text, tip, action)
        made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._foot.addWidget(made)

    def show_reading_a_file(self, text: str, cancel: Callable[[], None]) -> None:
        """Show that a study is being read; ``cancel`` is called when the reader stops it."""
        self._work.show()
        self.cancel.setEnabled(True)
        self._stop = cancel
        self.pause.hide()
        self._bar.setRange(0, 0)
        self._doing.setText(text)

    def show_progress(self, fraction: float, message: str) -> None:
        """Show how far the reading of files is."""
        if self._stop is not None and self.cancel.isEnabled():
            self._bar.setRange(0, 1000)
            self._show_progress(fraction, message)

    def stop_reading_files(self) -> None:
        """Stop the reading of files, if there is one."""
        if self._stop is not None:
            self._stop()

    def _show_job(self) -> None:
        self._bar.setRange(0, 1000)
        self._bar.setValue(0)
        self.curve.clear()
        self._work.setVisible(self._reading.work.busy)
        self._stop = None
        self.cancel.setEnabled(True)
        self.pause.setEnabled(True)
        self.pause.setVisible(self._reading.work.may_pause)
        self._name_pause()
        if self._reading.work.busy:
            self._doing.setText("Starting the engine…")
            self.notice.hide()

    def _show_progress(self, fraction: float, message: str) -> None:
        self._bar.setValue(round(1000 * fraction))
        if not self._reading.work.paused and self.cancel.isEnabled():  # the step under way still tells its time left
            self._doing.setText(message)

    def _pause_or_resume(self) -> None:
        if self._reading.work.paused:
            self._reading.work.resume()
        else:
            self._reading.work.pause()

    def _show_pause(self) -> None:
        self._doing.setText(PAUSED if self._reading.work.paused else "Going on…")
        self._name_pause()

    def _name_pause(self) -> None:
        paused = self._reading.work.paused
        self.pause.setText("Resume" if paused else PAUSE)
        self.pause.setToolTip(RESUME_TIP if paused else PAUSE_TIP)

    def _cancel(self) -> None:
        self.cancel.setEnabled(False)
        self.pause.setEnabled(False)
        self._doing.setText("Stopping…")
        if self._stop is not None:
            self._stop()
        else:
            self._reading.work.cancel()

    def _forget_notice(self) -> None:
        """Another cine is on show: what was said, was said of the last one."""
        self.notice.hide()
        self.offered.hide()

    def show_notice(self, notice: Notice) -> None:
        """Show one line."""
        self.offered.hide()
        self.notice.setText(notice.text)
        self.notice.setStyleSheet(f"color: {NOTICE_COLOURS[notice.severity]};")
        self.notice.setVisible(True)
        self.notice.setToolTip("" if notice.severity is Severity.INFO else notice.text)

    def offer(self, text: str, tip: str, action: Callable[[], object]) -> None:
        """Offer a way out below the notice on show; it goes with the notice."""
        self._offer = action
        self.offered.setText(text)
        self.offered.setToolTip(tip)
        self.offered.show()

    def _take_offer(self) -> None:
        self.offered.hide()
        if self._offer is not None:
            self._offer()
