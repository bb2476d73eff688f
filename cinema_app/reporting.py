"""What is reported of the open study: its result, the choices behind it, who vouches for it, and its files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cinema_app.details import write_table
from cinema_core.cards import list_models
from cinema_core.errors import InputError, ProjectError
from cinema_core.measure import ReportChoices
from cinema_core.project import PhaseChoice, study_snapshot
from cinema_core.report import Approval, StudyResult, clipboard_text
from cinema_core.report.from_project import approval_state, project_result

if TYPE_CHECKING:
    from cinema_app.reading import Reading


def result_of(reading: Reading) -> StudyResult:
    """Make the result of a reading from its project, as it is now.

    Raises
    ------
    InputError
        If nothing is measured yet.
    """
    if reading.measure() is None or reading.study is None:
        raise InputError("There is nothing to report yet. Segment the cine first.")
    return project_result(
        study_snapshot(reading.project, reading.study_id),
        reading.cine,
        list_models(reading.project.models_folder),
        notes=reading.study.report.notes,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class Report:
    """What is reported of the open study of a reading, and who vouches for it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    @property
    def choices(self) -> ReportChoices:
        """What the reader entered and chose for the report of the open study."""
        return self._reading.project.report_choices(self._reading.study_id)

    def choose(self, choices: ReportChoices) -> None:
        """Keep what the reader entered and chose, and measure by it.

        Raises
        ------
        ProjectError, StorageError
            If it cannot be saved; then nothing has changed.
        """
        if choices == self.choices:
            return
        self._reading.project.set_report_choices(self._reading.study_id, choices)
        self._reading.measure_anew()
        self._reading.events.approval_changed.emit()

    @property
    def approval(self) -> Approval:
        """Whether a named reader vouches for what is reported now, and if not, why."""
        found = self._reading.measures
        if found is None:
            return Approval(reason="Nothing is measured yet.")
        reported = (found.ed_phase, found.es_phase, found.rv_ed_phase, found.rv_es_phase)
        return approval_state(self._reading.project.approval(self._reading.study_id), reported)

    def approve(self) -> None:
        """Vouch by name for every slice of the phases that are reported, and for the report as it is.

        Raises
        ------
        PhaseError
            If ED and ES are not known, or have slices without a label.
        ProjectError
            If the reader gave no name, or nothing can be saved.
        """
        if not self._reading.project.reader:
            raise ProjectError("A report is approved by a named reader. Give your name first; a pseudonym will do.")
        self._reading.accept_phases()
        found = self._reading.measure()
        assert found is not None and found.ed_phase is not None and found.es_phase is not None  # accepted, so measured
        reported = PhaseChoice(found.ed_phase, found.es_phase, found.rv_ed_phase, found.rv_es_phase)
        self._reading.project.approve(self._reading.study_id, reported)
        self._reading.project.log_event("approved", {"study": self._reading.study_id})
        self._reading.events.approval_changed.emit()
        self._reading.notify(f"Approved by {self._reading.project.reader}.")

    def export_csv(self, path: Path) -> None:
        """Write the report of this reading, and beside it what it was made from.

        Raises
        ------
        InputError
            If nothing is measured yet.
        StorageError
            If the file cannot be written; then there is no half file.
        """
        write_table(path, result_of(self._reading))
        self._note_export(path, "csv")

    def export_document(self, path: Path) -> None:
        """Write the report of this reading as a page; the file's ending tells whether PDF or HTML.

        Raises
        ------
        InputError
            If nothing is measured yet, or the ending is another one.
        StorageError
            If the file cannot be written; then there is no half file.
        """
        from cinema_core.report.document import write_document

        write_document(path, result_of(self._reading), self._reading.labels)
        self._note_export(path, path.suffix.lower().lstrip("."))

    def clipboard_text(self) -> str:
        """Every figure as text, columns parted by tabs.

        Raises
        ------
        InputError
            If nothing is measured yet.
        """
        return clipboard_text(result_of(self._reading))

    def _note_export(self, path: Path, kind: str) -> None:
        self._reading.project.log_event("exported", {"study": self._reading.study_id, "format": kind})
        self._reading.notify(f"Report saved: {path.name}, in the folder {path.absolute().parent.name}")
