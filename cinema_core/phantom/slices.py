"""Endlessly varied short-axis slices with labels, to teach a model what a heart is on any scanner.

The idea is SynthSeg's (Billot et al., Med Image Anal 86:102789, 2023): a network that has seen every
contrast, shape and artefact, most of them less likely than any real one, needs no real labels.
What stays true in every slice is what makes a heart: a ring of muscle around blood, and on one side of it
a second pool of blood behind a thin wall. Atria, great vessels, liver, stomach, fat and lung are drawn
too, as what is *not* to be labelled.

Half of the ventricles are random outlines, of shapes that no heart needs to have. The other half are planes
through the phantom's hearts (:mod:`cinema_core.phantom.beat`) at any time, height and tilt, so that what a base,
an apex, a partial ring or an atrium looks like is learned too.

A slice is drawn in about 10 ms: smooth random fields come from coarse ones by matrix products.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.phantom.acquisition import acquire
from cinema_core.phantom.beat import beat_of
from cinema_core.phantom.drawing import Contrast, Grid, Image, lay
from cinema_core.phantom.hearts import random_parameters
from cinema_core.phantom.neighbours import neighbours_of
from cinema_core.phantom.outlines import cut_heart, outline, random_heart, valve_opening
from cinema_core.phantom.painting import (
    Look,
    draw_atria,
    draw_beside,
    draw_outflow,
    draw_papillaries,
    fill_cavity,
    paint,
)
from cinema_core.phantom.parameters import HeartParameters, cavity_axes_mm
from cinema_core.phantom.surroundings import draw_bowel, surroundings

LEVELS: Final = ("base", "middle", "apex", "above", "beyond")
"""Where along the heart a slice lies; above: atria only, beyond: past the apex."""

LEVEL_CHANCES: Final = (0.22, 0.44, 0.22, 0.07, 0.05)


class HardCase(StrEnum):
    """What a model that learned from the other slices still gets wrong on real hearts."""

    EMPTIED = "emptied"
    """A small or thick LV at ES: its papillary muscles fill most of what is left of the cavity."""
    VALVE = "valve"
    """An LV without an RV beside it, or with little: its valve has passed the slice and the right atrium lies there."""
    STRADDLING = "straddling"
    """A thick slice across the valves, tilted or not: ventricle on one side of it, atrium on the other, of the same
    blood. How strongly the ring of muscle shines through says whether its middle lies in the ventricle.
    """
    BOWEL = "bowel"
    """Stomach or bowel close below the heart, as bright as blood and in a wall like the RV's."""


HARD_LEVEL_CHANCES: Final = {
    HardCase.EMPTIED: (0.2, 0.5, 0.3, 0.0, 0.0),
    HardCase.VALVE: (0.6, 0.0, 0.15, 0.25, 0.0),
    HardCase.STRADDLING: (1.0, 0.0, 0.0, 0.0, 0.0),
    HardCase.BOWEL: (0.1, 0.4, 0.4, 0.0, 0.1),
}

LAYERS: Final = 2
"""Sheets that a slice cut from a heart is the mean of: enough for a soft edge."""

STRADDLING_LAYERS: Final = 6
"""With two, a slice across the valves would be all ventricle, half, or none; its label changes at one half."""

ANATOMICAL_SHARE: Final = 0.5
"""Share of slices that are cut from a heart of the phantom; the others are random outlines."""


def training_slice(
    rng: np.random.Generator, *, level: str | None = None, anatomical: bool | None = None, hard: HardCase | None = None
) -> tuple[Image, NDArray[np.uint8]]:
    """Draw one slice and its labels.

    Parameters
    ----------
    rng
        Source of all chance; the same state gives the same slice.
    level
        One of :data:`LEVELS`; drawn if None.
    anatomical
        Whether to cut it from a heart of the phantom; drawn if None.
    hard
        What it shows that models of synthetic hearts get wrong; None for anything.

    Returns
    -------
    Image, float32, 0 to 1, shape (y, x) = (128, 128), and labels, uint8, same shape; every pixel is labelled.
    """
    level = level or str(rng.choice(LEVELS, p=HARD_LEVEL_CHANCES[hard] if hard else LEVEL_CHANCES))
    if anatomical is None:
        anatomical = bool(rng.random() < ANATOMICAL_SHARE)
    if hard is HardCase.STRADDLING:
        anatomical = True  # only the phantom's hearts have an atrium behind their valve
    elif hard is HardCase.VALVE and level != "above":
        anatomical = False  # the phantom's valves lie in one plane; here the RV's has passed the slice, the LV's not
    grid = Grid.draw(rng)
    tissue = Contrast.draw(rng)
    image = surroundings(grid, tissue, rng)
    labels = np.zeros(image.shape, dtype=np.uint8)
    if hard is HardCase.BOWEL:
        draw_bowel(image, grid, tissue, rng)
    if anatomical:
        _draw_cut(image, labels, grid, tissue, level, rng, hard)
    elif level != "beyond":
        if level == "above" or (level == "base" and rng.random() < 0.5):
            draw_atria(image, grid, tissue, rng, fully=level == "above")
        if level != "above":
            _draw_ventricles(image, labels, grid, tissue, level, rng, hard)
    return acquire(image, rng), labels


