"""Two readings of the phantom: what was changed on purpose is found again, slice by slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinema_core.anatomy import Structure, outside_of
from cinema_core.cine import BsaFormula
from cinema_core.errors import LabelError
from cinema_core.measure import AreaRule, EndSliceRule, VolumeMethod, ventricular_function
from cinema_core.measure.comparison import MeasuredLabels, ReadingComparison, compare_readings
from cinema_core.phantom import PhantomStudy


def measured(study: PhantomStudy, labels: np.ndarray, **phases: int) -> MeasuredLabels:
    return MeasuredLabels(labels, ventricular_function(labels, study.cine, **phases))


def compared(study: PhantomStudy, labels: np.ndarray, **phases: int) -> ReadingComparison:
    return compare_readings(study.cine, measured(study, study.labels), measured(study, labels, **phases))


def test_a_reading_agrees_with_itself(phantom_study: PhantomStudy) -> None:
    found = compared(phantom_study, phantom_study.labels)
    assert [(one.dice, one.hd95_mm, one.mean_surface_mm) for one in found.structures] == [(1.0, 0.0, 0.0)] * 6
    assert {one.difference for one in found.measures} == {0.0}
    assert {share.ef_points for share in found.slices} == {0.0}


def test_rules_that_differ_are_named_and_equal_ones_are_not(phantom_study: PhantomStudy) -> None:
    cine, labels = phantom_study.cine, phantom_study.labels
    usual = measured(phantom_study, labels)
    assert compare_readings(cine, usual, usual).rules == ()
    half = VolumeMethod(AreaRule.CONTOURS, EndSliceRule.HALF)
    function = ventricular_function(labels, cine, method=half, bsa_formula=BsaFormula.DUBOIS)
    other = MeasuredLabels(labels, replace(function, convention="papillary muscles counted as muscle"))
    found = compare_readings(cine, usual, other)
    assert {(one.rule, one.first, one.second) for one in found.rules} == {
        ("areas", "pixels", "contours"),
        ("end slices", "full", "half"),
        ("papillary muscles", usual.function.convention, "papillary muscles counted as muscle"),
        ("body surface formula", "Mosteller", "DuBois"),
    }


def test_a_slice_left_out_at_es_is_the_slice_that_is_named(phantom_study: PhantomStudy) -> None:
    function = ventricular_function(phantom_study.labels, phantom_study.cine)
    labels = phantom_study.labels.copy()
    es = function.es_phase
    assert es is not None
    gone = labels[es, 2] == Structure.LV_CAVITY
    labels[es, 2][gone] = Structure.LV_MYOCARDIUM
    found = compared(phantom_study, labels, ed_phase=function.ed_phase or 0, es_phase=es)
    first, *others = [share for share in found.slices if share.cavity is Structure.LV_CAVITY]
    spacing, step = phantom_study.cine.geometry.pixel_spacing_mm, phantom_study.cine.geometry.slice_step_mm
    assert first.z == 2
    assert first.esv_ml == pytest.approx(-gone.sum() * spacing[0] * spacing[1] * step / 1000)
    assert first.edv_ml == 0.0
    assert {share.ef_points for share in others} == {0.0}
    [ef] = [one for one in found.measures if one.measure == "lv_ef_pct"]
    assert ef.difference == pytest.approx(first.ef_points)
    assert ef.difference > 0


def test_shares_add_up_to_the_differences(phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    labels[:, :, ::7] = 0  # rows missing everywhere, more of small cavities
    labels[2:, 3] = np.roll(labels[2:, 3], 4, axis=-1)
    labels[0, 2][labels[0, 2] == Structure.RV_CAVITY] = 0
    found = compared(phantom_study, labels)
    of = {one.measure: one.difference for one in found.measures}
    for cavity in (Structure.LV_CAVITY, Structure.RV_CAVITY):
        shares = [share for share in found.slices if share.cavity is cavity]
        assert len(shares) == phantom_study.cine.n_slices
        assert sum(share.ef_points for share in shares) == pytest.approx(of[f"{cavity.key}_ef_pct"])
        assert sum(share.edv_ml for share in shares) == pytest.approx(of[f"{cavity.key}_edv_ml"])
        assert sum(share.esv_ml for share in shares) == pytest.approx(of[f"{cavity.key}_esv_ml"])
        assert [abs(s.ef_points) for s in shares] == sorted((abs(s.ef_points) for s in shares), reverse=True)


def test_shares_follow_the_rules_of_each_reading(phantom_study: PhantomStudy) -> None:
    study, labels = phantom_study, phantom_study.labels
    method = VolumeMethod(AreaRule.CONTOURS, EndSliceRule.HALF)
    second = MeasuredLabels(labels, ventricular_function(labels, study.cine, method=method))
    found = compare_readings(study.cine, measured(study, labels), second)
    of = {one.measure: one.difference for one in found.measures}
    assert abs(of["lv_edv_ml"] or 0) > 1
    shares = [share for share in found.slices if share.cavity is Structure.LV_CAVITY]
    assert sum(share.edv_ml for share in shares) == pytest.approx(of["lv_edv_ml"])
    assert sum(share.ef_points for share in shares) == pytest.approx(of["lv_ef_pct"])


def test_other_phases_are_part_of_the_difference(phantom_study: PhantomStudy) -> None:
    found = compared(phantom_study, phantom_study.labels, es_phase=1)
    assert {one.dice for one in found.structures} == {1.0}  # the borders are the same
    [ef] = [one for one in found.measures if one.measure == "lv_ef_pct"]
    assert ef.difference is not None and ef.difference < -1
    shares = [share.ef_points for share in found.slices if share.cavity is Structure.LV_CAVITY]
    assert sum(shares) == pytest.approx(ef.difference)


@pytest.mark.parametrize("others", [0, outside_of([Structure.LV_CAVITY])])
def test_what_one_reading_did_not_draw_is_not_compared(phantom_study: PhantomStudy, others: int) -> None:
    labels = phantom_study.labels.copy()
    labels[labels != Structure.LV_CAVITY] = others
    found = compared(phantom_study, labels)
    by_structure = {(one.structure, one.phase): one.dice for one in found.structures}
    assert by_structure[Structure.LV_CAVITY, "ed"] == 1.0
    assert by_structure[Structure.RV_CAVITY, "ed"] is None
    assert by_structure[Structure.LV_MYOCARDIUM, "es"] is None
    assert {share.cavity for share in found.slices} == {Structure.LV_CAVITY}


def test_labels_of_another_grid_are_refused(phantom_study: PhantomStudy) -> None:
    first = measured(phantom_study, phantom_study.labels)
    with pytest.raises(LabelError, match="are not of the cine"):
        compare_readings(phantom_study.cine, first, MeasuredLabels(first.labels[:, :2], first.function))
