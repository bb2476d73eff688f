"""Make the pictures of the bundled model's page again: the heart that beats, and what the model draws.

Only synthetic hearts and CC0 Sunnybrook images are shown.

Example: python scripts/model_pictures.py
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from benchmarks.bundled import SUNNYBROOK, phantom_cases
from benchmarks.table import DATA
from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, View
from cinema_core.io import load_study
from cinema_core.io.contours import import_labels
from cinema_core.measure.agreement import dice
from cinema_core.models import zoo
from cinema_core.phantom import PhantomView, heart_called, make_phantom
from cinema_core.predict import segment_cine

PICTURES: Final = Path(__file__).resolve().parents[1] / "docs" / "images"
ZOOM: Final = 3
SIDE_MM: Final = 120.0
LINE: Final = 22
TRUTH: Final = "#ffffff"

GIF_SIDE: Final = 132
GIF_GREYS: Final = 40

Plane = NDArray[np.generic]
Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shown:
    """One slice with the truth and what the model drew."""

    title: str
    pixels: Plane
    truth: Labels
    drawn: Labels
    spacing_mm: float
    structures: tuple[Structure, ...]

    @property
    def score(self) -> float:
        """Mean Dice of what the truth holds."""
        return float(np.mean([dice(self.drawn, self.truth, s) for s in self.structures if (self.truth == s).any()]))


def beating_heart(path: Path) -> None:
    """Healthy and infarcted heart, short axis, 4- and 2-chamber view, one beat, without end."""
    rows = []
    for name in ("healthy", "infarcted"):
        study = make_phantom(heart_called(name, n_phases=20, noise=0.015), seed=11, views=[View.LAX_4C, View.LAX_2C])
        rows.append([(study.sax, 3), *((view, 0) for view in study.long_axis)])
    pictures = []
    for t in range(20):
        frame = np.vstack([np.hstack([_grey(view, t, z) for view, z in row]) for row in rows])
        steps = np.floor(frame / 256 * GIF_GREYS) * (255 / (GIF_GREYS - 1))  # few greys make a small file
        pictures.append(Image.fromarray(steps.astype(np.uint8)))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=45, loop=0, optimize=True)


def _grey(view: PhantomView, t: int, z: int) -> NDArray[np.float64]:
    """Cut of one frame around the heart, 0 to 255."""
    heart = np.argwhere(view.labels[0, z] > 0).mean(axis=0).round().astype(int)
    low = np.clip(heart - GIF_SIDE // 2, 0, np.array(view.labels.shape[2:]) - GIF_SIDE)
    pixels = view.cine.pixels[t, z, low[0] : low[0] + GIF_SIDE, low[1] : low[1] + GIF_SIDE].astype(np.float64)
    return np.clip(pixels / np.percentile(view.cine.pixels[:, z], 99.3) * 255, 0, 255)


def draw(shown: Shown) -> Image.Image:
    """Image alone, and beside it the model's borders in colour over the truth in white."""
    y, x = np.argwhere(shown.truth > 0).mean(axis=0) if (shown.truth > 0).any() else np.array(shown.truth.shape) / 2
    half = SIDE_MM / 2 / shown.spacing_mm
    box = (x - half, y - half, x + half, y + half)
    grey = np.clip(shown.pixels / np.percentile(shown.pixels, 99.5) * 255, 0, 255).astype(np.uint8)
    side = round(SIDE_MM * ZOOM)
    plain = (
        Image.fromarray(grey)
        .convert("RGB")
        .resize((side, side), Image.Resampling.BICUBIC, box=_inside(box, grey.shape))
    )
    over = plain.copy()
    brush = ImageDraw.Draw(over)
    scale = side / (2 * half)
    for s in shown.structures:
        for labels, colour, width in ((shown.truth, TRUTH, 1), (shown.drawn, s.colour, 2)):
            for curve in find_contours((labels == s).astype(float), 0.5):
                points = [((c - box[0] + 0.5) * scale, (r - box[1] + 0.5) * scale) for r, c in curve]
                if len(points) > 2:
                    brush.line(points, fill=colour, width=width)
    both = Image.new("RGB", (2 * side + 4, side + LINE), "black")
    both.paste(plain, (0, LINE))
    both.paste(over, (side + 4, LINE))
    ImageDraw.Draw(both).text((4, 3), f"{shown.title}: Dice {shown.score:.2f}", fill="white", font=_font())
    return both


