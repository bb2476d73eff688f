"""Results in the form that leaves the program."""

from __future__ import annotations

from cinema_core.report.long_form import PhaseRow, SegmentRow, phase_rows, segment_rows
from cinema_core.report.provenance import provenance
from cinema_core.report.table import REPORT_COLUMNS, ReportRow, report_row, write_report, write_rows

__all__ = [
    "REPORT_COLUMNS",
    "PhaseRow",
    "ReportRow",
    "SegmentRow",
    "phase_rows",
    "provenance",
    "report_row",
    "segment_rows",
    "write_report",
    "write_rows",
]
