"""From drawn outlines to labels: what a source drew, and what it left open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import UNLABELLED, Structure, outside_of
from cinema_core.cine import Cine
from cinema_core.io.study import RefusedFile

Slice = tuple[int, int]
"""Phase and slice (t, z), from 0."""

WHOLE_PHASE: Final = 0.5
"""A phase with at least this share of the slices of the phase with most was drawn from base to apex."""

MIN_POINTS: Final = 3

PARTS: Final = 4
"""Parts of a pixel along each axis by which its coverage is counted."""


class Outline(Enum):
    """Border that a contour follows on the short axis."""

    LV_ENDO = "LV endocardium"
    LV_EPI = "LV epicardium"
    RV_ENDO = "RV endocardium"


@dataclass(frozen=True, eq=False)
class ImportedLabels:
    """Labels from elsewhere, on the grid of a cine.

    Attributes
    ----------
    origin
        What they came from, for the journal: ``sunnybrook``, ``cvi42``, ``dicom-seg``, ``nifti``.
    masks
        uint8 labels (y, x) by (t, z). Where the source drew some structures only, the rest holds a value of
        :func:`~cinema_core.anatomy.outside_of`: it is not background.
    n_contours
        Contours (or segments of an image) that were used.
    unmatched
        Number of images that the source refers to and the cine does not hold.
    unknown_names
        Names of contours or segments that were not used, and how often each comes.
    refused
        Files or contours that could not be used, each with its reason.
    notes
        One line per decision.
    """

    origin: str
    masks: Mapping[Slice, NDArray[np.uint8]]
    n_contours: int
    unmatched: int = 0
    unknown_names: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedFile, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what was found as plain values, without pixels."""
        return {
            "origin": self.origin,
            "n_slices": len(self.masks),
            "phases": sorted({t + 1 for t, _ in self.masks}),
            "n_contours": self.n_contours,
            "unmatched": self.unmatched,
            "unknown_names": dict(self.unknown_names),
            "refused": [{"path": file.path, "reason": file.reason} for file in self.refused],
            "notes": list(self.notes),
        }


