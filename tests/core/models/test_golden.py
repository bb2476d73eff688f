"""Exactness against the reference outputs, and key lists of the published sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cinema_core.models import build_model, load_model

TOLERANCE = 1e-5
CONVUNETR = ["seg_sax", "seg_lax_4c", "landmark_heatmap_lax_4c"]


@pytest.mark.parametrize("name", CONVUNETR)
def test_outputs_equal_the_reference(name: str, shared_golden: Path) -> None:
    model = load_model(shared_golden / f"{name}.safetensors", shared_golden / f"{name}.yaml")
    arrays = np.load(shared_golden / f"{name}_io.npz")
    inputs = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("in_")}
    with torch.inference_mode():
        outputs = model(inputs)
    assert outputs.keys() == inputs.keys()
    for view, logits in outputs.items():
        np.testing.assert_allclose(logits.numpy(), arrays[f"out_{view}"], rtol=0, atol=TOLERANCE)


def published_config(name: str, size: str, shared_golden: Path) -> dict[str, Any]:
    """Golden config with the published sizes put back."""
    config: dict[str, Any] = yaml.safe_load((shared_golden / f"{name}.yaml").read_text())
    config["model"]["convunetr"] |= {
        "size": size,
        "enc_conv_chans": [64, 128],
        "dec_chans": [32, 64, 128, 256, 512],
    }
    for view, patch_size in (("sax", [192, 192, 16]), ("lax", [256, 256])):
        if view in config["data"]:
            config["data"][view]["patch_size"] = patch_size
    return config


@pytest.mark.parametrize("size", ["tiny", "base"])
@pytest.mark.parametrize("name", CONVUNETR)
def test_keys_and_shapes_are_the_published_ones(name: str, size: str, shared_golden: Path) -> None:
    expected = json.loads((shared_golden / f"state_dict_{name}_{size}.json").read_text())
    with torch.device("meta"):
        model = build_model(published_config(name, size, shared_golden))
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == expected
