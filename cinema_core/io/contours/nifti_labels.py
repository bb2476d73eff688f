"""Label images in NIfTI, whose order of values must be stated: files do not say it, and it differs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io.contours.imported import ImportedLabels
from cinema_core.io.nifti import read_image

ORIGIN: Final = "nifti"

_RV, _MYO, _LV = Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY

LABEL_ORDERS: Final[Mapping[str, Mapping[int, Structure]]] = {
    "cinema": {1: _RV, 2: _MYO, 3: _LV},
    "acdc": {1: _RV, 2: _MYO, 3: _LV},
    "mnms": {1: _LV, 2: _MYO, 3: _RV},
    "mnms2": {1: _LV, 2: _MYO, 3: _RV},
}
"""What the values of known datasets mean; 0 is background, 255 unlabelled.

ACDC: Bernard et al., IEEE TMI 37:2514 (2018). M&Ms: Campello et al., IEEE TMI 40:3543 (2021); M&Ms-2:
Martin-Isla et al., IEEE JBHI 27:3302 (2023)."""

SAME_PLACE_MM: Final = 0.1
"""Corners of image and labels may lie this far apart: affines are stored in single precision."""


def read_nifti_labels(path: Path, cine: Cine, order: str | None, phase: int | None = None) -> ImportedLabels:
    """Read a label image that was drawn on a cine.

    Parameters
    ----------
    path
        3-D or 4-D NIfTI on the grid of the cine.
    order
        What its values mean, a key of :data:`LABEL_ORDERS`.
    phase
        Phase (from 0) that a 3-D image belongs to; None if the cine has one phase.

    Raises
    ------
    LabelError
        If the order is not stated, size or place differ from the cine's, or a value is not in the order.
    """
    if order is None or order not in LABEL_ORDERS:
        raise LabelError(
            f"{path} does not say what its values mean. State it with --label-order: {', '.join(LABEL_ORDERS)}."
        )
    image = read_image(path)
    voxels = image.voxels
    if voxels.shape[1:] != cine.shape[1:] or voxels.shape[0] not in (1, cine.n_phases):
        raise LabelError(
            f"{path} has {' x '.join(map(str, voxels.shape))} voxels, the cine {cine.id} "
            f"{' x '.join(map(str, cine.shape))} (phases x slices x rows x columns). Choose the labels of this cine."
        )
    _check_place(path, image.geometry.affine(), cine)
    if voxels.shape[0] < cine.n_phases and phase is None:
        raise LabelError(f"{path} holds one phase and the cine {cine.id} {cine.n_phases}. Say which with --phase.")
    if phase is not None and not 0 <= phase < cine.n_phases:
        raise LabelError(f"The cine {cine.id} has no phase {phase + 1}; it has {cine.n_phases}. Choose another.")
    meaning = {**LABEL_ORDERS[order], 0: Structure.BACKGROUND}
    unknown = sorted(set(np.unique(voxels).tolist()) - {*meaning, UNLABELLED})
    if unknown:
        raise LabelError(
            f"{path} has the label value {unknown[0]:g}, which the order {order} does not know. State another order."
        )
    table = np.full(256, UNLABELLED, np.uint8)
    for value, structure in meaning.items():
        table[value] = structure
    labels = table[voxels.astype(np.uint8)]
    first = phase if voxels.shape[0] < cine.n_phases and phase is not None else 0
    # A phase without any label was not looked at: background everywhere is no reading of a heart.
    masks = {
        (first + t, z): labels[t, z]
        for t in range(len(labels))
        if ((labels[t] != 0) & (labels[t] != UNLABELLED)).any()
        for z in range(cine.n_slices)
        if cine.has_image(first + t, z) and (labels[t, z] != UNLABELLED).any()
    }
    if not masks:
        raise LabelError(f"{path} is empty: it labels no structure. Choose another file.")
    return ImportedLabels(ORIGIN, masks, len(masks), notes=(f"Label values are read in the order of {order}.",))


def _check_place(path: Path, affine: np.ndarray[tuple[int, ...], np.dtype[np.float64]], cine: Cine) -> None:
    _, n_slices, rows, columns = cine.shape
    corners = np.array([[x, y, z, 1] for x in (0, columns) for y in (0, rows) for z in (0, n_slices)]).T
    apart = float(np.linalg.norm(((affine - cine.geometry.affine()) @ corners)[:3], axis=0).max())
    if apart > SAME_PLACE_MM:
        raise LabelError(
            f"{path} lies up to {apart:.1f} mm from the cine {cine.id}. Choose the labels that were drawn on it."
        )