def rasterise(points_yx: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that a closed polygon covers, as many as make up its area.

    Pixels are taken by the share of them that is covered, so that no border is given away or won. Taking those whose
    centre is inside made Sunnybrook's volumes 2.5 % too large, as their corners lie on pixel centres.

    Parameters
    ----------
    points_yx
        Corners in pixels, shape (n, 2); pixel centres lie at whole numbers.
    shape
        Rows and columns.

    Returns
    -------
    Shape (y, x).
    """
    window, covered = coverage(points_yx, shape)
    size, first = covered.shape, [side.start for side in window]
    n_pixels = round(float(covered.sum()))
    # Of pixels that are covered equally, those nearer to the middle go first: the shape stays symmetric.
    y, x = np.indices(size)
    middle = points_yx.mean(axis=0) - first
    nearness = 1 / (1 + np.hypot(y - middle[0], x - middle[1]))
    order = np.lexsort((nearness.ravel(), covered.ravel()))[::-1][:n_pixels]
    inside = np.zeros(size[0] * size[1], np.bool_)
    inside[order] = True
    mask = np.zeros(shape, np.bool_)
    mask[window] = inside.reshape(size)
    return mask


def coverage(points_yx: NDArray[np.float64], shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
    """Share of each pixel that a closed polygon covers, around the polygon.

    Parameters
    ----------
    points_yx, shape
        As for :func:`rasterise`.

    Returns
    -------
    Rows and columns of the image around the polygon, and the shares there, 0 to 1.
    """
    limits = np.array(shape)
    first = np.clip(np.floor(points_yx.min(axis=0)).astype(int) - 1, 0, limits)
    last = np.clip(np.ceil(points_yx.max(axis=0)).astype(int) + 2, first, limits)
    size = tuple(int(n) for n in last - first)
    # The middle of part k of a pixel lies at (k + 0.5) / PARTS - 0.5, where corners seldom lie.
    parts = _filled((points_yx - first + 0.5) * PARTS - 0.5, (size[0] * PARTS, size[1] * PARTS))
    window = slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))
    return window, parts.reshape(size[0], PARTS, size[1], PARTS).mean(axis=(1, 3))


def _filled(corners_yx: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Points of a grid inside a closed polygon or on its border.

    Row by row: asking each point (``skimage.draw.polygon``) takes 50 times as long on a contour of 100 corners,
    and a reader who drags one waits for it.
    """
    start, end = corners_yx, np.roll(corners_yx, -1, axis=0)
    rows = np.arange(shape[0])[:, None]
    inside = np.zeros(shape, np.bool_)
    for above in (np.less_equal, np.less):  # a horizontal border belongs to the rows above it, and to those below
        row, edge = np.nonzero(above(start[:, 0], rows) != above(end[:, 0], rows))
        part = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
        column = start[edge, 1] + part * (end[edge, 1] - start[edge, 1])
        order = np.lexsort((column, row))  # every row is entered as often as it is left
        first, last = order[0::2], order[1::2]
        borders = np.zeros((shape[0], shape[1] + 1), np.intp)
        np.add.at(borders, (row[first], np.clip(np.ceil(column[first]), 0, shape[1]).astype(np.intp)), 1)
        np.add.at(borders, (row[last], np.clip(np.floor(column[last]) + 1, 0, shape[1]).astype(np.intp)), -1)
        inside |= np.cumsum(borders, axis=1)[:, :-1] > 0
    return inside


def why_no_outline(points_yx: NDArray[np.float64], shape: tuple[int, int]) -> str:
    """Say why some points make no closed contour in an image; empty if they do."""
    if len(points_yx) < MIN_POINTS:
        return f"a contour of {len(points_yx)} points encloses nothing"
    if not np.isfinite(points_yx).all():
        return "a contour has points that are no numbers"
    # A contour may be drawn over the edge, but one far outside belongs to another image.
    if (points_yx < -1).any() or (points_yx > np.array(shape)).any():
        return "a contour lies outside of the image; it was drawn on another one"
    return ""


def masks_of_outlines(
    outlines: Mapping[Slice, Mapping[Outline, list[NDArray[np.float64]]]], cine: Cine
) -> tuple[dict[Slice, NDArray[np.uint8]], list[str]]:
    """Fill contours and note what remains open around them.

    Parameters
    ----------
    outlines
        Contours (n, 2) in pixels (y, x), by slice and border.
    cine
        Gives the size of the labels.

    Returns
    -------
    Labels by (t, z), and one line per decision. In phases that were drawn from base to apex, slices without a
    contour are labelled too: whoever drew the others saw nothing there.
    """
    masks = {where: _mask(drawn, cine, where[1]) for where, drawn in outlines.items()}
    notes = []
    per_phase: dict[int, set[Structure]] = defaultdict(set)
    for (t, _), drawn in outlines.items():
        per_phase[t] |= drawn_structures(drawn)
    n_slices = {t: sum(where[0] == t for where in outlines) for t in per_phase}
    most = max(n_slices.values(), default=0)
    for t, structures in sorted(per_phase.items()):
        if n_slices[t] < WHOLE_PHASE * most:
            notes.append(f"Phase {t + 1} has contours on {n_slices[t]} slices only; it has no volume.")
            continue
        for z in range(cine.n_slices):
            if (t, z) not in masks and cine.has_image(t, z):
                masks[t, z] = np.full(cine.shape[2:], outside_of(structures), np.uint8)
    return masks, notes


def drawn_structures(outlines: Iterable[Outline]) -> set[Structure]:
    """Structures that some borders enclose."""
    borders = set(outlines)
    structures = set()
    if Outline.LV_ENDO in borders:
        structures.add(Structure.LV_CAVITY)
    if {Outline.LV_ENDO, Outline.LV_EPI} <= borders:
        structures.add(Structure.LV_MYOCARDIUM)
    if Outline.RV_ENDO in borders:
        structures.add(Structure.RV_CAVITY)
    return structures


def _mask(outlines: Mapping[Outline, list[NDArray[np.float64]]], cine: Cine, z: int) -> NDArray[np.uint8]:
    extent = cine.image_extent(z)

    def inside(border: Outline) -> NDArray[np.bool_]:
        filled = np.zeros(extent, np.bool_)
        for points in outlines.get(border, ()):
            filled |= rasterise(points, extent)
        return filled

    structures = drawn_structures(outlines)
    outside = {*structures, *((Structure.LV_CAVITY, Structure.LV_MYOCARDIUM) if Outline.LV_EPI in outlines else ())}
    all_drawn = outside == {Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY}
    around = Structure.BACKGROUND if all_drawn else outside_of(outside)
    mask = np.full(extent, around, np.uint8)
    mask[inside(Outline.RV_ENDO)] = Structure.RV_CAVITY
    # An epicardium alone does not say where the cavity ends.
    has_cavity = Outline.LV_ENDO in outlines
    mask[inside(Outline.LV_EPI)] = Structure.LV_MYOCARDIUM if has_cavity else UNLABELLED
    mask[inside(Outline.LV_ENDO)] = Structure.LV_CAVITY
    whole = np.full(cine.shape[2:], around, np.uint8)
    whole[: extent[0], : extent[1]] = mask
    return whole
