"""DICOM objects of a reading: segmentations, structured report, the report as a PDF, and key images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_app.reading import Reading
    from cinema_core.report import StudyResult

    Labels = NDArray[np.uint8]

SEGMENTED: Final = ("ED", "ES", "RV ED", "RV ES")
"""Phases that a segmentation may be of; those of the RV only where they are not the LV's."""

MOST_KEY_IMAGES: Final = 6


def seg_names(study_id: str) -> list[str]:
    """Files that segmentations may have; the study's pseudonym, never a name."""
    return [_seg_name(study_id, name) for name in SEGMENTED]


def sr_name(study_id: str) -> str:
    """File of the structured report."""
    return f"sr-{study_id}.dcm"


def pdf_name(study_id: str) -> str:
    """File of the report as a PDF within DICOM."""
    return f"pdf-{study_id}.dcm"


def sc_names(study_id: str) -> list[str]:
    """Files that key images may have."""
    return [f"sc-{study_id}-{number}.dcm" for number in range(1, MOST_KEY_IMAGES + 1)]


def dicom_names(study_id: str) -> list[str]:
    """All of them."""
    return [*seg_names(study_id), sr_name(study_id), pdf_name(study_id), *sc_names(study_id)]


def write_segmentations(folder: Path, result: StudyResult, labels: Labels) -> None:
    """Write the segmentations of the report's ED and ES; those of the RV where it has phases of its own.

    Raises
    ------
    PhaseError
        If ED and ES are not known.
    StudyError, LabelError, GeometryError
        If they cannot be made; see :func:`~cinema_core.io.dicom_seg.dicom_segmentations`.
    StorageError
        If a file cannot be written.
    """
    from cinema_core.anatomy import Structure
    from cinema_core.errors import PhaseError
    from cinema_core.io.dicom_seg import DrawnBy, dicom_segmentations
    from cinema_core.io.dicom_sources import write_object

    function, source = result.measures.function, result.origin
    if function.ed_phase is None or function.es_phase is None:
        raise PhaseError("ED and ES are not known, so there is nothing to write. Segment the cine, or set both.")
    phases = {"ED": function.ed_phase, "ES": function.es_phase}
    for name, t, of_lv in (
        ("RV ED", function.rv_ed_phase, function.ed_phase),
        ("RV ES", function.rv_es_phase, function.es_phase),
    ):
        if t is not None and t != of_lv:
            phases[name] = t
    drawn_by = DrawnBy(source.software_version, source.card, is_corrected=source.corrected_slices > 0)
    of_rv = {name: Structure.RV_CAVITY for name in phases if name.startswith("RV")}
    for name, made in dicom_segmentations(labels, result.cine, phases, drawn_by, of_rv).items():
        write_object(made, folder / _seg_name(result.study_id, name))


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

    write_object(dicom_report(report_row(result), result.cine, result.basis), folder / sr_name(result.study_id))


def write_pdf(folder: Path, result: StudyResult, labels: Labels) -> None:
    """Write the report as a PDF within DICOM.

    Raises
    ------
    StudyError
        If it cannot be made; see :func:`~cinema_core.io.dicom_pdf.encapsulated_pdf`.
    StorageError
        If the file cannot be written.
    """
    from cinema_core.io.dicom_pdf import encapsulated_pdf
    from cinema_core.io.dicom_sources import write_object
    from cinema_core.report.document import report_pdf

    made = encapsulated_pdf(report_pdf(result, labels), result.cine, result.origin.software_version)
    write_object(made, folder / pdf_name(result.study_id))


def write_key_images(folder: Path, result: StudyResult, labels: Labels) -> None:
    """Write the report's key images, with their contours, as secondary captures.

    Raises
    ------
    StudyError, LabelError
        If they cannot be made; see :func:`~cinema_core.io.dicom_sc.secondary_captures`.
    StorageError
        If a file cannot be written.
    """
    import numpy as np

    from cinema_core.io.dicom_sc import Capture, secondary_captures
    from cinema_core.io.dicom_sources import write_object
    from cinema_core.report.key_images import key_images
    from cinema_core.report.result import RESEARCH_USE

    words = f"{result.approval.status.value.upper()}. {RESEARCH_USE}"
    captures = [
        Capture(np.asarray(image.captioned(words)), image.t, image.z, f"{image.title}. {words}")
        for image in key_images(result, labels)
    ]
    made = secondary_captures(captures, result.cine, result.origin.software_version)
    for name, one in zip(sc_names(result.study_id)[: len(made)], made, strict=True):
        write_object(one, folder / name)


def export_dicom(reading: Reading, folder: Path) -> list[Path]:
    """Write all DICOM objects of the open reading, or none.

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
    names = dicom_names(result.study_id)
    refuse_existing(folder, names)
    with written_together(folder) as partial:
        write_segmentations(partial, result, reading.labels)
        write_structured_report(partial, result)
        write_pdf(partial, result, reading.labels)
        write_key_images(partial, result, reading.labels)
        written = [name for name in names if (partial / name).exists()]
    formats = "dicom-seg,dicom-sr,dicom-pdf,dicom-sc"
    reading.project.log_event("exported", {"study": reading.study_id, "format": formats})
    return [folder / name for name in written]


def _seg_name(study_id: str, phase: str) -> str:
    return f"seg-{study_id}-{phase.lower().replace(' ', '-')}.dcm"
