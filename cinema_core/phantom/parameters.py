"""What a synthetic heart is like, in clinical words, and which hearts cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Final

import numpy as np

from cinema_core.errors import InputError

LONGEST_RR_MS = 3000.0
"""20 beats a minute; slower is not a cine that anybody gates."""

SHORTEST_RR_MS = 250.0
"""240 beats a minute."""

THINNEST_WALL_MM, THICKEST_WALL_MM = 3.0, 30.0
"""Bounds of the LV wall at end-diastole, mean around the ring."""

MUSCLE_G_PER_ML = 1.05
"""Density of heart muscle."""

N_SEGMENTS: Final = 17
"""Segments of the American Heart Association's model of the LV (Cerqueira et al., Circulation 105:539, 2002)."""


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
        LV wall at end-diastole, mid-ventricle, mean around the ring.
    lv_mass_g
        Mass of the LV muscle; given, it decides the wall, and ``wall_mm`` is not used.
    wall_thickening_pct
        By how much the middle of a healthy wall thickens until end-systole, in percent. Muscle keeps its volume, so
        this decides how far the base descends; None: as far as is usual for the ejection fraction. Not together with an
        infarct or dyssynchrony, where the healthy rest does the work of the others.
    septum_to_lateral
        End-diastolic wall of the septum over that of the lateral wall: 1.3 and more is asymmetric hypertrophy.
    septal_flattening
        0 for a round LV, 0.35 for the D shape of a right ventricle under pressure.
    lv_length_mm
        From the mitral plane to the tip of the cavity at end-diastole; None: 1.65 times the diameter.
    infarct_segments
        AHA segments (1 to 17) that do not contract: they neither thicken nor move inwards.
    infarct_thinning
        Share of their end-diastolic wall that infarcted segments have lost.
    dyssynchrony_ms
        How much later the lateral wall reaches its end-systole than the septum.
    papillary_scale
        Size of the papillary muscles; 0 for none, 1 for usual.
    rv_reach
        How far round the LV the RV reaches; 1 is usual.
    n_slices, slice_step_mm, slice_thickness_mm
        The stack from base to apex; thickness is what is averaged through the plane.
    slices_above_base
        Slices that lie beyond the mitral plane at end-diastole; None: one, if there are four or more.
    base_offset_mm
        Shifts the stack towards the apex; at 0 the mitral plane of end-diastole lies half way between two slices.
    tilt_deg, tilt_towards_deg
        Angle between the normal of the slices and the LV axis, and towards which wall they lean (0 lateral, 90
        inferior, 180 septal, 270 anterior).
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
    lv_mass_g: float | None = None
    wall_thickening_pct: float | None = None
    septum_to_lateral: float = 1.0
    septal_flattening: float = 0.0
    lv_length_mm: float | None = None
    infarct_segments: tuple[int, ...] = ()
    infarct_thinning: float = 0.0
    dyssynchrony_ms: float = 0.0
    papillary_scale: float = 1.0
    rv_reach: float = 1.0
    n_slices: int = 10
    slice_step_mm: float = 10.0
    slice_thickness_mm: float = 8.0
    slices_above_base: int | None = None
    base_offset_mm: float = 0.0
    tilt_deg: float = 0.0
    tilt_towards_deg: float = 0.0
    n_phases: int = 20
    rr_ms: float = 900.0
    rows: int = 192
    columns: int = 192
    pixel_spacing_mm: float = 1.4
    rotation_deg: float = 0.0
    noise: float = 0.025

    def __post_init__(self) -> None:
        problems = _no_numbers(self)
        if not problems:
            for name in _WHOLE:
                if (value := getattr(self, name)) is not None:
                    object.__setattr__(self, name, int(value))
            object.__setattr__(self, "infarct_segments", tuple(int(s) for s in self.infarct_segments))
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
    def cavity_axes_mm(self) -> tuple[float, float]:
        """Radius and length (mitral plane to apex) of the LV cavity at end-diastole."""
        return cavity_axes_mm(self.lv_edv_ml, self.lv_length_mm)

    @property
    def ed_wall_mm(self) -> float:
        """Wall at end-diastole, mid-ventricle, mean around the ring: as given, or as the mass asks for."""
        if self.lv_mass_g is None:
            return self.wall_mm
        radius, length = self.cavity_axes_mm
        wanted_ml = self.lv_edv_ml + self.lv_mass_g / MUSCLE_G_PER_ML
        low, high = 0.0, 80.0
        for _ in range(60):
            middle = (low + high) / 2
            if epicardial_ml(radius, length, middle) < wanted_ml:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    @property
    def first_slice_mm(self) -> float:
        """Distance of the first slice from the mitral plane at end-diastole, positive towards the apex."""
        if self.n_slices == 1:
            return 30.0 + self.base_offset_mm  # mid-ventricle
        above = self.slices_above_base
        if above is None:
            above = 1 if self.n_slices >= 4 else 0
        return (0.5 - above) * self.slice_step_mm + self.base_offset_mm


