"""Several seeds as one model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cinema_core.errors import CheckpointError
from cinema_core.models import zoo
from cinema_core.phantom import PhantomStudy
from cinema_core.predict import segment_cine


@pytest.fixture
def seeds(shared_golden: Path, tmp_path: Path) -> list[zoo.LoadedModel]:
    """Two networks that differ by their head."""
    weights = load_file(shared_golden / "seg_sax.safetensors")
    weights["pred_head_dict.sax.bias"] = weights["pred_head_dict.sax.bias"] + torch.tensor([0.3, -0.2, 0.5, 0.1])
    save_file(weights, tmp_path / "other.safetensors")
    config = shared_golden / "seg_sax.yaml"
    return list(zoo.load_all([shared_golden / "seg_sax.safetensors", tmp_path / "other.safetensors"], config))


def test_probabilities_are_averaged(seeds: list[zoo.LoadedModel]) -> None:
    images = {"sax": torch.rand(1, 1, 64, 64, 4)}
    with torch.inference_mode():
        each = torch.stack([model.network(images)["sax"].softmax(1) for model in seeds])
        found = zoo.together(seeds).network(images)["sax"].softmax(1)
    torch.testing.assert_close(found, each.mean(0))


def test_a_cine_is_segmented_by_the_mean(
    seeds: list[zoo.LoadedModel], phantom_study: PhantomStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    import cinema_core.predict.segment as module

    label_frame = module.label_frame

    def look(probabilities: np.ndarray, spacing: Any) -> np.ndarray:
        seen.append(probabilities.copy())
        return label_frame(probabilities, spacing)

    monkeypatch.setattr(module, "label_frame", look)
    for model in [*seeds, zoo.together(seeds)]:
        segment_cine(phantom_study.cine, model, phases=[0])
    np.testing.assert_allclose(seen[2], (seen[0] + seen[1]) / 2, atol=1e-5)


def test_the_card_names_all_members(seeds: list[zoo.LoadedModel]) -> None:
    card = zoo.together(seeds).card
    assert card.name == "seg_sax + other"
    assert [member["sha256"] for member in card.lineage["members"]] == [model.card.sha256 for model in seeds]
    assert card.sha256 not in {model.card.sha256 for model in seeds}


def test_models_that_draw_other_things_are_no_ensemble(seeds: list[zoo.LoadedModel]) -> None:
    with pytest.raises(CheckpointError, match="take or give different things"):
        zoo.together([seeds[0], zoo.load("bundled")])
