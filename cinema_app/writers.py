"""Save labels from napari's own dialogs: on the study's grid, with its geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cinema_core.errors import LabelError


def write_labels_nifti(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer of the open study as NIfTI; returns the paths written.

    Raises
    ------
    LabelError
        If the layer does not belong to the study that is open.
    """
    from cinema_app.app import workspace_in_current_viewer
    from cinema_core.io.nifti import write_labels

    mark = meta.get("metadata", {}).get("cinema", {})
    workspace = workspace_in_current_viewer()
    if workspace is None or mark.get("role") != "labels" or mark.get("study") != workspace.reading.study_id:
        raise LabelError("This layer does not belong to the open study. Save the layer that CineMA made.")
    write_labels(Path(path), np.asarray(data, dtype=np.uint8), workspace.reading.cine)
    return [path]
