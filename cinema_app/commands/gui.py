"""``cinema gui``: the desktop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def gui(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Study to open: a DICOM folder or a NIfTI file.")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Project that keeps the labels, NAME.cinema; made if absent. Default: your own."
        ),
    ] = None,
) -> None:
    """Open the window.

    Example: cinema gui STUDY_FOLDER --project heart.cinema
    """
    from cinema_app.app import Desktop, log_to_file, require_display

    require_display()
    log_to_file()
    Desktop.open(paths or [], project).run()
