"""``cinema finetune`` and ``cinema evaluate`` on the phantom and on real labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cinema_app import cli
from cinema_core.cards import ModelCard, write_model_folder
from cinema_core.phantom import PhantomStudy, write_phantom

TINY = """
data:
  sax: {patch_size: [32, 32, 1], spacing: [6.0, 6.0, 20.0], in_chans: 1}
model:
  name: convunetr
  views: sax
  out_chans: 4
  convunetr:
    size: tiny
    enc_patch_size: [4, 4, 1]
    enc_scale_factor: [2, 2, 1]
    enc_conv_chans: [8, 8]
    enc_conv_n_blocks: 1
    dec_chans: [8, 8, 8, 8, 8]
    dec_patch_size: [2, 2, 1]
    dec_scale_factor: [2, 2, 1]
    dropout: 0.1
    drop_path: 0.0
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # A tiny model has nothing to share out between threads.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny model that never learned anything."""
    import yaml
    from safetensors.torch import save

    from cinema_core.models import build_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(yaml.safe_load(TINY))
    write_model_folder(folder, save(network.state_dict()), TINY, ModelCard(name="tiny", sha256=""))
    return folder


@pytest.fixture(scope="session")
def case_list(tmp_path_factory: pytest.TempPathFactory, phantom_study: PhantomStudy) -> Path:
    """Case list of the phantom: ED and ES as frames of their own, two slices labelled."""
    from dataclasses import replace

    from cinema_core.io import write_image, write_labels

    folder = tmp_path_factory.mktemp("cases")
    rows = ["study,image,labels,patient,phase,slices"]
    parameters = phantom_study.parameters
    for phase, t in (("ed", parameters.ed_phase), ("es", 2)):
        frame = replace(phantom_study.cine, pixels=phantom_study.cine.pixels[t : t + 1])
        write_image(folder / f"{phase}.nii.gz", frame)
        write_labels(folder / f"{phase}_gt.nii.gz", phantom_study.labels[t : t + 1], frame)
        rows.append(f"heart,{phase}.nii.gz,{phase}_gt.nii.gz,someone,{phase},1;2")
    path = folder / "cases.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def finetune(cases: Path, base: Path | str, out: Path, *more: str) -> int:
    return cli.run(["finetune", "--cases", str(cases), "--base", str(base), "--out", str(out), *more])


