"""What a scanner makes of a training slice: coil, bands, blur, noise, ghosts, field of view."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from cinema_core.phantom.drawing import PIXEL_MM, Image, axis_mm, smooth_field


def acquire(image: Image, rng: np.random.Generator) -> Image:
    """Turn signal into an image: coil, bands, blur, noise, ghosts, field of view, then the published normalisation."""
    axis = axis_mm()
    field = rng.uniform(0, 0.55) * smooth_field(rng, rng.uniform(60, 150))
    slope, toward = rng.uniform(0, 0.008), rng.uniform(0, 2 * np.pi)
    ramp = slope * (np.sin(toward) * axis[:, None] + np.cos(toward) * axis[None, :])
    image = image * np.exp(np.clip(field + ramp, -1.5, 1.5)).astype(np.float32)
    if rng.random() < 0.12:
        image *= _bands(rng)
    image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.3, 2) / PIXEL_MM, truncate=3)
    noise = rng.uniform(0.0, 0.07)
    parts = rng.standard_normal((2, *image.shape), dtype=np.float32)
    if rng.random() < 0.6:  # the scanner's pixels were coarser, or interpolated, so the noise has a grain
        sigma = rng.uniform(0.3, 0.75)
        kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * sigma**2))
        kept = (kernel**2).sum() / kernel.sum() ** 2  # variance that the blur leaves, by both axes its square root
        parts = ndimage.gaussian_filter(parts, (0, sigma, sigma), truncate=3) / np.float32(kept)
    image = np.hypot(image + noise * parts[0], noise * parts[1])
    if rng.random() < 0.15:  # a ghost of the moving heart along the phase-encoding direction
        shift = int(rng.uniform(20, 90) / PIXEL_MM)
        image = image + np.float32(rng.uniform(0.02, 0.12)) * np.roll(image, shift, axis=int(rng.integers(2)))
    if rng.random() < 0.3:
        _cut_field_of_view(image, rng)
    low, high = np.percentile(image[::2, ::2], (0.95, 99.5))
    image = np.clip((image - low) / max(high - low, 1e-6), 0, 1) ** np.float32(np.exp(rng.normal(0, 0.3)))
    # A frame is scaled as a whole, so one of its slices may use only part of the range, or saturate.
    image = np.clip(image * rng.uniform(0.5, 1.0) if rng.random() < 0.5 else image * rng.uniform(1.0, 1.25), 0, 1)
    return np.asarray(image, dtype=np.float32)


def _bands(rng: np.random.Generator) -> Image:
    """Dark bands of balanced steady-state free precession, where the field is off by half a turn per repetition."""
    phase = rng.uniform(0, 2 * np.pi) + rng.uniform(1.0, 4.0) * smooth_field(rng, rng.uniform(60, 120))
    depth = rng.uniform(0.3, 0.9)
    sharpness = rng.uniform(6, 25)
    return np.asarray(1 - depth * np.exp(sharpness * (np.cos(phase) - 1)), dtype=np.float32)


def _cut_field_of_view(image: Image, rng: np.random.Generator) -> None:
    """Black out what lies outside the scanned field, in place."""
    axis = axis_mm()
    if rng.random() < 0.4:
        image[np.hypot(axis[:, None], axis[None, :]) > rng.uniform(88, 130)] = 0
        return
    for _ in range(rng.integers(1, 3)):
        angle = rng.choice([0, 0.5, 1, 1.5]) * np.pi + (rng.uniform(-0.6, 0.6) if rng.random() < 0.4 else 0)
        side = np.float32(np.cos(angle)) * axis[:, None] + np.float32(np.sin(angle)) * axis[None, :]
        image[side > rng.uniform(65, 100)] = 0
