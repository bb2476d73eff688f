"""A synthetic study as files: 4-D NIfTI, classic DICOM with one file per image, or enhanced DICOM."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from cinema_core.cine import Cine
from cinema_core.errors import InputError, StorageError
from cinema_core.io.dicom_write import write_dicom
from cinema_core.io.dicom_write_enhanced import write_enhanced_dicom
from cinema_core.phantom.study import PhantomStudy

PhantomFormat = Literal["nifti", "dicom", "enhanced"]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's axes to NIfTI's."""


def write_phantom(folder: Path | str, phantom: PhantomStudy, kind: PhantomFormat = "nifti") -> Path:
    """Store a synthetic study; what is returned can be opened by ``load_study``.

    Parameters
    ----------
    folder
        Made if absent. NIfTI: ``cine_sax.nii.gz`` and so on. Classic DICOM: ``dicom/IM0001.dcm`` and on, with a
        folder per view if there is more than one. Enhanced DICOM: ``dicom/sax.dcm`` and so on, one file per view.
        NIfTI does not hold which view a file is; a reader sets that of the long-axis ones by hand.
        Apart from them, for every kind, the truth: ``truth/labels.nii.gz`` of the short axis,
        ``truth/labels_lax_4c.nii.gz`` and so on of the others, and ``truth/heart.json`` with volumes, mass, phases
        and landmarks; measuring the files gives its ``*_discs_*`` values.
    phantom
        The study.
    kind
        File format of the images.

    Returns
    -------
    The image file of the short axis (NIfTI) or the folder of images (DICOM).

    Raises
    ------
    InputError
        If ``kind`` is none of the three.
    StorageError
        If the files cannot be written.
    """
    if kind not in get_args(PhantomFormat):
        raise InputError(f"A synthetic study is written as nifti or dicom or enhanced, not as {kind!r}.")
    folder = Path(folder)
    try:
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        for view in phantom.views:
            name = "labels" if view is phantom.sax else f"labels_{view.cine.id}"
            _write_nifti(folder / "truth" / f"{name}.nii.gz", view.labels, view.cine)
        _write_text(folder / "truth" / "heart.json", json.dumps(truth_of(phantom), indent=2) + "\n")
        if kind == "nifti":
            for view in phantom.views:
                _write_nifti(folder / f"cine_{view.cine.id}.nii.gz", view.cine.pixels, view.cine)
            return folder / "cine_sax.nii.gz"
        # UIDs follow from the pixels, so a rewrite is the same study.
        study = phantom.cine.content_sha256
        for number, view in enumerate(phantom.views, start=1):
            target = folder / "dicom"
            if kind == "enhanced":
                target = target / f"{view.cine.id}.dcm"
            elif phantom.long_axis:
                target = target / view.cine.id
            write: Callable[..., object] = write_enhanced_dicom if kind == "enhanced" else write_dicom
            write(view.cine, target, patient_id=f"PHANTOM-{study[:8]}", series_number=number, study_entropy=study)
        return folder / "dicom"
    except OSError as error:
        raise StorageError(
            f"The synthetic study could not be written to {folder}: {error.strerror or error}. "
            "Choose another folder or free some space."
        ) from error


def truth_of(phantom: PhantomStudy) -> dict[str, Any]:
    """Everything that is known of a heart, as plain values.

    Volumes are of the anatomy itself (``*_ml``) and of perfect contours on the slices (``*_discs_ml``), one per phase;
    landmarks are (x, y) pixels per phase; phases count from 0.
    """
    p = phantom.parameters
    return {
        "parameters": asdict(p),
        "ed_phase": p.ed_phase,
        "es_phase": p.es_phase,
        "lv_edv_ml": p.lv_edv_ml,
        "lv_esv_ml": p.lv_esv_ml,
        "lv_ef_pct": p.lv_ef_pct,
        "rv_edv_ml": p.rv_edv_ml,
        "rv_esv_ml": p.rv_esv_ml,
        "rv_ef_pct": p.rv_ef_pct,
        "lv_mass_g": phantom.lv_mass_g,
        # What measuring these slices must give: a stack sees the heart only as well as its step allows.
        "lv_ef_discs_pct": _ef_pct(phantom.lv_discs_ml, p.ed_phase, p.es_phase),
        "rv_ef_discs_pct": _ef_pct(phantom.rv_discs_ml, p.ed_phase, p.es_phase),
        **{
            name: [round(float(v), 4) for v in getattr(phantom, name)]
            for name in ("lv_ml", "rv_ml", "myo_ml", "lv_discs_ml", "rv_discs_ml", "myo_discs_ml")
        },
        "landmarks_px": {
            view.cine.id: np.round(view.landmarks_px, 3).tolist()
            for view in phantom.long_axis
            if view.landmarks_px is not None
        },
    }


def _ef_pct(volume_ml: NDArray[np.floating], ed_phase: int, es_phase: int) -> float:
    return round(100 * (1 - float(volume_ml[es_phase]) / float(volume_ml[ed_phase])), 3)


def _write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    temporary = path.with_name(f".partial-{path.name}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _write_nifti(path: Path, voxels: NDArray[Any], cine: Cine) -> None:
    """Write (t, z, y, x) voxels in NIfTI's order (x, y, z, t); the file appears whole or not at all."""
    image = nib.Nifti1Image(np.transpose(voxels, (3, 2, 1, 0)), LPS_TO_RAS @ cine.geometry.affine())
    times = cine.timing.trigger_ms
    step_ms = times[1] - times[0] if times and len(times) > 1 else 0.0
    image.header.set_zooms((*image.header.get_zooms()[:3], step_ms))
    image.header.set_xyzt_units("mm", "msec")
    temporary = path.with_name(f".partial-{path.name}")
    nib.save(image, temporary)
    os.replace(temporary, path)
