"""The report as a table: one row per study and reading, units in the names, empty for what is not known."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cinema_core.disk import write_whole
from cinema_core.measure.function import VentricularFunction
from cinema_core.measure.volumes import DEFAULT_METHOD
from cinema_core.report.result import DECIMALS, FIGURE_NAMES, RESEARCH_USE, StudyResult, rounded

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class ReportRow:
    """One line of ``report.csv``; None is written as an empty field. Phases count from 1, as on the screen."""

    study_id: str
    view: str
    reader: str
    status: str
    convention: str
    n_slices: int
    n_phases: int
    slice_step_mm: float | None
    ed_phase: int | None
    es_phase: int | None
    rv_ed_phase: int | None
    rv_es_phase: int | None
    lv_edv_ml: float | None
    lv_esv_ml: float | None
    lv_sv_ml: float | None
    lv_ef_pct: float | None
    lv_mass_g: float | None
    rv_edv_ml: float | None
    rv_esv_ml: float | None
    rv_sv_ml: float | None
    rv_ef_pct: float | None
    heart_rate_bpm: float | None
    cardiac_output_l_min: float | None
    bsa_m2: float | None
    lv_edvi_ml_m2: float | None
    lv_esvi_ml_m2: float | None
    lv_svi_ml_m2: float | None
    lv_massi_g_m2: float | None
    rv_edvi_ml_m2: float | None
    rv_esvi_ml_m2: float | None
    rv_svi_ml_m2: float | None
    cardiac_index_l_min_m2: float | None
    corrected_slices: int
    accepted_slices: int
    flags: str
    model: str
    model_sha256: str
    software_version: str
    created_utc: str


Row = TypeVar("Row", bound="DataclassInstance")

REPORT_COLUMNS: Final = tuple(field.name for field in fields(ReportRow))


MEASURED_COLUMNS: Final = tuple(name for name in REPORT_COLUMNS if name in FIGURE_NAMES)
"""Columns that are figures of a :class:`~cinema_core.report.result.StudyResult`."""


def report_row(result: StudyResult) -> ReportRow:
    """Row of a study."""
    cine, function, origin = result.cine, result.measures.function, result.origin
    # Not from result.values: its wall takes longer than all the rest, and a cohort has thousands of rows.
    figures: dict[str, Any] = {name: rounded(getattr(function, name)) for name in MEASURED_COLUMNS}
    phases = ("ed_phase", "es_phase", "rv_ed_phase", "rv_es_phase")
    chosen: dict[str, Any] = {
        name: None if (t := getattr(function, name)) is None else t + 1 for name in phases
    }  # as on the screen
    return ReportRow(
        study_id=result.study_id,
        view=cine.view.value,
        reader=result.approval.reader,
        status=result.approval.status.value,
        convention=_convention(function),
        n_slices=cine.n_slices,
        n_phases=cine.n_phases,
        slice_step_mm=rounded(cine.geometry.slice_step_mm),
        **chosen,
        **figures,
        corrected_slices=origin.corrected_slices,
        accepted_slices=origin.accepted_slices,
        flags=result.flags,
        model=origin.card.name if origin.card else "",
        model_sha256=origin.card.sha256 if origin.card else "",
        software_version=origin.software_version,
        created_utc=origin.created_utc,
    )


def _convention(function: VentricularFunction) -> str:
    """How papillary muscles were counted, and how areas became volumes if not as usual: other figures come of it."""
    if function.method == DEFAULT_METHOD:
        return function.convention
    return f"{function.convention}; {function.method.description}"


def clipboard_text(result: StudyResult) -> str:
    """Every known figure with its unit, and the state of the report; columns parted by tabs, for a spreadsheet."""
    lines = [f"{value.title}\t{value.text}\t{value.unit}" for value in result.values.values() if value.text]
    approval = result.approval
    last = [
        f"Study\t{result.study_id}",
        f"Status\t{approval.status.value}\t{approval.reader}",
        f"Convention\t{result.measures.function.convention}",
        *(f"{name}\t{text}" for name, text in result.basis.items()),
        *(f"{finding.light.value}\t{finding.text}" for finding in result.findings),
        RESEARCH_USE,
    ]
    return "\n".join([*lines, *last]) + "\n"


def write_report(path: Path, rows: Sequence[ReportRow]) -> None:
    """Write the report; see :func:`write_rows`."""
    write_rows(path, ReportRow, rows)


def write_rows(path: Path, kind: type[Row], rows: Sequence[Row], decimals: int = DECIMALS) -> None:
    """Write a table, whole or not at all; a file that is there is replaced.

    UTF-8 with a header, figures with a point and as many decimals, empty for what is not known.

    Parameters
    ----------
    kind
        Dataclass of the rows: its fields are the columns.

    Raises
    ------
    StorageError
        If it cannot be written; what was there before is still there.
    """
    columns = [field.name for field in fields(kind)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_text(getattr(row, name), decimals) for name in columns] for row in rows)
    write_whole(path, text.getvalue().encode("utf-8"), "The report")


def _text(value: str | int | float | None, decimals: int) -> str:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return ""
    # Adding zero turns the -0.0 that rounding leaves of a tiny negative value into 0.0.
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if isinstance(value, float) else str(value)
