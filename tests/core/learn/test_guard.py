import json

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


def test_figures_survive_json() -> None:
    figures = of(None, 0.25, lv=0.9)
    assert Figures.from_json(json.loads(json.dumps(figures.to_json()))) == figures
