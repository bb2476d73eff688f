"""The result of a study: figures, findings, and where they come from; every output is made from one of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from math import isfinite
from typing import Any, Final

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine, Patient
from cinema_core.measure.findings import Finding
from cinema_core.measure.reference import Verdict
from cinema_core.measure.study_measures import StudyMeasures

DECIMALS: Final = 2
"""Of every figure. Readers differ by 5 ml and 5 % EF (Suinesiaputra et al., JCMR 17:63, 2015); the second decimal
is there so that EF and stroke volume can be recomputed from the volumes of the table."""

RESEARCH_USE: Final = "Research use only. Not for diagnosis or treatment."


class Status(StrEnum):
    """Whether a named reader vouches for what is reported."""

    DRAFT = "draft"
    APPROVED = "approved"


@dataclass(frozen=True)
class Approval:
    """Who vouches for ED and ES, and if nobody does, why.

    Attributes
    ----------
    reader
        Pseudonym; of a draft the reader who has worked on it, or empty.
    utc
        When it was approved, ISO 8601; empty for a draft.
    reason
        Why it is a draft, in a sentence; empty if approved.
    """

    status: Status = Status.DRAFT
    reader: str = ""
    utc: str = ""
    reason: str = "Nobody has approved ED and ES."


NOT_APPROVED: Final = Approval()


@dataclass(frozen=True)
class Origin:
    """Where a result comes from, beside the cine itself.

    Attributes
    ----------
    card
        Model that drew most of the labels; None if none did.
    journal_position
        Newest row of the project's journal that the labels are of; None without a project.
    import_rules
        One sentence per decision of the importer.
    settings
        What was asked for: phases, device and the like.
    """

    software_version: str
    created_utc: str
    card: ModelCard | None = None
    corrected_slices: int = 0
    accepted_slices: int = 0
    journal_position: int | None = None
    import_rules: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tuned_from(self) -> str:
        """Name and hash of the model that the one in use was fine-tuned from; empty if it was not."""
        lineage = self.card.lineage if self.card else {}
        return " ".join(str(lineage[key]) for key in ("base", "base_sha256") if lineage.get(key))


@dataclass(frozen=True)
class Value:
    """One figure as every output gives it.

    Attributes
    ----------
    name
        As in ``report.csv``; the unit is in it.
    title, unit
        For a reader.
    value
        Rounded to :data:`DECIMALS`, once and for all; None if it is not known, and ``reason`` then says why.
    verdict
        Where it lies in the reference table; None where no table knows such a measure.
    """

    name: str
    title: str
    unit: str
    value: float | None
    reason: str = ""
    verdict: Verdict | None = None

    @property
    def text(self) -> str:
        """The figure with its two decimals; empty if it is not known."""
        return "" if self.value is None else f"{self.value:.{DECIMALS}f}"


@dataclass(frozen=True, eq=False)
class StudyResult:
    """A short-axis study as it is reported. Phases and slices count from 0 here, from 1 in what is written."""

    study_id: str
    cine: Cine
    measures: StudyMeasures
    origin: Origin
    approval: Approval = NOT_APPROVED

    @property
    def patient(self) -> Patient:
        """Who the person is: as entered, else as in the files."""
        return self.measures.patient

    @property
    def heart_rate_source(self) -> str:
        """Where the heart rate is from, in words."""
        timing = self.cine.timing
        if timing.heart_rate_bpm is None:
            return "not known: the files give no RR interval"
        return _RR_SOURCES.get(timing.rr_source, timing.rr_source or "RR interval")

    @property
    def basis(self) -> Mapping[str, str]:
        """What figures rest on beside labels and convention, by name: stands on every output."""
        return {
            "Method": self.measures.function.method.description,
            "Body surface formula": self.measures.function.bsa_formula.value,
            "Heart rate": self.heart_rate_source,
            "Reference table": self.measures.choices.table,
        }

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to look at, red first."""
        return self.measures.findings

    @property
    def flags(self) -> str:
        """Each flag once, red first, in one line; empty if nothing was found."""
        return "; ".join(self.measures.flags)

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Every figure by its name, in the order of a report."""
        function, measures = self.measures.function, self.measures
        found: dict[str, float | None] = {name: getattr(function, name, None) for name, _, _ in _FIGURES}
        for side, rates in (("lv", measures.lv_rates), ("rv", measures.rv_rates)):
            for name in _RATES:
                found[f"{side}_{name}"] = None if rates is None else getattr(rates, name)
        for name, of in _PER_HEIGHT.items():
            found[name] = measures.per_height(getattr(function, of))
        found |= {
            "lv_mass_es_g": measures.lv_mass_es_g,
            "sv_difference_ml": measures.sv_difference_ml,
            "sv_difference_pct": measures.sv_difference_pct,
            "thickest_wall_mm": thickest.thickness_mm
            if measures.wall and (thickest := measures.wall.thickest)
            else None,
        }
        return {
            name: Value(
                name,
                title,
                unit,
                rounded(found[name]),
                "" if rounded(found[name]) is not None else self._why_unknown(name),
                measures.verdicts.get(name),
            )
            for name, title, unit in _FIGURES
        }

    def value(self, name: str) -> float | None:
        """One figure, rounded as everywhere; None if it is not known."""
        return self.values[name].value

    def _why_unknown(self, name: str) -> str:
        function, side = self.measures.function, name[:2]
        ed = function.rv_ed_phase if side == "rv" else function.ed_phase
        sv = function.rv_sv_ml if side == "rv" else function.lv_sv_ml
        if name == "bsa_m2" or name.endswith("_m2"):
            if self.patient.bsa_m2 is None:
                return "height and weight are not known"
            if function.bsa_m2 is None:
                return "height and weight give a body surface that nobody has"
        if name.endswith("_m") and not self.patient.height_m:
            return "height is not known"
        if name in ("heart_rate_bpm", "cardiac_output_l_min", "cardiac_index_l_min_m2") and not function.heart_rate_bpm:
            return "the files give no heart rate"
        if ed is None:
            return (
                f"the {side.upper()} is not drawn, or at one phase only"
                if side in ("lv", "rv")
                else "LV or RV is not drawn"
            )
        if sv is None:
            return "ED or ES is not measured"
        rates = self.measures.rv_rates if side == "rv" else self.measures.lv_rates
        if name.endswith("_atrial_pct") and rates is not None:
            return "no second wave of filling is seen"
        if "_peak_" in name or name.endswith("_atrial_pct"):
            return "needs ten phases and more over the whole beat, all measured, with their times"
        if "mass" in name:
            return "the LV muscle is not drawn"
        return "LV or RV is not drawn" if name.startswith("sv_") else "not measured"


def rounded(value: float | None) -> float | None:
    """Round a figure as every output gives it; None if it is none."""
    # Adding zero turns the -0.0 that rounding leaves of a tiny negative value into 0.0.
    return None if value is None or not isfinite(value) else round(float(value), DECIMALS) + 0.0


def import_rules(notes: Iterable[str], cine: Cine) -> tuple[str, ...]:
    """Gather what was decided when the study was read: the importer's notes, and what the cine says of itself."""
    of_cine = (f"phases by {cine.timing.order_rule}", cine.view_reason, cine.direction_reason)
    return tuple(dict.fromkeys(note for note in (*notes, *of_cine) if note))


