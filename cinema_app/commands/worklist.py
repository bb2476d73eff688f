"""``cinema worklist``: every study below a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def worklist(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="Folder of studies: DICOM, image files, ACDC, M&Ms or M&Ms-2.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """List every study below a folder, from headers and file names; no pixel is read.

    Example: cinema worklist ARCHIVE
    """
    from cinema_app.terminal import progress_bar, say, say_json, say_table
    from cinema_core.io.worklist import open_worklist

    with progress_bar() as progress:
        found = open_worklist(path, progress=progress)
    if as_json:
        entries = [
            {
                "name": entry.name,
                "path": str(entry.path),
                "kind": entry.kind.value,
                "study": entry.study or None,
                "summary": entry.summary,
                "group": entry.group or None,
                "labels": [str(file) for file in entry.labels],
                "label_order": entry.label_order or None,
            }
            for entry in found.entries
        ]
        refused = [{"path": file.path, "reason": file.reason} for file in found.refused]
        say_json({"studies": entries, "refused": refused})
        return
    rows = [
        [entry.name, entry.kind.value, entry.summary, entry.group, f"{len(entry.labels)} files" if entry.labels else ""]
        for entry in found.entries
    ]
    say_table(["Study", "Kind", "Holds", "Group", "Labels"], rows)
    say(f"{len(found.entries)} studies; {len(found.refused)} files belong to none.")