_WHOLE: Final = ("n_slices", "n_phases", "rows", "columns", "slices_above_base")
"""Parameters that are counted, not measured."""

_MAY_BE_NONE: Final = ("lv_mass_g", "wall_thickening_pct", "lv_length_mm", "slices_above_base")


def _no_numbers(p: HeartParameters) -> list[str]:
    """Every parameter that is no number, or no whole one where things are counted, one sentence each."""
    problems = []
    for name, value in vars(p).items():
        if name == "infarct_segments":
            segments = value if isinstance(value, list | tuple) else (value,)
            if not isinstance(value, list | tuple) or not all(map(_is_whole, segments)):
                problems.append(
                    f"infarct_segments is {value!r}; give AHA segments as whole numbers, such as (1, 7, 13)."
                )
        elif value is None and name in _MAY_BE_NONE:
            continue
        elif isinstance(value, bool) or not isinstance(value, Real):
            problems.append(f"{name} is {value!r}, which is no number.")
        elif name in _WHOLE and not _is_whole(value):
            problems.append(f"{name} is {value!r}; give a whole number.")
    return problems


def _is_whole(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral)


def _impossible(p: HeartParameters) -> list[str]:
    """Tell why this heart or its images cannot be, one sentence each.

    What follows from several parameters together is looked at once each of them is possible.
    """
    problems: list[str] = []

    def within(name: str, value: float, low: float, high: float, unit: str, why: str) -> bool:
        if np.isfinite(value) and low <= value <= high:
            return True
        problems.append(f"{name} is {value:g} {unit}, {why}; give {low:g} to {high:g} {unit}.")
        return False

    for side, edv, ef in (("LV", p.lv_edv_ml, p.lv_ef_pct), ("RV", p.rv_edv_ml, p.rv_ef_pct)):
        within(f"{side} end-diastolic volume", edv, 20, 600, "ml", "which no adult ventricle holds")
        within(
            f"{side} ejection fraction", ef, 5, 85, "%", "and a ventricle cannot eject more than it holds or nothing"
        )
    if p.lv_mass_g is None:
        within("Wall thickness", p.wall_mm, THINNEST_WALL_MM, THICKEST_WALL_MM, "mm", "which no LV wall measures")
    else:
        within("LV mass", p.lv_mass_g, 30, 500, "g", "which no adult LV weighs")
    if p.lv_length_mm is not None:
        within("LV length", p.lv_length_mm, 45, 140, "mm", "which no adult LV measures")
    within("Septum over lateral wall", p.septum_to_lateral, 0.5, 3, "", "which no LV shows")
    if not problems:
        radius, length = p.cavity_axes_mm
        thickest = p.ed_wall_mm * 2 * max(p.septum_to_lateral, 1.0) / (1 + p.septum_to_lateral)
        if p.lv_mass_g is not None and not THINNEST_WALL_MM <= p.ed_wall_mm <= THICKEST_WALL_MM:
            problems.append(
                f"An LV of {p.lv_edv_ml:g} ml and {p.lv_mass_g:g} g has a wall of {p.ed_wall_mm:.2g} mm, which no LV "
                f"measures; give a mass or a volume with a wall of {THINNEST_WALL_MM:g} to {THICKEST_WALL_MM:g} mm."
            )
        if thickest > radius:
            where = "A septum" if p.septum_to_lateral > 1 else "A wall"
            problems.append(
                f"{where} of {thickest:.3g} mm is thicker than the cavity is deep ({radius:.0f} mm "
                f"for {p.lv_edv_ml:g} ml at end-diastole); give a thinner wall or a larger volume."
            )
        if length < 2 * radius:
            problems.append(
                f"An LV of {p.lv_edv_ml:g} ml that is only {length:g} mm long would be wider than long; "
                "give a greater length or a smaller volume."
            )
    within("Septal flattening", p.septal_flattening, 0, 0.5, "", "beyond which the septum would bulge into the LV")
    within("Infarct thinning", p.infarct_thinning, 0, 0.7, "", "and a scar keeps some of its wall")
    wrong = [s for s in p.infarct_segments if not 1 <= s <= N_SEGMENTS]
    if wrong:
        problems.append(f"AHA segments are numbered 1 to {N_SEGMENTS}; {', '.join(map(str, wrong))} is none.")
    within("Dyssynchrony", p.dyssynchrony_ms, 0, 250, "ms", "which no bundle branch block causes")
    if p.rr_ms > 0 and 0 <= p.dyssynchrony_ms <= 250 and p.dyssynchrony_ms > 0.25 * p.rr_ms:
        problems.append(
            f"A dyssynchrony of {p.dyssynchrony_ms:g} ms is more than a quarter of the RR interval of {p.rr_ms:g} ms; "
            "give a smaller one or a slower heart."
        )
    within("Papillary muscle scale", p.papillary_scale, 0, 1.6, "", "beyond which they would fill the cavity")
    within("RV reach", p.rv_reach, 0.7, 1.3, "", "beyond which the RV would not be one")
    if p.wall_thickening_pct is not None and (p.infarct_segments or p.dyssynchrony_ms):
        problems.append(
            "Wall thickening cannot be asked for together with an infarct or dyssynchrony: the healthy rest thickens "
            "by what it must do for the others; leave one of them out."
        )
    elif not problems and p.wall_thickening_pct is not None:
        low, high = thickening_range_pct(p)
        within(
            "Wall thickening",
            p.wall_thickening_pct,
            low,
            high,
            "%",
            f"which muscle that keeps its volume cannot do at an ejection fraction of {p.lv_ef_pct:g} %",
        )
    within(
        "RR interval", p.rr_ms, SHORTEST_RR_MS, LONGEST_RR_MS, "ms", "which is no heart rate between 20 and 240 /min"
    )
    within("The number of phases", p.n_phases, 2, 200, "phases", "and a beat needs end-diastole and end-systole")
    within("The number of slices", p.n_slices, 1, 100, "slices", "which is no short-axis stack")
    within("Slice step", p.slice_step_mm, 1, 40, "mm", "which is no short-axis stack")
    within("Slice thickness", p.slice_thickness_mm, 1, 20, "mm", "which is no cine")
    within("Base offset", p.base_offset_mm, -40, 40, "mm", "which is no short-axis stack")
    within("Tilt", p.tilt_deg, 0, 30, "degrees", "which is no short-axis stack")
    within("Tilt direction", p.tilt_towards_deg, -360, 360, "degrees", "which is no direction")
    within("Rotation", p.rotation_deg, -360, 360, "degrees", "which is no direction")
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

