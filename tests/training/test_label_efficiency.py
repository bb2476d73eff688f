"""The harness on made-up patients in ACDC's layout; what it finds on real ones is no matter of tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from cinema_core.anatomy import UNLABELLED
from cinema_core.errors import InputError
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.learn.teach import Strategy
from cinema_core.models import zoo
from cinema_core.phantom import heart_called, make_phantom
from training import label_efficiency
from training.datasets.acdc import cases_of, read_patients
from training.label_efficiency import Trial, main
from training.label_table import Budget, Row, draw, interval, report, worse_kept
from training.table import append_row, read_rows, table_of

GROUPS = ("NOR", "DCM")
PER_GROUP = 4


@pytest.fixture(scope="module")
def acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four synthetic patients of each of two groups, as ACDC's folders hold them."""
    import nibabel as nib

    folder = tmp_path_factory.mktemp("acdc")
    for k in range(len(GROUPS) * PER_GROUP):
        name = f"patient{k + 1:03d}"
        heart = heart_called("healthy", n_slices=4, slice_step_mm=25.0, slice_thickness_mm=8.0, n_phases=3)
        study = make_phantom(heart, seed=k)
        (folder / name).mkdir()
        (folder / name / "Info.cfg").write_text(f"ED: 1\nES: 2\nGroup: {GROUPS[k // PER_GROUP]}\nNbFrame: 3\n")
        affine = np.diag([heart.pixel_spacing_mm, heart.pixel_spacing_mm, heart.slice_step_mm, 1.0])
        for frame, t in enumerate((heart.ed_phase, heart.es_phase), start=1):
            for suffix, volume in (("", study.cine.pixels[t]), ("_gt", study.labels[t])):
                path = folder / name / f"{name}_frame{frame:02d}{suffix}.nii.gz"
                nib.save(nib.Nifti1Image(np.asarray(volume).transpose(2, 1, 0).astype(np.int16), affine), path)
    return folder


@pytest.fixture(scope="module")
def trial(acdc: Path) -> Trial:
    return Trial(acdc, None, zoo.load("bundled", device="cpu"), n_phantoms=1)


def row(**changes: object) -> Row:
    values: dict[str, object] = dict.fromkeys(("steps", "seconds", "alpha", "rv", "myo", "lv"), 0.5)
    values |= dict.fromkeys(("lvef_before", "lvef_after", "phantom_change", "sunnybrook_change"), 1.0)
    values |= {"method": "bundled", "strategy": "random", "budget": "8/4", "seed": 0, "tier": "norms"}
    values |= {"dice_before": 0.80, "dice_after": 0.85, "steps": 3, "offered": "project"}
    return Row(**{**values, **changes})  # type: ignore[arg-type]


def test_patients_are_read_as_the_challenge_writes_them(acdc: Path, tmp_path: Path) -> None:
    patients = read_patients(acdc)
    assert [p.group for p in patients] == [group for group in GROUPS for _ in range(PER_GROUP)]
    ed, es = cases_of(patients[0])
    assert (ed.phase, es.phase, ed.patient) == ("ed", "es", "patient001")
    assert ed.image.shape == ed.labels.shape == (4, *ed.image.shape[1:])
    assert (ed.labels == 3).sum() > (es.labels == 3).sum()
    with pytest.raises(InputError, match=r"no patient\*/Info.cfg"):
        read_patients(tmp_path)
    (tmp_path / "patient001").mkdir()
    (tmp_path / "patient001" / "Info.cfg").write_text("ED: 1\nGroup: NOR\n")
    with pytest.raises(InputError, match="no line 'ES'"):
        read_patients(tmp_path)


@pytest.mark.parametrize("strategy", [s for s in Strategy if s is not Strategy.RANDOM])
def test_a_budget_is_kept_evenly_and_only_pool_patients_teach(trial: Trial, strategy: Strategy) -> None:
    cases = trial.teaching(Budget(4, 8), strategy, seed=1)
    per_patient: dict[str, int] = {}
    for case in cases:
        per_patient[case.patient] = per_patient.get(case.patient, 0) + len(case.labelled_slices)
    assert sorted(per_patient.values()) == [2, 2, 2, 2]
    tested = {"patient004", "patient008"}  # the last of each group
    assert not tested & set(per_patient)
    assert {case.patient for case in trial._test} == tested


def test_what_teaches_follows_from_the_seed(trial: Trial) -> None:
    def chosen(seed: int) -> list[tuple[str, tuple[int, ...]]]:
        cases = trial.teaching(Budget(2, 4), Strategy.FOREGROUND_RANDOM, seed)
        return [(case.case_id, case.labelled_slices) for case in cases]

    assert chosen(3) == chosen(3)
    assert len({str(chosen(seed)) for seed in range(6)}) > 2


def test_all_slices_is_a_budget_and_too_many_patients_is_none(trial: Trial) -> None:
    cases = trial.teaching(Budget.named("all/3"), Strategy.FOREGROUND_RANDOM, seed=0)
    assert len(cases) == 6
    assert not any((case.labels == UNLABELLED).any() for case in cases)
    with pytest.raises(InputError, match="pool has only 6 patients"):
        trial.teaching(Budget(7, 7), Strategy.RANDOM, seed=0)


