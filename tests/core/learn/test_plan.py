import pytest

from cinema_core.errors import Cancelled
from cinema_core.learn.plan import Pace, Stopwatch, make_plan
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.progress import CancelToken

USUAL = FineTuneSettings()


def test_the_plan_fits_the_time_that_is_left() -> None:
    plan = make_plan(USUAL, n_folds=3, step_s=0.5, seconds=80)
    assert plan.folds == 3
    assert 0.9 * 80 <= plan.total_steps * 0.5 <= 80


def test_asking_for_the_steps_of_a_budget_gives_the_same_plan() -> None:
    for seconds in (0.1, 3, 8, 20, 1000):
        plan = make_plan(USUAL, n_folds=3, step_s=0.7, seconds=seconds)
        again = make_plan(USUAL.model_copy(update={"steps": plan.steps}), n_folds=3, step_s=0, seconds=0)
        assert again == plan


def test_a_single_fold_is_never_held_out() -> None:
    assert make_plan(USUAL, n_folds=1, step_s=0.5, seconds=80).folds == 0


def test_a_slow_model_spends_all_its_time_on_the_final_run() -> None:
    plan = make_plan(USUAL, n_folds=3, step_s=20, seconds=85)
    assert (plan.steps, plan.folds) == (4, 0)


def test_a_budget_that_is_used_up_still_gives_one_step() -> None:
    assert make_plan(USUAL, n_folds=1, step_s=60, seconds=-3).steps == 1


def test_a_clock_that_sees_no_time_pass_still_gives_a_plan() -> None:
    assert make_plan(USUAL, n_folds=1, step_s=0.0, seconds=80).steps == USUAL.max_steps
    assert make_plan(USUAL, n_folds=1, step_s=0.0, seconds=-3).steps == 1


def test_a_stopwatch_counts_neither_its_own_pauses_nor_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("cinema_core.learn.plan.time.monotonic", lambda: clock[0])
    cancel = CancelToken()
    cancel.paused_s = 50.0
    watch = Stopwatch(cancel)
    clock[0] += 10.0
    cancel.paused_s += 4.0
    assert watch.seconds == 6.0


def test_two_folds_are_held_out_one_after_the_other() -> None:
    assert make_plan(USUAL, n_folds=2, step_s=0.5, seconds=80).folds == 2


def test_every_step_tells_number_loss_and_seconds_left() -> None:
    heard: list[tuple[float, str]] = []
    pace = Pace(4, lambda fraction, message: heard.append((fraction, message)), CancelToken())
    pace.step("Learning", 0.5)
    pace.step("Learning", None)
    assert heard[0][1].startswith("Learning: step 1 of 4, loss 0.500, ")
    assert heard[0][1].endswith(" s left")
    assert "step 2 of 4, skipped" in heard[1][1]
    assert heard[0][0] < heard[1][0] < 1


def test_a_pause_is_no_part_of_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("cinema_core.learn.plan.time.monotonic", lambda: clock[0])

    class LongPause(CancelToken):
        def raise_if_cancelled(self) -> None:
            clock[0] += 1000.0

    heard: list[str] = []
    pace = Pace(4, lambda _, message: heard.append(message), LongPause())
    for _ in range(2):
        clock[0] += 3.0
        pace.step("Learning", 0.5)
    assert heard[0].endswith(" 9 s left")
    assert heard[1].endswith(" 6 s left")


def test_a_step_stops_the_run_when_the_reader_asked_to() -> None:
    cancel = CancelToken()
    pace = Pace(4, lambda *_: None, cancel)
    cancel.cancel()
    with pytest.raises(Cancelled):
        pace.step("Learning", 0.5)
