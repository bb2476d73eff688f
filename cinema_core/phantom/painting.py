"""What fills the outlines of a training slice: muscle, blood, papillary muscles, and the vessels that touch them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import Structure
from cinema_core.phantom.drawing import PIXEL_MM, Contrast, Grid, Image, lay, smooth_field
from cinema_core.phantom.outlines import Heart


@dataclass(frozen=True, eq=False)
class Look:
    """Texture of the heart's tissues in one slice."""

    muscle: Image
    lv_blood: Image
    rv_blood: Image
    rv_wall_mm: float
    fat_rim_mm: float

    @classmethod
    def draw(cls, tissue: Contrast, rng: np.random.Generator) -> Look:
        """Draw texture of muscle and blood, and how thick fat and RV wall are."""
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


def paint(plane: Image, grid: Grid, heart: Heart, tissue: Contrast, look: Look, opening: Image | None) -> None:
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


def _trabeculated(tissue: Contrast, rng: np.random.Generator) -> Image:
    """RV blood with bars of muscle in it."""
    bars = np.clip(smooth_field(rng, rng.uniform(3, 7)) - rng.uniform(0.6, 1.8), 0, 1) * rng.uniform(0, 0.9)
    return np.asarray(tissue.rv_blood + bars * (tissue.muscle - tissue.rv_blood), dtype=np.float32)


def draw_papillaries(
    plane: Image, grid: Grid, heart: Heart, tissue: Contrast, level: str, rng: np.random.Generator
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


def fill_cavity(plane: Image, grid: Grid, heart: Heart, tissue: Contrast, rng: np.random.Generator) -> None:
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


def draw_outflow(
    image: Image,
    labels: NDArray[np.uint8],
    grid: Grid,
    heart: Heart,
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


def draw_beside(image: Image, grid: Grid, heart: Heart, tissue: Contrast, rng: np.random.Generator) -> None:
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


def draw_atria(image: Image, grid: Grid, tissue: Contrast, rng: np.random.Generator, *, fully: bool) -> None:
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
