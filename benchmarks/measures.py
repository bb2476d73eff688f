"""How exact the measures are where the labels are right: ``python -m benchmarks.measures``.

Synthetic hearts with their own labels, against what perfect contours on the same slices would give and against the
heart itself; the wall against the exact borders. ACDC's expert labels against the volumes of its ``metadata.csv``.
Sunnybrook's expert contours against areas added up from the text files without this program's code. Sets that are not
at hand are left out, and said so.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from skimage.measure import find_contours

from benchmarks.table import DATA, Figure, print_table
from cinema_core.anatomy import MYOCARDIAL_DENSITY_G_PER_ML, Structure
from cinema_core.io import load_study, read_labels
from cinema_core.io.contours import import_labels
from cinema_core.measure import ejection_fraction_pct, ventricular_function, wall_measures
from cinema_core.measure.segments import N_SEGMENTS, Insertions, segments_around
from cinema_core.measure.wall import WallMeasures
from cinema_core.phantom import PhantomStudy, TrueWall, make_phantom, random_parameters, true_wall

SEED: Final = 88_000_000
"""Hearts that no model was trained or judged on."""

ED, ES = 0, 1
"""Phases of a synthetic heart that is imaged at three."""

SUNNYBROOK: Final = {"SCD0000101": "SC-HF-I-1", "SCD0000301": "SC-HF-I-4"}
"""DICOM folder to contour folder, see ``link.csv`` beside them."""

ACDC_COLUMNS: Final = {
    "lv_ed_ml": (ED, Structure.LV_CAVITY),
    "lv_es_ml": (ES, Structure.LV_CAVITY),
    "rv_ed_ml": (ED, Structure.RV_CAVITY),
    "rv_es_ml": (ES, Structure.RV_CAVITY),
    "myo_ed_ml": (ED, Structure.LV_MYOCARDIUM),
}

Array = NDArray[np.float64]


# --- synthetic hearts ------------------------------------------------------------------------------------------


def measure_heart(i: int) -> dict[str, list[float]]:
    """Errors of one random heart: volumes in percent, EF in points, segments in mm."""
    p = random_parameters(np.random.default_rng([SEED, i]))
    study = make_phantom(replace(p, n_phases=3), seed=SEED + i)
    found = ventricular_function(study.labels, study.cine, ed_phase=ED, es_phase=ES)
    errors: dict[str, list[float]] = {}
    for truth, lv, rv, myo in (
        ("slices", study.lv_discs_ml, study.rv_discs_ml, study.myo_discs_ml),
        ("heart", study.lv_ml, study.rv_ml, study.myo_ml),
    ):
        for name, measured, true in (
            ("LV EDV", found.lv_edv_ml, lv[ED]),
            ("LV ESV", found.lv_esv_ml, lv[ES]),
            ("RV EDV", found.rv_edv_ml, rv[ED]),
            ("RV ESV", found.rv_esv_ml, rv[ES]),
            ("LV mass", found.lv_mass_g, MYOCARDIAL_DENSITY_G_PER_ML * myo[ED]),
        ):
            errors[f"{name}, {truth}"] = [100 * (_known(measured) / float(true) - 1)]
        for name, measured, curve in (("LV EF", found.lv_ef_pct, lv), ("RV EF", found.rv_ef_pct, rv)):
            errors[f"{name}, {truth}"] = [_known(measured) - _known(ejection_fraction_pct(curve[ED], curve[ES]))]
    wall = wall_measures(study.labels, study.cine, ED)
    for name, phase in (("wall, ED", ED), ("wall, ES", ES)):
        errors[name] = segment_errors_mm(study, wall, phase)
    true_thickest = max(
        (float(true.thickness_mm.max()) for z in _rings(wall, ED) if (true := true_wall(study.sax, ED, z))), default=0.0
    )
    errors["thickest wall"] = [wall.thickest.thickness_mm - true_thickest] if wall.thickest and true_thickest else []
    return errors


def segment_errors_mm(study: PhantomStudy, wall: WallMeasures, phase: int) -> list[float]:
    """Measured less exact thickness of each AHA segment that has both.

    The septum is the phantom's own: a septum that was found amiss shows as an error of the thickness. Tilted slices
    that the plane of the valve cuts have no exact wall and are left out of both.
    """
    slices = np.full((study.cine.n_slices, N_SEGMENTS), np.nan)
    at_ed = {z: found for z in _rings(wall, ED) if (found := true_wall(study.sax, ED, z))}
    septum = {z: angle for z, found in at_ed.items() if (angle := _septum(study, found, z)) is not None}
    for z in _rings(wall, phase):
        level, found = wall.levels[z], true_wall(study.sax, phase, z)
        if level is None or found is None or not septum:
            continue
        nearest = septum[min(septum, key=lambda k: abs(k - z))]
        away = found.middle_px - found.cavity_px
        segment = segments_around(level, np.arctan2(away[:, 1], away[:, 0]) - nearest)
        for s in np.unique(segment):
            slices[z, s - 1] = found.thickness_mm[segment == s].mean()
    errors = wall.slice_mm[phase] - slices  # (z, segment)
    known = np.isfinite(errors)
    return [float(errors[known[:, s], s].mean()) for s in np.flatnonzero(known.any(axis=0))]


def _septum(study: PhantomStudy, found: TrueWall, z: int) -> float | None:
    """Direction of the middle of the septum; the phantom's images are as scanners show them."""
    if found.insertions_px is None:
        return None
    spacing = study.cine.geometry.planes[z].spacing_mm
    front, back = ((float(y), float(x)) for x, y in found.insertions_px)
    return Insertions(front, back).septum_angle(found.cavity_px * np.array(spacing[::-1]), spacing, sense=1)


