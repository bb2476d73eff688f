"""Ventricular function against figures from elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.measures import SUNNYBROOK, sunnybrook_by_hand
from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, Patient, Timing, View
from cinema_core.errors import LabelError, PhaseError
from cinema_core.io import load_study, read_labels
from cinema_core.io.contours import import_labels
from cinema_core.measure import (
    Flag,
    cardiac_output_l_min,
    ejection_fraction_pct,
    indexed,
    myocardial_mass_g,
    stroke_volume_ml,
    ventricular_function,
)
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom

GEOMETRY = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), 2)


def beat(lv: list[int], rv: list[int] | None = None, **cine: Any) -> tuple[np.ndarray, Cine]:
    """Two slices of 10 mm; per phase a number of pixels of each ventricle on each slice (100 px = 2 ml)."""
    labels = np.zeros((len(lv), 2, 60, 60), dtype=np.uint8)
    for t in range(len(lv)):
        labels[t, :, :30].reshape(2, -1)[:, : lv[t]] = Structure.LV_CAVITY
        if rv:
            labels[t, :, 30:].reshape(2, -1)[:, : rv[t]] = Structure.RV_CAVITY
    values = {"view": View.SAX, **cine}
    return labels, Cine("sax", np.zeros(labels.shape, np.int16), GEOMETRY, **values)


def stack_of_five(lv: list[int]) -> tuple[np.ndarray, Cine]:
    """Five slices of 10 mm, the same number of LV pixels on each."""
    labels = np.zeros((len(lv), 5, 40, 40), dtype=np.uint8)
    for t in range(len(lv)):
        labels[t].reshape(5, -1)[:, : lv[t]] = Structure.LV_CAVITY
    geometry = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), 5)
    return labels, Cine("sax", np.zeros(labels.shape, np.int16), geometry, view=View.SAX)


def test_ed_is_the_largest_and_es_the_smallest_cavity() -> None:
    found = ventricular_function(*beat([900, 1000, 500, 400, 800], rv=[1000, 900, 450, 500, 800]))
    assert (found.ed_phase, found.es_phase) == (1, 3)
    assert (found.rv_ed_phase, found.rv_es_phase) == (0, 2)
    assert (found.lv_edv_ml, found.lv_esv_ml, found.lv_sv_ml, found.lv_ef_pct) == pytest.approx((20, 8, 12, 60))
    assert (found.rv_edv_ml, found.rv_esv_ml, found.rv_sv_ml, found.rv_ef_pct) == pytest.approx((20, 9, 11, 55))


def test_phases_that_the_reader_sets_win_and_take_the_rv_along() -> None:
    labels, cine = beat([900, 1000, 500, 400], rv=[900, 1000, 500, 450])
    found = ventricular_function(labels, cine, ed_phase=0, es_phase=2)
    assert (found.ed_phase, found.es_phase, found.rv_ed_phase, found.rv_es_phase) == (0, 2, 0, 2)
    apart = ventricular_function(labels, cine, ed_phase=0, es_phase=2, rv_es_phase=3)
    assert apart.rv_es_phase == 3


def test_named_phases_are_taken_by_their_names_even_if_they_look_wrong() -> None:
    labels, cine = beat([400, 1000], phase_names=("ed", "es"))
    found = ventricular_function(labels, cine)
    assert (found.ed_phase, found.es_phase) == (0, 1)
    assert found.lv_sv_ml == pytest.approx(-12)
    assert Flag.LV_NOT_SMALLER in found.flags


def test_only_segmented_phases_are_read() -> None:
    labels, cine = beat([1000, 0, 500])  # nobody segmented phase 2
    found = ventricular_function(labels, cine, phases=[0, 2])
    assert (found.es_phase, found.lv_esv_ml) == (2, pytest.approx(10))
    with pytest.raises(PhaseError, match="ES is set to phase 2, which is not segmented"):
        ventricular_function(labels, cine, phases=[0, 2], es_phase=1)


def test_phases_outside_the_cine_are_refused() -> None:
    labels, cine = beat([1000, 500])
    with pytest.raises(PhaseError, match="Phase 3 was to be measured, but the cine has phases 1 to 2"):
        ventricular_function(labels, cine, phases=[0, 2])


def test_no_segmented_phase_gives_no_figures() -> None:
    labels, cine = beat([1000, 500])
    found = ventricular_function(labels, cine, phases=[])
    assert (found.ed_phase, found.lv_edv_ml, found.lv_mass_g, found.rv_ef_pct) == (None,) * 4
    assert found.flags[0] is Flag.NO_LV


def test_a_phase_where_the_model_lost_the_ventricle_is_not_taken_for_es() -> None:
    labels, cine = beat([1000, 800, 500, 900])
    labels[3] = 0  # nothing found at all
    found = ventricular_function(labels, cine)
    assert (found.es_phase, found.lv_esv_ml) == (2, pytest.approx(10))
    assert found.curve.lv_ml[3] == 0  # the curve still shows it
    assert Flag.INCOMPLETE_PHASE in found.flags


def test_a_half_drawn_ventricle_is_not_taken_for_es_unless_the_reader_says_so() -> None:
    labels, cine = stack_of_five([1000, 800, 500, 900])
    labels[3, 2:] = 0  # two of five slices left: 18 ml of 45, less than the 25 ml of the true ES
    assert ventricular_function(labels, cine).es_phase == 2
    assert ventricular_function(labels, cine, es_phase=3).lv_esv_ml == pytest.approx(18)


def test_a_ventricle_that_shortens_keeps_its_es() -> None:
    labels, cine = stack_of_five([1000, 800, 500, 900])
    labels[2, :2] = 0  # three of five slices left, as when base and apex leave their planes
    assert ventricular_function(labels, cine).es_phase == 2


def test_ed_that_the_reader_sets_is_read_although_es_is_not_known() -> None:
    labels, cine = beat([1000, 500])
    found = ventricular_function(labels, cine, phases=[0], ed_phase=0)
    assert (found.ed_phase, found.lv_edv_ml) == (0, pytest.approx(20))
    assert (found.es_phase, found.lv_esv_ml, found.lv_ef_pct) == (None, None, None)


def test_muscle_that_is_not_drawn_has_no_mass() -> None:
    assert ventricular_function(*beat([1000, 500])).lv_mass_g is None


def test_one_phase_gives_no_ejection_fraction() -> None:
    labels, cine = beat([1000, 500])
    found = ventricular_function(labels, cine, phases=[0])
    assert found.lv_ef_pct is None and found.lv_edv_ml is None


def test_a_ventricle_that_is_not_drawn_is_not_known() -> None:
    found = ventricular_function(*beat([1000, 500]))
    assert (found.rv_edv_ml, found.rv_ef_pct, found.rv_ed_phase) == (None, None, None)
    assert Flag.NO_RV in found.flags


def test_mass_output_and_indices() -> None:
    labels, cine = beat(
        [1000, 400],
        timing=Timing(rr_ms=(900.0, 1000.0, 1100.0)),
        patient=Patient(height_m=1.8, weight_kg=80.0),
    )
    labels[0, :, 30:].reshape(2, -1)[:, :500] = Structure.LV_MYOCARDIUM  # 10 ml at ED
    found = ventricular_function(labels, cine)
    assert found.lv_mass_g == pytest.approx(10.5)
    assert found.heart_rate_bpm == pytest.approx(60)
    assert found.cardiac_output_l_min == pytest.approx(0.72)  # 12 ml x 60
    assert found.bsa_m2 == pytest.approx(2.0)  # Mosteller: sqrt(180 x 80 / 3600)
    assert found.lv_edvi_ml_m2 == pytest.approx(10)
    assert found.cardiac_index_l_min_m2 == pytest.approx(0.36)


def test_what_is_not_known_of_the_patient_is_not_made_up() -> None:
    found = ventricular_function(*beat([1000, 400]))
    assert (found.heart_rate_bpm, found.cardiac_output_l_min, found.bsa_m2, found.lv_edvi_ml_m2) == (None,) * 4


def test_formulas_by_hand() -> None:
    assert stroke_volume_ml(150, 60) == 90
    assert ejection_fraction_pct(150, 60) == 60
    assert myocardial_mass_g(100) == pytest.approx(105)
    assert cardiac_output_l_min(90, 70) == pytest.approx(6.3)
    assert indexed(150, 2.0) == 75


@pytest.mark.parametrize("formula", [stroke_volume_ml, ejection_fraction_pct, cardiac_output_l_min, indexed])
def test_a_formula_with_an_unknown_is_unknown(formula: Callable[..., float | None]) -> None:
    assert formula(None, 60) is None and formula(150, None) is None


def test_an_empty_ventricle_ejects_no_share() -> None:
    assert ejection_fraction_pct(0, 0) is None


def test_labels_of_another_cine_are_refused() -> None:
    labels, cine = beat([1000, 400])
    with pytest.raises(LabelError, match="have shape"):
        ventricular_function(labels[:1], cine)


def test_the_convention_is_said(phantom_study: PhantomStudy) -> None:
    found = ventricular_function(phantom_study.labels, phantom_study.cine)
    assert "papillary" in found.convention


def test_the_phantom_has_the_ejection_fraction_that_was_asked_for(phantom_study: PhantomStudy) -> None:
    discs = phantom_study.lv_discs_ml
    found = ventricular_function(phantom_study.labels, phantom_study.cine)
    assert found.lv_ef_pct == pytest.approx(100 * (discs.max() - discs.min()) / discs.max(), abs=1)


def test_the_phantom_has_the_phases_that_were_asked_for() -> None:
    heart = HeartParameters(n_phases=12, rows=128, columns=128, pixel_spacing_mm=2.0, rv_edv_ml=140)
    phantom = make_phantom(heart, seed=3)
    found = ventricular_function(phantom.labels, phantom.cine)
    assert (found.ed_phase, found.es_phase) == (heart.ed_phase, heart.es_phase)
    assert found.heart_rate_bpm == pytest.approx(60000 / heart.rr_ms, rel=0.1)
    assert found.flags == ()


def test_all_acdc_patients_have_the_published_volumes(shared_data: Path) -> None:
    folder = shared_data / "acdc"
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    for row in rows:
        patient = folder / row["patient"]
        labels = np.concatenate([read_labels(path) for path in sorted(patient.glob("*_gt.nii.gz"))])
        found = ventricular_function(labels, load_study(patient).best("sax"))
        assert (found.lv_edv_ml, found.lv_esv_ml, found.rv_edv_ml, found.rv_esv_ml) == pytest.approx(
            [float(row[name]) for name in ("lv_ed_ml", "lv_es_ml", "rv_ed_ml", "rv_es_ml")], abs=0.006
        ), row["patient"]
        assert found.lv_mass_g == pytest.approx(1.05 * float(row["myo_ed_ml"]), abs=0.01)
        assert (found.lv_ef_pct, found.rv_ef_pct) == pytest.approx(
            (float(row["lvef_pct"]), float(row["rvef_pct"])), abs=0.06
        )
        assert found.bsa_m2 == pytest.approx(float(row["bsa_m2"]))
        # Experts drew these to the end: what speaks of lost contours must be silent.
        assert not {Flag.NO_LV, Flag.NO_RV, Flag.LV_GAP, Flag.LV_ONLY_AT_ES, Flag.INCOMPLETE_PHASE} & set(found.flags)


@pytest.mark.parametrize(("dicoms", "contours"), SUNNYBROOK.items())
def test_expert_contours_have_the_volumes_of_their_polygons(shared_data: Path, dicoms: str, contours: str) -> None:
    folder = shared_data / "sunnybrook_dicom"
    images, drawn = folder / "dicoms" / dicoms, folder / "contourfiles" / contours
    cine = load_study(images).best("sax")
    imported = import_labels(drawn, cine)
    labels = np.zeros(cine.shape, dtype=np.uint8)
    for where, mask in imported.masks.items():
        labels[where] = mask
    found = ventricular_function(labels, cine, phases={t for t, _ in imported.masks})
    edv_ml, esv_ml, ef_pct = sunnybrook_by_hand(images, drawn)
    assert (found.lv_edv_ml, found.lv_esv_ml) == (pytest.approx(edv_ml, rel=0.01), pytest.approx(esv_ml, rel=0.01))
    assert found.lv_ef_pct == pytest.approx(ef_pct, abs=0.3)