def _draw_ventricles(
    image: Image,
    labels: NDArray[np.uint8],
    grid: Grid,
    tissue: Contrast,
    level: str,
    rng: np.random.Generator,
    hard: HardCase | None,
) -> None:
    """Ventricles of random outlines."""
    heart = random_heart(level, grid, rng, emptied=hard is HardCase.EMPTIED)
    if hard is HardCase.VALVE:
        heart = heart.with_less_rv(0.0 if level == "apex" or rng.random() < 0.6 else rng.uniform(0.25, 0.8))
        if level == "base":
            draw_beside(image, grid, heart, tissue, rng)
    look = Look.draw(tissue, rng)
    opens = level == "base" and rng.random() < 0.3
    opening = valve_opening(heart, grid, rng.uniform(-np.pi, np.pi), rng) if opens else None

    plane = image.copy()
    paint(plane, grid, heart, tissue, look, opening)
    if hard is HardCase.EMPTIED:
        fill_cavity(plane, grid, heart, tissue, rng)
    else:
        draw_papillaries(plane, grid, heart, tissue, level, rng)
    mix = rng.uniform(0, 0.45) if rng.random() < 0.6 else 0.0
    if mix:  # the slice is thick: part of it shows the heart as it is some millimetres away
        spread = 0.1 if level == "middle" else 0.3
        other = heart.scaled(1 + rng.normal(0, spread), 1 + rng.normal(0, spread / 2), 1 + rng.normal(0, spread))
        second = image.copy()
        paint(second, grid, other, tissue, look, opening)
        plane += np.float32(mix) * (second - plane)
    image[:] = plane

    labels[grid.r < heart.rv] = Structure.RV_CAVITY
    if level == "base" and hard is not HardCase.VALVE and rng.random() < 0.35:
        draw_outflow(image, labels, grid, heart, tissue, look.rv_blood, rng)
    labels[grid.r < heart.epicardium] = Structure.LV_MYOCARDIUM
    labels[grid.r < heart.cavity] = Structure.LV_CAVITY


def _draw_cut(
    image: Image,
    labels: NDArray[np.uint8],
    grid: Grid,
    tissue: Contrast,
    level: str,
    rng: np.random.Generator,
    hard: HardCase | None,
) -> None:
    """Draw a plane through a heart of the phantom at one moment, with the atria and vessels that it meets."""
    at = {0: 0.0, 1: 0.35}.get(int(rng.integers(4)), rng.random())  # readers label ED and ES most
    parameters = random_parameters(rng)
    if hard is HardCase.EMPTIED:
        at, parameters = rng.uniform(0.3, 0.4), _emptying(parameters, rng)
    beat = beat_of(parameters, rng, at=np.array([at]))
    base, apex = float(beat.base_z_mm[0]), beat.apex_z_mm
    low, high = {
        "above": (base - 24, base),
        "base": (base - 3, base + 16),
        "middle": (base + 0.25 * (apex - base), base + 0.75 * (apex - base)),
        "apex": (base + 0.7 * (apex - base), apex - 1),
        "beyond": (apex + parameters.ed_wall_mm, apex + 25),
    }[level]
    z = rng.uniform(low, high)
    tilt = np.tan(np.deg2rad(min(abs(rng.normal(0, 6)), 16))) if rng.random() < 0.6 else 0.0
    towards = rng.uniform(0, 2 * np.pi)
    lean = (np.float32(tilt * np.cos(towards)) * grid.x + np.float32(tilt * np.sin(towards)) * grid.y) if tilt else None
    uneven = outline(rng, rng.uniform(0, 0.03), 2, 8)[grid.angle_index]
    aside = neighbours_of(beat, 0, rng) if rng.random() < 0.9 else ()
    look = Look.draw(tissue, rng)
    open_towards = np.deg2rad(rng.normal(235, 20))  # the aortic root lies in front of the septum
    opens = rng.random() < 0.5
    thickness = rng.uniform(5, 10)
    n_layers = LAYERS
    if hard is HardCase.STRADDLING:
        n_layers = STRADDLING_LAYERS
        valves = base if rng.random() < 0.7 else float(beat.rv_base_z_mm[0])
        z = valves + rng.uniform(-0.7, 0.7) * thickness
    total = np.zeros_like(image)
    for share in ((np.arange(n_layers) + 0.5) / n_layers - 0.5).tolist():
        offset = share * thickness
        heart = cut_heart(beat, grid, z + offset, lean, uneven)
        plane = image.copy()
        if lean is not None or z + offset < base + 12:
            height = (np.float32(z + offset) + (0 if lean is None else lean)) * np.ones_like(grid.x)
            for neighbour in aside:
                depth = np.asarray(neighbour.depth_mm(grid.x, grid.y, height), dtype=np.float32)
                lay(plane, depth + np.float32(neighbour.wall_mm), tissue.rv_wall)
                lay(plane, depth, tissue.rv_blood * neighbour.blood)
        opening = None
        if opens and z + offset < base + 9:
            opening = valve_opening(heart, grid, open_towards - np.pi, rng)
        paint(plane, grid, heart, tissue, look, opening)
        total += plane
    image[:] = total / n_layers
    heart = cut_heart(beat, grid, z, lean, uneven)
    if hard is HardCase.EMPTIED:
        fill_cavity(image, grid, heart, tissue, rng)
    elif 0.2 < (z - base) / (apex - base) < 0.85:
        draw_papillaries(image, grid, heart, tissue, level, rng)
    labels[grid.r < heart.rv] = Structure.RV_CAVITY
    labels[grid.r < heart.epicardium] = Structure.LV_MYOCARDIUM
    labels[grid.r < heart.cavity] = Structure.LV_CAVITY


def _emptying(parameters: HeartParameters, rng: np.random.Generator) -> HeartParameters:
    """Return the same heart with a small, thick LV that empties nearly all of it."""
    edv = rng.uniform(60, 150)
    radius, length = cavity_axes_mm(edv)
    return replace(
        parameters,
        lv_edv_ml=edv,
        lv_ef_pct=rng.uniform(60, 82),
        lv_length_mm=length,
        wall_mm=min(rng.uniform(8, 18), 0.72 * radius),
        infarct_segments=(),
        dyssynchrony_ms=0.0,
    )
