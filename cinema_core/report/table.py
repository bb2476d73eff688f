"""The report as a table: one row per study and reading, units in the names, empty for what is not known."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar
from uuid import uuid4

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine
from cinema_core.errors import StorageError
from cinema_core.measure.function import VentricularFunction

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

MEASURED_COLUMNS: Final = tuple(
    name for name in REPORT_COLUMNS if name in {field.name for field in fields(VentricularFunction)} - {"flags"}
)
"""Columns that are values of :class:`~cinema_core.measure.VentricularFunction`."""

DECIMALS: Final = 2
"""Of every figure. Readers differ by 5 ml and 5 % EF (Suinesiaputra et al., JCMR 17:63, 2015); the second decimal
is there so that EF and stroke volume can be recomputed from the volumes of the table."""


def report_row(
    study_id: str,
    cine: Cine,
    function: VentricularFunction,
    *,
    reader: str = "",
    status: str = "draft",
    corrected_slices: int = 0,
    accepted_slices: int = 0,
    card: ModelCard | None = None,
    software_version: str,
    created_utc: str,
) -> ReportRow:
    """Row of a reading.

    Parameters
    ----------
    status
        ``draft`` until a named reader approved ED and ES.
    card
        Model that drew the labels; None if none did.
    created_utc
        ISO 8601.
    """
    measured = {name: getattr(function, name) for name in MEASURED_COLUMNS}
    for name in ("ed_phase", "es_phase", "rv_ed_phase", "rv_es_phase"):
        measured[name] = None if measured[name] is None else measured[name] + 1  # as on the screen
    return ReportRow(
        study_id=study_id,
        view=cine.view.value,
        reader=reader,
        status=status,
        n_slices=cine.n_slices,
        n_phases=cine.n_phases,
        slice_step_mm=cine.geometry.slice_step_mm,
        **measured,
        corrected_slices=corrected_slices,
        accepted_slices=accepted_slices,
        flags="; ".join(function.flags),
        model=card.name if card else "",
        model_sha256=card.sha256 if card else "",
        software_version=software_version,
        created_utc=created_utc,
    )


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
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with partial.open("x", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise StorageError(
            f"The report could not be written to {path}: {error.strerror or error}. Close it in other programs, "
            "free some space, or choose another place."
        ) from error
    finally:
        with suppress(OSError):  # gone after the rename; never there if its folder is not
            partial.unlink()


def _text(value: str | int | float | None, decimals: int) -> str:
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return ""
    # Adding zero turns the -0.0 that rounding leaves of a tiny negative value into 0.0.
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if isinstance(value, float) else str(value)
