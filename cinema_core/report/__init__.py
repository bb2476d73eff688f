"""Results in the form that leaves the program."""

from __future__ import annotations

from cinema_core.report.long_form import (
    FindingRow,
    MeasureRow,
    PhaseRow,
    SegmentRow,
    finding_rows,
    measure_rows,
    phase_rows,
    segment_rows,
)
from cinema_core.report.provenance import provenance, result_provenance
from cinema_core.report.result import (
    Approval,
    Origin,
    Status,
    StudyResult,
    Value,
    import_rules,
)
from cinema_core.report.table import REPORT_COLUMNS, ReportRow, clipboard_text, report_row, write_report, write_rows

__all__ = [
    "REPORT_COLUMNS",
    "Approval",
    "FindingRow",
    "MeasureRow",
    "Origin",
    "PhaseRow",
    "ReportRow",
    "SegmentRow",
    "Status",
    "StudyResult",
    "Value",
    "clipboard_text",
    "finding_rows",
    "import_rules",
    "measure_rows",
    "phase_rows",
    "provenance",
    "report_row",
    "result_provenance",
    "segment_rows",
    "write_report",
    "write_rows",
]
