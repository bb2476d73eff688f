"""Labelled frames cut into windows of the model's own grid, as prediction cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import TrainingCase
from cinema_core.geometry import GridMap, grid_map, scale_frames
from cinema_core.learn.augment import Sample
from cinema_core.learn.frozen import State, Variant
from cinema_core.models.zoo import ViewSettings
from cinema_core.predict.heart_window import HeartWindow

VALUES: Final = np.array([*Structure, UNLABELLED], dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Window:
    """One window of a case.

    Attributes
    ----------
    planes
        Labelled slices in it: index z in the case, index along the window's last axis.
    looks
        What the frozen part of the model makes of each mirror image that it is shown; empty if no part is frozen.
    heart
        Where its heart lies, to look there only; None if no part is frozen.
    variants
        The window as it is and changed, for learning; empty if no part is frozen.
    """

    sample: Sample
    case: TrainingCase
    planes: tuple[tuple[int, int], ...]
    looks: tuple[State, ...] = ()
    heart: HeartWindow | None = None
    variants: tuple[Variant, ...] = ()


def windows_of(case: TrainingCase, grid: ViewSettings) -> list[Window]:
    """Cut a case around its heart.

    A model that looks at one slice at a time gets one window per labelled slice; one that looks at a stack gets
    the stack, with 255 on the slices that nobody labelled.
    """
    to_grid = case_grid(case, grid)
    image = to_grid.to_model(scale_frames(case.image[None]))[0]  # (x, y, z)
    labels = labels_on(to_grid, case.labels)  # (x, y, z)
    if grid.patch_size[2] == 1:
        return [
            Window(_sample(image[..., z : z + 1], labels[..., z : z + 1]), case, ((z, 0),))
            for z in case.labelled_slices
        ]
    return _stack_windows(case, image, labels, to_grid, grid.patch_size[2])


def case_grid(case: TrainingCase, grid: ViewSettings) -> GridMap:
    """Way from a case's own grid to the model's, around the heart; its own slices if the model sees one at a time."""
    _, rows, columns = case.image.shape
    return grid_map(
        case.geometry,
        case.image.shape,
        case.heart_centre_yx or ((rows - 1) / 2, (columns - 1) / 2),
        (grid.spacing_mm[0], grid.spacing_mm[1], grid.spacing_mm[2]),
        (grid.patch_size[0], grid.patch_size[1]),
        keep_slices=grid.patch_size[2] == 1,
    )


def labels_on(to_grid: GridMap, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (z, y, x) on the model's grid, (x, y, z): the value with the largest share of a voxel.

    Outside the image nothing is known.
    """
    shares = to_grid.to_model((labels[None] == VALUES[:, None, None, None]).astype(np.float32))  # (value, x, y, z)
    shares[-1] += 1 - shares.sum(axis=0)
    return np.asarray(VALUES[shares.argmax(axis=0)])


def _stack_windows(
    case: TrainingCase, image: NDArray[np.float32], labels: NDArray[np.uint8], to_grid: GridMap, depth: int
) -> list[Window]:
    """Windows of a resampled stack; beyond its end it is empty and unlabelled."""
    windows = []
    for first in range(0, image.shape[-1], depth):
        here = slice(first, first + depth)
        fill = ((0, 0), (0, 0), (0, depth - image[..., here].shape[-1]))
        nearest = to_grid.to_z[here].argmax(axis=1)  # native slice of each plane
        planes = tuple((z, int(np.flatnonzero(nearest == z)[0])) for z in case.labelled_slices if z in nearest)
        known = np.pad(labels[..., here], fill, constant_values=UNLABELLED)
        if planes and (known != UNLABELLED).any():
            windows.append(Window(_sample(np.pad(image[..., here], fill), known), case, planes))
    return windows


def _sample(image: NDArray[np.float32], labels: NDArray[np.uint8]) -> Sample:
    return Sample(torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(np.ascontiguousarray(labels)))
