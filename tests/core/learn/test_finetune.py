import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cinema_core.anatomy import UNLABELLED
from cinema_core.cards import ModelCard, resolve_model
from cinema_core.cases import TrainingCase, case_set_sha256
from cinema_core.errors import Cancelled, EngineError, InputError, StorageError
from cinema_core.learn import Scope, Validation, holdout
from cinema_core.learn.finetune import finetune
from cinema_core.learn.holdout import BLENDS_OF_NORMS
from cinema_core.learn.settings import FineTuneSettings, Tier
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.progress import CancelToken

QUICK = FineTuneSettings(steps=3, fold_min_steps=2, batch_size=2)

Make = Callable[..., TrainingCase]


def replace_card(model: LoadedModel, name: str) -> ModelCard:
    return model.card.model_copy(update={"name": name})


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_loss_on_the_labelled_slices_falls(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    settings = FineTuneSettings(steps=30, batch_size=2, learning_rate=3e-3)
    result = finetune([make_case()], base, settings, tmp_path, "v001")
    assert result.learned_after.loss < 0.8 * result.learned_before.loss
    assert result.learned_after.n_slices == 2


def test_the_version_is_a_model_folder_with_its_lineage(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cases = [make_case()]
    result = finetune(cases, base, QUICK, tmp_path, "v001")
    assert result.folder == tmp_path / "v001"
    assert left_in(result.folder) == ["card.json", "config.yaml", "weights.safetensors"]
    loaded = zoo.load(result.folder)
    assert loaded.card == result.card
    assert loaded.card.kind == "project"
    assert loaded.card.lineage["base_sha256"] == base.card.sha256
    assert loaded.card.lineage["label_set_sha256"] == case_set_sha256(cases)
    assert loaded.card.lineage["n_slices"] == 2
    assert loaded.card.recipe["steps"] == 3
    assert zoo.view_settings(loaded.config) == zoo.view_settings(base.config)


def test_a_model_is_measured_by_the_mirror_images_that_it_is_shown(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    cases = [make_case("a"), make_case("b", t=3)]
    shown = replace(base, config={**base.config, "predict": {"mirrors": [[], [0]]}})
    plain, mirrored = (finetune(cases, model, QUICK, tmp_path, name) for model, name in ((base, "p"), (shown, "m")))
    assert plain.learned_before.loss != mirrored.learned_before.loss  # the same weights, asked in another way
    assert zoo.load(mirrored.folder).config["predict"] == {"mirrors": [[], [0]]}


def test_several_models_together_cannot_be_taught(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    both = zoo.together([replace(base, card=replace_card(base, name)) for name in ("tiny-0", "tiny-1")])
    with pytest.raises(InputError, match=r"2 models answer together.*Choose one of them as the base: tiny-0, tiny-1"):
        finetune([make_case()], both, QUICK, tmp_path, "v001")
    assert left_in(tmp_path) == []


def test_the_loss_of_every_step_is_told_with_its_run(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    cases = [make_case("a"), make_case("b", t=3)]
    result = finetune(cases, base, QUICK, tmp_path, "v001", learned=lambda *step: told.append(step))
    folds, fold_steps = result.card.recipe["folds"], result.card.recipe["fold_steps"]
    assert folds == 2
    assert [run for run, _ in told] == [1] * fold_steps + [2] * fold_steps + [3] * result.steps
    assert all(loss > 0 for _, loss in told)


def test_the_same_inputs_steps_and_seed_give_the_same_weights(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    cases = [make_case("a"), make_case("b", t=3)]
    sha = [finetune(cases, base, QUICK, tmp_path, name).card.sha256 for name in ("one", "two")]
    other = finetune(cases, base, QUICK.model_copy(update={"seed": 1}), tmp_path, "three")
    assert sha[0] == sha[1] != other.card.sha256


def test_the_order_of_the_cases_does_not_change_the_weights(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cases = [make_case("a"), make_case("b", t=3), make_case("a", t=2), make_case("a", slices=(3,))]
    renamed = [replace(case, case_id=f"row {k}") for k, case in enumerate(cases[::-1])]
    one, two = (finetune(c, base, QUICK, tmp_path, name) for name, c in (("one", cases), ("two", renamed)))
    assert one.card.sha256 == two.card.sha256
    assert one.card.lineage["label_set_sha256"] == two.card.lineage["label_set_sha256"]


def test_a_version_that_is_the_base_is_not_offered(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdout, "choose_alpha", lambda *_: 0.0)
    result = finetune([make_case("a"), make_case("b", t=3)], base, QUICK, tmp_path, "v001")
    assert result.verdict.offered_scopes == ()
    assert result.card.lineage["scope"] == ""
    assert not result.worse
    assert [note for note in result.notes if "served best by the base" in note] == list(result.verdict.reasons)
    weights = zoo.load(result.folder).network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in base.network.state_dict().items())


@pytest.mark.parametrize(
    ("wish", "trained", "told"),
    [(Tier.LAST_BLOCKS, "whole", True), (Tier.DECODER, "decoder", False), (Tier.AUTO, "whole", False)],
)
def test_a_unet_learns_in_every_tier_and_the_card_names_what_was_trained(
    make_unet: Callable[[], LoadedModel], make_case: Make, tmp_path: Path, wish: Tier, trained: str, told: bool
) -> None:
    settings = QUICK.model_copy(update={"tier": wish})
    result = finetune([make_case()], make_unet(), settings, tmp_path, "v001")
    assert result.card.recipe["tier"] == trained
    assert any("all of it was trained" in note for note in result.notes) is told


def test_the_steps_of_a_budget_repeat_its_weights(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cases = [make_case("a"), make_case("b", t=3)]
    settings = FineTuneSettings(budget_s=4.0, max_steps=4, fold_min_steps=2, batch_size=2)
    first = finetune(cases, base, settings, tmp_path, "one")
    again = finetune(cases, base, settings.model_copy(update={"steps": first.steps}), tmp_path, "two")
    assert again.card.sha256 == first.card.sha256
    assert first.card.recipe["steps"] == first.steps


def test_the_base_is_not_changed(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in base.network.state_dict().items()}
    finetune([make_case()], base, QUICK, tmp_path, "v001")
    assert all(torch.equal(value, before[name]) for name, value in base.network.state_dict().items())
    assert all(
        parameter.requires_grad for name, parameter in base.network.named_parameters() if "pos_embed" not in name
    )


def test_what_lies_on_unlabelled_slices_is_not_learned(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    # The window of a labelled slice never sees its neighbours, so their pixels cannot matter. (The frame's
    # percentiles do depend on them: mirrored, they stay.)
    case = make_case()
    image = case.image.copy()
    image[3:] = image[3:, ::-1, ::-1]
    other = make_case(image=image)
    shas = [finetune([c], base, QUICK, tmp_path, name).card.sha256 for c, name in ((case, "one"), (other, "two"))]
    assert shas[0] == shas[1]


def test_one_labelled_study_keeps_the_version_with_that_study(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    result = finetune([make_case("a"), make_case("a", t=3)], base, QUICK, tmp_path, "v001")
    assert result.validation is Validation.SEEN
    assert result.scope in (Scope.STUDY, None)
    assert result.card.lineage["scope"] in (Scope.STUDY, "")
    assert any("One patient" in note for note in result.notes)
    assert result.before == result.learned_before


def test_two_studies_of_one_patient_are_not_held_out_from_each_other(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    cases = [make_case("a", patient="p"), make_case("b", t=3, patient="p")]
    assert finetune(cases, base, QUICK, tmp_path, "v001").validation is Validation.SEEN


def test_two_patients_are_measured_on_what_a_run_did_not_see(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    heard: list[str] = []
    result = finetune(
        [make_case("a"), make_case("b", t=3)], base, QUICK, tmp_path, "v001", lambda _, text: heard.append(text)
    )
    assert result.validation is Validation.HELD_OUT
    assert result.before.n_slices == 4
    assert result.alpha in (0.0, *BLENDS_OF_NORMS.tried)
    assert result.after.loss != result.before.loss or result.alpha == 0
    assert any("held-out patients, part 2 of 2" in text for text in heard)


def test_progress_comes_at_once_and_tells_step_loss_and_time_left(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    heard: list[tuple[float, str]] = []
    finetune([make_case()], base, QUICK, tmp_path, "v001", lambda *news: heard.append(news))
    assert heard[0] == (0.0, "Preparing 2 labelled slices")
    steps = [text for _, text in heard if "step" in text and "loss" in text]
    assert len(steps) == 3
    assert steps[0].startswith("Learning from your labels: step 1 of 3, loss ")
    assert steps[0].endswith(" s left")
    fractions = [fraction for fraction, _ in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_cancel_stops_at_the_next_step_and_leaves_nothing(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    cancel = CancelToken()
    steps: list[str] = []

    def listen(_: float, text: str) -> None:
        if "loss" in text:
            steps.append(text)
            cancel.cancel()

    settings = FineTuneSettings(steps=1000, batch_size=2)
    with pytest.raises(Cancelled):
        finetune([make_case()], base, settings, tmp_path, "v001", listen, cancel)
    assert len(steps) == 1
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_half_version(
    base: LoadedModel, make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError, match="No space left"):
        finetune([make_case()], base, QUICK, tmp_path, "v001")
    assert left_in(tmp_path) == []


def test_a_version_is_never_overwritten(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    finetune([make_case()], base, QUICK, tmp_path, "v001")
    sha = resolve_model(tmp_path / "v001").card.sha256
    with pytest.raises(InputError, match="exists already"):
        finetune([make_case()], base, QUICK.model_copy(update={"seed": 5}), tmp_path, "v001")
    assert resolve_model(tmp_path / "v001").card.sha256 == sha


def test_no_labelled_slice_is_a_clear_refusal(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    for cases in ([], [make_case(slices=())]):
        with pytest.raises(InputError, match="Label at least one slice"):
            finetune(cases, base, QUICK, tmp_path, "v001")
    assert left_in(tmp_path) == []


def test_one_slice_is_enough(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    assert finetune([make_case(slices=(2,))], base, QUICK, tmp_path, "v001").learned_before.n_slices == 1


def test_a_structure_that_nobody_drew_is_left_to_the_base_and_said(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    case = make_case()
    labels = np.where(case.labels == 1, 0, case.labels).astype(np.uint8)
    result = finetune([make_case(labels=labels)], base, QUICK, tmp_path, "v001")
    assert any(note.startswith("RV cavity is in none of the labels") for note in result.notes)
    assert result.after.dice["rv"] is None
    assert result.card.lineage["notes"] == list(result.notes)


def test_a_base_that_labels_no_short_axis_is_refused(
    make_base: Callable[..., LoadedModel], make_case: Make, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="needs one that takes a single short-axis frame"):
        finetune([make_case()], make_base(view="lax_4c"), QUICK, tmp_path, "v001")


def test_broken_images_end_in_a_clear_error_and_no_version(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    network_with_nan = LoadedModel(base.network, base.config, base.card, base.folder)
    with torch.no_grad():
        next(network_with_nan.network.parameters()).fill_(float("nan"))
    with pytest.raises(EngineError, match="finite loss"):
        finetune([make_case()], network_with_nan, QUICK, tmp_path, "v001")
    assert left_in(tmp_path) == []


def test_a_model_of_stacks_learns_from_the_labelled_slices_of_a_stack(
    make_base: Callable[..., LoadedModel], make_case: Make, tmp_path: Path
) -> None:
    settings = FineTuneSettings(steps=12, learning_rate=3e-3)
    result = finetune([make_case()], make_base(depth=4), settings, tmp_path, "v001")
    assert result.learned_after.loss < result.learned_before.loss
    assert {change.z for change in result.changes} <= {1, 2}


@pytest.mark.parametrize("depth", [1, 4])
def test_what_lies_in_freed_memory_does_not_reach_the_weights(
    depth: int, make_base: Callable[..., LoadedModel], make_case: Make, tmp_path: Path
) -> None:
    sizes = np.random.default_rng(0).integers(1000, 300_000, 60).tolist()
    hashes = set()
    for name, fill in (("zeros", 0.0), ("nan", float("nan"))):
        left_behind = [torch.full((size,), fill) for size in sizes]
        del left_behind
        hashes.add(finetune([make_case()], make_base(depth=depth), QUICK, tmp_path, name).card.sha256)
    assert len(hashes) == 1


def test_every_labelled_slice_is_reported_by_how_much_it_changed(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    result = finetune([make_case(), make_case(t=3, slices=(0, 4))], base, QUICK, tmp_path, "v001")
    assert {(c.study_id, c.t, c.z) for c in result.changes} == {("a", 0, 1), ("a", 0, 2), ("a", 3, 0), ("a", 3, 4)}
    between = [c.dice_between if c.dice_between is not None else 1.0 for c in result.changes]
    assert between == sorted(between)


def test_unlabelled_voxels_inside_a_slice_are_kept_near_the_base(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    case = make_case()
    labels = case.labels.copy()
    labels[labels != 3] = UNLABELLED  # the reader drew the LV cavity and said nothing of the rest
    result = finetune([make_case(labels=labels)], base, QUICK, tmp_path, "v001")
    assert np.isfinite(result.learned_after.loss)


def test_a_slice_that_is_labelled_in_two_ways_is_refused(base: LoadedModel, make_case: Make, tmp_path: Path) -> None:
    one = make_case("a", slices=(1, 2))
    labels = one.labels.copy()
    labels[1] = 255
    labels[2] = np.where(labels[2] == 3, 2, labels[2])
    with pytest.raises(InputError, match=r"same image, but slice 2 is labelled in two ways\. Leave one"):
        finetune([one, make_case("again", labels=labels)], base, QUICK, tmp_path, "v001")
    assert left_in(tmp_path) == []


def test_two_halves_of_a_frame_and_a_repeated_row_are_no_contradiction(
    base: LoadedModel, make_case: Make, tmp_path: Path
) -> None:
    cases = [make_case("a", slices=(1,)), make_case("a", slices=(2,)), make_case("a", slices=(1,))]
    assert finetune(cases, base, QUICK, tmp_path, "v001").learned_before.n_slices == 3
