"""What lies around the heart in a training slice: chest and abdomen, or nothing but random patches."""

from __future__ import annotations

import numpy as np

from cinema_core.phantom.drawing import Contrast, Grid, Image, lay, smooth_field


def surroundings(grid: Grid, tissue: Contrast, rng: np.random.Generator) -> Image:
    """Chest and abdomen, or nothing but random patches."""
    image = _patches(tissue, rng)
    if rng.random() < 0.8:
        _draw_chest(image, grid, tissue, rng)
    for _ in range(rng.integers(0, 5)):  # vessels and bowel: bright spots that are no ventricle
        angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(45, 110)
        size = rng.uniform(2, 13)
        blob = grid.ellipse(
            away * np.cos(angle), away * np.sin(angle), size * rng.uniform(1, 2.2), size, rng.uniform(0, np.pi)
        )
        if rng.random() < 0.5:
            lay(image, blob + rng.uniform(0.8, 2.5), tissue.muscle * rng.uniform(0.5, 1.3))
        lay(image, blob, tissue.blood * rng.uniform(0.5, 1.2))
    texture = rng.uniform(0.0, 0.2) * smooth_field(rng, rng.uniform(2.5, 9))
    image *= 1 + texture
    return image


def _patches(tissue: Contrast, rng: np.random.Generator) -> Image:
    """Smooth random regions, each of one random tissue."""
    n = int(rng.integers(2, 7))
    scale = rng.uniform(20, 70)
    fields = np.stack([smooth_field(rng, scale) for _ in range(n)])
    choices = np.array([tissue.lung, tissue.muscle, tissue.fat, tissue.organ, 0.0], dtype=np.float32)
    signals = rng.choice(choices, n, p=[0.3, 0.2, 0.2, 0.25, 0.05]) * rng.uniform(0.7, 1.3, n)
    return np.asarray(signals[fields.argmax(axis=0)], dtype=np.float32)


def _draw_chest(image: Image, grid: Grid, tissue: Contrast, rng: np.random.Generator) -> None:
    """Lung around the heart, chest wall in front of it, organs below the diaphragm; each may be missing."""
    x, y = grid.x, grid.y
    wobble = [smooth_field(rng, 35) for _ in range(2)]
    if rng.random() < 0.75:  # lung beside the LV
        side = rng.uniform(-1.2, 0.6)
        edge = x * np.float32(np.cos(side)) + y * np.float32(np.sin(side)) - np.float32(rng.uniform(5, 45))
        lay(image, edge + 5 * wobble[0], tissue.lung)
        vessels = np.clip(smooth_field(rng, 4) - 1.6, 0, 1) * tissue.blood * rng.uniform(0, 0.8)
        image += np.clip(edge, 0, 1) * vessels
    if rng.random() < 0.75:  # liver or stomach below
        tilt = rng.normal(0.1, 0.25)
        edge = y - np.float32(tilt) * x - np.float32(rng.uniform(22, 60)) - 4 * wobble[1]
        if rng.random() < 0.6:
            lay(image, edge + rng.uniform(1, 6), tissue.fat)
        lay(image, edge, tissue.organ)
        if rng.random() < 0.5:
            vessels = np.clip(smooth_field(rng, 6) - 1.2, 0, 1) * rng.uniform(0, 0.6)
            image += np.clip(edge, 0, 1) * vessels * tissue.blood
        if rng.random() < 0.5:
            rx, ry = rng.uniform(15, 45), rng.uniform(10, 28)
            blob = grid.ellipse(rng.uniform(-20, 70), rng.uniform(60, 100), rx, ry, rng.normal(0, 0.4))
            lay(image, blob + rng.uniform(1, 6), tissue.fat if rng.random() < 0.5 else tissue.muscle)
            lay(image, blob, rng.choice([tissue.lung, tissue.organ, tissue.blood * 0.8]))
    if rng.random() < 0.75:  # fat between heart and chest wall, then the wall
        slant = rng.normal(-0.35, 0.35)
        edge = -y + np.float32(np.tan(slant)) * x - np.float32(rng.uniform(30, 75)) + 4 * wobble[0]
        thick = rng.uniform(6, 25)
        if rng.random() < 0.5:
            lay(image, edge + rng.uniform(2, 15), tissue.fat * rng.uniform(0.6, 1.1))
        lay(image, edge, tissue.muscle * rng.uniform(0.5, 1.2))
        lay(image, edge - np.float32(thick), tissue.fat * rng.uniform(0.8, 1.8))
        lay(image, edge - np.float32(thick + rng.uniform(8, 35)), 0.0)


def draw_bowel(image: Image, grid: Grid, tissue: Contrast, rng: np.random.Generator) -> None:
    """Lay stomach and bowel close below the heart: as bright as blood, in walls as thin as an RV's, never labelled."""
    for _ in range(rng.integers(1, 4)):
        rx, ry = rng.uniform(8, 32), rng.uniform(6, 16)
        blob = grid.ellipse(rng.uniform(-55, 45), rng.uniform(28, 62), rx, ry, rng.normal(0, 0.5))
        if rng.random() < 0.5:
            lay(image, blob + rng.uniform(3, 9), tissue.fat)
        lay(image, blob + rng.uniform(1, 4), tissue.muscle * rng.uniform(0.7, 1.3))
        lay(image, blob, tissue.blood * rng.uniform(0.65, 1.15))
        if rng.random() < 0.4:  # folds, or what was eaten
            folds = np.clip(smooth_field(rng, rng.uniform(3, 8)) - 0.8, 0, 1) * rng.uniform(0.2, 0.9)
            image += folds * np.clip(blob, 0, 1) * (tissue.muscle - image)
