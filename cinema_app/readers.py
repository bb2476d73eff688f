"""Open cine studies from napari: File > Open, drag and drop, sample data, ``viewer.open``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinema_app.sample_data import heart_at, is_sample, synthetic_heart

if TYPE_CHECKING:
    from cinema_core.io import Study

LayerData = tuple[Any, ...]
SUFFIXES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr", ".dcm", ".ima", ".zip", "dicomdir")


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return our reader for a folder, a NIfTI file or a DICOM file; None for anything else."""
    first = path if isinstance(path, str) else path[0]
    if is_sample(first) or Path(first).is_dir() or first.lower().endswith(SUFFIXES):
        return read
    return None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Open a study: in the CineMA panel where there is a window, else as plain layers.

    A study in the panel brings its own layers, so napari is told that there are none to add.
    """
    from cinema_app.app import open_workspace_in_current_viewer
    from cinema_app.opening import open_study

    first = path if isinstance(path, str) else path[0]
    place = synthetic_heart(heart=heart_at(first)) if is_sample(first) else _study_of(Path(first))
    workspace = open_workspace_in_current_viewer()
    if workspace is not None:
        workspace.open(place)
        return [(None,)]
    return [_image_layer(open_study(place))]


def _study_of(path: Path) -> Path:
    """Return the folder of a single DICOM file: one file is one slice of one phase."""
    return path.parent if path.suffix.lower() in (".dcm", ".ima") else path


def _image_layer(study: Study) -> LayerData:
    from cinema_app.layers import AXES, scale_mm
    from cinema_app.reading import first_choice

    cine = first_choice(study)
    meta = {
        "name": cine.view.display_name,
        "scale": scale_mm(cine),
        "axis_labels": AXES,
        "metadata": {"cinema": {"study": study.id, "role": "image"}},
    }
    return (cine.pixels, meta, "image")
