import json
from dataclasses import replace

import pytest

from cinema_core.learn.guard import Figures, Scope, Validation, judge


def of(mean: float | None, loss: float = 0.5, **dice: float) -> Figures:
    return Figures(loss, {"rv": mean, "myo": mean, "lv": mean, "mean": mean, **dice}, n_slices=10)


def test_a_gain_on_held_out_studies_may_become_the_projects_model() -> None:
    verdict = judge(of(0.80), of(0.85), Validation.HELD_OUT, n_patients=3)
    assert not verdict.worse
    assert verdict.offered_scopes == (Scope.PROJECT, Scope.STUDY)


def test_a_worse_model_is_not_offered() -> None:
    verdict = judge(of(0.85), of(0.80), Validation.HELD_OUT, n_patients=3)
    assert verdict.worse
    assert verdict.offered_scopes == ()
    assert "fell from 0.850 to 0.800" in verdict.reasons[0]


@pytest.mark.parametrize("n_patients", [2, 3])
def test_a_model_that_is_its_base_is_not_offered_and_not_called_worse(n_patients: int) -> None:
    verdict = judge(of(0.80), of(0.80), Validation.HELD_OUT, n_patients, is_the_base=True)
    assert verdict.offered_scopes == ()
    assert not verdict.worse
    assert verdict.reasons == ("Held-out patients were served best by the base, so the version would be the same.",)


def test_one_labelled_patient_keeps_the_model_with_that_study_and_says_why() -> None:
    verdict = judge(of(0.80), of(0.95), Validation.SEEN, n_patients=1)
    assert verdict.offered_scopes == (Scope.STUDY,)
    assert "One patient" in verdict.reasons[0]


def test_figures_on_labels_that_were_learned_do_not_open_the_project() -> None:
    verdict = judge(of(0.80), of(0.95), Validation.SEEN, n_patients=4)
    assert verdict.offered_scopes == (Scope.STUDY,)


def test_one_structure_may_not_pay_for_the_others() -> None:
    verdict = judge(of(0.85, rv=0.90), of(0.87, rv=0.80), Validation.HELD_OUT, n_patients=3)
    assert verdict.worse
    assert "RV cavity" in verdict.reasons[0]


def test_a_difference_within_the_noise_of_seeds_is_not_worse() -> None:
    assert not judge(of(0.850), of(0.848), Validation.HELD_OUT, n_patients=2).worse


@pytest.mark.parametrize(("loss", "worse"), [(0.4, False), (0.6, True)])
def test_background_labels_alone_are_judged_by_the_loss(loss: float, worse: bool) -> None:
    assert judge(of(None, 0.5), of(None, loss), Validation.HELD_OUT, n_patients=2).worse is worse


def with_ef_error(lv: float | None, rv: float | None = None) -> Figures:
    return replace(of(0.85), ef_error_points={"lv": lv, "rv": rv}, ef_studies={"lv": 2, "rv": 2})


@pytest.mark.parametrize("n_patients", [1, 3])
def test_an_ejection_fraction_that_is_further_off_is_worse_though_dice_is_as_good(n_patients: int) -> None:
    verdict = judge(with_ef_error(3.0), with_ef_error(5.1), Validation.HELD_OUT, n_patients)
    assert verdict.worse
    assert Scope.PROJECT not in verdict.offered_scopes
    assert verdict.reasons[0] == "LV ejection fraction: the error rose from 3.0 to 5.1 points."


def test_the_right_ventricle_may_not_get_worse_unseen_either() -> None:
    verdict = judge(with_ef_error(5.0, 4.0), with_ef_error(1.0, 7.0), Validation.HELD_OUT, n_patients=3)
    assert verdict.worse
    assert "RV ejection fraction: the error rose from 4.0 to 7.0 points." in verdict.reasons


def test_two_points_of_ejection_fraction_are_not_worse() -> None:
    assert not judge(with_ef_error(3.0, 4.0), with_ef_error(5.0, 6.0), Validation.HELD_OUT, n_patients=3).worse


@pytest.mark.parametrize(("before", "after", "worse"), [(56.0, 66.9, False), (56.0, 70.1, True), (10.0, 12.6, True)])
def test_an_error_that_was_large_may_grow_by_a_quarter(before: float, after: float, worse: bool) -> None:
    verdict = judge(with_ef_error(3.0, before), with_ef_error(3.0, after), Validation.HELD_OUT, n_patients=3)
    assert verdict.worse is worse


def test_an_ejection_fraction_that_is_not_known_decides_nothing() -> None:
    assert not judge(with_ef_error(None), with_ef_error(9.0), Validation.HELD_OUT, n_patients=3).worse


@pytest.mark.parametrize("figures", [of(None, 0.25, lv=0.9), with_ef_error(2.5)])
def test_figures_survive_json(figures: Figures) -> None:
    assert Figures.from_json(json.loads(json.dumps(figures.to_json()))) == figures


def test_figures_of_a_card_without_ejection_fractions_can_be_read() -> None:
    assert Figures.from_json({"loss": 0.5, "dice": {"mean": 0.8}, "n_slices": 4}).ef_error_points == {}
