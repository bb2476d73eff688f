"""``cinema deidentify``: a copy of DICOM studies without the person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cinema_core.io.deidentify import DeidentifiedCopy
    from cinema_core.io.dicom import DicomStudy


def deidentify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="DICOM folder, DICOMDIR or zip archive.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to; made, must be empty.")],
    shift_dates: Annotated[
        bool,
        typer.Option("--shift-dates", help="Move the dates of a person by one secret number of days, not remove them."),
    ] = False,
    keep_characteristics: Annotated[
        bool, typer.Option("--keep-characteristics", help="Keep sex, age, height and weight (for indexed volumes).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Copy DICOM studies without the person they are of (DICOM PS3.15 basic profile); originals stay as they are.

    Example: cinema deidentify STUDY_FOLDER --out OUT

    Names, numbers, dates, free text, private attributes and overlays go; UIDs are replaced so that the files still fit
    together; pixels, geometry and heartbeat stay. Text burnt into pixels is not searched for: look at the images.
    """
    from cinema_app.results import written_together
    from cinema_app.terminal import progress_bar, say, say_json
    from cinema_core.errors import InputError
    from cinema_core.io.deidentify import Rules, copy_study
    from cinema_core.io.dicom import find_studies, nothing_usable
    from cinema_core.io.files import listed
    from cinema_core.io.identities import Identities

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists already and is not empty. Choose another folder.")
    identities = Identities()
    rules = Rules(identities.key, shift_dates, keep_characteristics)
    with written_together(out) as folder, progress_bar() as progress, listed(path) as listing:
        studies, unusable = find_studies(listing.files, progress)
        left_out = [*listing.refused, *unusable]
        if not studies:
            raise nothing_usable(path, left_out)
        copies: list[tuple[DicomStudy, DeidentifiedCopy]] = []
        for study in studies:
            partial = folder / f"copy{len(copies)}"
            copy = copy_study(study, partial, rules, progress)
            left_out += copy.refused
            if copy.files:
                partial.rename(folder / copy.study)
                copies.append((study, copy))
            else:
                partial.rmdir()
        if not copies:
            raise InputError(f"{path}: no image can be given away; {left_out[-1].reason}. Nothing was written.")
    for study, copy in copies:
        identities.remember_file(study.id, study.files[0], path)
        identities.remember_copy(copy.original, copy.study)
    if as_json:
        say_json(
            {
                "copies": [
                    {
                        "study": copy.study,
                        "of": copy.original,
                        "files": len(copy.files),
                        "folder": str(out / copy.study),
                    }
                    for _, copy in copies
                ],
                "left_out": [{"path": file.path, "reason": file.reason} for file in left_out],
            }
        )
        return
    for _, copy in copies:
        say(f"{out / copy.study}: {len(copy.files)} images, a copy of {copy.original}")
    for file in left_out:
        say(f"Left out: {file.path}: {file.reason}")
    say("Look at the images before you give them away: text burnt into pixels is not searched for.")
