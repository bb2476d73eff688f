"""Images that are no longer where the project left them: found again by their content, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cinema_core.errors import ProjectError
from cinema_core.io import Study
from cinema_core.project import Project, StudyRecord


def studies_at(project: Project, path: Path | str) -> list[StudyRecord]:
    """Cines of the project whose images lay at a place that is not there any more; none if the place is there."""
    place = Path(path).absolute()
    if place.exists():
        return []
    return [record for record in project.studies() if record.image_path in (place, place.resolve())]


def remember_place(project: Project, records: Sequence[StudyRecord], study: Study) -> None:
    """Keep where images lie now, after a look at their content.

    Parameters
    ----------
    records
        Cines of one study.
    study
        As read from its new place.

    Raises
    ------
    ProjectError
        If one of the cines is not there with the very content that its labels were drawn on; nothing has changed.
    """
    by_content = {cine.content_sha256: cine for cine in study.cines}
    for record in records:
        if record.content_sha256 not in by_content:
            raise ProjectError(
                f"These are not the images that the labels of {record.study_id} were drawn on: none of the "
                f"{len(study.cines)} cines there has their content ({record.content_sha256[:8]}). Nothing was changed. "
                "Choose another place."
            )
    for record in records:
        cine = by_content[record.content_sha256]
        project.add_study(
            record.study_id, cine.content_sha256, study.path, cine.id, cine.shape, cine.view, patient=record.patient
        )
