"""Tables by phase and by segment, beside the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_core.cine import Cine
    from cinema_core.measure import VentricularFunction


def details_paths(report: Path) -> tuple[Path, Path]:
    """Where the tables lie that belong to a report: ``report_phases.csv`` and ``report_segments.csv``."""
    return report.with_name(f"{report.stem}_phases.csv"), report.with_name(f"{report.stem}_segments.csv")


def write_details(
    report: Path, study_id: str, labels: NDArray[np.uint8], cine: Cine, function: VentricularFunction
) -> list[str]:
    """Write both tables, that of the segments without rows where ED is not known.

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
    from cinema_core.report import PhaseRow, SegmentRow, phase_rows, segment_rows, write_rows

    by_phase, by_segment = details_paths(report)
    write_rows(by_phase, PhaseRow, phase_rows(study_id, cine, function))
    if function.ed_phase is None:
        write_rows(by_segment, SegmentRow, [])
        return ["ED is not known, so the wall has no segments."]
    measured = np.flatnonzero(np.isfinite(function.curve.lv_ml)).tolist()
    wall = wall_measures(labels, cine, function.ed_phase, phases=measured)
    write_rows(by_segment, SegmentRow, segment_rows(study_id, cine, wall))
    return list(wall.warnings)
