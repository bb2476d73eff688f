"""Tables by measure, finding, phase and segment, beside the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_core.report import StudyResult

TABLES = ("measures", "flags", "phases", "segments")


def details_paths(report: Path) -> tuple[Path, ...]:
    """Where the tables lie that belong to a report: ``report_measures.csv`` and so on, in the order of ``TABLES``."""
    return tuple(report.with_name(f"{report.stem}_{table}.csv") for table in TABLES)


def provenance_path(report: Path) -> Path:
    """Where it lies what a report was made from, whose columns have no room for that: ``report_provenance.json``."""
    return report.with_name(f"{report.stem}_provenance.json")


def write_table(report: Path, result: StudyResult) -> None:
    """Write the report of a study, and beside it what it was made from.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    from cinema_app.results import write_json
    from cinema_core.report import report_row, result_provenance, write_report

    write_report(report, [report_row(result)])
    write_json(provenance_path(report), result_provenance(result))


def write_details(report: Path, result: StudyResult, labels: NDArray[np.uint8]) -> list[str]:
    """Write all tables, that of the segments without rows where ED is not known.

    Returns
    -------
    What the reader should check about the wall, in sentences.

    Raises
    ------
    StorageError
        If a table cannot be written.
    """
    import numpy as np

    from cinema_core.measure import wall_measures
    from cinema_core.report import (
        FindingRow,
        MeasureRow,
        PhaseRow,
        SegmentRow,
        finding_rows,
        measure_rows,
        phase_rows,
        segment_rows,
        write_rows,
    )

    by_measure, by_finding, by_phase, by_segment = details_paths(report)
    function, cine = result.measures.function, result.cine
    write_rows(by_measure, MeasureRow, measure_rows(result))
    write_rows(by_finding, FindingRow, finding_rows(result))
    write_rows(by_phase, PhaseRow, phase_rows(result.study_id, cine, function))
    if function.ed_phase is None:
        write_rows(by_segment, SegmentRow, [])
        return ["ED is not known, so the wall has no segments."]
    measured = np.flatnonzero(np.isfinite(function.curve.lv_ml)).tolist()
    wall = wall_measures(labels, cine, function.ed_phase, phases=measured)
    write_rows(by_segment, SegmentRow, segment_rows(result.study_id, cine, wall))
    return list(wall.warnings)
