"""The contours of one phase taken through the cycle along with the heart's motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from cinema_app.contours.drawing import DRAWN_IN_ORDER, Mask, region
from cinema_app.contours.interpolation import mask_distance
from cinema_core.progress import CancelToken, Progress, no_progress

if TYPE_CHECKING:
    import SimpleITK as sitk

MARGIN_MM: Final = 25.0
"""Image around the contours that is compared: as far as the wall moves, and something that does not move."""

ROUNDS: Final = ((4, 40), (2, 40), (1, 20))
"""How much smaller the images are made, and the steps of the demons at that size."""

SMOOTHING_MM: Final = 1.9
"""Standard deviation over which the motion is evened out: half a wall's thickness at half its height."""

EXTREMES: Final = (1.0, 99.0)
"""Percentiles between which grey values are compared."""


@dataclass(frozen=True, eq=False)
class MotionToFollow:
    """One slice through the cycle, and the label to take along.

    Attributes
    ----------
    frames
        Images, shape (t, y, x).
    mask
        Label of phase ``t``, shape (y, x), with something on it.
    spacing_mm
        Between rows and between columns.
    """

    study_id: str
    z: int
    t: int
    frames: NDArray[Any]
    mask: Mask
    spacing_mm: tuple[float, float]


def propagated(
    motion: MotionToFollow, progress: Progress = no_progress, cancel: CancelToken | None = None
) -> dict[int, Mask]:
    """Labels of every other phase of a slice, following the motion from one that is labelled.

    Each phase is registered to the labelled one itself, so that errors do not add up; the search begins with the
    motion found for the phase beside it. From the start it goes both ways around the cycle.

    Returns
    -------
    Labels by phase, without the one that is labelled.

    Raises
    ------
    Cancelled
        If the reader stopped it.

    References
    ----------
    Vercauteren et al., NeuroImage 45:S61-S72 (2009).
    """
    n_t, start, mask = len(motion.frames), motion.t, motion.mask
    window = _around(mask, motion.spacing_mm)
    images = [_image(frame[window], motion.spacing_mm) for frame in motion.frames]
    distances = [(structure, mask_distance(region(mask, border))[window]) for border, structure in DRAWN_IN_ORDER]
    found: dict[int, Mask] = {}
    for way, n in ((1, n_t // 2), (-1, (n_t - 1) // 2)):
        field = None
        for k in range(1, n + 1):
            if cancel is not None:
                cancel.raise_if_cancelled()
            t = (start + way * k) % n_t
            field = _motion(images[t], images[start], field)
            found[t] = np.zeros_like(mask)
            found[t][window] = _moved(distances, field, motion.spacing_mm)
            progress(len(found) / (n_t - 1), f"Following the motion: phase {len(found)} of {n_t - 1}")
    return found


def propagated_slices(
    motions: Sequence[MotionToFollow], progress: Progress = no_progress, cancel: CancelToken | None = None
) -> dict[tuple[int, int], Mask]:
    """Labels of every other phase of several slices, by (t, z), one slice after the other; see :func:`propagated`."""
    found: dict[tuple[int, int], Mask] = {}
    for k, motion in enumerate(motions):
        where = f"slice {motion.z + 1}, " if len(motions) > 1 else ""

        def tell(fraction: float, message: str, /, k: int = k, where: str = where) -> None:
            progress((k + fraction) / len(motions), message.replace(": ", f": {where}", 1))

        found |= {(t, motion.z): mask for t, mask in propagated(motion, tell, cancel).items()}
    return found


def _around(mask: Mask, spacing_mm: tuple[float, float]) -> tuple[slice, slice]:
    spans = []
    for places, spacing, size in zip(np.nonzero(mask), spacing_mm, mask.shape, strict=True):
        margin = round(MARGIN_MM / spacing)
        spans.append(slice(max(0, int(places.min()) - margin), min(size, int(places.max()) + margin + 1)))
    return spans[0], spans[1]


def _image(frame: NDArray[Any], spacing_mm: tuple[float, float]) -> sitk.Image:
    import SimpleITK as sitk

    low, high = np.percentile(frame, EXTREMES)
    # The demons take grey values that differ by less than 0.001 for the same.
    grey = 255 * np.clip((frame - low) / max(high - low, 1e-6), 0, 1)
    image = sitk.GetImageFromArray(grey.astype(np.float32))
    image.SetSpacing(spacing_mm[::-1])
    return image


def _motion(image: sitk.Image, reference: sitk.Image, begin: sitk.Image | None) -> sitk.Image:
    """Displacement in mm, (x, y), from each place of an image to the same tissue in the reference."""
    import SimpleITK as sitk

    field = begin
    for shrink, rounds in ROUNDS:
        one, other = (_smaller(whole, shrink) for whole in (image, reference))
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(rounds)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations([SMOOTHING_MM / spacing for spacing in one.GetSpacing()])
        if field is None:
            field = demons.Execute(one, other)
        else:
            there = sitk.Resample(field, one, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
            field = demons.Execute(one, other, there)
    return field


def _smaller(image: sitk.Image, shrink: int) -> sitk.Image:
    import SimpleITK as sitk

    if shrink == 1:
        return image
    smooth = sitk.SmoothingRecursiveGaussian(image, [shrink * spacing / 2 for spacing in image.GetSpacing()])
    return sitk.Shrink(smooth, [shrink, shrink])


def _moved(
    distances: Sequence[tuple[int, NDArray[np.float64]]], motion: sitk.Image, spacing_mm: tuple[float, float]
) -> Mask:
    import SimpleITK as sitk

    x_mm, y_mm = np.moveaxis(sitk.GetArrayFromImage(motion), -1, 0)
    rows, columns = np.indices(x_mm.shape)
    places = np.stack([rows + y_mm / spacing_mm[0], columns + x_mm / spacing_mm[1]])
    mask = np.zeros(x_mm.shape, np.uint8)
    for structure, distance in distances:
        mask[map_coordinates(distance, places, order=1, mode="nearest") < 0] = structure
    return mask
