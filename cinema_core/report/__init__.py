"""Results in the form that leaves the program."""

from __future__ import annotations

from cinema_core.report.provenance import provenance
from cinema_core.report.table import REPORT_COLUMNS, ReportRow, report_row, write_report

__all__ = ["REPORT_COLUMNS", "ReportRow", "provenance", "report_row", "write_report"]
