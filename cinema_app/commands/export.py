"""``cinema export``: the results of a project as files."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cinema_core.progress import Progress
    from cinema_core.project import Effort, Project, StudyRecord
    from cinema_core.report import StudyResult

REPORT: Final = "report.csv"
PROVENANCE: Final = "provenance.json"
EFFORT: Final = "effort.csv"
CHOICES: Final = (
    "Choose among csv, details, pdf, html, fhir, nifti, dicom-seg, dicom-sr, dicom-pdf, dicom-sc and effort."
)


class Format(StrEnum):
    """What can be written."""

    CSV = "csv"
    DETAILS = "details"
    PDF = "pdf"
    HTML = "html"
    FHIR = "fhir"
    NIFTI = "nifti"
    DICOM_SEG = "dicom-seg"
    DICOM_SR = "dicom-sr"
    DICOM_PDF = "dicom-pdf"
    DICOM_SC = "dicom-sc"
    EFFORT = "effort"


DOCUMENTS: Final = (Format.PDF, Format.HTML)

MEASURED: Final = set(Format) - {Format.NIFTI, Format.EFFORT}
"""Formats that need the measures."""


def export(
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project, NAME.cinema.")],
    formats: Annotated[
        str,
        typer.Option("--format", metavar="LIST", help=", ".join(Format) + "; or several: csv,pdf"),
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where files go. Default: a new folder in the project's exports.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
) -> None:
    """Write the results of all studies of a project: a table (csv), a report each (pdf, html), labels (nifti).

    ``csv`` comes with provenance.json: by which rules, from which images and with which model each row was made.
    ``details`` are tables of every figure, finding, phase and segment, ``fhir`` the coded figures as Observations.
    ``effort`` is what those cost: slices and edits, border redrawn, active time; numbers only, no image data.

    Example: cinema export --project heart.cinema --format csv,nifti --out results

    dicom-seg writes ED and ES as DICOM segmentations (of the RV its own, where it has others), dicom-sr the report as
    a structured report, dicom-pdf as a PDF, dicom-sc its key images; all belong to the study that was opened from
    DICOM, and so name the patient as its images do.
    """
    from cinema_app.results import refuse_existing, remove_stale, written_together
    from cinema_app.terminal import progress_bar, say
    from cinema_core.errors import InputError, ProjectError
    from cinema_core.project import Project

    chosen = _formats(formats)
    with Project.open(project) as opened:
        studies = _labelled(opened)
        folder = out or opened.folder / "exports" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
        if not overwrite:
            refuse_existing(folder, _names(studies, chosen))
        with written_together(folder) as partial, progress_bar() as progress:
            problems = _write(partial, opened, studies, chosen, progress)
            written = sorted(path.name for path in partial.iterdir())
            if not written:
                raise InputError(f"Nothing could be exported. {_told(problems)}")
        if not opened.read_only:
            opened.log_event("exported", {"format": ",".join(chosen), "studies": len(studies) - len(problems)})
    for name in written:
        say(str(folder / name))
    # Segmentations of phases that the RV no longer has of its own, say. What failed keeps its older files.
    remove_stale(
        folder, set(_names_of_studies([s for s in studies if s.study_id not in problems], chosen)) - set(written)
    )
    if problems:
        raise ProjectError(f"{len(problems)} of {len(studies)} studies are not complete. {_told(problems)}")


def _told(problems: Mapping[str, str]) -> str:
    return " ".join(f"{study}: {reason}" for study, reason in problems.items())


def _formats(text: str) -> list[Format]:
    from cinema_core.errors import InputError

    chosen = []
    for name in dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()):
        if name not in list(Format):
            raise InputError(f"The format {name!r} is not known. {CHOICES}")
        chosen.append(Format(name))
    if not chosen:
        raise InputError(f"No format was given. {CHOICES}")
    return chosen


def _labelled(project: Project) -> list[StudyRecord]:
    from cinema_core.errors import ProjectError

    studies = [study for study in project.studies() if project.states(study.study_id)]
    if not studies:
        raise ProjectError(f"{project.folder} holds no labels to export. Segment a study in it first.")
    return studies


def _names(studies: list[StudyRecord], formats: list[Format]) -> list[str]:
    """Every file that may be written."""
    of_all = {Format.CSV: [REPORT, PROVENANCE], Format.EFFORT: [EFFORT]}
    return [name for kind in formats for name in of_all.get(kind, [])] + _names_of_studies(studies, formats)


def _names_of_studies(studies: list[StudyRecord], formats: list[Format]) -> list[str]:
    """Those that are of one study each."""
    from cinema_app.details import details_paths
    from cinema_app.dicom_export import pdf_name, sc_names, seg_names, sr_name

    names = []
    for found in (study.study_id for study in studies):
        of_study = {
            Format.DETAILS: [path.name for path in details_paths(Path(_document_name(found, Format.CSV)))],
            Format.PDF: [_document_name(found, Format.PDF)],
            Format.HTML: [_document_name(found, Format.HTML)],
            Format.FHIR: [_fhir_name(found)],
            Format.NIFTI: [_labels_name(found)],
            Format.DICOM_SEG: seg_names(found),
            Format.DICOM_SR: [sr_name(found)],
            Format.DICOM_PDF: [pdf_name(found)],
            Format.DICOM_SC: sc_names(found),
        }
        names += [name for kind in formats for name in of_study.get(kind, [])]
    return names


def _document_name(study_id: str, kind: Format) -> str:
    return f"report-{study_id}.{kind.value}"


def _fhir_name(study_id: str) -> str:
    return f"fhir-{study_id}.json"


def _labels_name(study_id: str) -> str:
    return f"labels-{study_id}.nii.gz"


def _write(
    folder: Path, project: Project, studies: list[StudyRecord], formats: list[Format], progress: Progress
) -> dict[str, str]:
    """Write all that can be written; returns what could not, one sentence per study."""
    from cinema_app.results import write_json
    from cinema_app.teaching import read_with_notes
    from cinema_core.cards import list_models
    from cinema_core.errors import CinemaError, StorageError
    from cinema_core.io import write_labels
    from cinema_core.project import study_snapshot
    from cinema_core.report import report_row, result_provenance, write_report
    from cinema_core.report.from_project import project_result

    cards = list_models(project.models_folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows, origins, effort = [], [], {}
    problems: dict[str, str] = {}
    for k, study in enumerate(studies):
        progress(k / len(studies), study.study_id)
        try:
            cine, notes = read_with_notes(study, project.import_choices)
            snapshot = study_snapshot(project, study.study_id)
            if Format.NIFTI in formats:
                write_labels(folder / _labels_name(study.study_id), snapshot.labels, cine)
            if Format.EFFORT in formats:
                effort[study.study_id] = project.effort(study.study_id, cine.geometry.pixel_spacing_mm)
            if MEASURED & set(formats):
                result = project_result(snapshot, cine, cards, notes=notes, created_utc=now)
                if Format.CSV in formats:
                    rows.append(report_row(result))
                    origins.append(result_provenance(result))
                _write_result(folder, result, snapshot.labels, formats)
        except StorageError:
            raise  # the next study would not fit either
        except CinemaError as error:
            problems[study.study_id] = str(error)
    if rows:
        write_report(folder / REPORT, rows)
        write_json(folder / PROVENANCE, {"studies": origins})
    if effort:
        _write_effort(folder / EFFORT, effort)
    return problems


def _write_result(folder: Path, result: StudyResult, labels: NDArray[np.uint8], formats: list[Format]) -> None:
    """Write all files that are of this study alone."""
    from cinema_app import dicom_export
    from cinema_app.details import write_details
    from cinema_core.disk import write_whole
    from cinema_core.report.document import write_document
    from cinema_core.report.fhir import fhir_text

    if Format.DETAILS in formats:
        write_details(folder / _document_name(result.study_id, Format.CSV), result, labels)
    for kind in DOCUMENTS:
        if kind in formats:
            write_document(folder / _document_name(result.study_id, kind), result, labels)
    if Format.FHIR in formats:
        write_whole(folder / _fhir_name(result.study_id), fhir_text(result).encode("utf-8"), "The measures")
    if Format.DICOM_SEG in formats:
        dicom_export.write_segmentations(folder, result, labels)
    if Format.DICOM_SR in formats:
        dicom_export.write_structured_report(folder, result)
    if Format.DICOM_PDF in formats:
        dicom_export.write_pdf(folder, result, labels)
    if Format.DICOM_SC in formats:
        dicom_export.write_key_images(folder, result, labels)


def _write_effort(path: Path, effort: dict[str, Effort]) -> None:
    """Write one line per study; numbers only."""
    import csv
    from dataclasses import asdict

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study_id", *asdict(next(iter(effort.values())))])
        for study_id, found in effort.items():
            writer.writerow([study_id, *(round(value, 1) for value in asdict(found).values())])