_RR_SOURCES: Final = {"stated": "RR interval of the files", "heart rate": "heart rate of the files"}

_RATES: Final = ("peak_ejection_ml_s", "peak_ejection_ms", "peak_filling_ml_s", "peak_filling_ms", "atrial_pct")

_PER_HEIGHT: Final = {
    "lv_edv_height_ml_m": "lv_edv_ml",
    "lv_esv_height_ml_m": "lv_esv_ml",
    "lv_mass_height_g_m": "lv_mass_g",
    "rv_edv_height_ml_m": "rv_edv_ml",
    "rv_esv_height_ml_m": "rv_esv_ml",
}

_FIGURES: Final = (
    ("lv_edv_ml", "LV end-diastolic volume", "ml"),
    ("lv_edvi_ml_m2", "LV end-diastolic volume index", "ml/m²"),
    ("lv_esv_ml", "LV end-systolic volume", "ml"),
    ("lv_esvi_ml_m2", "LV end-systolic volume index", "ml/m²"),
    ("lv_sv_ml", "LV stroke volume", "ml"),
    ("lv_svi_ml_m2", "LV stroke volume index", "ml/m²"),
    ("lv_ef_pct", "LV ejection fraction", "%"),
    ("cardiac_output_l_min", "Cardiac output", "l/min"),
    ("cardiac_index_l_min_m2", "Cardiac index", "l/min/m²"),
    ("lv_mass_g", "LV mass at ED", "g"),
    ("lv_massi_g_m2", "LV mass index", "g/m²"),
    ("lv_mass_es_g", "LV mass at ES", "g"),
    ("thickest_wall_mm", "Thickest wall at ED", "mm"),
    ("lv_edv_height_ml_m", "LV end-diastolic volume by height", "ml/m"),
    ("lv_esv_height_ml_m", "LV end-systolic volume by height", "ml/m"),
    ("lv_mass_height_g_m", "LV mass by height", "g/m"),
    ("lv_peak_ejection_ml_s", "LV peak ejection rate", "ml/s"),
    ("lv_peak_ejection_ms", "LV peak ejection, after ED", "ms"),
    ("lv_peak_filling_ml_s", "LV peak filling rate", "ml/s"),
    ("lv_peak_filling_ms", "LV peak filling, after ES", "ms"),
    ("lv_atrial_pct", "LV filling by the atrium", "% of SV"),
    ("rv_edv_ml", "RV end-diastolic volume", "ml"),
    ("rv_edvi_ml_m2", "RV end-diastolic volume index", "ml/m²"),
    ("rv_esv_ml", "RV end-systolic volume", "ml"),
    ("rv_esvi_ml_m2", "RV end-systolic volume index", "ml/m²"),
    ("rv_sv_ml", "RV stroke volume", "ml"),
    ("rv_svi_ml_m2", "RV stroke volume index", "ml/m²"),
    ("rv_ef_pct", "RV ejection fraction", "%"),
    ("rv_edv_height_ml_m", "RV end-diastolic volume by height", "ml/m"),
    ("rv_esv_height_ml_m", "RV end-systolic volume by height", "ml/m"),
    ("rv_peak_ejection_ml_s", "RV peak ejection rate", "ml/s"),
    ("rv_peak_ejection_ms", "RV peak ejection, after ED", "ms"),
    ("rv_peak_filling_ml_s", "RV peak filling rate", "ml/s"),
    ("rv_peak_filling_ms", "RV peak filling, after ES", "ms"),
    ("rv_atrial_pct", "RV filling by the atrium", "% of SV"),
    ("sv_difference_ml", "LV less RV stroke volume", "ml"),
    ("sv_difference_pct", "LV less RV stroke volume, of their mean", "%"),
    ("heart_rate_bpm", "Heart rate", "/min"),
    ("bsa_m2", "Body surface", "m²"),
)
"""Name, title and unit of every figure, in the order of the SCMR's report (J Cardiovasc Magn Reson 24:29, 2022)."""

FIGURE_NAMES: Final = frozenset(name for name, _, _ in _FIGURES)
