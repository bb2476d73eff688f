"""DICOM objects of a reading: segmentations of ED and ES, and the structured report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_app.reading import Reading
    from cinema_core.report import StudyResult


def seg_names(study_id: str) -> list[str]:
    """Files of the segmentations; the study's pseudonym, never a name."""
    return [f"seg-{study_id}-ed.dcm", f"seg-{study_id}-es.dcm"]


def sr_name(study_id: str) -> str:
    """File of the structured report."""
    return f"sr-{study_id}.dcm"


def write_segmentations(folder: Path, result: StudyResult, labels: NDArray[np.uint8]) -> None:
    """Write the segmentations of the report's ED and ES.

    Raises
    ------
    PhaseError
        If ED and ES are not known.
    StudyError, LabelError, GeometryError
        If they cannot be made; see :func:`~cinema_core.io.dicom_seg.dicom_segmentations`.
    StorageError
        If a file cannot be written.
    """
    from cinema_core.errors import PhaseError
    from cinema_core.io.dicom_seg import DrawnBy, dicom_segmentations
    from cinema_core.io.dicom_sources import write_object

    function, source = result.measures.function, result.origin
    if function.ed_phase is None or function.es_phase is None:
        raise PhaseError("ED and ES are not known, so there is nothing to write. Segment the cine, or set both.")
    drawn_by = DrawnBy(source.software_version, source.card, is_corrected=source.corrected_slices > 0)
    made = dicom_segmentations(labels, result.cine, {"ED": function.ed_phase, "ES": function.es_phase}, drawn_by)
    for name, segmentation in zip(seg_names(result.study_id), made.values(), strict=True):
        write_object(segmentation, folder / name)


def write_structured_report(folder: Path, result: StudyResult) -> None:
    """Write the structured report.

    Raises
    ------
    StudyError, LabelError
        If it cannot be made; see :func:`~cinema_core.io.dicom_sr.dicom_report`.
    StorageError
        If the file cannot be written.
    """
    from cinema_core.io.dicom_sources import write_object
    from cinema_core.io.dicom_sr import dicom_report
    from cinema_core.report import report_row

    function = result.measures.function
    method = f"{function.method.description}; body surface by {function.bsa_formula}"
    write_object(dicom_report(report_row(result), result.cine, method), folder / sr_name(result.study_id))


def export_dicom(reading: Reading, folder: Path) -> list[Path]:
    """Write segmentations and structured report of the open reading, all or none.

    Raises
    ------
    InputError
        If nothing is measured yet, or the study was not opened from DICOM, or the files are there already.
    StorageError
        If a file cannot be written.
    """
    from cinema_app.reporting import result_of
    from cinema_app.results import refuse_existing, written_together

    result = result_of(reading)
    names = [*seg_names(result.study_id), sr_name(result.study_id)]
    refuse_existing(folder, names)
    with written_together(folder) as partial:
        write_segmentations(partial, result, reading.labels)
        write_structured_report(partial, result)
    reading.project.log_event("exported", {"study": reading.study_id, "format": "dicom-seg,dicom-sr"})
    return [folder / name for name in names]