def _rings(wall: WallMeasures, phase: int) -> list[int]:
    return np.flatnonzero(np.isfinite(wall.chord_mm[phase]).all(axis=1)).tolist()


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


def measure_phantom(n_hearts: int, n_processes: int) -> list[Figure]:
    """Lines of the synthetic hearts."""
    with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn")) as pool:
        hearts = list(pool.map(measure_heart, range(n_hearts)))
    figures = []
    for name in hearts[0]:
        errors = np.array([error for heart in hearts for error in heart[name]])
        target, unit, limit = _phantom_target(name)
        figures.append(Figure(f"Synthetic, {n_hearts} hearts: {name}", error_text(errors, unit, limit), target))
    return figures


def _phantom_target(name: str) -> tuple[str, str, float | None]:
    """Target, unit, and what an error must stay within; the heart itself is for comparison."""
    unit = "mm" if "wall" in name else "points" if " EF" in name else "%"
    if name.endswith("heart") or name == "thickest wall":
        return "", unit, None
    limit = {"mm": 0.5, "points": 1.0, "%": 1.5}[unit]
    return f"within {limit:g} {unit}", unit, limit


def error_text(errors: Array, unit: str, limit: float | None) -> str:
    """Bias, spread and extremes of errors, and how many lie within a limit."""
    size = np.abs(errors)
    text = f"bias {errors.mean():+.2f}, MAE {size.mean():.2f}, 95 % {np.percentile(size, 95):.2f}, max {size.max():.2f}"
    within = "" if limit is None else f"; {np.count_nonzero(size <= limit)} of {len(size)} within"
    return f"{text} {unit}{within}"


# --- real studies ----------------------------------------------------------------------------------------------


