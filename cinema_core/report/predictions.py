"""Answers of the published tasks as plain values, tables and pictures; what is measured is measured elsewhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cinema_core.anatomy import FOREGROUND
from cinema_core.answers import ClassAnswer, Landmarks, LongAxisSegmentation, Reconstruction, ValueAnswer
from cinema_core.cards import RESEARCH_USE, ModelCard
from cinema_core.cine import Cine
from cinema_core.measure.long_axis import LANDMARK_NAMES, LongAxisFunction
from cinema_core.tasks import Task

UNKNOWN_TRAINING: Final = "No card: what it was trained on, if at all, is not known."

PICTURE_SIZE: Final = 256
"""Pixels of one image in the reconstruction picture."""

MARGIN: Final = 24
ERROR_RANGE: Final = 0.5
"""Difference at which the error map is fully blue or red."""


def answer_json(task: Task, study_id: str, phases: Mapping[str, Sequence[int]], answer: Any) -> dict[str, Any]:
    """Plain values of one answer, with the models that gave it; phases count from 1 here.

    Parameters
    ----------
    answer
        :class:`ClassAnswer` or :class:`ValueAnswer`.
    """
    values: dict[str, Any] = {"task": task.name, "title": task.title, "study_id": study_id}
    values["phases"] = {view: [t + 1 for t in chosen] for view, chosen in phases.items()}
    if isinstance(answer, ClassAnswer):
        spread = answer.spread
        values["answer"] = answer.answer
        values["probabilities"] = dict(zip(answer.classes, map(_round, answer.probabilities), strict=True))
        values["spread"] = None if spread is None else dict(zip(answer.classes, map(_round, spread), strict=True))
    elif isinstance(answer, ValueAnswer):
        values |= {"value": _round(answer.value), "unit": task.unit}
        values["spread"] = None if answer.spread is None else _round(answer.spread)
    else:
        raise TypeError(f"{type(answer).__name__} is no answer about a whole study")
    return values | {"note": task.note, "use": RESEARCH_USE, "models": models_json(answer.cards)}


def landmarks_json(
    task: Task, study_id: str, cine: Cine, found: Landmarks, function: LongAxisFunction
) -> dict[str, Any]:
    """Plain values of the measures from landmarks; phases count from 1 here."""
    return {
        "task": task.name,
        "title": task.title,
        "study_id": study_id,
        "cine": cine.id,
        "view": cine.view.value,
        "lv_length_mm": [_round(length) for length in function.lv_length_mm],
        "longest_phase": function.longest + 1,
        "shortest_phase": function.shortest + 1,
        "gls_pct": None if function.gls_pct is None else _round(function.gls_pct),
        "mapse_mm": None if function.mapse_mm is None else _round(function.mapse_mm),
        "spread_mm": None if found.spread_mm is None else _round(float(found.spread_mm.mean())),
        "note": "GLS is the shortening of the line from the valve plane to the apex, not the strain of the wall.",
        "use": RESEARCH_USE,
        "models": models_json(found.cards),
    }


def models_json(cards: Sequence[ModelCard]) -> list[dict[str, str]]:
    """Name, hash and training of the models that answered."""
    return [
        {
            "name": card.name,
            "sha256": card.sha256,
            "trained_on": "; ".join(card.trained_on) or card.description or UNKNOWN_TRAINING,
        }
        for card in cards
    ]


def landmarks_table(cine: Cine, found: Landmarks) -> str:
    """CSV, one row per phase and landmark: pixels (x to the right, y down, from 0) and patient millimetres (LPS)."""
    plane, trigger_ms = cine.geometry.planes[0], cine.timing.trigger_ms
    rows = []
    for t, points in enumerate(found.points_yx):
        for k, (y, x) in enumerate(points):
            world = plane.to_world_mm(y, x)
            rows.append(
                [
                    t + 1,
                    "" if trigger_ms is None else f"{trigger_ms[t]:.1f}",
                    LANDMARK_NAMES[k],
                    *(f"{value:.2f}" for value in (x, y, *world)),
                    "" if found.spread_mm is None else f"{found.spread_mm[t, k]:.2f}",
                    "" if found.confidence is None else f"{found.confidence[t, k]:.4f}",
                ]
            )
    heading = ("phase", "trigger_ms", "landmark", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "spread_mm", "confidence")
    return _csv(heading, rows)


def areas_table(cine: Cine, found: LongAxisSegmentation) -> str:
    """CSV, one row per phase: areas in mm2 and how unsure the model is."""
    heading = ("phase", *(f"{structure.name.lower()}_mm2" for structure in FOREGROUND), "uncertainty")
    rows = [
        [t + 1, *(f"{area:.1f}" for area in areas), f"{doubt:.3f}"]
        for t, (areas, doubt) in enumerate(zip(found.areas_mm2, found.uncertainty[:, 0], strict=True))
    ]
    return _csv(heading, rows)


def draw_reconstruction(found: Mapping[str, Reconstruction], titles: Mapping[str, str]) -> Image.Image:
    """Picture of input, mask, reconstruction and error, a row per view; of a stack three slices, base to apex.

    Parameters
    ----------
    titles
        Name of each view, for the reader.
    """
    rows = [(f"{titles[view]}{where}", panels) for view, one in found.items() for where, panels in _panels_of(one)]
    headings = ("Input", "Shown to the model", "Reconstruction", "Error (blue: too dark, red: too bright)")
    width = len(headings) * (PICTURE_SIZE + MARGIN // 2) + MARGIN
    height = len(rows) * (PICTURE_SIZE + MARGIN) + 2 * MARGIN
    picture = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    lefts = [MARGIN // 2 + k * (PICTURE_SIZE + MARGIN // 2) for k in range(len(headings))]
    for left, heading in zip(lefts, headings, strict=True):
        draw.text((left, 4), heading, fill="black", font=font)
    for r, (title, panels) in enumerate(rows):
        top = MARGIN + r * (PICTURE_SIZE + MARGIN)
        draw.text((lefts[0], top + 2), title, fill="black", font=font)
        for left, panel in zip(lefts, panels, strict=True):
            picture.paste(_fitted(panel), (left, top + MARGIN - 4))
    return picture


def _panels_of(one: Reconstruction) -> list[tuple[str, list[NDArray[np.uint8]]]]:
    if one.image.ndim == 2:
        return [("", _panels(one.image, one.masked, one.reconstruction))]
    n_slices = one.image.shape[2]
    chosen = sorted({n_slices // 4, n_slices // 2, (3 * n_slices) // 4})
    return [
        (f", slice {z + 1} of {n_slices}", _panels(one.image[..., z], one.masked[..., z], one.reconstruction[..., z]))
        for z in chosen
    ]


def _panels(
    image: NDArray[np.floating], masked: NDArray[np.bool_], made: NDArray[np.floating]
) -> list[NDArray[np.uint8]]:
    """Four RGB images (y, x, 3) of one plane (x, y)."""
    hidden = _grey(image)
    hidden[masked] = (60, 70, 90)
    error = np.clip((made - image) / ERROR_RANGE, -1, 1)[..., None]
    # White where right; blue and red are told apart by colour-blind readers too.
    tint = np.where(error < 0, np.array([33, 102, 172]), np.array([178, 24, 43]))
    shown = (255 + np.abs(error) * (tint - 255)).astype(np.uint8)
    return [panel.transpose(1, 0, 2) for panel in (_grey(image), hidden, _grey(made), shown)]


def _grey(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.repeat((np.clip(image, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _fitted(panel: NDArray[np.uint8]) -> Image.Image:
    scale = PICTURE_SIZE / max(panel.shape[:2])
    size = (round(panel.shape[1] * scale), round(panel.shape[0] * scale))
    return Image.fromarray(np.ascontiguousarray(panel)).resize(size, Image.Resampling.BILINEAR)


def _csv(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heading)
    writer.writerows(rows)
    return text.getvalue()


def _round(value: float) -> float:
    return round(float(value), 4)


def write_table(path: Path, text: str) -> None:
    """Write a CSV text, UTF-8."""
    with path.open("x", encoding="utf-8", newline="") as file:
        file.write(text)
