"""``cinema export``: the results of a project as files."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from cinema_core.progress import Progress
    from cinema_core.project import Effort, Project, StudyRecord

REPORT: Final = "report.csv"
EFFORT: Final = "effort.csv"
CHOICES: Final = "Choose among csv, pdf, html, nifti, dicom-seg, dicom-sr and effort."


class Format(StrEnum):
    """What can be written."""

    CSV = "csv"
    PDF = "pdf"
    HTML = "html"
    NIFTI = "nifti"
    DICOM_SEG = "dicom-seg"
    DICOM_SR = "dicom-sr"
    EFFORT = "effort"


DOCUMENTS: Final = (Format.PDF, Format.HTML)

MEASURED: Final = {Format.CSV, *DOCUMENTS, Format.DICOM_SEG, Format.DICOM_SR}
"""Formats that need the measures."""


def export(
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project, NAME.cinema.")],
    formats: Annotated[
        str,
        typer.Option("--format", metavar="LIST", help="csv, pdf, html, nifti, dicom-seg, dicom-sr, effort; or csv,pdf"),
    ] = "csv",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where files go. Default: a new folder in the project's exports.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
) -> None:
    """Write the results of all studies of a project: a table (csv), a report each (pdf, html), labels (nifti).

    ``effort`` is what those cost: slices and edits, border redrawn, active time; numbers only, no image data.

    Example: cinema export --project heart.cinema --format csv,nifti --out results

    dicom-seg writes ED and ES as DICOM segmentations, dicom-sr the report as a structured report; both belong to the
    study that was opened from DICOM, and so name the patient as its images do.
    """
    from cinema_app.dicom_export import seg_names, sr_name
    from cinema_app.results import refuse_existing, written_together
    from cinema_app.terminal import progress_bar, say
    from cinema_core.errors import InputError, ProjectError
    from cinema_core.project import Project

    chosen = _formats(formats)
    with Project.open(project) as opened:
        studies = _labelled(opened)
        folder = out or opened.folder / "exports" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
        names = [name for kind, name in ((Format.CSV, REPORT), (Format.EFFORT, EFFORT)) if kind in chosen]
        if Format.NIFTI in chosen:
            names += [_labels_name(study) for study in studies]
        names += [_document_name(study, kind) for kind in DOCUMENTS if kind in chosen for study in studies]
        if Format.DICOM_SEG in chosen:
            names += [name for study in studies for name in seg_names(study.study_id)]
        if Format.DICOM_SR in chosen:
            names += [sr_name(study.study_id) for study in studies]
        if not overwrite:
            refuse_existing(folder, names)
        with written_together(folder) as partial, progress_bar() as progress:
            problems = _write(partial, opened, studies, chosen, progress)
            written = sorted(path.name for path in partial.iterdir())
            if not written:
                raise InputError(f"Nothing could be exported. {problems[0]}")
        if not opened.read_only:
            opened.log_event("exported", {"format": ",".join(chosen), "studies": len(studies) - len(problems)})
    for name in written:
        say(str(folder / name))
    if problems:
        raise ProjectError(f"{len(problems)} of {len(studies)} studies are not complete. {' '.join(problems)}")


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


def _document_name(study: StudyRecord, kind: Format) -> str:
    return f"report-{study.study_id}.{kind.value}"


def _labels_name(study: StudyRecord) -> str:
    return f"labels-{study.study_id}.nii.gz"


def _write(
    folder: Path, project: Project, studies: list[StudyRecord], formats: list[Format], progress: Progress
) -> list[str]:
    """Write all that can be written; returns what could not, one sentence per study."""
    from cinema_app.dicom_export import write_segmentations, write_structured_report
    from cinema_app.teaching import read_with_notes
    from cinema_core.cards import list_models
    from cinema_core.errors import CinemaError, StorageError
    from cinema_core.io import write_labels
    from cinema_core.project import study_snapshot
    from cinema_core.report import report_row, write_report
    from cinema_core.report.document import write_document
    from cinema_core.report.from_project import project_result

    cards = list_models(project.models_folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    rows, effort, problems = [], {}, []
    for k, study in enumerate(studies):
        progress(k / len(studies), study.study_id)
        try:
            cine, notes = read_with_notes(study, project.import_choices)
            snapshot = study_snapshot(project, study.study_id)
            if Format.NIFTI in formats:
                write_labels(folder / _labels_name(study), snapshot.labels, cine)
            if Format.EFFORT in formats:
                effort[study.study_id] = project.effort(study.study_id, cine.geometry.pixel_spacing_mm)
            if MEASURED & set(formats):
                result = project_result(snapshot, cine, cards, notes=notes, created_utc=now)
            if Format.CSV in formats:
                rows.append(report_row(result))
            for kind in DOCUMENTS:
                if kind in formats:
                    write_document(folder / _document_name(study, kind), result, snapshot.labels)
            if Format.DICOM_SEG in formats:
                write_segmentations(folder, result, snapshot.labels)
            if Format.DICOM_SR in formats:
                write_structured_report(folder, result)
        except StorageError:
            raise  # the next study would not fit either
        except CinemaError as error:
            problems.append(f"{study.study_id}: {error}")
    if rows:
        write_report(folder / REPORT, rows)
    if effort:
        _write_effort(folder / EFFORT, effort)
    return problems


def _write_effort(path: Path, effort: dict[str, Effort]) -> None:
    """Write one line per study; numbers only."""
    import csv
    from dataclasses import asdict

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study_id", *asdict(next(iter(effort.values())))])
        for study_id, found in effort.items():
            writer.writerow([study_id, *(round(value, 1) for value in asdict(found).values())])
