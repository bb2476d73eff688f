"""Two volumes instead of a cycle: end-diastole and end-systole, as files or as an ACDC patient folder."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.cine import Cine, Patient
from cinema_core.errors import GeometryError, StudyError
from cinema_core.io.nifti import ASSUMED, NiftiImage, assumed_view, is_image, read_image
from cinema_core.io.study import ImportReport, RefusedFile, Study, content_pseudonym

SAME_PLACE_MM: Final = 0.5
"""Two volumes of one examination lie on the same grid; more than this is another stack."""

ACDC_VIEW_CONFIDENCE: Final = 0.9
"""The ACDC format holds short-axis stacks only (Bernard et al., IEEE TMI 2018)."""

_ACDC_LABEL: Final = re.compile(r"_(gt|scribble)\.nii(\.gz)?$", re.IGNORECASE)
_FRAME: Final = re.compile(r"_frame(\d+)\.nii(\.gz)?$", re.IGNORECASE)


def load_pair(ed: Path | str, es: Path | str) -> Study:
    """Open two 3-D NIfTI files, end-diastole and end-systole, as a cine of two phases.

    Raises
    ------
    StudyError
        If a file cannot be read or holds more than one phase.
    GeometryError
        If the two do not lie on one grid.
    """
    ed, es = Path(ed), Path(es)
    cine, notes = _pair(ed, es)
    return Study(content_pseudonym([cine]), ed, (cine,), ImportReport((), notes))


def is_acdc(folder: Path) -> bool:
    """Whether a folder is one ACDC patient."""
    return (folder / "Info.cfg").is_file() and bool(_frames(folder))


def load_acdc(folder: Path) -> Study:
    """Open an ACDC patient folder: frames named by number, ``Info.cfg`` says which are ED and ES.

    Raises
    ------
    StudyError
        If ``Info.cfg`` does not name ED and ES, or one of their frames is missing.
    GeometryError
        If the two do not lie on one grid.
    """
    info = read_info(folder / "Info.cfg")
    frames = _frames(folder)
    paths = []
    for name in ("ED", "ES"):
        number = info.get(name, "")
        if not number.isdigit() or int(number) not in frames:
            raise StudyError(
                f"{folder / 'Info.cfg'}: {name} is {number or 'not given'!r} but the frames are "
                f"{', '.join(map(str, sorted(frames)))}. Complete the folder or give both files with --ed and --es."
            )
        paths.append(frames[int(number)])
    cine, notes = _pair(*paths)
    patient = Patient(height_m=_positive(info.get("Height"), 100), weight_kg=_positive(info.get("Weight"), 1))
    cine = replace(cine, patient=patient, view_confidence=ACDC_VIEW_CONFIDENCE)
    notes = (
        f"ACDC folder: frame {info['ED']} is end-diastole and frame {info['ES']} is end-systole (Info.cfg).",
        *notes[1:],
    )
    others = sorted(path for path in folder.iterdir() if is_image(path) and path not in paths)
    refused = tuple(RefusedFile(str(path), _why_not_used(path)) for path in others)
    return Study(content_pseudonym([cine]), folder, (cine,), ImportReport(refused, notes))


def _why_not_used(path: Path) -> str:
    """Say why an image of an ACDC folder is neither ED nor ES."""
    if _ACDC_LABEL.search(path.name):
        return "a label image by its name"
    if _FRAME.search(path.name):
        return "neither the ED nor the ES frame that Info.cfg names"
    return "not a frame of the pair; open it by itself"


def _pair(ed: Path, es: Path) -> tuple[Cine, tuple[str, ...]]:
    images = [read_image(ed), read_image(es)]
    for path, image in zip((ed, es), images, strict=True):
        if image.voxels.shape[0] != 1:
            raise StudyError(
                f"{path} holds {image.voxels.shape[0]} phases; one of a pair holds one. Open it by itself as a cine."
            )
    _check_same_grid(ed, es, *images)
    first, second = images
    pixels = np.concatenate([first.voxels, second.voxels])  # 2 x (1, z, y, x) -> (2, z, y, x)
    view, confidence = assumed_view(pixels.shape[1])
    warnings = (
        *dict.fromkeys((*first.remarks, *second.remarks)),
        "Two phases only: ED and ES as given; there is no volume curve and no heart rate.",
    )
    cine = Cine(view.value, pixels, first.geometry, view, confidence, warnings=warnings, phase_names=("ed", "es"))
    return cine, (
        "Pair of files: the first is end-diastole, the second end-systole.",
        f"View {view.value}: {ASSUMED} ({pixels.shape[1]}).",
    )


def _check_same_grid(ed: Path, es: Path, first: NiftiImage, second: NiftiImage) -> None:
    sizes = [" x ".join(map(str, image.voxels.shape[1:])) for image in (first, second)]
    if sizes[0] != sizes[1]:
        raise GeometryError(
            f"{ed} has {sizes[0]} voxels but {es} has {sizes[1]} (slices x rows x columns). "
            "Choose ED and ES of the same stack."
        )
    _, n_slices, rows, columns = first.voxels.shape
    corners = np.array([[x, y, z, 1] for x in (0, columns - 1) for y in (0, rows - 1) for z in (0, n_slices - 1)]).T
    apart = (first.geometry.affine() - second.geometry.affine()) @ corners
    distance_mm = float(np.linalg.norm(apart[:3], axis=0).max())
    if distance_mm > SAME_PLACE_MM:
        raise GeometryError(
            f"{ed} and {es} lie up to {distance_mm:.1f} mm apart in the patient. Choose ED and ES of the same stack."
        )


def _frames(folder: Path) -> dict[int, Path]:
    """Image files by frame number."""
    found = ((path, _FRAME.search(path.name)) for path in sorted(folder.iterdir()))
    return {int(match.group(1)): path for path, match in found if match}


def read_info(path: Path) -> dict[str, str]:
    """Read the ``key: value`` lines of an ``Info.cfg``.

    Raises
    ------
    StudyError
        If it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} cannot be read. Copy the patient folder again.") from error
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _positive(text: str | None, per_unit: float) -> float | None:
    try:
        value = float(text or "") / per_unit
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None
