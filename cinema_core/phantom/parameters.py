"""What a synthetic heart is like, in clinical words, and which hearts cannot be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cinema_core.errors import InputError

LONGEST_RR_MS = 3000.0
"""20 beats a minute; slower is not a cine that anybody gates."""

SHORTEST_RR_MS = 250.0
"""240 beats a minute."""


@dataclass(frozen=True)
class HeartParameters:
    """One heart and the stack that images it.

    Attributes
    ----------
    lv_edv_ml, lv_ef_pct
        Largest LV volume, and the share of it that is ejected.
    rv_edv_ml, rv_ef_pct
        The same of the RV.
    wall_mm
        LV wall at end-diastole, mid-ventricle. It thickens in systole because muscle keeps its volume.
    n_slices, slice_step_mm, slice_thickness_mm
        The stack from base to apex; thickness is what is averaged through the plane.
    slices_above_base
        Slices that lie beyond the mitral plane at end-diastole; None: one, if there are four or more.
    n_phases, rr_ms
        Phases of one beat and its duration.
    rows, columns, pixel_spacing_mm
        The image.
    rotation_deg
        Turn of the heart in the image; 0 has the RV on the left, as scanners show it.
    noise
        Standard deviation of the noise in each channel, relative to the signal of blood.
    """

    lv_edv_ml: float = 130.0
    lv_ef_pct: float = 58.0
    rv_edv_ml: float = 145.0
    rv_ef_pct: float = 54.0
    wall_mm: float = 9.0
    n_slices: int = 10
    slice_step_mm: float = 10.0
    slice_thickness_mm: float = 8.0
    slices_above_base: int | None = None
    n_phases: int = 20
    rr_ms: float = 900.0
    rows: int = 192
    columns: int = 192
    pixel_spacing_mm: float = 1.4
    rotation_deg: float = 0.0
    noise: float = 0.025

    def __post_init__(self) -> None:
        problems = _impossible(self)
        if problems:
            raise InputError("This heart cannot be made: " + " ".join(problems))

    @property
    def lv_esv_ml(self) -> float:
        """LV volume that is left at end-systole."""
        return self.lv_edv_ml * (1 - self.lv_ef_pct / 100)

    @property
    def rv_esv_ml(self) -> float:
        """RV volume that is left at end-systole."""
        return self.rv_edv_ml * (1 - self.rv_ef_pct / 100)

    @property
    def ed_phase(self) -> int:
        """Phase of the largest volumes: the first."""
        return 0

    @property
    def es_phase(self) -> int:
        """Phase of the smallest volumes, about 35 % into the beat."""
        return max(1, round(0.35 * self.n_phases))

    @property
    def first_slice_mm(self) -> float:
        """Distance of the first slice from the mitral plane at end-diastole, positive towards the apex."""
        if self.n_slices == 1:
            return 30.0  # mid-ventricle
        above = self.slices_above_base
        if above is None:
            above = 1 if self.n_slices >= 4 else 0
        # The mitral plane of end-diastole lies half way between two slices.
        return (0.5 - above) * self.slice_step_mm


def _impossible(p: HeartParameters) -> list[str]:
    """Every reason why this heart or its images cannot be, one sentence each."""
    problems: list[str] = []

    def within(name: str, value: float, low: float, high: float, unit: str, why: str) -> None:
        if not (np.isfinite(value) and low <= value <= high):
            problems.append(f"{name} is {value:g} {unit}, {why}; give {low:g} to {high:g} {unit}.")

    for side, edv, ef in (("LV", p.lv_edv_ml, p.lv_ef_pct), ("RV", p.rv_edv_ml, p.rv_ef_pct)):
        within(f"{side} end-diastolic volume", edv, 20, 600, "ml", "which no adult ventricle holds")
        within(
            f"{side} ejection fraction", ef, 5, 85, "%", "and a ventricle cannot eject more than it holds or nothing"
        )
    within("Wall thickness", p.wall_mm, 3, 30, "mm", "which no LV wall measures")
    if not problems and p.wall_mm > _cavity_radius_mm(p.lv_edv_ml):
        problems.append(
            f"A wall of {p.wall_mm:g} mm is thicker than the cavity is deep ({_cavity_radius_mm(p.lv_edv_ml):.0f} mm "
            f"for {p.lv_edv_ml:g} ml at end-diastole); give a thinner wall or a larger volume."
        )
    within(
        "RR interval", p.rr_ms, SHORTEST_RR_MS, LONGEST_RR_MS, "ms", "which is no heart rate between 20 and 240 /min"
    )
    within("The number of phases", p.n_phases, 2, 200, "phases", "and a beat needs end-diastole and end-systole")
    within("The number of slices", p.n_slices, 1, 100, "slices", "which is no short-axis stack")
    within("Slice step", p.slice_step_mm, 1, 40, "mm", "which is no short-axis stack")
    within("Slice thickness", p.slice_thickness_mm, 1, 20, "mm", "which is no cine")
    within("Pixel spacing", p.pixel_spacing_mm, 0.3, 5, "mm", "which is no cine")
    within("The number of rows", p.rows, 32, 1024, "pixels", "which is no cine")
    within("The number of columns", p.columns, 32, 1024, "pixels", "which is no cine")
    within("Noise", p.noise, 0, 0.5, "of the blood signal", "in which nothing could be seen")
    if p.slices_above_base is not None and not 0 <= p.slices_above_base < max(p.n_slices, 1):
        problems.append(
            f"{p.slices_above_base} of {p.n_slices} slices lie above the base, so none would show the ventricles; "
            "give fewer slices above the base."
        )
    return problems


LENGTH_TO_DIAMETER = 1.65
"""LV length over diameter at end-diastole; 1.5 to 1.8 in healthy adults."""

BASE_BEYOND_EQUATOR = 0.25
"""How far the ellipsoid goes on past its widest place before the mitral plane cuts it, in long half-axes."""


def truncated_ellipsoid_ml(short_mm: float, long_mm: float, beyond_mm: float) -> float:
    """Volume of an ellipsoid of revolution from its apex to a plane beyond its equator, in ml.

    Parameters
    ----------
    short_mm, long_mm
        Half-axes across and along the axis of revolution.
    beyond_mm
        Distance of the cutting plane from the centre, on the side away from the apex; less than ``long_mm``.
    """
    # Integral of pi a^2 (1 - z^2 / c^2) from -h to c.
    c, h = long_mm, beyond_mm
    return float(np.pi * short_mm**2 * ((c + h) - (c**3 + h**3) / (3 * c**2)) / 1000)


def _cavity_radius_mm(edv_ml: float) -> float:
    """Half diameter of the LV cavity at end-diastole."""
    h = BASE_BEYOND_EQUATOR
    # long = length / (1 + h), length = 2 * radius * LENGTH_TO_DIAMETER
    long_per_radius = 2 * LENGTH_TO_DIAMETER / (1 + h)
    unit_ml = truncated_ellipsoid_ml(1.0, long_per_radius, h * long_per_radius)
    return float((edv_ml / unit_ml) ** (1 / 3))


def cavity_axes_mm(edv_ml: float) -> tuple[float, float]:
    """Radius and length (mitral plane to apex) of the LV cavity at end-diastole."""
    radius = _cavity_radius_mm(edv_ml)
    return radius, 2 * radius * LENGTH_TO_DIAMETER


def random_parameters(rng: np.random.Generator) -> HeartParameters:
    """Draw a heart: healthy, dilated, hypertrophic or right-sided disease, and a plausible stack.

    Parameters
    ----------
    rng
        Source of all chance; the same state gives the same heart.
    """
    kind = rng.choice(["healthy", "dilated", "hypertrophic", "right"], p=[0.4, 0.2, 0.2, 0.2])
    lv_edv, lv_ef = rng.uniform(90, 190), rng.uniform(50, 70)
    rv_edv, rv_ef, wall = lv_edv * rng.uniform(0.9, 1.25), rng.uniform(45, 65), rng.uniform(7, 10.5)
    if kind == "dilated":
        lv_edv, lv_ef, wall = rng.uniform(190, 380), rng.uniform(10, 45), rng.uniform(5, 9)
        rv_edv, rv_ef = rng.uniform(110, 260), rng.uniform(15, 55)
    elif kind == "hypertrophic":
        lv_edv, lv_ef, wall = rng.uniform(75, 160), rng.uniform(55, 75), rng.uniform(12, 18)
    elif kind == "right":
        rv_edv, rv_ef = rng.uniform(180, 330), rng.uniform(15, 50)
    step = float(rng.choice([8.0, 10.0]))
    length = cavity_axes_mm(lv_edv)[1] + wall
    return HeartParameters(
        lv_edv_ml=float(lv_edv),
        lv_ef_pct=float(lv_ef),
        rv_edv_ml=float(rv_edv),
        rv_ef_pct=float(rv_ef),
        wall_mm=float(min(wall, 0.75 * _cavity_radius_mm(lv_edv))),
        n_slices=int(np.ceil(length / step)) + 2,
        slice_step_mm=step,
        slice_thickness_mm=min(8.0, step),
        n_phases=int(rng.integers(20, 31)),
        rr_ms=float(rng.uniform(600, 1150)),
        pixel_spacing_mm=float(rng.uniform(1.2, 1.7)),
        rotation_deg=float(rng.normal(0, 12)),
        noise=float(rng.uniform(0.01, 0.05)),
    )