def measure_acdc(folder: Path) -> list[Figure]:
    """Volumes of the expert labels against those of ``metadata.csv``, and what outlines would give instead."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_voxels, by_outlines = [], []
    for row in rows:
        patient = folder / row["patient"]
        cine = load_study(patient).best("sax")
        labels = np.concatenate([read_labels(path) for path in sorted(patient.glob("*_gt.nii.gz"))])
        curve = ventricular_function(labels, cine).curve
        of = {Structure.LV_CAVITY: curve.lv_ml, Structure.RV_CAVITY: curve.rv_ml, Structure.LV_MYOCARDIUM: curve.myo_ml}
        spacing, step = cine.geometry.pixel_spacing_mm, cine.geometry.slice_step_mm
        for column, (t, structure) in ACDC_COLUMNS.items():
            true = float(row[column])
            by_voxels.append(100 * (of[structure][t] / true - 1))
            outlined = _outlined_pixels(labels[t] == structure) * spacing[0] * spacing[1] * _known(step) / 1000
            by_outlines.append(100 * (outlined / true - 1))
    name = f"ACDC, {len(rows)} patients, 5 volumes each"
    return [
        Figure(f"{name}: voxels against metadata.csv", error_text(np.array(by_voxels), "%", 1.0), "within 1 %"),
        Figure(f"{name}: outlines of the same labels", error_text(np.array(by_outlines), "%", None), "stated"),
    ]


def _outlined_pixels(masks: NDArray[np.bool_]) -> float:
    """Area within the outlines of masks (z, y, x), holes taken off, in pixels."""
    return sum(
        -_area(curve)  # outlines go one way round pixels and the other way round holes
        for plane in masks
        for curve in find_contours(np.pad(plane, 1).astype(np.float64), 0.5)
    )


def _area(points: Array) -> float:
    """Signed area of a polygon (Gauss's trapezoid rule)."""
    y, x = points.T
    return 0.5 * float(np.sum(np.roll(x, -1) * y - x * np.roll(y, -1)))


def measure_sunnybrook(folder: Path) -> list[Figure]:
    """LV volumes and EF of the expert contours by this program, against areas added up without it."""
    figures = []
    for dicoms, contours in SUNNYBROOK.items():
        cine = load_study(folder / "dicoms" / dicoms).best("sax")
        imported = import_labels(folder / "contourfiles" / contours, cine)
        labels = np.zeros(cine.shape, dtype=np.uint8)
        for (t, z), mask in imported.masks.items():
            labels[t, z] = mask
        drawn = sorted({t for t, _ in imported.masks})
        found = ventricular_function(labels, cine, phases=drawn)
        edv, esv, ef = sunnybrook_by_hand(folder / "dicoms" / dicoms, folder / "contourfiles" / contours)
        figures.append(
            Figure(
                f"Sunnybrook {contours}: LV EDV, ESV, EF less those by hand",
                f"{_known(found.lv_edv_ml) - edv:+.2f} ml of {edv:.1f}, {_known(found.lv_esv_ml) - esv:+.2f} ml of "
                f"{esv:.1f}, {_known(found.lv_ef_pct) - ef:+.2f} points of {ef:.1f}",
                "EF within 1 point",
            )
        )
    return figures


def sunnybrook_by_hand(dicoms: Path, contours: Path) -> tuple[float, float, float]:
    """LV EDV and ESV in ml and EF in percent: polygon areas from the text files times the distance of positions."""
    headers = {int(path.stem): pydicom.dcmread(path, stop_before_pixels=True) for path in dicoms.glob("*.dcm")}
    first = next(iter(headers.values()))
    normal = np.cross(*np.array(first.ImageOrientationPatient, dtype=float).reshape(2, 3))
    place = {n: float(np.array(h.ImagePositionPatient, dtype=float) @ normal) for n, h in headers.items()}
    step_mm = float(np.median(np.diff(np.unique(np.round(list(place.values()), 1)))))
    n_phases = len(headers) // len(set(np.round(list(place.values()), 1)))
    area: dict[int, float] = {}
    for path in (contours / "i-contours").glob("*.txt"):
        number = int(_group(r"IM-\d+-(\d+)-", path.name))  # files count the phases of one slice after the other
        spacing = np.array(headers[number].PixelSpacing, dtype=float)
        phase = number % n_phases
        area[phase] = area.get(phase, 0.0) + abs(_area(np.loadtxt(path))) * float(spacing.prod())
    edv, esv = (chosen(area.values()) * step_mm / 1000 for chosen in (max, min))
    return edv, esv, 100 * (edv - esv) / edv


def _group(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"{text} is no contour of Sunnybrook's")
    return found[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is at hand and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hearts", type=int, default=200, help="synthetic hearts (200)")
    parser.add_argument("--processes", type=int, default=2, help="of the synthetic hearts (2)")
    given = parser.parse_args(arguments)
    figures = measure_phantom(given.hearts, given.processes)
    for folder, measured in (("acdc", measure_acdc), ("sunnybrook_dicom", measure_sunnybrook)):
        if (DATA / folder).is_dir():
            figures += measured(DATA / folder)
        else:
            figures.append(Figure(folder, "left out: not at hand"))
    print_table("Measures from labels that are right", figures)


if __name__ == "__main__":
    main()
