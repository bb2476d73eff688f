"""One answer per study, alone and of several seeds; features; reconstruction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cinema_core.answers import ClassAnswer
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import CheckpointError, StudyError
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.phantom import PhantomStudy
from cinema_core.predict.inputs import study_sample
from cinema_core.predict.whole_study import check_target, classify, extract_features, reconstruct, regress, views_of
from cinema_core.tasks import TASKS

ED_ES = {"sax": (0, 2)}


@pytest.fixture
def sax(phantom_study: PhantomStudy) -> dict[str, Cine]:
    return {"sax": phantom_study.cine}


@pytest.fixture
def four() -> dict[str, Cine]:
    pixels = np.random.default_rng(0).uniform(size=(4, 1, 50, 60)).astype(np.float32)
    geometry = Geometry.from_affine(np.diag([1.2, 1.2, 8.0, 1.0]), 1)
    return {"lax_4c": Cine(id="four", pixels=pixels, geometry=geometry, view=View.LAX_4C)}


def golden(shared_golden: Path, name: str) -> LoadedModel:
    return zoo.load(shared_golden / f"{name}.safetensors", shared_golden / f"{name}.yaml")


def other_seed(shared_golden: Path, name: str, folder: Path) -> LoadedModel:
    """Same network with another head, as another seed would have."""
    weights = load_file(shared_golden / f"{name}.safetensors")
    for key in weights:
        if key.startswith("pred_head_dict") and key.endswith("bias"):
            weights[key] = weights[key] + torch.linspace(-1, 1, len(weights[key]))
    save_file(weights, folder / "seed1.safetensors")
    return zoo.load(folder / "seed1.safetensors", shared_golden / f"{name}.yaml")


@pytest.mark.parametrize("name", ["clf_sax", "resnet_sax"])
def test_a_class_is_what_the_network_says_of_ed_and_es(name: str, sax: dict[str, Cine], shared_golden: Path) -> None:
    model = golden(shared_golden, name)
    found = classify(sax, [model], ED_ES)
    assert found.classes == ("DCM", "HCM", "MINF", "NOR", "RV")
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.spread is None
    # The stack is deeper than the model: the mean of its windows, as published.
    sample = study_sample(sax, {"sax": zoo.view_settings(model.config)["sax"]}, ED_ES)["sax"]
    assert sample.shape[:3] == (2, 64, 64)
    starts = [0, *range(2, sample.shape[3] - 4, 2), sample.shape[3] - 4] if sample.shape[3] > 4 else [0]
    windows = [torch.from_numpy(sample[None, ..., z : z + 4]) for z in dict.fromkeys(starts)]
    windows = [torch.nn.functional.pad(x, (0, 4 - x.shape[-1])) for x in windows]
    with torch.inference_mode():
        expected = torch.stack([model.network({"sax": x})[0].softmax(0) for x in windows]).mean(0)
    np.testing.assert_allclose(found.probabilities, expected.numpy(), atol=1e-5)


def test_seeds_are_averaged_and_differ(sax: dict[str, Cine], shared_golden: Path, tmp_path: Path) -> None:
    models = [golden(shared_golden, "clf_sax"), other_seed(shared_golden, "clf_sax", tmp_path)]
    together = classify(sax, models, ED_ES)
    each = [classify(sax, [model], ED_ES).probabilities for model in models]
    np.testing.assert_allclose(together.probabilities, np.mean(each, axis=0))
    assert together.spread is not None
    np.testing.assert_allclose(together.spread, np.std(each, axis=0, ddof=1))
    assert together.answer == together.classes[int(np.mean(each, axis=0).argmax())]


def test_a_value_is_brought_back_to_its_unit(four: dict[str, Cine], shared_golden: Path, tmp_path: Path) -> None:
    model = golden(shared_golden, "reg_lax_4c")
    phases = {"lax_4c": (0, 2)}
    found = regress(four, [model], phases)
    sample = study_sample(four, zoo.view_settings(model.config), phases)["lax_4c"]
    with torch.inference_mode():
        standardised = float(model.network({"lax_4c": torch.from_numpy(sample)[None]}))
    assert found.value == pytest.approx(standardised * 10.328604573626588 + 37.97920801605608, abs=1e-3)
    both = regress(four, [model, other_seed(shared_golden, "reg_lax_4c", tmp_path)], phases)
    assert both.spread == pytest.approx(10.328604573626588 / np.sqrt(2), rel=0.3)


def test_ed_and_es_are_told_apart(sax: dict[str, Cine], shared_golden: Path) -> None:
    model = golden(shared_golden, "clf_sax")
    forward, backward = (classify(sax, [model], {"sax": phases}) for phases in ((0, 2), (2, 0)))
    assert not np.allclose(forward.probabilities, backward.probabilities)


def test_a_model_of_another_question_is_refused(shared_golden: Path) -> None:
    check_target(TASKS["disease"], [golden(shared_golden, "clf_sax")])
    with pytest.raises(CheckpointError, match=r"clf_sax answers 'pathology'; sex needs one that answers 'sex'"):
        check_target(TASKS["sex"], [golden(shared_golden, "clf_sax")])
    with pytest.raises(CheckpointError, match="no question about whole studies"):
        check_target(TASKS["disease"], [golden(shared_golden, "seg_sax")])


def test_models_that_do_not_belong_together_are_refused(
    sax: dict[str, Cine], shared_golden: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="look at different views"):
        views_of([golden(shared_golden, "clf_sax"), golden(shared_golden, "reg_lax_4c")])
    other = golden(shared_golden, "clf_sax")
    config = {**other.config, "data": {**other.config["data"], "pathology": ["A", "B", "C", "D", "E"]}}
    with pytest.raises(CheckpointError, match="know different classes"):
        classify(sax, [other, replace(other, config=config)], ED_ES)


def test_one_phase_is_not_enough_for_a_model_of_two(sax: dict[str, Cine], shared_golden: Path) -> None:
    with pytest.raises(CheckpointError, match="looks at 2 phases of a study; 1 were given"):
        classify(sax, [golden(shared_golden, "clf_sax")], {"sax": (0,)})


def test_another_view_is_refused(four: dict[str, Cine], shared_golden: Path) -> None:
    with pytest.raises(StudyError, match="also looks at the short axis"):
        classify(four, [golden(shared_golden, "clf_sax")], {"lax_4c": (0, 1)})


def test_features_are_those_of_the_network(four: dict[str, Cine], shared_golden: Path) -> None:
    model = golden(shared_golden, "mae")
    found = extract_features(four, model, {"lax_4c": (1,)})
    assert {name: tokens.shape for name, tokens in found.items()} == {"cls": (1, 16), "lax_4c": (16, 16)}
    sample = study_sample(four, {"lax_4c": zoo.view_settings(model.config)["lax_4c"]}, {"lax_4c": (1,)})["lax_4c"]
    with torch.inference_mode():
        expected = model.network.features({"lax_4c": torch.from_numpy(sample)[None]})
    np.testing.assert_allclose(found["cls"], expected["cls"][0].numpy(), atol=1e-5)


def test_features_of_a_deep_stack_use_all_its_slices(sax: dict[str, Cine], shared_golden: Path) -> None:
    found = extract_features(sax, golden(shared_golden, "mae"), {"sax": (0,)})
    n_slices = study_sample(sax, {"sax": zoo.view_settings(golden(shared_golden, "mae").config)["sax"]}, {"sax": (0,)})
    assert len(found["sax"]) == 16 * max(4, n_slices["sax"].shape[-1])


def test_a_segmentation_model_has_no_features(sax: dict[str, Cine], shared_golden: Path) -> None:
    with pytest.raises(CheckpointError, match="ConvUNetR, which has no features"):
        extract_features(sax, golden(shared_golden, "seg_sax"), {"sax": (0,)})


def test_reconstruction_keeps_what_was_shown(sax: dict[str, Cine], four: dict[str, Cine], shared_golden: Path) -> None:
    found = reconstruct(sax | four, golden(shared_golden, "mae"), {"sax": (0,), "lax_4c": (1,)}, mask_ratio=0.5)
    assert set(found) == {"sax", "lax_4c"}
    for one in found.values():
        assert one.image.shape == one.masked.shape == one.reconstruction.shape
        assert 0.3 < one.masked.mean() < 0.7
        np.testing.assert_array_equal(one.reconstruction[~one.masked], one.image[~one.masked])
        assert one.error[one.masked].any()
    assert found["sax"].image.shape == (64, 64, 4)


def test_the_seed_chooses_the_mask(four: dict[str, Cine], shared_golden: Path) -> None:
    model = golden(shared_golden, "mae")
    masks = [reconstruct(four, model, {"lax_4c": (0,)}, seed=seed)["lax_4c"].masked for seed in (0, 0, 1)]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])


def test_only_a_masked_autoencoder_reconstructs(sax: dict[str, Cine], shared_golden: Path) -> None:
    with pytest.raises(CheckpointError, match="only a masked autoencoder reconstructs"):
        reconstruct(sax, golden(shared_golden, "clf_sax"), ED_ES)


def test_the_answer_is_the_likeliest_class() -> None:
    answer = ClassAnswer(("A", "B"), np.array([0.4, 0.6]), None, ())
    assert answer.answer == "B"