@pytest.mark.parametrize("text", ["8", "8/0", "0/4", "x/4", "9/4", "8/four", ""])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"8/4|evenly"):
        Budget.named(text)


def test_command_makes_each_run_once_and_goes_on_where_it_was(
    acdc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(label_efficiency, "phantom_volumes", lambda _: label_efficiency.__dict__["_one"])
    from training.judging import phantom_volumes

    monkeypatch.setitem(label_efficiency.__dict__, "_one", phantom_volumes(1))
    asked = ["--acdc", str(acdc), "--sunnybrook", str(tmp_path / "none"), "--budgets", "4/2", "--seeds", "1"]
    asked += ["--steps", "2", "--out", str(tmp_path / "out")]
    assert main([*asked, "--methods", "bundled"]) == 0
    table = table_of(tmp_path / "out", "runs", zoo.load("bundled", device="cpu").card.sha256)
    (first,) = read_rows(table, Row)
    assert first.steps == 2
    assert 0 < first.dice_before <= 1
    assert np.isnan(first.sunnybrook_change)
    assert abs(first.phantom_change) < 0.2
    assert main([*asked, "--methods", "bundled", "unet", "scratch"]) == 0
    bundled, unet, scratch = read_rows(table, Row)
    assert bundled == first or str(bundled) == str(first)  # NaN is never equal
    assert unet.method == "unet"
    assert scratch.method == "scratch"
    assert max(unet.dice_after, scratch.dice_after) < bundled.dice_after  # two steps from nothing
    assert (scratch.steps, scratch.dice_before, scratch.offered == bundled.offered) == (2, 0.0, False)
    assert "| 4/2 | scratch | whole | foreground-random | 1 |" in capsys.readouterr().out
    monkeypatch.setattr(label_efficiency, "Trial", None)  # nothing is missing, so nobody is asked
    assert main([*asked, "--methods", "bundled", "unet", "scratch"]) == 0
    assert "| 4/2 | unet | whole | foreground-random | 1 |" in capsys.readouterr().out


def test_a_unet_from_nothing_depends_on_its_seed_alone() -> None:
    base = zoo.load("bundled", device="cpu")
    first, again, other = (label_efficiency.unet_from_nothing(base, seed).network.state_dict() for seed in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
    assert load_file(base.folder / "weights.safetensors").keys() != first.keys()


def test_the_network_from_nothing_is_the_bundled_one_with_weights_of_its_seed() -> None:
    base = zoo.load("bundled", device="cpu")
    first, again, other = (label_efficiency.network_from_nothing(base, seed) for seed in (1, 1, 2))
    weights, own = first.network.state_dict(), base.network.state_dict()
    assert {name: value.shape for name, value in weights.items()} == {name: value.shape for name, value in own.items()}
    assert all((value == again.network.state_dict()[name]).all() for name, value in weights.items())
    name = "encoder.blocks.0.attn.q.weight"
    assert not (weights[name] == own[name]).all()
    assert not (weights[name] == other.network.state_dict()[name]).all()
    assert first.card.trained_on == []
    plain = label_efficiency.replace_settings(FineTuneSettings(), "scratch", 3)
    assert plain == label_efficiency.replace_settings(FineTuneSettings(), "unet", 3)
    assert plain.base_weight == 0


def test_a_figure_shows_every_budget_and_method(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib is absent: pip install 'napari-cinema[training]'")
    rows = [row(), row(seed=1, dice_after=0.9), row(budget="all/10"), row(method="unet", dice_after=0.4)]
    draw([*rows, row(method="scratch", budget="40/10", dice_after=0.3)], tmp_path / "curve.svg")
    text = (tmp_path / "curve.svg").read_text()
    for shown in ("8/4", "40/10", "all/10", "bundled", "scratch", "unet"):
        assert f"<!-- {shown} -->" in text
    draw(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no run to draw"):
        draw([], tmp_path / "none.png")


def test_a_figure_of_no_known_kind_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--figure", str(tmp_path / "curve.doc")]) == 2
    assert "its name ends with .png" in capsys.readouterr().err


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [row(), row(seed=1, method="unet", offered="")]
    for each in rows:
        append_row(tmp_path / "new" / "runs.csv", each)
    assert read_rows(tmp_path / "new" / "runs.csv", Row) == rows
    assert read_rows(tmp_path / "none.csv", Row) == []


def test_kept_runs_that_were_worse_are_counted() -> None:
    rows = [row(), row(dice_after=0.79), row(dice_after=0.79, offered=""), row(dice_after=0.1, method="unet")]
    assert worse_kept(rows) == (2, 1)


def test_interval_holds_the_mean_and_narrows_with_more_runs() -> None:
    few, many = interval([0.0, 1.0]), interval([0.0, 1.0] * 50)
    assert few[0] <= 0.5 <= few[1]
    assert many[1] - many[0] < 0.5 * (few[1] - few[0])


def test_report_sorts_by_budget_and_names_what_was_measured() -> None:
    text = report([row(budget="40/10", tier="whole"), row(), row(seed=1, dice_after=0.87)])
    small, large = text.splitlines()[2:]
    assert small.startswith("| 8/4 | bundled | norms | random | 2 | 0.860 [")
    assert "+0.060" in small
    assert large.startswith("| 40/10 | bundled | whole | random | 1 | ")
    assert "[" not in large  # a single run has no interval
