"""Synthetic hearts by name, and hearts drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from cinema_core.errors import InputError
from cinema_core.phantom.parameters import HeartParameters, cavity_axes_mm

HEARTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "healthy": {},
        "athlete": {"lv_edv_ml": 210.0, "lv_ef_pct": 57.0, "rv_edv_ml": 235.0, "wall_mm": 11.0, "rr_ms": 1250.0},
        "dilated": {
            "lv_edv_ml": 290.0,
            "lv_ef_pct": 24.0,
            "rv_edv_ml": 190.0,
            "rv_ef_pct": 38.0,
            "wall_mm": 7.0,
            "rr_ms": 720.0,
            "n_slices": 12,
        },
        "hypertrophic": {
            "lv_edv_ml": 115.0,
            "lv_ef_pct": 70.0,
            "rv_edv_ml": 120.0,
            "wall_mm": 14.0,
            "septum_to_lateral": 1.6,
        },
        "thin": {"wall_mm": 5.0, "lv_edv_ml": 120.0, "rv_edv_ml": 125.0},
        "infarcted": {
            "lv_edv_ml": 190.0,
            "lv_ef_pct": 38.0,
            "infarct_segments": (1, 2, 7, 8, 13, 14, 17),
            "infarct_thinning": 0.4,
        },
        "dyssynchronous": {
            "lv_edv_ml": 220.0,
            "lv_ef_pct": 30.0,
            "rv_edv_ml": 160.0,
            "dyssynchrony_ms": 150.0,
            "n_slices": 11,
        },
        "right ventricular overload": {
            "lv_edv_ml": 95.0,
            "rv_edv_ml": 270.0,
            "rv_ef_pct": 32.0,
            "septal_flattening": 0.28,
            "rv_reach": 1.15,
        },
    }
)
"""Hearts by name, as what differs from the healthy one."""


def heart_called(name: str, **changes: Any) -> HeartParameters:
    """Return one of :data:`HEARTS`, with changes.

    Raises
    ------
    InputError
        If there is no heart of this name, or the changed one cannot be.
    """
    if name not in HEARTS:
        raise InputError(f"There is no synthetic heart called {name!r}; there are {', '.join(HEARTS)}.")
    if unknown := sorted(set(changes) - {field.name for field in fields(HeartParameters)}):
        raise InputError(f"A synthetic heart has no parameter {unknown[0]!r}; see HeartParameters for what there is.")
    return HeartParameters(**{**HEARTS[name], **changes})


CORONARY_TERRITORIES: Final = {
    "anterior": (1, 2, 7, 8, 13, 14, 17),
    "apical": (13, 14, 15, 16, 17),
    "inferior": (4, 3, 10, 9, 15),
    "lateral": (5, 6, 11, 12, 16),
}
"""Segments that one blocked coronary artery commonly takes (after Cerqueira et al. 2002)."""


def random_parameters(rng: np.random.Generator) -> HeartParameters:
    """Draw a heart - healthy, dilated, hypertrophic, infarcted or with right-sided disease - and a plausible stack.

    Parameters
    ----------
    rng
        Source of all chance; the same state gives the same heart.
    """
    kind = rng.choice(["healthy", "dilated", "hypertrophic", "infarcted", "right"], p=[0.3, 0.2, 0.18, 0.16, 0.16])
    lv_edv, lv_ef = rng.uniform(85, 200), rng.uniform(48, 70)
    rv_edv, rv_ef, wall = lv_edv * rng.uniform(0.85, 1.25), rng.uniform(42, 65), rng.uniform(6, 10.5)
    more: dict[str, Any] = {}
    if kind == "dilated":
        lv_edv, lv_ef, wall = rng.uniform(190, 380), rng.uniform(10, 45), rng.uniform(5, 9)
        rv_edv, rv_ef = rng.uniform(110, 260), rng.uniform(15, 55)
        if rng.random() < 0.4:
            more["dyssynchrony_ms"] = float(rng.uniform(40, 140))
    elif kind == "hypertrophic":
        lv_edv, lv_ef, wall = rng.uniform(75, 160), rng.uniform(55, 75), rng.uniform(11, 18)
        more["septum_to_lateral"] = float(rng.uniform(1.0, 1.9))
    elif kind == "infarcted":
        lv_edv, lv_ef, wall = rng.uniform(120, 280), rng.uniform(22, 48), rng.uniform(6, 10)
        more["infarct_segments"] = CORONARY_TERRITORIES[str(rng.choice(sorted(CORONARY_TERRITORIES)))]
        more["infarct_thinning"] = float(rng.uniform(0, 0.5))
    elif kind == "right":
        rv_edv, rv_ef = rng.uniform(180, 330), rng.uniform(15, 50)
        more["septal_flattening"] = float(rng.uniform(0, 0.32))
    radius, length = cavity_axes_mm(lv_edv)
    stretch = rng.uniform(0.9, 1.1)
    radius, length = radius / np.sqrt(stretch), length * stretch
    wall = min(wall, 0.72 * radius)
    step = float(rng.choice([8.0, 10.0]))
    return HeartParameters(
        lv_edv_ml=float(lv_edv),
        lv_ef_pct=float(lv_ef),
        rv_edv_ml=float(rv_edv),
        rv_ef_pct=float(rv_ef),
        wall_mm=float(wall),
        lv_length_mm=float(length),
        papillary_scale=float(rng.uniform(0.6, 1.3)),
        rv_reach=float(rng.uniform(0.85, 1.15)),
        n_slices=int(np.ceil((length + wall) / step)) + 2,
        slice_step_mm=step,
        slice_thickness_mm=min(8.0, step),
        base_offset_mm=float(rng.uniform(-0.5, 0.5) * step),
        tilt_deg=float(min(abs(rng.normal(0, 5)), 12)),
        tilt_towards_deg=float(rng.uniform(0, 360)),
        n_phases=int(rng.integers(20, 31)),
        rr_ms=float(rng.uniform(600, 1150)),
        pixel_spacing_mm=float(rng.uniform(1.2, 1.7)),
        rotation_deg=float(rng.normal(0, 12)),
        noise=float(rng.uniform(0.01, 0.05)),
        **more,
    )