APICAL_WALL: Final = 0.7
"""Wall at the apex relative to mid-ventricle; it is the thinnest place of the LV."""

LONGITUDINAL_SHARE: Final = 0.24
"""Shortening of the LV length per unit of ejection fraction: 14 % at an EF of 58 %."""

MOST_SHORTENING: Final = 0.30
"""Largest share of its length that a ventricle loses in systole."""


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


def cavity_axes_mm(edv_ml: float, length_mm: float | None = None) -> tuple[float, float]:
    """Radius and length (mitral plane to apex) of the LV cavity at end-diastole."""
    h = BASE_BEYOND_EQUATOR
    if length_mm is not None:
        long = length_mm / (1 + h)
        return float(np.sqrt(edv_ml / truncated_ellipsoid_ml(1.0, long, h * long))), length_mm
    # long = length / (1 + h), length = 2 * radius * LENGTH_TO_DIAMETER
    long_per_radius = 2 * LENGTH_TO_DIAMETER / (1 + h)
    radius = float((edv_ml / truncated_ellipsoid_ml(1.0, long_per_radius, h * long_per_radius)) ** (1 / 3))
    return radius, 2 * radius * LENGTH_TO_DIAMETER


def epicardial_ml(radius_mm: float, length_mm: float, wall_mm: float) -> float:
    """Volume inside the epicardium at end-diastole, cavity included; the wall is thinnest at the apex."""
    long = length_mm / (1 + BASE_BEYOND_EQUATOR)
    return truncated_ellipsoid_ml(radius_mm + wall_mm, long + APICAL_WALL * wall_mm, BASE_BEYOND_EQUATOR * long)


def thickening_pct(p: HeartParameters, shortening: float) -> float:
    """Thickening of the wall at the widest place of a healthy LV that shortens by this share of its length.

    The ring there keeps its muscle: its area grows as its height falls.
    """
    radius, wall = p.cavity_axes_mm[0], p.ed_wall_mm
    height = 1 - shortening
    inner = radius**2 * (1 - p.lv_ef_pct / 100) / height
    outer = inner + ((radius + wall) ** 2 - radius**2) / height
    return float(100 * ((np.sqrt(outer) - np.sqrt(inner)) / wall - 1))


def thickening_range_pct(p: HeartParameters) -> tuple[float, float]:
    """Least and most that the wall can thicken at this ejection fraction, as whole percents within the range."""
    most = min(MOST_SHORTENING, p.lv_ef_pct / 100 - 0.02)
    return float(np.ceil(thickening_pct(p, 0.0))), float(np.floor(thickening_pct(p, most)))


def shortening_of(p: HeartParameters) -> float:
    """Share of its length that the LV loses until end-systole."""
    if p.wall_thickening_pct is None:
        return LONGITUDINAL_SHARE * p.lv_ef_pct / 100
    low, high = 0.0, MOST_SHORTENING
    for _ in range(50):
        middle = (low + high) / 2
        if thickening_pct(p, middle) < p.wall_thickening_pct:
            low = middle
        else:
            high = middle
    return (low + high) / 2
