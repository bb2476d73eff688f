"""Volumes and ejection fractions from scored phases: their errors, and how well two scans of a heart repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.learn.scores import ejection_fraction_pct
from training.answering import matthews
from training.settings import Behaviour
from training.statistics import Row, column

EF_REGIONS: Final = (40.0, 55.0)
"""An ejection fraction up to the first is reduced, up to the second borderline, above it normal; per cent."""
MEASURES: Final = ("edv_ml", "esv_ml", "ef_pct")


def ejection_rows(rows: Sequence[Row], behaviour: Behaviour) -> list[dict[str, Any]]:
    """Volumes and ejection fraction of each heart from the scored phases; none if they hold no volumes.

    ED and ES are the phases of these names. Where every phase was drawn they are those of the largest and the smallest
    volume, of each ventricle by itself. As published an ejection fraction is held within 0 to 100.
    """
    hearts: dict[str, dict[str, Row]] = {}
    for row in rows:
        if "true_lv_ml" in row:
            hearts.setdefault(row["pid"], {})[row["phase"]] = row
    found = []
    for pid, phases in hearts.items():
        table: dict[str, Any] = {"patient": next(iter(phases.values()))["patient"], "pid": pid}
        for ventricle in ("lv", "rv"):
            ef = {}
            for kind in ("predicted", "true"):
                volumes = {phase: float(row[f"{kind}_{ventricle}_ml"]) for phase, row in phases.items()}
                edv, esv = volumes.get("ed", max(volumes.values())), volumes.get("es", min(volumes.values()))
                pct = ejection_fraction_pct(edv, esv) or 0.0
                ef[kind] = min(100.0, max(0.0, pct)) if behaviour is Behaviour.PUBLISHED else pct
                table |= {f"{kind}_{ventricle}_{name}_ml": ml for name, ml in (("edv", edv), ("esv", esv))}
                table[f"{kind}_{ventricle}_ef_pct"] = ef[kind]
                table[f"{kind}_{ventricle}_ef_region"] = float(np.searchsorted(EF_REGIONS, ef[kind]))
            for name in MEASURES:
                away = table[f"predicted_{ventricle}_{name}"] - table[f"true_{ventricle}_{name}"]
                table[f"{ventricle}_{name}_abs_error"] = abs(away)
        found.append(table)
    return found


def ejection_figures(rows: Sequence[Row]) -> dict[str, float]:
    """Error of volumes and ejection fractions, and how often the region of the ejection fraction is right."""
    found: dict[str, float] = {}
    for ventricle in ("lv", "rv"):
        for name in MEASURES:
            key = f"{ventricle}_{name}"
            away = column(rows, f"predicted_{key}") - column(rows, f"true_{key}")
            found[f"{key}_mae"] = float(np.abs(away).mean())
            found[f"{key}_std_abs_error"] = float(np.abs(away).std())
            found[f"{key}_rmse"] = float(np.sqrt(np.square(away).mean()))
            found[f"{key}_bias"] = float(away.mean())
        given, true = (column(rows, f"{kind}_{ventricle}_ef_region").astype(int) for kind in ("predicted", "true"))
        found[f"{ventricle}_ef_region_accuracy"] = float((given == true).mean())
        found[f"{ventricle}_ef_region_mcc"] = matthews(true, given)
    return found


def repeat_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Both scans of each patient who was seen twice, from the rows of :func:`ejection_rows`."""
    scans: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["pid"] != row["patient"]:
            scans.setdefault(row["patient"], {})[row["pid"].removeprefix(row["patient"])] = row
    return [
        {
            "patient": patient,
            **{
                f"{kind}_{ventricle}_{name}{scan}": pair[scan][f"{kind}_{ventricle}_{name}"]
                for kind in ("predicted", "true")
                for ventricle in ("lv", "rv")
                for name in MEASURES
                for scan in ("_A", "_B")
            },
        }
        for patient, pair in scans.items()
        if {"_A", "_B"} <= pair.keys()
    ]


def repeat_figures(rows: Sequence[Row]) -> dict[str, float]:
    """Coefficient of variation between the scans, per cent, of what was drawn and of the readers' own labels."""
    return {
        f"{kind}_{ventricle}_{name}_cv_pct": variation_pct(
            column(rows, f"{kind}_{ventricle}_{name}_A"), column(rows, f"{kind}_{ventricle}_{name}_B")
        )
        for kind in ("predicted", "true")
        for ventricle in ("lv", "rv")
        for name in MEASURES
    }


def variation_pct(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Coefficient of variation of pairs: root mean square of their spread relative to their mean, per cent.

    Pairs whose mean is 0 have none and are left out.

    References
    ----------
    Bhuva et al., Circ Cardiovasc Imaging 12:e009214 (2019).
    """
    middle = (first + second) / 2
    known = middle != 0
    squared = (first - second)[known] ** 2 / 2 / middle[known] ** 2
    return 100 * float(np.sqrt(squared.mean())) if squared.size else float("nan")
