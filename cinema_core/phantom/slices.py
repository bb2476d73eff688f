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

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.phantom.acquisition import acquire
from cinema_core.phantom.beat import Beat, beat_of
from cinema_core.phantom.drawing import ANGLES, PIXEL_MM, Contrast, Grid, Image, lay, smooth_field
from cinema_core.phantom.neighbours import neighbours_of
from cinema_core.phantom.parameters import HeartParameters, cavity_axes_mm, random_parameters
from cinema_core.phantom.surroundings import surroundings

LEVELS: Final = ("base", "middle", "apex", "above", "beyond")
"""Where along the heart a slice lies; above: atria only, beyond: past the apex."""

LEVEL_CHANCES: Final = (0.22, 0.44, 0.22, 0.07, 0.05)


class HardCase(StrEnum):
    """What a model that learned from the other slices still gets wrong on real hearts."""

    EMPTIED = "emptied"
    """A small or thick LV at ES: its papillary muscles fill most of what is left of the cavity."""
    VALVE = "valve"
    """An LV without an RV beside it, or with little: its valve has passed the slice and the right atrium lies there."""
    TILTED = "tilted"
    """A plane at the valves, and tilted: ventricle on one side, atrium on the other, of the same blood."""


HARD_LEVEL_CHANCES: Final = {
    HardCase.EMPTIED: (0.2, 0.5, 0.3, 0.0, 0.0),
    HardCase.VALVE: (0.6, 0.0, 0.15, 0.25, 0.0),
    HardCase.TILTED: (1.0, 0.0, 0.0, 0.0, 0.0),
}

VALVES_WITHIN_MM: Final = 12.0
"""A tilted plane no farther from the middle of the valves meets them, or just misses them."""

FARTHEST_MM: Final = 110.0
"""Beyond this from the LV axis nothing is cut: of 60 random hearts none reaches farther than 101 mm."""

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
    if hard is HardCase.TILTED:
        anatomical = True  # only the phantom's hearts have an atrium behind their valve
    elif hard is HardCase.VALVE and level != "above":
        anatomical = False  # the phantom's valves lie in one plane; here the RV's has passed the slice, the LV's not
    grid = Grid.draw(rng)
    tissue = Contrast.draw(rng)
    image = surroundings(grid, tissue, rng)
    labels = np.zeros(image.shape, dtype=np.uint8)
    if anatomical:
        _draw_cut(image, labels, grid, tissue, level, rng, hard)
    elif level != "beyond":
        if level == "above" or (level == "base" and rng.random() < 0.5):
            _draw_atria(image, grid, tissue, rng, fully=level == "above")
        if level != "above":
            _draw_ventricles(image, labels, grid, tissue, level, rng, hard)
    return acquire(image, rng), labels


