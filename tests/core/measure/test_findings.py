"""Findings: each rule is broken by its fault, at its place, and by nothing in a whole heart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cinema_core.anatomy import Structure, outside_of
from cinema_core.cine import Cine, Geometry, Patient, Timing, View
from cinema_core.measure import Finding, Flag, Light, ReportChoices, StudyMeasures, light_of, study_measures

N_PHASES, N_SLICES, SIZE = 20, 8, 96
ES = 7
LV, RV, MYO = Structure.LV_CAVITY, Structure.RV_CAVITY, Structure.LV_MYOCARDIUM
SYSTOLE = np.array([np.sin(np.pi * t / 14) ** 2 if t <= 14 else 0.0 for t in range(N_PHASES)])


def heart() -> np.ndarray:
    """Discs: a cavity of 18 pixels that shrinks to 12 in a wall that keeps its area; an RV that ejects as much."""
    y, x = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((N_PHASES, N_SLICES, SIZE, SIZE), dtype=np.uint8)
    for t, left in enumerate(SYSTOLE):
        for z in range(N_SLICES):
            taper = 1 - 0.05 * z
            inner = taper * (18 - 6 * left)
            outer = np.sqrt(inner**2 + taper**2 * (26**2 - 18**2))
            away = np.hypot(y - 48, x - 40)
            rv = np.hypot(y - 48, x - (40 + outer + 2)) < taper * (18 - 11 * left)
            labels[t, z][rv & (x > 40)] = RV
            labels[t, z][away < outer] = MYO
            labels[t, z][away < inner] = LV
    return labels


def cine() -> Cine:
    geometry = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), N_SLICES)
    pixels = np.zeros((N_PHASES, N_SLICES, SIZE, SIZE), np.int16)
    return Cine("sax", pixels, geometry, View.SAX, timing=Timing(rr_ms=(900.0,)))


def measured(labels: np.ndarray, **options: object) -> StudyMeasures:
    return study_measures(labels, cine(), ed_phase=0, es_phase=ES, **options)  # type: ignore[arg-type]


def findings(labels: np.ndarray, flag: Flag) -> list[Finding]:
    return [finding for finding in measured(labels).findings if finding.flag is flag]


def test_a_whole_heart_is_green() -> None:
    found = measured(heart())
    assert found.findings == ()
    assert found.light is Light.GREEN


def bowel(plane: np.ndarray) -> None:
    plane[2:16, 2:20] = RV


def stray_piece(plane: np.ndarray) -> None:
    rv = np.argwhere(plane == RV)
    y, x = rv[rv[:, 1].argmax()]
    plane[y - 2 : y + 3, x + 3 : x + 8] = RV


def gap_in_the_ring(plane: np.ndarray) -> None:
    plane[44:52, :40][plane[44:52, :40] == MYO] = 0


def cavity_without_its_ring(plane: np.ndarray) -> None:
    plane[:, :44][plane[:, :44] == MYO] = 0


def touching(plane: np.ndarray) -> None:
    plane[46:50, 40:][plane[46:50, 40:] == MYO] = RV


def hole(plane: np.ndarray) -> None:
    plane[44:50, 36:42] = 0


def second_cavity(plane: np.ndarray) -> None:
    plane[48 - 23 : 48 - 20, 36:44] = LV


def no_lv(plane: np.ndarray) -> None:
    plane[plane == LV] = 0


def no_rv(plane: np.ndarray) -> None:
    plane[plane == RV] = 0


def half_rv(plane: np.ndarray) -> None:
    rows = np.arange(SIZE)[:, None]
    plane[(plane == RV) & (rows > 44)] = 0


@pytest.mark.parametrize(
    ("fault", "flag", "light"),
    [
        (bowel, Flag.RV_PIECES, Light.AMBER),
        (bowel, Flag.RV_AWAY, Light.RED),
        (stray_piece, Flag.RV_PIECES, Light.AMBER),
        (gap_in_the_ring, Flag.RING_OPEN, Light.AMBER),
        (cavity_without_its_ring, Flag.RING_LOST, Light.RED),
        (touching, Flag.RV_TOUCHES_LV, Light.RED),
        (hole, Flag.HOLE, Light.AMBER),
        (second_cavity, Flag.LV_PIECES, Light.AMBER),
        (no_lv, Flag.LV_GAP, Light.RED),
        (no_rv, Flag.RV_GAP, Light.AMBER),
        (half_rv, Flag.AREA_JUMP, Light.AMBER),
    ],
)
@pytest.mark.parametrize("t", [0, ES])
def test_a_fault_on_a_slice_is_found_there(
    fault: Callable[[np.ndarray], None], flag: Flag, light: Light, t: int
) -> None:
    labels = heart()
    fault(labels[t, 3])
    [found] = findings(labels, flag)
    assert (found.t, found.z, found.light) == (t, 3, light)
    assert f"slice 4 at {'ED' if t == 0 else 'ES'} (phase {t + 1})" in found.text


def test_a_fault_at_a_phase_that_is_not_reported_is_not_told() -> None:
    labels = heart()
    bowel(labels[12, 3])
    assert not findings(labels, Flag.RV_PIECES)


def test_red_comes_first_and_makes_the_study_red() -> None:
    labels = heart()
    bowel(labels[0, 3])
    found = measured(labels)
    assert found.findings[0].light is Light.RED
    assert (found.light, light_of(found.findings[1:])) == (Light.RED, Light.AMBER)


def test_a_second_minimum_of_the_curve_is_found() -> None:
    labels = heart()
    labels[14:16] = labels[4]
    [found] = findings(labels, Flag.SEVERAL_MINIMA)
    assert found.detail.startswith("at phases 8, 1")


def test_doubt_of_the_model_is_told_where_no_reader_vouched() -> None:
    uncertainty = np.full((N_PHASES, N_SLICES), 0.1)
    uncertainty[ES, 2] = 0.6
    uncertainty[0, 1] = np.nan
    found = measured(heart(), uncertainty=uncertainty).findings
    assert [(finding.flag, finding.t, finding.z) for finding in found] == [(Flag.UNSURE, ES, 2)]


def test_a_basal_slice_that_is_drawn_at_ed_alone_carries_the_ejection_fraction() -> None:
    labels = heart()
    labels[ES, 0] = 0
    found = measured(labels)
    [finding] = [finding for finding in found.findings if finding.flag is Flag.EF_RESTS_ON_SLICE]
    area_ed, area_es = ((labels[t] == LV).sum(axis=(1, 2)).astype(float) for t in (0, ES))
    without = 100 * (1 - area_es[1:].sum() / area_ed[1:].sum())
    assert (finding.z, f"{without:.1f} %" in finding.detail) == (0, True)
    driver = next(driver for driver in found.lv_drivers if driver.is_basal)
    assert driver.without_pct == pytest.approx(without)
    assert driver.without_es_pct == pytest.approx(found.function.lv_ef_pct)


def test_the_slices_that_drive_the_ejection_fraction_come_first() -> None:
    drivers = measured(heart()).lv_drivers
    changes = [abs(driver.most_pct) for driver in drivers]
    assert changes == sorted(changes, reverse=True)
    assert len(drivers) == N_SLICES
    assert {driver.z for driver in drivers if driver.is_basal} == {0}


def test_few_slices_are_told() -> None:
    labels = heart()
    labels[:, 5:] = 0
    assert findings(labels, Flag.FEW_SLICES)[0].detail.startswith("5 at ED")


def test_a_body_surface_of_nobody_indexes_nothing() -> None:
    patient = Patient(None, None, 1.8, 800.0)
    found = study_measures(heart(), replace(cine(), patient=patient), ed_phase=0, es_phase=ES)
    assert found.function.lv_edvi_ml_m2 is None
    [finding] = found.findings
    assert (finding.flag, finding.light) == (Flag.BODY_SURFACE, Light.RED)
    assert "6.32 m2" in finding.text


def test_stroke_volumes_are_compared() -> None:
    found = measured(heart())
    lv, rv = found.function.lv_sv_ml, found.function.rv_sv_ml
    assert lv is not None and rv is not None
    assert found.sv_difference_ml == pytest.approx(lv - rv)
    assert found.sv_difference_pct == pytest.approx(200 * (lv - rv) / (lv + rv))


def test_only_one_structure_gives_what_can_be_measured() -> None:
    labels = heart()
    labels[labels != LV] = 0
    found = measured(labels)
    assert found.function.lv_ef_pct is not None and found.function.rv_ef_pct is None
    assert {Flag.NO_RV, Flag.NO_MYOCARDIUM} <= set(found.flags)
    assert not {Flag.RING_LOST, Flag.RING_OPEN} & set(found.flags)


def test_a_wall_that_was_drawn_at_ed_alone_is_not_lost_at_es() -> None:
    labels = heart()
    labels[ES][labels[ES] != LV] = outside_of([LV])
    assert Flag.RING_LOST not in measured(labels).flags
    labels[ES][labels[ES] != LV] = 0
    assert Flag.RING_LOST in measured(labels).flags  # all was drawn there, and no wall


def test_one_slice_is_measured_and_told() -> None:
    one = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), 1)
    pixels = np.zeros((N_PHASES, 1, SIZE, SIZE), np.int16)
    found = study_measures(heart()[:, 3:4], Cine("sax", pixels, one, View.SAX, timing=Timing(rr_ms=(900.0,))))
    assert found.function.lv_ef_pct is not None
    assert Flag.FEW_SLICES in found.flags


def test_phases_without_an_image_are_told_and_not_measured() -> None:
    gappy = replace(cine(), missing=frozenset({(4, 2), (5, 2)}))
    found = study_measures(heart(), gappy, ed_phase=0, es_phase=ES)
    [finding] = [finding for finding in found.findings if finding.flag is Flag.MISSING_IMAGES]
    assert (finding.detail, finding.t) == ("phases 5, 6", 4)
    assert np.flatnonzero(np.isnan(found.function.curve.lv_ml)).tolist() == [4, 5]
    assert found.lv_rates is None


def test_choices_are_kept_with_the_result() -> None:
    choices = ReportChoices(sex="M", age_years=50, height_cm=180, weight_kg=80)
    found = measured(heart(), choices=choices)
    assert json.loads(found.choices.model_dump_json())["height_cm"] == 180
    assert found.function.bsa_m2 == pytest.approx(2.0)
    assert found.verdicts["lv_edvi_ml_m2"].position is not None
