"""Contours and labels from elsewhere, taken into the open study from the window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu, QWidget

from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_core.io.nifti import is_image

FILES = "*.cvi42wsx *.dcm *.nii *.nii.gz *.mha *.nrrd *.txt"

ORDERS = {
    "cinema": "1 RV, 2 myocardium, 3 LV (this program)",
    "acdc": "1 RV, 2 myocardium, 3 LV (ACDC)",
    "mnms": "1 LV, 2 myocardium, 3 RV (M&Ms)",
    "mnms2": "1 LV, 2 myocardium, 3 RV (M&Ms-2)",
}
"""What label values mean, as the reader is asked; a file does not say it."""


class ContourMenu(QMenu):
    """Asks where the contours are, and what a file does not say of itself."""

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = reading
        self.file = self.addAction("File: cvi42 workspace, DICOM SEG, label image…")
        self.file.triggered.connect(lambda _: answered(reading, self._ask_file)())
        self.folder = self.addAction("Folder of Sunnybrook contours…")
        self.folder.triggered.connect(lambda _: answered(reading, self._ask_folder)())

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self.parentWidget(), "Folder of contours"):
            self._reading.import_labels(Path(folder))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self.parentWidget(), "Import contours", "", f"Contours and labels ({FILES});;All files (*)"
        )
        if not name:
            return
        if not is_image(Path(name)):
            self._reading.import_labels(Path(name))
            return
        order, chosen = QInputDialog.getItem(
            self.parentWidget(),
            "Label values",
            "What do the values of this file mean?",
            list(ORDERS.values()),
            0,
            False,
        )
        if not chosen:
            return
        n_phases = self._reading.cine.n_phases
        phase = 1
        if n_phases > 1:
            phase, chosen = QInputDialog.getInt(
                self.parentWidget(),
                "Phase",
                "If the file holds one phase: which one is it? (Not used for a file that holds all of them.)",
                self._first_guess(),
                1,
                n_phases,
            )
        if chosen:
            key = next(key for key, words in ORDERS.items() if words == order)
            self._reading.import_labels(Path(name), label_order=key, phase=phase - 1)

    def _first_guess(self) -> int:
        """End-diastole where it is set: most single labels are of it."""
        return self._reading.phases.ed_phase + 1 if self._reading.phases else 1
