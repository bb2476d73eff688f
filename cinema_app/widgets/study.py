"""Which study is open, and which of its cines is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from cinema_app.news import Severity
from cinema_app.reading import Reading
from cinema_app.widgets.answering import answered
from cinema_app.widgets.appearance import NOTICE_COLOURS, button, counted, elided, muted, strong
from cinema_app.widgets.import_contours import ContourMenu
from cinema_core.cine import Cine


class StudyPanel(QWidget):
    """Open a study, see what was found in it, choose the cine.

    Parameters
    ----------
    open_path
        Called with what the reader chose.
    check_import
        Called when the reader wants to see how the study was imported.
    """

    def __init__(
        self,
        reading: Reading,
        open_path: Callable[[Path], None],
        check_import: Callable[[], object],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._reading = reading
        self._open_path = open_path
        self._check_import = check_import
        self._build()
        self._show()
        reading.events.cine_changed.connect(self._show)

    def _build(self) -> None:
        self._title = strong()
        self._facts = elided()
        self._warnings = muted()
        self._warnings.setStyleSheet(f"color: {NOTICE_COLOURS[Severity.WARNING]};")
        self._cines = QComboBox()
        # Else its narrowest width is that of the longest entry of any study so far, and the whole panel's with it.
        self._cines.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._cines.setMinimumContentsLength(8)
        self._cines.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._cines.setToolTip("The cines of this study")
        self._cines.activated.connect(lambda _: answered(self._reading, self._choose)())
        self.open_folder = button("Open folder…", "Open a DICOM folder", self._ask_folder)
        self.open_file = button("Open file…", "Open a NIfTI, MetaImage, NRRD, zip or DICOMDIR file", self._ask_file)
        self.check = button("Check import…", "See how the study was imported, and change it", self._check_import)
        self.contour_menu = ContourMenu(self._reading, self)
        self.contours = button("Import contours…", "Take contours from elsewhere, as accepted", self._ask_contours)
        top = QHBoxLayout()
        top.addWidget(self._title, 1)
        top.addWidget(self.open_folder)
        top.addWidget(self.open_file)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        found = QHBoxLayout()
        found.addWidget(self._cines, 1)
        found.addStretch(0)
        found.addWidget(self.check)
        found.addWidget(self.contours)
        layout.addLayout(found)
        layout.addWidget(self._facts)
        layout.addWidget(self._warnings)

    def _show(self) -> None:
        study = self._reading.study
        self._cines.setVisible(study is not None and len(study.cines) > 1)
        self.check.setVisible(study is not None)
        self.contours.setVisible(study is not None)
        if study is None:
            self._title.setText("No study open")
            self._facts.setText("Open a study, or drop its folder on the window.")
            self._facts.setToolTip("")
            self._warnings.hide()
            return
        cine = self._reading.cine
        self._title.setText(study.id)
        self._title.setToolTip("Pseudonym made from the study's contents; no name is kept")
        self._facts.setText(facts(cine))
        self._facts.setToolTip("\n".join(study.report.notes))
        with signals_blocked(self._cines):
            self._cines.clear()
            views = [found.view for found in study.cines]
            for found in study.cines:
                # The line below has the size; here it would be cut, and is needed only to tell two cines apart.
                size = f" {found.n_slices}×{found.n_phases}" if views.count(found.view) > 1 else ""
                self._cines.addItem(found.view.display_name + size, found.id)
            self._cines.setCurrentIndex(self._cines.findData(cine.id))
        self._show_warnings(cine)

    def _show_warnings(self, cine: Cine) -> None:
        assert self._reading.study is not None
        refused = self._reading.study.report.refused
        lines = [*cine.warnings, *(f"Not read: {file.path}: {file.reason}" for file in refused)]
        self._warnings.setVisible(bool(lines))
        if lines:
            more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
            self._warnings.setText(lines[0] + more)
            self._warnings.setToolTip("\n".join(lines[:20]))

    def _choose(self) -> None:
        self._reading.choose_cine(self._cines.currentData())

    def _ask_contours(self) -> None:
        self.contour_menu.popup(self.contours.mapToGlobal(self.contours.rect().bottomLeft()))

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self, "Open a DICOM folder"):
            self._open_path(Path(folder))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self,
            "Open a cine",
            "",
            "Cine (*.nii *.nii.gz *.mha *.mhd *.nrrd *.nhdr *.dcm *.ima *.zip DICOMDIR);;All files (*)",
        )
        if name:
            self._open_path(Path(name))


def facts(cine: Cine) -> str:
    """One line on a cine: view, size, step, heart rate."""
    parts = [cine.view.display_name, f"{counted(cine.n_slices, 'slice')} × {counted(cine.n_phases, 'phase')}"]
    if cine.geometry.slice_step_mm is not None:
        parts.append(f"step {cine.geometry.slice_step_mm:.3g} mm")
    if cine.timing.heart_rate_bpm:
        parts.append(f"{cine.timing.heart_rate_bpm:.0f}/min")
    return " · ".join(parts)
