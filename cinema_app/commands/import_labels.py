"""``cinema import-labels``: contours that were drawn elsewhere, into a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_labels(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="DICOM folder, NIfTI file or ACDC patient folder.")],
    labels: Annotated[
        Path,
        typer.Argument(metavar="LABELS", help="Folder of Sunnybrook contours, .cvi42wsx, DICOM SEG or NIfTI labels."),
    ],
    project: Annotated[Path, typer.Option(metavar="DIR", help="The project, NAME.cinema; made if absent.")],
    study_id: Annotated[
        str | None, typer.Option("--study", metavar="ID", help="Study to take, where there are several.")
    ] = None,
    label_order: Annotated[
        str | None, typer.Option(metavar="NAME", help="What NIfTI values mean: cinema, acdc, mnms or mnms2.")
    ] = None,
    phase: Annotated[int | None, typer.Option(metavar="N", min=1, help="Phase that 3-D labels belong to.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take them also where you corrected or accepted a slice.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Take contours or labels from elsewhere into a project, as accepted.

    Example: cinema import-labels STUDY_FOLDER CONTOUR_FOLDER --project heart.cinema

    Where only some structures were drawn, the others are not measured, and nothing is learned about them.
    """
    from cinema_app.opening import open_study
    from cinema_app.reading import Reading
    from cinema_app.terminal import progress_bar, say_json
    from cinema_core.engine.client import EngineClient
    from cinema_core.project import Project

    with progress_bar() as progress:
        opened = open_study(study, study=study_id, progress=progress)
    with Project.open(project, create=True) as kept_in, EngineClient() as engine:
        reading = Reading(kept_in, engine)
        reading.show(opened)
        found, kept = reading.import_labels(
            labels, label_order=label_order, phase=None if phase is None else phase - 1, replace=replace
        )
        answer = {"study": reading.study_id, **found.to_json(), "kept": kept}
        measures = reading.measures
    volumes = {
        name: None if measures is None else getattr(measures, name)
        for name in ("lv_edv_ml", "lv_esv_ml", "lv_ef_pct", "lv_mass_g", "rv_edv_ml", "rv_esv_ml", "rv_ef_pct")
    }
    if as_json:
        say_json({**answer, "measures": volumes})
    else:
        _tell(answer, volumes)


def _tell(answer: dict[str, object], volumes: dict[str, float | None]) -> None:
    from cinema_app.terminal import number, say

    say(f"{answer['study']}: {answer['n_slices']} slices from {answer['n_contours']} contours ({answer['origin']})")
    if answer["kept"]:
        say(f"{answer['kept']} slices that you corrected or accepted were kept.")
    if answer["unmatched"]:
        say(f"{answer['unmatched']} images of the source are not in this cine; their contours were not used.")
    names = answer["unknown_names"]
    assert isinstance(names, dict)
    for name, count in names.items():
        say(f"Not used: {name} ({count})")
    refused, notes = answer["refused"], answer["notes"]
    assert isinstance(refused, list)
    assert isinstance(notes, list)
    for file in refused:
        say(f"Not used: {file['path']}: {file['reason']}")
    for note in notes:
        say(str(note))
    say(", ".join(f"{name} {number(value)}" for name, value in volumes.items() if value is not None))
