"""The open reading as a result that can be reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cinema_core.cards import list_models
from cinema_core.errors import InputError
from cinema_core.project import study_snapshot
from cinema_core.report import StudyResult
from cinema_core.report.from_project import project_result

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
