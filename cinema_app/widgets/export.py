"""Take the results out."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from cinema_app.dicom_export import export_dicom
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import allow, button, muted

TIP = "Save volumes, ejection fraction and mass as a table, with the model version they came from"
DICOM_TIP = (
    "Save ED and ES as DICOM segmentations, and the report as a structured report, a PDF and key images of the study, "
    "for the archive"
)


class ExportPanel(QWidget):
    """The report as a CSV file, and as DICOM objects of the study."""

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
        self.export_dicom = button("Export DICOM…", DICOM_TIP, answered(self._reading, self._ask_dicom))
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
        layout.addWidget(self.export_dicom)
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
        why_no_dicom = why or ("" if self._reading.cine.sources else "This study was not opened from DICOM.")
        allow(self.export_dicom, not why_no_dicom, why_no_dicom, DICOM_TIP)
        if why:
            self._status.setText(why)
        else:
            approval = self._reading.report.approval
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
        self._reading.report.export_csv(path)
        self._saved.setText(f"Saved: {path}")

    def _ask_dicom(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export DICOM to a folder")
        if folder:
            self.save_dicom(Path(folder))

    def save_dicom(self, folder: Path) -> None:
        """Write all DICOM objects and say where they lie."""
        written = export_dicom(self._reading, folder)
        # They name the patient as the images do: a reader who passes them on should know.
        self._saved.setText(f"Saved: {len(written)} DICOM files in {folder}. They name the patient as the images do.")
