"""What stands in a report, in the order of the SCMR; HTML and PDF only lay it out.

References
----------
Hundley et al., J Cardiovasc Magn Reson 24:29 (2022): what a report on volumes and function holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.measure.drivers import EfDriver
from cinema_core.measure.findings import NOTHING_FOUND, Light
from cinema_core.measure.reference import Position, Verdict
from cinema_core.measure.segments import SEGMENT_NAMES
from cinema_core.report.key_images import KeyImage, key_images
from cinema_core.report.result import RESEARCH_USE, Status, StudyResult, Value

TITLE: Final = "Ventricular function from cine cardiac MR"
NOT_ENTERED: Final = "not entered"
SHORT_SHA: Final = 12

_LV_ROWS: Final = (
    ("End-diastolic volume", "lv_edv_ml", "lv_edvi_ml_m2"),
    ("End-systolic volume", "lv_esv_ml", "lv_esvi_ml_m2"),
    ("Stroke volume", "lv_sv_ml", "lv_svi_ml_m2"),
    ("Ejection fraction", "lv_ef_pct", ""),
    ("Cardiac output", "cardiac_output_l_min", "cardiac_index_l_min_m2"),
    ("Mass at ED", "lv_mass_g", "lv_massi_g_m2"),
)
_RV_ROWS: Final = (
    ("End-diastolic volume", "rv_edv_ml", "rv_edvi_ml_m2"),
    ("End-systolic volume", "rv_esv_ml", "rv_esvi_ml_m2"),
    ("Stroke volume", "rv_sv_ml", "rv_svi_ml_m2"),
    ("Ejection fraction", "rv_ef_pct", ""),
)
_MARKS: Final = {Position.BELOW: "BELOW", Position.WITHIN: "within", Position.ABOVE: "ABOVE"}
LIGHT_MARKS: Final = {Light.GREEN: "green", Light.AMBER: "! AMBER", Light.RED: "!! RED"}
"""Words and signs: colour alone is lost in grey print."""

MOST_FINDINGS: Final = 6
"""On the first page; all of them are on the next."""


@dataclass(frozen=True)
class Cell:
    """One figure of a table: value with unit, range, and where it lies."""

    value: str = ""
    range: str = ""
    verdict: str = ""
    stands_out: bool = False


@dataclass(frozen=True)
class Row:
    """One measure: absolute, and by body surface."""

    title: str
    absolute: Cell
    indexed: Cell


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Texts and tables of one report; see the functions below for what each holds."""

    result: StudyResult
    labels: NDArray[np.uint8]

    @property
    def title(self) -> str:
        """Heading."""
        return TITLE

    @property
    def use(self) -> str:
        """What the report is not for."""
        return RESEARCH_USE

    @property
    def status(self) -> str:
        """``DRAFT`` or ``APPROVED``."""
        return self.result.approval.status.value.upper()

    @property
    def is_draft(self) -> bool:
        """Whether nobody vouches for it."""
        return self.result.approval.status is Status.DRAFT

    @property
    def approval(self) -> str:
        """Who vouches, or why nobody does."""
        approval = self.result.approval
        return f"Approved by {approval.reader}, {_moment(approval.utc)}" if approval.utc else approval.reason

    @cached_property
    def person(self) -> tuple[tuple[str, str], ...]:
        """Demographics as entered or as in the files."""
        patient, function = self.result.patient, self.result.measures.function
        body = "" if function.bsa_m2 is None else f"{function.bsa_m2:.2f} m² ({function.bsa_formula})"
        return (
            ("Study", self.result.study_id),
            ("Sex, age", f"{_sex(patient.sex)}, {_known(patient.age_years, 'years', 0)}"),
            (
                "Height, weight",
                f"{_known(patient.height_m and patient.height_m * 100, 'cm', 0)}, {_known(patient.weight_kg, 'kg')}",
            ),
            ("Body surface", body or "not known"),
            ("Heart rate", self._heart_rate()),
        )

    def _heart_rate(self) -> str:
        timing = self.result.cine.timing
        source = self.result.heart_rate_source
        if timing.heart_rate_bpm is None:
            return source
        spread = ""
        if len(timing.rr_ms) > 1 and max(timing.rr_ms) - min(timing.rr_ms) > 1:
            spread = f", {60000 / max(timing.rr_ms):.0f} to {60000 / min(timing.rr_ms):.0f} over the slices"
        return f"{timing.heart_rate_bpm:.0f} per minute ({source}{spread})"

    @cached_property
    def method(self) -> tuple[tuple[str, str], ...]:
        """How images were taken and figures were made."""
        cine, function, origin = self.result.cine, self.result.measures.function, self.result.origin
        step = cine.geometry.slice_step_mm
        spacing = " x ".join(f"{mm:.2f}" for mm in cine.geometry.pixel_spacing_mm)
        ed_es = f"LV {_phase(function.ed_phase)} and {_phase(function.es_phase)}"
        if (function.rv_ed_phase, function.rv_es_phase) != (function.ed_phase, function.es_phase):
            ed_es += f"; RV {_phase(function.rv_ed_phase)} and {_phase(function.rv_es_phase)}"
        model = f"model {origin.card.name} ({origin.card.sha256[:SHORT_SHA]})" if origin.card else "no model"
        if origin.tuned_from:
            model += f", tuned from {origin.tuned_from.split()[0]}"
        read = f"{origin.corrected_slices} slices corrected, {origin.accepted_slices} accepted"
        return (
            (
                "Images",
                f"short axis, {cine.n_slices} slices of {cine.n_phases} phases, {_known(step, 'mm', 1)} apart, "
                f"pixels {spacing} mm",
            ),
            ("Volumes", function.method.description),
            ("Convention", function.convention),
            ("ED and ES", f"phases {ed_es}"),
            ("Contours", f"{model}; {read}"),
        )

    @cached_property
    def lv(self) -> tuple[Row, ...]:
        """Left ventricle."""
        return self._rows(_LV_ROWS)

    @cached_property
    def rv(self) -> tuple[Row, ...]:
        """Right ventricle."""
        return self._rows(_RV_ROWS)

    def _rows(self, names: tuple[tuple[str, str, str], ...]) -> tuple[Row, ...]:
        values = self.result.values
        return tuple(
            Row(title, _cell(values[absolute]), _cell(values[by_surface]) if by_surface else Cell())
            for title, absolute, by_surface in names
        )

    @cached_property
    def also_lv(self) -> str:
        """Further figures of the LV, in one line."""
        parts = [self._rates("lv"), self._figure("lv_mass_es_g", "mass at ES {} g")]
        wall = self.result.measures.wall
        if wall is not None and (thickest := wall.thickest) is not None:
            where = f"slice {thickest.z + 1}" + (f", {SEGMENT_NAMES[thickest.segment - 1]}" if thickest.segment else "")
            parts.append(self._figure("thickest_wall_mm", f"thickest wall at ED {{}} mm ({where})"))
        return "; ".join(part for part in parts if part)

    @cached_property
    def also_rv(self) -> str:
        """Further figures of the RV, and both together, in one line."""
        difference = self._figure("sv_difference_ml", "LV less RV stroke volume {} ml")
        if difference and self.result.value("sv_difference_pct") is not None:
            difference += self._figure("sv_difference_pct", " ({} % of their mean)")
        return "; ".join(part for part in (self._rates("rv"), difference) if part)

    def _rates(self, side: str) -> str:
        parts = [
            self._figure(f"{side}_peak_ejection_ml_s", "peak ejection {} ml/s")
            + self._figure(f"{side}_peak_ejection_ms", " at {} ms after ED", 0),
            self._figure(f"{side}_peak_filling_ml_s", "peak filling {} ml/s")
            + self._figure(f"{side}_peak_filling_ms", " at {} ms after ES", 0),
            self._figure(f"{side}_atrial_pct", "atrial share of filling {} %"),
        ]
        return "; ".join(part for part in parts if part)

    def _figure(self, name: str, words: str, decimals: int = 1) -> str:
        value = self.result.value(name)
        return "" if value is None else words.format(f"{value:.{decimals}f}")

    @cached_property
    def findings(self) -> tuple[tuple[Light, str], ...]:
        """Light and words of every finding, red first; one green line if there is none."""
        found = tuple((finding.light, _sentence(finding.text)) for finding in self.result.findings)
        return found or ((Light.GREEN, _sentence(NOTHING_FOUND)),)

    @property
    def light(self) -> Light:
        """The worst of them."""
        return self.result.measures.light

    @cached_property
    def drivers(self) -> tuple[str, ...]:
        """What the ejection fractions rest on: the slices that move them most, and the basal one in or out."""
        measures = self.result.measures
        found = (("LV", measures.lv_drivers), ("RV", measures.rv_drivers))
        return tuple(driver_sentence(side, drivers) for side, drivers in found if drivers)

    @cached_property
    def reference(self) -> str:
        """Table, persons, ages and how far it was checked; or why there is no verdict."""
        verdicts = self.result.measures.verdicts
        rows = [verdict.range for verdict in verdicts.values() if verdict.range is not None]
        if rows:
            return f"Reference: {rows[0].description}."
        reasons = dict.fromkeys(
            str(v.reason) for v in verdicts.values() if v.reason is not None and v.value is not None
        )
        return f"Reference: {'; '.join(reasons) or 'nothing was measured'}."

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Why figures are empty, each reason once with what it concerns."""
        by_reason: dict[str, list[str]] = {}
        for value in self.result.values.values():
            if value.reason:
                by_reason.setdefault(value.reason, []).append(value.title)
        return tuple(f"{_sentence(reason)}: {', '.join(titles)}." for reason, titles in by_reason.items())

    @cached_property
    def images(self) -> list[KeyImage]:
        """Key images at ED and ES."""
        return key_images(self.result, self.labels)

    @cached_property
    def provenance(self) -> tuple[tuple[str, str], ...]:
        """Where the result comes from, line by line."""
        origin, cine = self.result.origin, self.result.cine
        lines = {
            "Image content": f"sha256 {cine.content_sha256}",
            "Model": f"{origin.card.name}, sha256 {origin.card.sha256}" if origin.card else "none",
            "Tuned from": origin.tuned_from,
            "Journal position": "" if origin.journal_position is None else str(origin.journal_position),
            "Imported by": "; ".join(rule.rstrip(".") for rule in origin.import_rules),
            **self.result.basis,
            "Wall": self.result.measures.wall.description if self.result.measures.wall else "",
        }
        return tuple((name, text) for name, text in lines.items() if text)

    @property
    def made(self) -> str:
        """Program and time; the only line that changes when a report is made again."""
        origin = self.result.origin
        return f"napari-cinema {origin.software_version}, made {_moment(origin.created_utc)}"

    @cached_property
    def figures(self) -> tuple[Value, ...]:
        """Every figure with its two decimals, as in ``report.csv``."""
        return tuple(self.result.values.values())

    @cached_property
    def segments(self) -> Mapping[str, NDArray[np.float64]]:
        """Title and values of each bullseye, shape (17,)."""
        wall, es = self.result.measures.wall, self.result.measures.function.es_phase
        if wall is None:
            return {}
        found = {"Wall at ED, mm": wall.thickness_mm[wall.ed_phase]}
        if es is not None and es in wall.phases:
            found["Thickening, %"] = wall.thickening_pct[es]
        return found


def _cell(value: Value) -> Cell:
    if value.value is None:
        return Cell(value="–")
    decimals = 2 if value.unit.startswith("l/") else 1
    text = f"{value.value:.{decimals}f} {value.unit}"
    if value.verdict is None or value.verdict.range is None:
        return Cell(text)
    found = value.verdict.range
    ends = ["" if end is None else f"{end:g}" for end in (found.lower, found.upper)]
    limits = f"{ends[0]}–{ends[1]}" if all(ends) else f"≥ {ends[0]}" if ends[0] else f"≤ {ends[1]}" if ends[1] else ""
    return Cell(text, limits, _verdict_text(value.verdict), value.verdict.position not in (None, Position.WITHIN))


def _verdict_text(verdict: Verdict) -> str:
    words = _MARKS[verdict.position] if verdict.position else ""
    return words if verdict.z is None else f"{words} (z {round(verdict.z, 1) + 0.0:+.1f})"


def driver_sentence(side: str, drivers: tuple[EfDriver, ...]) -> str:
    """Tell what an ejection fraction rests on: three slices, and the basal one in or out; drivers are most first."""
    most = ", ".join(f"slice {d.z + 1} ({d.most_pct:+.1f})" for d in drivers[:3])
    text = f"{side} EF rests most on {most}: points by which it moves if that slice is left out at ED, ES or both."
    basal = next((driver for driver in drivers if driver.is_basal), None)
    if basal is None:
        return text
    outs = (("ED", basal.without_ed_pct), ("ES", basal.without_es_pct), ("both", basal.without_pct))
    without = ", ".join(f"{ef:.1f} % out at {when}" for when, ef in outs if ef is not None)
    return f"{text} Basal slice {basal.z + 1}: {without}."


def _sex(sex: str | None) -> str:
    return {"F": "female", "M": "male"}.get(sex or "", NOT_ENTERED)


def _known(value: float | None, unit: str, decimals: int = 1) -> str:
    return NOT_ENTERED if value is None else f"{value:.{decimals}f} {unit}"


def _phase(t: int | None) -> str:
    return "–" if t is None else str(t + 1)


def _moment(utc: str) -> str:
    return datetime.fromisoformat(utc).strftime("%Y-%m-%d %H:%M:%S UTC") if utc else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
