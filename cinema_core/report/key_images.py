"""Slices with their contours as pictures, for reports."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.measure import find_contours

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine
from cinema_core.measure.plane_rules import shows_heart
from cinema_core.measure.segments import Level
from cinema_core.report.result import StudyResult

MARGIN_MM: Final = 12.0
"""Around the heart at ED and ES."""

ENLARGED: Final = 4
LINE_PX: Final = 3
CAPTION_PX: Final = 14

_DASH_PX: Final = 14.0


@dataclass(frozen=True, eq=False)
class KeyImage:
    """One slice with its contours, RGB, and what it shows: phase and slice from 0."""

    title: str
    picture: Image.Image
    t: int
    z: int

    def captioned(self, words: str) -> Image.Image:
        """Return the picture with its title and further words below, for where it stands alone."""
        lines = (self.title, words)
        font = ImageFont.load_default(CAPTION_PX)
        size = max(self.picture.width, *(ceil(font.getlength(line)) + 2 * LINE_PX for line in lines))
        line_px = CAPTION_PX + 2 * LINE_PX
        page = Image.new("RGB", (size, self.picture.height + len(lines) * line_px))
        page.paste(self.picture, ((size - self.picture.width) // 2, 0))
        draw = ImageDraw.Draw(page)
        for k, line in enumerate(lines):
            draw.text((LINE_PX, self.picture.height + k * line_px), line, fill="white", font=font)
        return page


def key_images(result: StudyResult, labels: NDArray[np.uint8]) -> list[KeyImage]:
    """Show a basal, a mid and an apical slice at ED, then the same at ES; fewer where the LV is not drawn.

    Parameters
    ----------
    labels
        That the result was measured from, shape (t, z, y, x).
    """
    function = result.measures.function
    phases = {name: t for name, t in (("ED", function.ed_phase), ("ES", function.es_phase)) if t is not None}
    if "ED" not in phases:
        return []
    rows, columns = _around(labels[list(phases.values())], result.cine)
    chosen = _one_of_each_level(result, labels[phases["ED"]])
    return [
        KeyImage(
            f"{name}, {level}: slice {z + 1}, phase {t + 1}",
            contoured(result.cine, labels, t, z, rows, columns),
            t,
            z,
        )
        for name, t in phases.items()
        for level, z in chosen.items()
    ]


def contoured(cine: Cine, labels: NDArray[np.uint8], t: int, z: int, rows: slice, columns: slice) -> Image.Image:
    """Draw part of a slice: LV borders as whole lines, RV dashed, so that grey print tells them apart.

    Parameters
    ----------
    labels
        Shape (t, z, y, x).
    rows, columns
        Part to show.
    """
    frame = np.asarray(cine.pixels[t, z][rows, columns], dtype=np.float64)
    low, high = np.percentile(frame, (1, 99))
    grey = np.clip((frame - low) / max(high - low, 1e-9), 0, 1) * 255
    picture = Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    picture = picture.resize((picture.width * ENLARGED, picture.height * ENLARGED), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    plane = labels[t, z][rows, columns]
    lv = plane == Structure.LV_CAVITY
    for mask, structure in (
        (plane == Structure.RV_CAVITY, Structure.RV_CAVITY),
        (lv | (plane == Structure.LV_MYOCARDIUM), Structure.LV_MYOCARDIUM),
        (lv, Structure.LV_CAVITY),
    ):
        for contour in find_contours(np.pad(mask, 1).astype(np.float64), 0.5):
            # (y, x) of pixel centres in the padded part -> (x, y) in the enlarged picture
            points = (contour[:, ::-1] - 0.5) * ENLARGED
            _draw(draw, points, structure.colour, dashed=structure is Structure.RV_CAVITY)
    return picture


def _draw(draw: ImageDraw.ImageDraw, points: NDArray[np.float64], colour: str, *, dashed: bool) -> None:
    if not dashed:
        draw.line([tuple(point) for point in points.tolist()], fill=colour, width=LINE_PX)
        return
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    for k in range(len(points) - 1):
        if along[k] % _DASH_PX < 0.6 * _DASH_PX:
            draw.line([tuple(points[k].tolist()), tuple(points[k + 1].tolist())], fill=colour, width=LINE_PX)


def _around(labels: NDArray[np.uint8], cine: Cine) -> tuple[slice, slice]:
    """Rows and columns of the heart that is drawn, with a margin; a square if the image allows it."""
    drawn = shows_heart(labels).any(axis=(0, 1))  # (t, z, y, x) -> (y, x)
    # What was drawn far away by mistake does not make the heart small.
    pieces, _ = ndimage.label(drawn)
    shown = pieces == np.bincount(pieces[drawn]).argmax()
    spans = []
    reaches = []
    for axis, spacing in zip((1, 0), cine.geometry.pixel_spacing_mm, strict=True):
        at = np.flatnonzero(shown.any(axis=axis))
        spans.append((int(at[0]), int(at[-1]), spacing))
        reaches.append((at[-1] - at[0] + 1) * spacing / 2 + MARGIN_MM)
    reach_mm = max(reaches)
    parts = []
    for (first, last, spacing), size in zip(spans, shown.shape, strict=True):
        middle, reach = (first + last) / 2, reach_mm / spacing
        parts.append(slice(max(0, round(middle - reach)), min(size, round(middle + reach) + 1)))
    return parts[0], parts[1]


def _one_of_each_level(result: StudyResult, frame: NDArray[np.uint8]) -> dict[str, int]:
    """Middle slice of the basal, mid and apical third of the LV at ED, frame is (z, y, x)."""
    wall = result.measures.wall
    chosen = {}
    for level in Level:
        slices = [z for z, found in enumerate(wall.levels) if found is level] if wall else []
        if slices:
            chosen[level.value] = slices[len(slices) // 2]
    if len(chosen) == len(Level):
        return chosen
    shown = np.flatnonzero((frame == Structure.LV_CAVITY).any(axis=(1, 2))).tolist()
    if not shown:
        return {}
    shown = shown[::-1] if result.cine.apex_first else shown
    names = [level.value for level in Level]
    return {name: shown[min(len(shown) - 1, (2 * k + 1) * len(shown) // 6)] for k, name in enumerate(names)}