def _outline(rng: np.random.Generator, amplitude: float, lowest: int = 2, highest: int = 6) -> Image:
    """Factor around 1 at each angle, rougher terms smaller; shape (ANGLES,)."""
    theta = np.arange(ANGLES, dtype=np.float32) * np.float32(2 * np.pi / ANGLES)
    factor = np.ones(ANGLES, dtype=np.float32)
    for k in range(lowest, highest + 1):
        size = amplitude * rng.standard_normal() * (lowest / k) ** 1.2
        factor += np.float32(size) * np.cos(k * theta + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.clip(factor, 0.5, 1.6)


def _from_septum() -> Image:
    """Angle from the middle of the septum, -pi to pi, positive towards the front; shape (ANGLES,)."""
    theta = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
    return np.asarray(theta - np.pi, dtype=np.float32)


# --- the heart -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Heart:
    """Radius of the outlines in mm in the direction of each pixel, shape (y, x); 0 where there is no heart."""

    cavity: Image
    epicardium: Image
    rv: Image

    @classmethod
    def of_tables(cls, cavity: Image, epicardium: Image, rv: Image, grid: Grid) -> _Heart:
        """Heart of outlines given at each angle, shape (ANGLES,)."""
        k = grid.angle_index
        return cls(cavity[k], epicardium[k], rv[k])

    @property
    def radius(self) -> float:
        """Radius of a circle of the cavity's size."""
        inside = self.cavity[self.cavity > 0]
        return float(np.median(inside)) if inside.size else 0.0

    def scaled(self, cavity: float, muscle: float, rv: float) -> _Heart:
        """Return the neighbouring plane: the same heart a little wider or narrower."""
        inner = self.cavity * np.float32(cavity)
        outer = inner + (self.epicardium - self.cavity) * np.float32(muscle)
        return _Heart(inner, outer, outer + (self.rv - self.epicardium) * np.float32(rv))

    def with_less_rv(self, share: float) -> _Heart:
        """Return the heart with an RV of so much of its depth; below 1.5 mm there is none."""
        depth = (self.rv - self.epicardium) * np.float32(share)
        return _Heart(self.cavity, self.epicardium, self.epicardium + np.where(depth > 1.5, depth, 0))


def _draw_shape(level: str, grid: Grid, rng: np.random.Generator, *, emptied: bool) -> _Heart:
    """Random outlines of cavity, epicardium and RV free wall."""
    kind = "filled" if emptied else rng.choice(["healthy", "dilated", "thick", "emptied"], p=[0.4, 0.2, 0.18, 0.22])
    radius, wall = {
        "healthy": (rng.uniform(18, 29), rng.uniform(5.5, 12)),
        "dilated": (rng.uniform(27, 42), rng.uniform(3.5, 10)),
        "thick": (rng.uniform(9, 25), rng.uniform(11, 23)),
        "emptied": (rng.uniform(8, 20), rng.uniform(8, 18)),
        **({"filled": (rng.uniform(6, 17), rng.uniform(9, 22))} if emptied else {}),
    }[str(kind)]
    if level == "apex":
        radius *= rng.uniform(0.12, 0.75)
        wall *= rng.uniform(0.6, 1.1)
    elif level == "base":
        wall *= rng.uniform(0.7, 1.0)

    septum = _from_septum()
    shared = _outline(rng, 0.045)
    if rng.random() < 0.25:  # a septum flattened by pressure or volume of the RV
        shared *= 1 - np.float32(rng.uniform(0.05, 0.35)) * np.exp(-((septum / np.float32(0.75)) ** 2))
    cavity = np.float32(radius) * shared * _outline(rng, 0.025, 2, 8)
    thickness = np.float32(wall) * _outline(rng, rng.uniform(0.05, 0.2), 1, 4)
    if rng.random() < 0.2:  # asymmetric hypertrophy or a thinned scar, anywhere
        where = np.angle(np.exp(1j * (septum - rng.uniform(-np.pi, np.pi))))
        bump = np.exp(-((where / rng.uniform(0.4, 0.9)) ** 2))
        thickness *= np.asarray(1 + rng.uniform(-0.55, 0.9) * bump, dtype=np.float32)
    thickness = np.maximum(thickness, 2.5)
    epicardium = cavity + thickness
    return _Heart.of_tables(cavity, epicardium, epicardium + _rv_depth(level, septum, rng), grid)


def _rv_depth(level: str, septum: Image, rng: np.random.Generator) -> Image:
    """How far the RV bulges from the epicardium at each angle."""
    if level == "apex" and rng.random() < 0.3:
        return np.zeros_like(septum)
    widest = {"base": (18, 58), "middle": (12, 58), "apex": (4, 34)}[level]
    depth = np.exp(rng.uniform(np.log(widest[0]), np.log(widest[1])))
    front, back = np.deg2rad(rng.uniform(45, 105)), np.deg2rad(rng.uniform(40, 95))
    if level == "apex":
        front, back = front * 0.8, back * 0.8
    u = np.where(septum > 0, septum / front, septum / back) - rng.uniform(-0.15, 0.15)
    u = np.clip(np.abs(u), 0, 1)
    round_, pointed = (1 - u**2) ** rng.uniform(0.45, 1.1), (1 - u) ** rng.uniform(0.6, 1.0)
    share = rng.beta(1, 2)
    profile = (1 - share) * round_ + share * pointed
    # A bulge at either end of the crescent: the acute margin below, the outflow tract in front.
    for side in (-1.0, 1.0):
        size = rng.uniform(-0.3, 0.45)
        profile = profile * (1 + size * np.exp(-(((septum - side * 0.8) / 0.5) ** 2)))
    bulge = np.float32(depth) * profile.astype(np.float32) * _outline(rng, 0.04, 2, 8)
    return np.asarray(np.where(bulge > 1.5, bulge, 0), dtype=np.float32)


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
    heart = _draw_shape(level, grid, rng, emptied=hard is HardCase.EMPTIED)
    if hard is HardCase.VALVE:
        heart = heart.with_less_rv(0.0 if level == "apex" or rng.random() < 0.6 else rng.uniform(0.25, 0.8))
        if level == "base":
            _draw_beside(image, grid, heart, tissue, rng)
    look = _Look.draw(tissue, rng)
    opens = level == "base" and rng.random() < 0.3
    opening = _valve_opening(heart, grid, rng.uniform(-np.pi, np.pi), rng) if opens else None

    plane = image.copy()
    _paint(plane, grid, heart, tissue, look, opening)
    if hard is HardCase.EMPTIED:
        _fill_cavity(plane, grid, heart, tissue, rng)
    else:
        _draw_papillaries(plane, grid, heart, tissue, level, rng)
    mix = rng.uniform(0, 0.45) if rng.random() < 0.6 else 0.0
    if mix:  # the slice is thick: part of it shows the heart as it is some millimetres away
        spread = 0.1 if level == "middle" else 0.3
        other = heart.scaled(1 + rng.normal(0, spread), 1 + rng.normal(0, spread / 2), 1 + rng.normal(0, spread))
        second = image.copy()
        _paint(second, grid, other, tissue, look, opening)
        plane += np.float32(mix) * (second - plane)
    image[:] = plane

    labels[grid.r < heart.rv] = Structure.RV_CAVITY
    if level == "base" and hard is not HardCase.VALVE and rng.random() < 0.35:
        _draw_outflow(image, labels, grid, heart, tissue, look.rv_blood, rng)
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
    if hard is HardCase.TILTED:
        low, high = base - VALVES_WITHIN_MM, base + VALVES_WITHIN_MM
    z = rng.uniform(low, high)
    tilts = hard is HardCase.TILTED or rng.random() < 0.6
    tilt = np.tan(np.deg2rad(min(abs(rng.normal(0, 6)), 16))) if tilts else 0.0
    towards = rng.uniform(0, 2 * np.pi)
    lean = (np.float32(tilt * np.cos(towards)) * grid.x + np.float32(tilt * np.sin(towards)) * grid.y) if tilt else None
    uneven = _outline(rng, rng.uniform(0, 0.03), 2, 8)[grid.angle_index]
    aside = neighbours_of(beat, 0, rng) if rng.random() < 0.9 else ()
    look = _Look.draw(tissue, rng)
    open_towards = np.deg2rad(rng.normal(235, 20))  # the aortic root lies in front of the septum
    opens = rng.random() < 0.5
    thickness = rng.uniform(5, 10)
    drawn = []
    for offset in (-thickness / 4, thickness / 4):
        heart = _cut_heart(beat, grid, z + offset, lean, uneven)
        plane = image.copy()
        if lean is not None or z + offset < base + 12:
            height = (np.float32(z + offset) + (0 if lean is None else lean)) * np.ones_like(grid.x)
            for neighbour in aside:
                depth = np.asarray(neighbour.depth_mm(grid.x, grid.y, height), dtype=np.float32)
                lay(plane, depth + np.float32(neighbour.wall_mm), tissue.rv_wall)
                lay(plane, depth, tissue.rv_blood * neighbour.blood)
        opening = None
        if opens and z + offset < base + 9:
            opening = _valve_opening(heart, grid, open_towards - np.pi, rng)
        _paint(plane, grid, heart, tissue, look, opening)
        drawn.append(plane)
    image[:] = (drawn[0] + drawn[1]) / 2
    heart = _cut_heart(beat, grid, z, lean, uneven)
    if hard is HardCase.EMPTIED:
        _fill_cavity(image, grid, heart, tissue, rng)
    elif 0.2 < (z - base) / (apex - base) < 0.85:
        _draw_papillaries(image, grid, heart, tissue, level, rng)
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


def _cut_heart(beat: Beat, grid: Grid, z: float, lean: Image | None, uneven: Image) -> _Heart:
    """Outlines of a plane at height z, tilted by ``lean`` (mm at each pixel)."""
    if lean is None:
        angles: NDArray[np.float64] = (np.arange(ANGLES, dtype=np.float64) + 0.5) * (2 * np.pi / ANGLES)
        cavity, epicardium, rv = (np.asarray(table, np.float32) for table in beat.surfaces_mm(0, angles, z))
        heart = _Heart.of_tables(cavity, epicardium, rv, grid)
    else:
        near = grid.r < FARTHEST_MM
        radii = beat.surfaces_mm(0, grid.theta[near].astype(np.float64), z + lean[near].astype(np.float64))
        heart = _Heart(*(_spread(near, radius) for radius in radii))
    return _Heart(heart.cavity * uneven, heart.epicardium * uneven, heart.rv * uneven)


def _spread(where: NDArray[np.bool_], values: NDArray[np.float64]) -> Image:
    """Values of some pixels as an image that is 0 elsewhere."""
    image = np.zeros(where.shape, dtype=np.float32)
    image[where] = values
    return image


@dataclass(frozen=True, eq=False)
class _Look:
    """Texture of the heart's tissues in one slice."""

    muscle: Image
    lv_blood: Image
    rv_blood: Image
    rv_wall_mm: float
    fat_rim_mm: float

    @classmethod
    def draw(cls, tissue: Contrast, rng: np.random.Generator) -> _Look:
        return cls(
            muscle=tissue.muscle * (1 + rng.uniform(0.0, 0.12) * smooth_field(rng, rng.uniform(4, 20))),
            lv_blood=tissue.blood * _flowing(rng),
            rv_blood=_trabeculated(tissue, rng) * _flowing(rng),
            rv_wall_mm=rng.uniform(1.0, 5.0),
            fat_rim_mm=rng.uniform(0.5, 5.0) if rng.random() < 0.6 else 0.0,
        )


def _flowing(rng: np.random.Generator) -> Image:
    """Signal of blood around its mean: uneven everywhere, and now and then lost where it is fast or swirls."""
    signal = 1 + rng.uniform(0.0, 0.08) * smooth_field(rng, rng.uniform(6, 30))
    if rng.random() < 0.15:
        void = np.clip(smooth_field(rng, rng.uniform(8, 16)) - rng.uniform(0.6, 1.4), 0, 1)
        signal *= 1 - rng.uniform(0.3, 0.9) * void
    return np.asarray(signal, dtype=np.float32)


def _paint(plane: Image, grid: Grid, heart: _Heart, tissue: Contrast, look: _Look, opening: Image | None) -> None:
    """Lay fat, RV wall, RV, muscle and cavity over each other."""
    r = grid.r
    has_rv = heart.rv > heart.epicardium
    outer = heart.rv + np.where(has_rv, np.float32(look.rv_wall_mm), 0)
    nothing = heart.rv <= 0
    if look.fat_rim_mm:
        lay(plane, np.where(nothing, -1, outer + np.float32(look.fat_rim_mm) - r), tissue.fat)
    lay(plane, np.where(nothing, -1, outer - r), tissue.rv_wall)
    lay(plane, np.where(has_rv, heart.rv - r, -1), look.rv_blood)
    lay(plane, np.where(heart.epicardium > 0, heart.epicardium - r, -1), look.muscle)
    cavity = heart.cavity if opening is None else heart.cavity + opening
    lay(plane, np.where(heart.cavity > 0, cavity - r, -1), look.lv_blood)


def _valve_opening(heart: _Heart, grid: Grid, towards: float, rng: np.random.Generator) -> Image:
    """At the base part of the ring is outflow tract or mitral valve: the blood reaches the epicardium there."""
    where = np.angle(np.exp(1j * (_from_septum() - towards)))
    width = rng.uniform(0.3, 0.8)
    share = np.asarray(1 / (1 + np.exp((np.abs(where) - width) / 0.06)), dtype=np.float32)[grid.angle_index]
    reach = (heart.epicardium - heart.cavity) * rng.uniform(0.6, 1.0) - rng.uniform(0.0, 2.0)
    return np.asarray(np.maximum(reach, 0) * share, dtype=np.float32)


def _trabeculated(tissue: Contrast, rng: np.random.Generator) -> Image:
    """RV blood with bars of muscle in it."""
    bars = np.clip(smooth_field(rng, rng.uniform(3, 7)) - rng.uniform(0.6, 1.8), 0, 1) * rng.uniform(0, 0.9)
    return np.asarray(tissue.rv_blood + bars * (tissue.muscle - tissue.rv_blood), dtype=np.float32)


def _draw_papillaries(
    plane: Image, grid: Grid, heart: _Heart, tissue: Contrast, level: str, rng: np.random.Generator
) -> None:
    """Muscle inside the cavity, which is still labelled cavity."""
    chance = {"base": 0.25, "middle": 0.85, "apex": 0.4}.get(level, 0.0)
    radius = heart.radius
    if radius <= 0 or rng.random() > chance:
        return
    if rng.random() < 0.4:  # a rough inner surface
        rough = np.clip(smooth_field(rng, rng.uniform(3, 6)) - 0.3, 0, 1) * rng.uniform(0.3, 1.0)
        rim = heart.cavity - grid.r
        cover = rough * np.clip(rim + 0.5, 0, 1) * np.clip(1.5 - rim / (0.22 * radius), 0, 1)
        plane += (cover * (tissue.muscle - plane)).astype(np.float32)
    for side in (-0.75, 2.05, rng.uniform(-np.pi, np.pi))[: rng.integers(1, 4)]:
        angle = side + rng.normal(0, 0.45)
        size = radius * rng.uniform(0.1, 0.34)
        distance = radius * rng.uniform(0.45, 0.85)
        signal = tissue.muscle * rng.uniform(0.85, 1.25) + rng.uniform(0, 0.3) * (tissue.blood - tissue.muscle)
        blob = grid.ellipse(distance * np.cos(angle), distance * np.sin(angle), size * rng.uniform(1, 1.8), size, angle)
        lay(plane, np.minimum(blob, heart.cavity - grid.r + 1), signal)


def _fill_cavity(plane: Image, grid: Grid, heart: _Heart, tissue: Contrast, rng: np.random.Generator) -> None:
    """Papillary muscles keep their size while the cavity empties around them: slits of blood are left, or nothing."""
    radius = heart.radius
    if radius <= 0:
        return
    inside = heart.cavity - grid.r
    for _ in range(rng.integers(1, 5)):
        size = min(rng.uniform(3, 7), 0.8 * radius)
        angle = rng.uniform(-np.pi, np.pi)
        distance = max(radius - size * rng.uniform(0.2, 1.2), 0.0)
        signal = tissue.muscle * rng.uniform(0.85, 1.25) + rng.uniform(0, 0.3) * (tissue.blood - tissue.muscle)
        blob = grid.ellipse(distance * np.cos(angle), distance * np.sin(angle), size * rng.uniform(1, 1.6), size, angle)
        lay(plane, np.minimum(blob, inside + 1), signal)
    # The trabeculae between them are finer than a pixel: blood and muscle mix.
    mixed = np.clip(smooth_field(rng, rng.uniform(3, 7)) + rng.uniform(-1, 1.5), 0, 1) * rng.uniform(0.2, 1.0)
    cover = mixed * np.clip(inside / PIXEL_MM + 0.5, 0, 1)
    plane += (cover * (tissue.muscle * rng.uniform(0.9, 1.1) - plane)).astype(np.float32)


def _draw_outflow(
    image: Image,
    labels: NDArray[np.uint8],
    grid: Grid,
    heart: _Heart,
    tissue: Contrast,
    rv_blood: Image,
    rng: np.random.Generator,
) -> None:
    """Outflow tract of the RV in front of the LV: a pool that joins the RV's."""
    angle = np.pi + rng.uniform(0.7, 1.7)
    edge = float(np.median(heart.rv[np.abs(np.angle(np.exp(1j * (grid.theta - angle)))) < 0.03]))
    rx, ry = rng.uniform(9, 20), rng.uniform(8, 16)
    blob = grid.ellipse(edge * np.cos(angle), edge * np.sin(angle), rx, ry, rng.uniform(0, np.pi))
    outside = grid.r - heart.epicardium
    lay(image, np.minimum(blob + 2.5, np.where(labels == Structure.RV_CAVITY, -1, outside)), tissue.rv_wall)
    blob = np.minimum(blob, outside)
    lay(image, blob, rv_blood)
    labels[blob > 0] = Structure.RV_CAVITY


def _draw_beside(image: Image, grid: Grid, heart: _Heart, tissue: Contrast, rng: np.random.Generator) -> None:
    """Lay the right atrium below the septum, and great vessels in front of it: round pools that touch the LV.

    They are no RV, which hugs the septum and has walls and trabeculae.
    """

    def pool(angle: float, size: float, gap: float) -> None:
        near = np.abs(np.angle(np.exp(1j * (grid.theta - angle)))) < 0.05
        edge = float(np.median(heart.epicardium[near])) if near.any() else heart.radius
        away = edge + size * gap
        rx, ry = size * rng.uniform(0.85, 1.2, 2)
        blob = grid.ellipse(away * np.cos(angle), away * np.sin(angle), rx, ry, rng.uniform(0, np.pi))
        lay(image, blob + np.float32(rng.uniform(0.5, 3.0)), tissue.rv_wall)
        lay(image, blob, tissue.rv_blood * rng.uniform(0.8, 1.2) * _flowing(rng))

    if rng.random() < 0.85:
        pool(np.pi - rng.uniform(-0.2, 1.1), rng.uniform(13, 32), rng.uniform(0.75, 1.05))
    for _ in range(rng.integers(0, 3)):
        pool(np.pi + rng.uniform(0.3, 1.7), rng.uniform(7, 15), rng.uniform(0.8, 1.3))


def _draw_atria(image: Image, grid: Grid, tissue: Contrast, rng: np.random.Generator, *, fully: bool) -> None:
    """Atria and great vessels: blood behind walls that are thinner than any ventricle's; never labelled."""
    spots = [(4, 8, 20), (-9, -16, 12), (-38, 14, 22), (-24, -32, 13), (28, 22, 9)]
    for x, y, size in spots:
        if rng.random() < (0.2 if fully else 0.45):
            continue
        push = 1.0 if fully else rng.uniform(1.2, 2.2)
        dx, dy = rng.normal(0, 6, 2)
        rx, ry = size * rng.uniform(0.6, 1.35, 2)
        turn = rng.uniform(0, np.pi)
        wall = rng.uniform(0.8, 3.0)
        blob = grid.ellipse(push * x + dx, push * y + dy, rx, ry, turn)
        lay(image, blob + np.float32(wall), tissue.rv_wall)
        lay(image, blob, tissue.rv_blood * rng.uniform(0.7, 1.2))
