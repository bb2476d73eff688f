"""Take the results out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, button, muted

TIP = "Save volumes, ejection fraction and mass as a table, with the model version they came from"


class ExportPanel(QWidget):
    """The report as a CSV file."""

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self._build()
        self._show()
        events = reading.events
        for signal in (events.cine_changed, events.measures_changed, events.labels_changed, events.approval_changed):
            signal.connect(self._show)

    def _build(self) -> None:
        self.export = button("Export CSV…", TIP, answered(self._reading, self._ask), main=True)
        self._reader = QLineEdit(self._reading.project.reader)
        self._reader.setPlaceholderText("Your name, for the report")
        self._reader.setToolTip("A report of a reader without a name stays a draft. Enter goes back to the image.")
        self._reader.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self._reader.editingFinished.connect(self._name_reader)
        self._status = muted()
        self._saved = muted()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._reader)
        layout.addWidget(self.export)
        layout.addWidget(self._status)
        layout.addWidget(self._saved)
        layout.addStretch(1)

    def _show(self, *_: object) -> None:
        if not self._reader.hasFocus():
            self._reader.setText(self._reading.project.reader)
        why = ""
        if not self._reading.is_open:
            why = "Open a study first."
        elif self._reading.measures is None:
            why = "There is nothing to report yet: segment the cine first."
        allow(self.export, not why, why, TIP)
        if why:
            self._status.setText(why)
        else:
            approval = self._reading.approval
            self._status.setText(approval.reason or f"Approved by {approval.reader}.")

    def _name_reader(self) -> None:
        self._reading.name_reader(self._reader.text())
        self._reader.clearFocus()

    def _ask(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export CSV", f"{self._reading.study_id}-report.csv", "Table (*.csv)"
        )
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write the report and say where it lies."""
        self._reading.export_csv(path)
        self._saved.setText(f"Saved: {path}")