def _inside(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Box that lies within the image, which PIL wants; hearts lie well inside theirs."""
    return max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(shape[1])), min(box[3], float(shape[0]))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=14)


def page(rows: Sequence[Sequence[Shown]], path: Path) -> None:
    """Write rows of pictures under each other."""
    drawn = [[draw(shown) for shown in row] for row in rows if row]
    width = max(sum(p.width + 8 for p in row) for row in drawn)
    height = sum(max(p.height for p in row) + 8 for row in drawn)
    sheet = Image.new("RGB", (width, height), "#202020")
    y = 0
    for row in drawn:
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y))
            x += picture.width + 8
        y += max(p.height for p in row) + 8
    sheet.save(path, optimize=True)


def phantom_slices(model: Any, n_hearts: int) -> list[Shown]:
    """Every slice of some random hearts, at ED and ES."""
    cases, parameters = phantom_cases(n_hearts)
    found = []
    for name in parameters:
        own = [case for case in cases if case.study_id == name]
        cine = Cine(
            id="sax",
            pixels=np.stack([case.image for case in own]),
            geometry=own[0].geometry,
            view=View.SAX,
            phase_names=("ed", "es"),
        )
        labels = segment_cine(cine, model, device="cpu").labels
        for t, case in enumerate(own):
            for z in np.flatnonzero((case.labels > 0).any(axis=(1, 2))):
                spacing = case.geometry.pixel_spacing_mm[0]
                structures = (Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY)
                title = f"{name}, {case.phase.upper()}, slice {z + 1}"
                found.append(Shown(title, case.image[z], case.labels[z], labels[t, z], spacing, structures))
    return found


def sunnybrook_slices(model: Any, folder: Path) -> list[Shown]:
    """Every slice of the DICOM patients that an expert drew on."""
    found = []
    for dicoms, contours in SUNNYBROOK.items():
        cine = load_study(folder / "dicoms" / dicoms).best("sax")
        masks: Mapping[tuple[int, int], Labels] = import_labels(folder / "contourfiles" / contours, cine).masks
        labels = segment_cine(cine, model, device="cpu").labels
        for t, z in sorted(masks):
            truth = masks[t, z]
            structures = tuple(s for s in (Structure.LV_MYOCARDIUM, Structure.LV_CAVITY) if (truth == s).any())
            if not structures:  # a contour too small to hold a pixel
                continue
            truth = np.where(np.isin(truth, structures), truth, 0).astype(np.uint8)
            title = f"Sunnybrook {contours}, phase {t + 1}, slice {z + 1}"
            spacing = cine.geometry.pixel_spacing_mm[0]
            found.append(Shown(title, cine.pixels[t, z], truth, labels[t, z], spacing, structures))
    return found


def spread(slices: Sequence[Shown], n: int) -> list[Shown]:
    """Return some slices from the worst to the best, evenly by rank."""
    ranked = sorted(slices, key=lambda shown: shown.score)
    return [ranked[round(i * (len(ranked) - 1) / (n - 1))] for i in range(n)]


def worst(slices: Sequence[Shown], n: int) -> list[Shown]:
    """Return the slices with the lowest scores."""
    return sorted(slices, key=lambda shown: shown.score)[:n]


def main() -> None:
    """Write ``docs/images/beating-heart.gif``, ``bundled-typical.png`` and ``bundled-worst.png``."""
    parser = argparse.ArgumentParser(prog="python scripts/model_pictures.py", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled", help="name or folder of the model")
    parser.add_argument("--hearts", type=int, default=20, help="number of random hearts to choose slices from")
    parser.add_argument("--out", type=Path, default=PICTURES, help="folder to write to")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    beating_heart(given.out / "beating-heart.gif")
    model = zoo.load(given.model)
    synthetic = phantom_slices(model, given.hearts)
    real = sunnybrook_slices(model, DATA / "sunnybrook_dicom") if (DATA / "sunnybrook_dicom").is_dir() else []
    halves = [part for part in (synthetic, real) if part]
    typical = [spread(part, 5)[1:] for part in halves]
    bad = [worst(part, 4) for part in halves]
    page([row for four in typical for row in (four[:2], four[2:])], given.out / "bundled-typical.png")
    page([row for four in bad for row in (four[:2], four[2:])], given.out / "bundled-worst.png")


if __name__ == "__main__":
    main()