def test_finetune_leaves_a_model_folder(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert finetune(case_list, tiny_model, out, "--steps", "2") == 0
    assert sorted(path.name for path in out.iterdir()) == ["card.json", "config.yaml", "weights.safetensors"]
    capsys.readouterr()
    assert cli.run(["models", "show", str(out)]) == 0
    assert "Fine-tuned from tiny on 4 labelled slices." in capsys.readouterr().out


def test_finetune_says_before_and_after_and_on_what(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "2") == 0
    told = capsys.readouterr().out
    assert "Measured on the labels it learned from (4 slices)" in told
    assert "Before   After" in told
    assert "Dice LV cavity" in told
    assert str(tmp_path / "mine") in told


def test_a_base_that_was_itself_fine_tuned_is_told_apart_from_the_answer_and_kept_in_the_card(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert finetune(case_list, tiny_model, one, "--steps", "1") == 0
    assert capsys.readouterr().err == ""
    assert finetune(case_list, one, two, "--steps", "1") == 0
    told = capsys.readouterr().err
    assert told.startswith("one was itself fine-tuned from tiny")
    assert told.count("\n") == 1
    lineages = [json.loads((made / "card.json").read_text(encoding="utf-8"))["lineage"] for made in (one, two)]
    assert "ancestors" not in lineages[0]
    assert [link["name"] for link in lineages[1]["ancestors"]] == ["tiny"]
    assert lineages[1]["ancestors"][0]["sha256"] == lineages[0]["base_sha256"]


def test_same_seed_and_steps_give_the_same_weights(case_list: Path, tiny_model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert finetune(case_list, tiny_model, tmp_path / name, "--steps", "2", "--seed", "5") == 0
    cards = [json.loads((tmp_path / name / "card.json").read_text(encoding="utf-8")) for name in ("one", "two")]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert cards[0]["recipe"]["seed"] == 5


@pytest.fixture(scope="session")
def lists_of_patients(case_list: Path, phantom_study: PhantomStudy) -> tuple[Path, Path]:
    """Case lists of the same frames: of two patients, and of four, the new ones standing first."""
    rows = [f"{name},ed.nii.gz,ed_gt.nii.gz,{name},ed,1;2" for name in ("zoe", "yan", "ada", "bob")]
    paths = []
    for name, chosen in (("two", rows[:2]), ("four", [*rows[2:], *rows[:2]])):
        paths.append(case_list.with_name(f"{name}.csv"))
        paths[-1].write_text("\n".join(["study,image,labels,patient,phase,slices", *chosen]) + "\n", encoding="utf-8")
    return paths[0], paths[1]


def test_a_ledger_keeps_who_is_held_out_with_whom_when_the_list_grows(
    lists_of_patients: tuple[Path, Path], tiny_model: Path, tmp_path: Path
) -> None:
    two, four = lists_of_patients
    ledger = tmp_path / "ledger.json"
    assert finetune(two, tiny_model, tmp_path / "one", "--steps", "1", "--ledger", str(ledger)) == 0
    first = json.loads(ledger.read_text(encoding="utf-8"))["folds"]
    assert sorted(first) == ["yan", "zoe"]
    assert finetune(four, tiny_model, tmp_path / "two", "--steps", "1", "--ledger", str(ledger), "--seed", "8") == 0
    second = json.loads(ledger.read_text(encoding="utf-8"))["folds"]
    assert {name: second[name] for name in first} == first
    assert sorted(second) == ["ada", "bob", "yan", "zoe"]
    card = json.loads((tmp_path / "two" / "card.json").read_text(encoding="utf-8"))
    assert sorted(card["lineage"]["split_ledger"].values()) == sorted(second.values())
    assert "zoe" not in json.dumps(card)


def test_a_file_that_is_no_ledger_is_refused(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "notes.json"
    wrong.write_text("my notes", encoding="utf-8")
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "1", "--ledger", str(wrong)) == 2
    assert "split ledger" in capsys.readouterr().err
    assert wrong.read_text(encoding="utf-8") == "my notes"
    assert not (tmp_path / "mine").exists()


def test_finetune_never_replaces_a_model(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "weights.safetensors").write_bytes(b"precious")
    assert finetune(case_list, tiny_model, out, "--steps", "2") == 2
    assert "exists already" in capsys.readouterr().err
    assert (out / "weights.safetensors").read_bytes() == b"precious"


def test_a_base_that_is_missing_is_named(case_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune(case_list, "v009", tmp_path / "mine", "--steps", "1") == 2
    error = capsys.readouterr().err
    assert "There is no model 'v009'" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["heart,ed.nii.gz,unlabelled.nii.gz,p,ed,"], "Label at least one slice"),
        (["heart,ed.nii.gz,ed_gt.nii.gz,p,ed,1;2", "heart,ed.nii.gz,es_gt.nii.gz,p,ed,2;3"], "labelled in two ways"),
    ],
    ids=["no labels", "contradictory labels"],
)
def test_labels_that_teach_nothing_are_refused(
    case_list: Path,
    phantom_study: PhantomStudy,
    tiny_model: Path,
    tmp_path: Path,
    rows: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from dataclasses import replace

    from cinema_core.io import write_labels

    frame = replace(phantom_study.cine, pixels=phantom_study.cine.pixels[:1])
    write_labels(case_list.parent / "unlabelled.nii.gz", np.full(frame.shape, 255, np.uint8), frame)
    cases = case_list.with_name("useless.csv")
    cases.write_text("\n".join(["study,image,labels,patient,phase,slices", *rows]) + "\n", encoding="utf-8")
    assert finetune(cases, tiny_model, tmp_path / "mine", "--steps", "1") == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "mine").exists()


def test_budget_and_steps_exclude_each_other(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "2", "--budget", "9") == 2
    assert "Give --budget or --steps, not both" in capsys.readouterr().err


def test_what_is_trained_can_be_chosen(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "2", "--tier", "decoder") == 0
    card = json.loads((tmp_path / "mine" / "card.json").read_text(encoding="utf-8"))
    assert card["recipe"]["tier"] == "decoder"
    capsys.readouterr()
    assert finetune(case_list, tiny_model, tmp_path / "other", "--steps", "2", "--tier", "half") == 2
    assert (
        "--tier half is not known. Choose one of auto, whole, norms, decoder, last-blocks." in capsys.readouterr().err
    )


def test_labels_of_another_shape_are_refused(
    case_list: Path, tiny_model: Path, tmp_path: Path, phantom_study: PhantomStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_phantom(tmp_path, phantom_study)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"study,image,labels\nheart,{whole},{case_list.parent / 'ed_gt.nii.gz'}\n", encoding="utf-8")
    assert finetune(wrong, tiny_model, tmp_path / "mine", "--steps", "1") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "line 2" in error
    assert not (tmp_path / "mine").exists()


def test_no_disk_space_leaves_no_half_model(
    case_list: Path,
    tiny_model: Path,
    tmp_path: Path,
    full_disk: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    full_disk()
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "1") == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, no file can be completed."""
    import errno
    import os

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda: monkeypatch.setattr(os, "fsync", refuse)


def evaluate(cases: Path, model: Path | str, out: Path, *more: str) -> int:
    return cli.run(["evaluate", "--cases", str(cases), "--model", str(model), "--out", str(out), *more])


def test_evaluate_leaves_the_table_and_the_summary(
    case_list: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(case_list, "bundled", out, "--json") == 0
    assert sorted(path.name for path in out.iterdir()) == ["cases.csv", "summary.json"]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == summary
    assert list(summary) == ["n_cases", "protocol", "dice", "hd95_mm", "lvef", "rvef"]
    assert (summary["n_cases"], summary["protocol"]) == (2, "native")
    assert list(summary["dice"]) == ["lv", "myo", "rv", "mean"]
    assert summary["dice"]["lv"] > 0.85


def test_evaluate_accepts_what_finetune_left(case_list: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert finetune(case_list, tiny_model, tmp_path / "mine", "--steps", "2") == 0
    assert evaluate(case_list, tmp_path / "mine", tmp_path / "out") == 0
    assert (tmp_path / "out" / "summary.json").is_file()


def test_reference_protocol_names_itself(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(case_list, tiny_model, tmp_path / "out", "--protocol", "reference") == 0
    assert "2 cases, protocol reference" in capsys.readouterr().out


def test_evaluation_never_replaces_results_unasked(
    case_list: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.json").write_text("{}", encoding="utf-8")
    assert evaluate(case_list, tiny_model, tmp_path) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "summary.json").read_text(encoding="utf-8") == "{}"


def test_protocols_are_those_of_the_core() -> None:
    from cinema_app.commands.evaluate import Protocol
    from cinema_core.learn import scores

    assert list(Protocol) == list(scores.Protocol)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("study,image\nheart,ed.nii.gz\n", "column 'labels' is missing"),
        ("study,image,labels\n", "has no rows"),
        ("study,image,labels\nheart,nowhere.nii.gz,nowhere.nii.gz\n", "line 2: There is no file"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "finetune"])
def test_case_list_that_cannot_be_used(
    command: str, content: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text(content, encoding="utf-8")
    assert cli.run([command, "--cases", str(cases), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cases.csv"]
