"""How differently a model drew the mirror images of a cine: found when it segments, kept in the project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class SliceMirrors(NamedTuple):
    """How differently the mirror images of one slice were drawn.

    Attributes
    ----------
    disagreement
        One minus the mean Dice between what each answer draws and what their mean draws; 0 (the same) to 1.
    lv_spread_px, rv_spread_px
        Largest less smallest area of each cavity among the answers, in pixels of the cine.
    """

    disagreement: float
    lv_spread_px: float
    rv_spread_px: float


@dataclass(frozen=True, eq=False)
class MirrorAnswers:
    """The same of every slice of a cine.

    Attributes
    ----------
    values
        float32, shape (t, z, 3), in the order of :class:`SliceMirrors`; NaN where it is not known.
    """

    values: NDArray[np.float32]

    @classmethod
    def unknown(cls, n_phases: int, n_slices: int) -> MirrorAnswers:
        """Make an object that knows nothing yet."""
        return cls(np.full((n_phases, n_slices, len(SliceMirrors._fields)), np.nan, dtype=np.float32))

    @property
    def disagreement(self) -> NDArray[np.float32]:
        """Shape (t, z)."""
        return self.values[..., 0]

    @property
    def lv_spread_px(self) -> NDArray[np.float32]:
        """Shape (t, z)."""
        return self.values[..., 1]

    @property
    def rv_spread_px(self) -> NDArray[np.float32]:
        """Shape (t, z)."""
        return self.values[..., 2]

    def at(self, t: int, z: int) -> SliceMirrors | None:
        """How it was with one slice; None if that is not known."""
        of_slice: list[Any] = self.values[t, z].tolist()
        return None if np.isnan(of_slice).any() else SliceMirrors(*of_slice)
