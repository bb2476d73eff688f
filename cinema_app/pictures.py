"""Pictures of a reading without a window: one slice with its contours, for machines that have no display."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from cinema_core.anatomy import FOREGROUND
from cinema_core.cine import Cine
from cinema_core.localise import find_heart

ENLARGED = 5
MARGIN_MM = 25.0


def save_picture(path: Path, cine: Cine, labels: NDArray[np.uint8], t: int, z: int, words: str) -> None:
    """Save one slice around the heart, contours in the colours of the window, with a line of text.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    """
    rows, columns = _around_heart(cine)
    frame = np.asarray(cine.pixels[t, z][rows, columns], dtype=np.float64)
    low, high = np.percentile(frame, (1, 99))
    grey = np.clip((frame - low) / max(high - low, 1e-9), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    picture = picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for structure in FOREGROUND:
        mask = np.pad(labels[t, z][rows, columns] == structure, 1).astype(np.float64)
        for contour in find_contours(mask, 0.5):
            # (y, x) of pixel centres in the padded crop -> (x, y) in the enlarged picture
            points = [((x - 0.5) * ENLARGED, (y - 0.5) * ENLARGED) for y, x in contour]
            draw.line(points, fill=structure.colour, width=2)
    draw.text((8, 6), f"{words}    slice {z + 1}/{cine.n_slices}  phase {t + 1}/{cine.n_phases}", fill="#ffffff")
    picture.save(path)


def _around_heart(cine: Cine) -> tuple[slice, slice]:
    heart = find_heart(cine)
    spans = []
    for centre, spacing, size in zip(heart.centre_yx, cine.geometry.pixel_spacing_mm, cine.shape[2:], strict=True):
        reach = (heart.radius_mm + MARGIN_MM) / spacing
        spans.append(slice(max(0, round(centre - reach)), min(size, round(centre + reach))))
    return spans[0], spans[1]
