"""``cinema export``: the results of a project as files."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from cinema_core.cards import ModelCard
    from cinema_core.cine import Cine
    from cinema_core.progress import Progress
    from cinema_core.project import Project, StudyRecord, StudySnapshot
    from cinema_core.report import ReportRow

REPORT: Final = "report.csv"


class Format(StrEnum):
    """What can be written."""

    CSV = "csv"
    NIFTI = "nifti"


LATER: Final = ("pdf", "dicom-seg", "dicom-sr")
"""Formats that are planned; asking for one is no typing mistake."""


def export(
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project, NAME.cinema.")],
    formats: Annotated[str, typer.Option("--format", metavar="LIST", help="csv, nifti, or both: csv,nifti")] = "csv",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where files go. Default: a new folder in the project's exports.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
) -> None:
    """Write the report of every study of a project (csv), and its labels on the study's own grid (nifti).

    Example: cinema export --project heart.cinema --format csv,nifti --out results
    """
    from cinema_app.results import refuse_existing, written_together
    from cinema_app.terminal import progress_bar, say
    from cinema_core.errors import InputError, ProjectError
    from cinema_core.project import Project

    chosen = _formats(formats)
    with Project.open(project) as opened:
        studies = _labelled(opened)
        folder = out or opened.folder / "exports" / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S")
        names = [REPORT] if Format.CSV in chosen else []
        if Format.NIFTI in chosen:
            names += [_labels_name(study) for study in studies]
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
            why = "is not available yet" if name in LATER else "is not known"
            raise InputError(f"The format {name!r} {why}. Choose csv or nifti.")
        chosen.append(Format(name))
    if not chosen:
        raise InputError("No format was given. Choose csv or nifti.")
    return chosen


def _labelled(project: Project) -> list[StudyRecord]:
    from cinema_core.errors import ProjectError

    studies = [study for study in project.studies() if project.states(study.study_id)]
    if not studies:
        raise ProjectError(f"{project.folder} holds no labels to export. Segment a study in it first.")
    return studies


def _labels_name(study: StudyRecord) -> str:
    return f"labels-{study.study_id}.nii.gz"


def _write(
    folder: Path, project: Project, studies: list[StudyRecord], formats: list[Format], progress: Progress
) -> list[str]:
    """Write all that can be written; returns what could not, one sentence per study."""
    from cinema_app.teaching import read_again
    from cinema_core.errors import CinemaError, StorageError
    from cinema_core.io import write_labels
    from cinema_core.project import study_snapshot
    from cinema_core.report import write_report

    rows, problems = [], []
    for k, study in enumerate(studies):
        progress(k / len(studies), study.study_id)
        try:
            cine = read_again(study, project.import_choices)
            snapshot = study_snapshot(project, study.study_id)
            if Format.NIFTI in formats:
                write_labels(folder / _labels_name(study), snapshot.labels, cine)
            if Format.CSV in formats:
                rows.append(_row(project, snapshot, cine))
        except StorageError:
            raise  # the next study would not fit either
        except CinemaError as error:
            problems.append(f"{study.study_id}: {error}")
    if rows:
        write_report(folder / REPORT, rows)
    return problems


def _row(project: Project, snapshot: StudySnapshot, cine: Cine) -> ReportRow:
    """Row of the report.

    Raises
    ------
    InputError
        If the study cannot be measured as it is.
    """
    from cinema_core import __version__
    from cinema_core.cine import View
    from cinema_core.errors import PhaseError, StudyError
    from cinema_core.measure import ventricular_function
    from cinema_core.report import report_row

    if cine.view is not View.SAX:
        raise StudyError(f"Volumes come from the short axis; this is a cine of the view {cine.view.value}.")
    if not snapshot.labelled_phases:
        raise PhaseError("No phase has labels on all of its slices. Segment or draw the missing ones.")
    chosen = snapshot.phases
    function = ventricular_function(
        snapshot.labels,
        cine,
        phases=snapshot.labelled_phases,
        ed_phase=chosen.ed_phase if chosen else None,
        es_phase=chosen.es_phase if chosen else None,
        rv_ed_phase=chosen.rv_ed_phase if chosen else None,
        rv_es_phase=chosen.rv_es_phase if chosen else None,
    )
    reader = snapshot.approved_by if _is_accepted(snapshot) else ""
    return report_row(
        snapshot.study.study_id,
        cine,
        function,
        reader=reader,
        status="approved" if reader else "draft",
        corrected_slices=snapshot.corrected_slices,
        accepted_slices=snapshot.accepted_slices,
        card=_card(project, snapshot),
        software_version=__version__,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _is_accepted(snapshot: StudySnapshot) -> bool:
    """Whether every slice of the chosen ED and ES is accepted."""
    from cinema_core.anatomy import LabelState

    chosen = snapshot.phases
    return chosen is not None and all(
        snapshot.states[t, z] is LabelState.ACCEPTED
        for t in (chosen.ed_phase, chosen.es_phase)
        for z in range(snapshot.study.shape[1])
    )


def _card(project: Project, snapshot: StudySnapshot) -> ModelCard | None:
    """Card of the weights that the labels came from, which may not be those in use now; None if a hand drew all."""
    from cinema_core.cards import list_models

    by_hash = {card.sha256: card for card in list_models(project.models_folder)}
    return next((by_hash[sha256] for sha256 in snapshot.label_models if sha256 in by_hash), None)
