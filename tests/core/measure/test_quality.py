"""Flags: each is raised by its fault and by nothing in a whole heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cine import Cine, Geometry, Patient, Plane, Timing, View
from cinema_core.measure import Flag, ventricular_function

N_PHASES, N_SLICES = 12, 5
SYSTOLE = np.array([0, 0.1, 0.4, 0.8, 1.0, 0.9, 0.7, 0.4, 0.25, 0.15, 0.1, 0.05])
"""Share of the stroke volume that has left, per phase; ES is phase 5 of 12."""

GEOMETRY = Geometry.from_affine(np.diag([1.0, 1.0, 10.0, 1.0]), N_SLICES)
LV, RV, MYO = Structure.LV_CAVITY, Structure.RV_CAVITY, Structure.LV_MYOCARDIUM


def heart() -> np.ndarray:
    """A beat without fault: every slice 1000 pixels at ED and 400 at ES in both ventricles, 600 of muscle."""
    labels = np.zeros((N_PHASES, N_SLICES, 90, 40), dtype=np.uint8)
    for t, left in enumerate(SYSTOLE):
        for structure, first, n in ((LV, 0, 1000 - int(600 * left)), (RV, 30, 1000 - int(600 * left)), (MYO, 60, 600)):
            labels[t, :, first : first + 30].reshape(N_SLICES, -1)[:, :n] = structure
    return labels


def cine() -> Cine:
    pixels = np.zeros((N_PHASES, N_SLICES, 90, 40), np.int16)
    return Cine("sax", pixels, GEOMETRY, View.SAX, timing=Timing(rr_ms=(900.0,)), patient=Patient(None, None, 1.8, 80))


def erase(labels: np.ndarray, structure: Structure) -> np.ndarray:
    labels[labels == structure] = 0
    return labels


def test_a_whole_heart_raises_none() -> None:
    assert ventricular_function(heart(), cine()).flags == ()


def test_the_lv_is_nowhere() -> None:
    assert Flag.NO_LV in ventricular_function(erase(heart(), LV), cine()).flags


def test_the_rv_is_nowhere() -> None:
    assert ventricular_function(erase(heart(), RV), cine()).flags == (Flag.NO_RV,)


def test_only_cavities_are_drawn() -> None:
    assert ventricular_function(erase(heart(), MYO), cine()).flags == (Flag.NO_MYOCARDIUM,)


def test_ed_and_es_are_exchanged() -> None:
    flags = ventricular_function(heart(), cine(), ed_phase=4, es_phase=0).flags
    assert {Flag.LV_NOT_SMALLER, Flag.RV_NOT_SMALLER} <= set(flags)


def test_almost_nothing_is_left_at_es() -> None:
    labels = heart()
    labels[4, :, :30] = 0
    labels[4, :, 0, :20] = LV  # 20 of 1000 pixels on every slice
    assert Flag.LV_EF_TOO_HIGH in ventricular_function(labels, cine()).flags


@pytest.mark.parametrize("t", [0, 4])
def test_a_slice_was_forgotten_between_base_and_apex(t: int) -> None:
    labels = heart()
    labels[t, 2][labels[t, 2] == LV] = 0
    assert Flag.LV_GAP in ventricular_function(labels, cine(), ed_phase=0, es_phase=4).flags


def test_the_base_is_drawn_at_es_but_not_at_ed() -> None:
    labels = heart()
    labels[0, 0] = 0
    assert Flag.LV_ONLY_AT_ES in ventricular_function(labels, cine(), ed_phase=0, es_phase=4).flags


def test_the_base_that_leaves_its_plane_at_es_is_no_fault() -> None:
    labels = heart()
    labels[4, 0] = 0
    flags = ventricular_function(labels, cine()).flags
    assert not {Flag.LV_ONLY_AT_ES, Flag.LV_GAP, Flag.INCOMPLETE_PHASE} & set(flags)


@pytest.mark.parametrize(("rv_es_px", "flagged"), [(400, False), (500, False), (540, True)])
def test_stroke_volumes_that_differ_by_more_than_a_fifth(rv_es_px: int, flagged: bool) -> None:
    labels = heart()
    labels[4, :, 30:60] = 0
    labels[4, :, 30:60].reshape(N_SLICES, -1)[:, :rv_es_px] = RV  # LV ejects 600 px
    found = ventricular_function(labels, cine(), ed_phase=0, es_phase=4)
    assert (Flag.STROKE_VOLUMES_DIFFER in found.flags) is flagged


def test_the_mass_of_muscle_changes() -> None:
    labels = heart()
    labels[4, :, 60:].reshape(N_SLICES, -1)[:, :400] = 0
    assert ventricular_function(labels, cine()).flags == (Flag.MASS_CHANGES,)


def test_one_phase_was_lost() -> None:
    labels = heart()
    labels[8, 1:] = 0
    assert Flag.INCOMPLETE_PHASE in ventricular_function(labels, cine()).flags


def test_one_phase_stands_out_of_the_curve() -> None:
    labels = heart()
    labels[8, :, :30] = 0
    labels[8, :, :30].reshape(N_SLICES, -1)[:, :450] = LV  # its neighbours have 760 and 910
    assert ventricular_function(labels, cine()).flags == (Flag.CURVE_JUMPS,)


def test_es_lies_late_in_the_cycle() -> None:
    flags = ventricular_function(heart(), cine(), ed_phase=0, es_phase=8).flags
    assert Flag.ES_TIMING in flags


def test_the_cycle_goes_on_past_the_last_phase() -> None:
    labels = np.roll(heart(), 10, axis=0)  # ED is phase 11, ES phase 3
    found = ventricular_function(labels, cine())
    assert (found.ed_phase, found.es_phase, found.flags) == (10, 2, ())


def test_few_phases_were_segmented() -> None:
    found = ventricular_function(heart(), cine(), phases=[0, 4])
    assert found.flags == (Flag.FEW_PHASES,)


def test_few_phases_are_enough_for_a_reader_who_chose_them() -> None:
    assert ventricular_function(heart(), cine(), phases=[0, 4], ed_phase=0, es_phase=4).flags == ()


def test_a_pair_is_no_short_cycle() -> None:
    pair = replace(cine(), pixels=np.zeros((2, N_SLICES, 90, 40), np.int16), phase_names=("ed", "es"))
    assert ventricular_function(heart()[[0, 4]], pair).flags == ()


@pytest.mark.parametrize("rr_ms", [250.0, 2500.0])
def test_a_heart_rate_that_nobody_has(rr_ms: float) -> None:
    assert ventricular_function(heart(), replace(cine(), timing=Timing(rr_ms=(rr_ms,)))).flags == (Flag.HEART_RATE,)


def test_a_height_in_centimetres_is_noticed() -> None:
    patient = Patient(height_m=180.0, weight_kg=80.0)
    assert ventricular_function(heart(), replace(cine(), patient=patient)).flags == (Flag.BODY_SURFACE,)


def test_uneven_slices_are_pointed_out() -> None:
    x, y = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    planes = tuple(Plane(np.array([0, 0, z]), x, y, (1.0, 1.0)) for z in (0.0, 10.0, 20.0, 40.0, 50.0))
    found = ventricular_function(heart(), replace(cine(), geometry=Geometry(planes)))
    assert found.flags == (Flag.UNEVEN_SLICES,)


def test_words_fit_one_field_of_a_table() -> None:
    assert not [flag for flag in Flag if ";" in flag or "," in flag or "\n" in flag]
