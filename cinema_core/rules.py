"""Rules of measuring that a reader chooses among; here alone, so that the command line needs no arrays to name them."""

from __future__ import annotations

from enum import StrEnum


class AreaRule(StrEnum):
    """How the area of a structure on a slice is found."""

    PIXELS = "pixels"
    """Pixels whose middle lies inside, counted."""
    CONTOURS = "contours"
    """Polygons through the borders at half a pixel; the muscle lies between epicardium and endocardium."""


class EndSliceRule(StrEnum):
    """What the first and the last slice of a structure stand for."""

    FULL = "full"
    """As much as any other: half way to the neighbour, and as far outwards."""
    HALF = "half"
    """Only the half that faces the heart: the structure ends in the middle of its outermost slices."""


class BsaFormula(StrEnum):
    """How body surface follows from height and weight."""

    MOSTELLER = "Mosteller"
    DUBOIS = "DuBois"


class PapillaryRule(StrEnum):
    """Where papillary muscles inside the LV's contour are counted; each has normal ranges of its own."""

    CAVITY = "cavity"
    MASS = "mass"
