"""The structures that a short-axis label image names."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

UNLABELLED: Final = 255
"""Label value of voxels about which the reader said nothing."""

_OUTSIDE: Final = 16
"""Label values from here to 31 name no structure but those that a voxel does not belong to; see `outside_of`."""

MYOCARDIAL_DENSITY_G_PER_ML: Final = 1.05
"""Schulz-Menger et al., J Cardiovasc Magn Reson 22:19 (2020)."""


class Structure(IntEnum):
    """Label value of each structure; papillary muscles count as cavity."""

    BACKGROUND = 0
    RV_CAVITY = 1
    LV_MYOCARDIUM = 2
    LV_CAVITY = 3

    @property
    def display_name(self) -> str:
        """Name as shown to the reader."""
        return _TITLES[self]

    @property
    def key(self) -> str:
        """Short name used in tables: ``rv``, ``myo``, ``lv``."""
        return _KEYS[self]

    @property
    def colour(self) -> str:
        """Overlay colour ``#rrggbb``; the three differ for colour-blind readers too (Okabe-Ito)."""
        return _COLOURS[self]

    @property
    def snomed_ct(self) -> str:
        """SNOMED CT code of the structure (DICOM scheme ``SCT``)."""
        return _SNOMED[self]


_TITLES = {
    Structure.BACKGROUND: "Background",
    Structure.RV_CAVITY: "RV cavity",
    Structure.LV_MYOCARDIUM: "LV myocardium",
    Structure.LV_CAVITY: "LV cavity",
}
_KEYS = {
    Structure.BACKGROUND: "background",
    Structure.RV_CAVITY: "rv",
    Structure.LV_MYOCARDIUM: "myo",
    Structure.LV_CAVITY: "lv",
}
_COLOURS = {
    Structure.BACKGROUND: "#000000",
    Structure.RV_CAVITY: "#56b4e9",
    Structure.LV_MYOCARDIUM: "#f0e442",
    Structure.LV_CAVITY: "#d55e00",
}
_SNOMED = {
    Structure.BACKGROUND: "",
    Structure.RV_CAVITY: "53085002",
    Structure.LV_MYOCARDIUM: "49848007",
    Structure.LV_CAVITY: "87878005",
}

FOREGROUND: Final = (Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY)

VENTRICLES: Final = (Structure.LV_CAVITY, Structure.RV_CAVITY)
"""Cavities that have an ejection fraction."""

BORDERS: Final = (
    (Structure.RV_CAVITY, (Structure.RV_CAVITY,)),
    # The outer border of the muscle; its inner one is that of the cavity, and would be drawn twice.
    (Structure.LV_MYOCARDIUM, (Structure.LV_MYOCARDIUM, Structure.LV_CAVITY)),
    (Structure.LV_CAVITY, (Structure.LV_CAVITY,)),
)
"""The contours of a slice: the structure whose colour each has, and the structures that it goes around."""


def outside_of(drawn: Iterable[Structure]) -> int:
    """Label value of voxels around what was drawn: known to be none of these structures, and nothing else.

    Who drew the left ventricle alone did not say that the rest is background; the right ventricle lies there. The
    value is 16 plus 2 to the power of each structure: 24 is "not LV cavity".
    """
    return _OUTSIDE + sum(1 << structure for structure in set(drawn) & set(FOREGROUND))


OUTSIDE_VALUES: Final = tuple(range(_OUTSIDE + 2, 2 * _OUTSIDE, 2))
"""Every value that `outside_of` gives for one structure or more."""


def may_hold(values: NDArray[Any], structure: Structure) -> NDArray[np.bool_]:
    """Where a label leaves open whether a structure is there; same shape as the label."""
    partly = (values & 0xF0) == _OUTSIDE
    return np.asarray((values == UNLABELLED) | (partly & ((values >> structure) & 1 == 0)))


def without_outside(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels for training and files, where a voxel is a structure, background, or unlabelled (255)."""
    partly = (values & 0xF0) == _OUTSIDE
    return np.where(partly, np.uint8(UNLABELLED), values) if partly.any() else values


class LabelState(StrEnum):
    """How far the label of one slice, a ``(t, z)`` plane, has been looked at."""

    ABSENT = "absent"
    PREDICTED = "predicted"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"

    @property
    def is_teaching(self) -> bool:
        """Whether a reader vouched for the slice, so that a model may learn from it."""
        return self in (LabelState.CORRECTED, LabelState.ACCEPTED)
