"""``cinema convert``: the cines of a study as NIfTI or DICOM, without the person they are of."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """File format to write."""

    NIFTI = "nifti"
    DICOM = "dicom"
    ENHANCED = "dicom-enhanced"


def convert(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="DICOM folder, zip archive, NIfTI file or ACDC folder.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to; made, must be empty.")],
    to: Annotated[Format, typer.Option("--to", help="What to write.")] = Format.NIFTI,
    study: Annotated[str | None, typer.Option(metavar="ID", help="Study to take, where there are several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Write the cines of a study anew: pixels, geometry and times, no name, date or private tag.

    Example: cinema convert STUDY_FOLDER --out OUT --to nifti

    dicom writes one file per image, dicom-enhanced one file per cine. NIfTI comes with NAME.cine.json, which holds what
    NIfTI cannot: each slice's plane, times, gaps and the view.
    """
    from cinema_app.opening import open_study
    from cinema_app.results import written_together
    from cinema_app.terminal import progress_bar, say, say_json
    from cinema_core.errors import InputError
    from cinema_core.io import write_dicom, write_enhanced_dicom, write_image

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already and is not empty. Choose another folder.")
    with progress_bar() as progress:
        opened = open_study(path, study=study, progress=progress)
    written: list[str] = []
    skipped: list[str] = []
    with written_together(out) as folder:
        for number, cine in enumerate(opened.cines, start=1):
            if to is Format.NIFTI:
                write_image(folder / f"{cine.id}.nii.gz", cine, opened.id)
                written += [f"{cine.id}.nii.gz", f"{cine.id}.cine.json"]
            elif not cine.geometry.spacing_is_stated:
                skipped.append(cine.id)
            elif to is Format.ENHANCED:
                target = folder / f"{cine.id}.dcm"
                write_enhanced_dicom(cine, target, patient_id=opened.id, series_number=number, study_entropy=opened.id)
                written.append(target.name)
            else:
                write_dicom(cine, folder / cine.id, patient_id=opened.id, series_number=number, study_entropy=opened.id)
                written.append(cine.id)
        if not written:
            raise InputError(f"No cine of {path} states its spacing, so none can be written as DICOM. Write NIfTI.")
    if as_json:
        say_json({"study": opened.id, "written": written, "skipped": skipped})
        return
    for name in written:
        say(str(out / name))
    for name in skipped:
        say(f"Not written: {name}, which states no spacing and no positions.")
