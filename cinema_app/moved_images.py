"""Images that are no longer where the project left them: found again by their content, whatever they are called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cinema_core.errors import ProjectError
from cinema_core.io import Study
from cinema_core.project import Project, StudyRecord

FILES: Final = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".zip", ".dcm", ".ima", "dicomdir")
"""How the names of files end that are opened by themselves; anything else was a folder, whatever dots it has."""


def was_a_file(place: Path) -> bool:
    """Whether a place that is gone was a file, by its name."""
    return place.name.lower().endswith(FILES)


def studies_at(project: Project, path: Path | str, study: str | None = None) -> list[StudyRecord]:
    """Cines of one study of the project whose images lay at a place that is not there any more.

    Parameters
    ----------
    study
        Pseudonym of the study; None for the first whose images lay there.

    Returns
    -------
    Nothing if the place is there, or the project does not know it.
    """
    place = Path(path).absolute()
    if place.exists():
        return []
    there = [record for record in project.studies() if record.image_path in (place, place.resolve())]
    wanted = study or (_study_of(there[0]) if there else "")
    return [record for record in there if _study_of(record) == wanted]


def _study_of(record: StudyRecord) -> str:
    """Pseudonym of the study that a cine is of: further cines have their own name behind it."""
    return record.study_id.partition(".")[0]


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
