"""``cinema inspect``: what a folder or file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cinema_core.cine import Cine
    from cinema_core.io import RefusedFile, Study


def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="DICOM folder, DICOMDIR, zip archive, NIfTI file or ACDC patient folder."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """List the cines of every study at a place, with what is doubtful about them and which files were refused.

    Example: cinema inspect STUDY_FOLDER
    """
    from cinema_app.terminal import progress_bar, say_json
    from cinema_core.io import load_studies

    found = []
    with progress_bar() as progress:
        for study in load_studies(path, progress=progress):
            if not as_json:
                _tell(study)
            # Only what is said of it: the pixels of twenty studies would not fit.
            found.append(study.to_json())
    if as_json:
        say_json(
            {
                "cines": [cine for study in found for cine in study["cines"]],
                "refused": [file for study in found for file in study["refused"]],
                "studies": [study["study"] for study in found],
                "n_files": sum(study["n_files"] for study in found),
                "notes": [note for study in found for note in study["notes"]],
                "repeats": {study["study"]: study["repeats"] for study in found if study["repeats"]},
            }
        )


def _tell(study: Study) -> None:
    from cinema_app.terminal import say, say_table

    say(f"{study.id}: {len(study.cines)} cine{'s' if len(study.cines) != 1 else ''}")
    headings = ("Cine", "View", "Sure", "Slices", "Phases", "Size", "Pixel mm", "Step mm", "RR ms")
    say_table(headings, [_row(cine) for cine in study.cines])
    for cine in study.cines:
        for warning in cine.warnings:
            say(f"{cine.id}: {warning}")
    for note in study.report.notes:
        say(note)
    for line in _refusals(study.report.refused):
        say(line)


def _row(cine: Cine) -> tuple[str, ...]:
    from cinema_app.terminal import number

    stated = cine.geometry.spacing_is_stated
    spacing = sorted({f"{mm:.2f}" for mm in cine.geometry.pixel_spacing_mm}) if stated else ["-"]
    rr_ms = sorted({f"{rr:.0f}" for rr in cine.timing.rr_ms}, key=float)
    return (
        cine.id,
        cine.view.value,
        f"{cine.view_confidence:.1f}",
        str(cine.n_slices),
        str(cine.n_phases),
        f"{cine.shape[2]}x{cine.shape[3]}",
        "x".join(spacing),
        number(cine.geometry.slice_step_mm),
        "-".join(rr_ms[:: max(len(rr_ms) - 1, 1)]) or "-",
    )


def _refusals(refused: Sequence[RefusedFile]) -> list[str]:
    """One line per reason: a folder may hold hundreds of files that are refused for the same one."""
    by_reason: dict[str, list[str]] = {}
    for file in refused:
        by_reason.setdefault(file.reason, []).append(file.path)
    return [
        f"Not used: {paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
        for reason, paths in by_reason.items()
    ]
