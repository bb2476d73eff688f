"""Offer the published model: it is not shipped, and the bundled one works without it."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QMessageBox, QProgressBar, QVBoxLayout, QWidget

from cinema_app.downloads import OFFERED, OFFERED_MB, Download
from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.widgets.appearance import elided, tool_button
from cinema_core.hub import is_at_hand

TIP = (
    f"Download {OFFERED} (about {OFFERED_MB} MB, MIT licence) from huggingface.co/mathpluscode/CineMA. "
    "The bundled model works without it."
)
QUESTION = (
    f"Download the published CineMA model {OFFERED}?\n\n"
    f"About {OFFERED_MB} MB from huggingface.co/mathpluscode/CineMA, MIT licence, for research. Nothing of your "
    "studies is sent. You can go on reading meanwhile; the bundled model works without it.\n\n"
    "Without internet: cinema models add --help"
)


class GetModelPanel(QWidget):
    """A button as long as the published model is not here; then a bar while it comes."""

    def __init__(self, reading: Reading, download: Download, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._download = download
        self._build()
        self._show(coming=download.running)
        download.progressed.connect(self._show_progress, thread="main")
        download.ended.connect(self._ended, thread="main")

    def _build(self) -> None:
        self.get = tool_button("Get the published model…", TIP, self._ask)
        self._coming = QWidget()
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(8)
        self._words = elided()
        self.stop = tool_button("Stop", "Stop the download; it goes on from there the next time", self._download.cancel)
        self.stop.setFixedWidth(52)
        row = QHBoxLayout()
        row.addWidget(self._bar, 1)
        row.addWidget(self.stop)
        coming = QVBoxLayout(self._coming)
        coming.setContentsMargins(0, 0, 0, 0)
        coming.setSpacing(2)
        coming.addWidget(self._words)
        coming.addLayout(row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.get)
        layout.addWidget(self._coming)

    def _show(self, *, coming: bool = False) -> None:
        is_here = is_at_hand(OFFERED)
        self.get.setVisible(not coming and not is_here)
        self._coming.setVisible(coming)
        self.setVisible(coming or not is_here)

    def _ask(self) -> None:
        answer = QMessageBox.question(self, "Published model", QUESTION)
        if answer == QMessageBox.StandardButton.Yes:
            self._download.start(OFFERED)
            self._bar.setValue(0)
            self._words.setText("Asking the hub…")
            self._show(coming=True)

    def _show_progress(self, fraction: float, message: str) -> None:
        self._bar.setValue(round(1000 * fraction))
        self._words.setText(message)

    def _ended(self, trouble: str) -> None:
        self._show()
        if trouble:
            self._reading.notify(trouble, Severity.WARNING)
            return
        self._reading.events.model_changed.emit()  # the lists of models look again
        self._reading.notify(f"The published model {OFFERED} is here: choose it beside Segment.")
