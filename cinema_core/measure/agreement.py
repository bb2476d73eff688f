"""How well two segmentations agree. Without torch, so that the window may use it; the tests hold it to MONAI's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.errors import LabelError

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def dice(pred: Labels, truth: Labels, structure: Structure, ignore: int = UNLABELLED) -> float:
    """Overlap of a structure: twice the common voxels over the sum of both (Dice, Ecology 26:297, 1945).

    Parameters
    ----------
    pred, truth
        Labels of one shape, with any number of axes.
    ignore
        Value in ``truth`` of voxels that do not count, whatever was predicted there.

    Returns
    -------
    0 to 1; NaN where neither shows the structure: nothing was asked, so nothing was right or wrong.

    Raises
    ------
    LabelError
        If the shapes differ.
    """
    a, b = _masks(pred, truth, structure, ignore)
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")


def hd95_mm(
    pred: Labels, truth: Labels, structure: Structure, spacing_mm: tuple[float, ...], ignore: int = UNLABELLED
) -> float:
    """95th percentile of the distance from each surface to the other; the larger of the two directions, in mm.

    The surface is the voxels of the structure that have a face neighbour outside it or outside the image.

    Parameters
    ----------
    pred, truth
        Labels of one shape.
    spacing_mm
        Voxel size along each axis of the labels, for (z, y, x): slice step, row, column.
    ignore
        Value in ``truth`` of voxels that do not count; surfaces end there.

    Returns
    -------
    NaN where one of them does not show the structure: there is no surface to measure to.

    Raises
    ------
    LabelError
        If the shapes differ.

    References
    ----------
    Huttenlocher et al., IEEE TPAMI 15:850 (1993).
    """
    to_b, to_a = _surface_distances_mm(*_masks(pred, truth, structure, ignore), spacing_mm)
    if not to_b.size:
        return float("nan")
    return float(max(np.percentile(to_b, 95), np.percentile(to_a, 95)))


def mean_surface_distance_mm(
    pred: Labels, truth: Labels, structure: Structure, spacing_mm: tuple[float, ...], ignore: int = UNLABELLED
) -> float:
    """Mean distance from one surface to the other, over the voxels of both surfaces, in mm.

    Parameters and errors are those of :func:`hd95_mm`, as is what counts as surface.

    Returns
    -------
    NaN where one of them does not show the structure.

    References
    ----------
    Heimann et al., IEEE TMI 28:1251 (2009): average symmetric surface distance.
    """
    distances = np.concatenate(_surface_distances_mm(*_masks(pred, truth, structure, ignore), spacing_mm))
    return float(distances.mean()) if distances.size else float("nan")


def _surface_distances_mm(
    a: Mask, b: Mask, spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each surface voxel of either mask to the other's surface; empty where one mask is."""
    if not a.any() or not b.any():
        return np.empty(0), np.empty(0)
    # Every surface voxel lies in the box around both, so distances in the box are those of the whole image.
    [box] = ndimage.find_objects((a | b).astype(np.int8))
    surface_a, surface_b = (mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (a, b))
    to_b = ndimage.distance_transform_edt(~surface_b, sampling=spacing_mm)[surface_a]
    to_a = ndimage.distance_transform_edt(~surface_a, sampling=spacing_mm)[surface_b]
    return to_b, to_a


def _masks(pred: Labels, truth: Labels, structure: Structure, ignore: int) -> tuple[Mask, Mask]:
    if pred.shape != truth.shape:
        raise LabelError(f"Labels of shape {pred.shape} cannot be compared with labels of shape {truth.shape}.")
    known = truth != ignore
    return (pred == structure) & known, (truth == structure) & known
