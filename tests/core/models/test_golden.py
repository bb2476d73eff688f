"""Exactness against the reference outputs, and key lists of the published sizes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from cinema_core.models import (
    ConvUNetR,
    ConvViT,
    MaskedAutoencoder,
    ResNet,
    UNet,
    build_model,
    load_model,
    transfer_pretrained,
)

TOLERANCE = 1e-5
Arrays = dict[str, np.ndarray]

CLASSES: dict[str, type[nn.Module]] = {
    "seg_sax": ConvUNetR,
    "seg_lax_4c": ConvUNetR,
    "landmark_heatmap_lax_4c": ConvUNetR,
    "clf_sax": ConvViT,
    "reg_lax_4c": ConvViT,
    "landmark_coordinate_lax_4c": ConvViT,
    "mae": MaskedAutoencoder,
    "unet_sax": UNet,
    "resnet_sax": ResNet,
}
PUBLISHED = [name for name in CLASSES if name not in {"unet_sax", "resnet_sax"}]  # no key lists of the baselines
TRANSFERS = ["transfer_mae_convunetr_sax", "transfer_mae_convvit_lax_4c", "transfer_mae_convvit_sax_2frames"]


def arrays_of(path: Path) -> Arrays:
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def starting(arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: torch.from_numpy(arrays[key]) for key in arrays if key.startswith(prefix)}


def outputs_of(model: nn.Module, arrays: Arrays, prefix: str) -> dict[str, Tensor]:
    """What the model makes of the golden inputs, under the names of the golden outputs."""
    images = starting(arrays, f"{prefix}in_")
    if isinstance(model, ConvUNetR | UNet):
        return {f"out_{view}": logits for view, logits in model(images).items()}
    if isinstance(model, ResNet):
        return {"out": model(images)}
    assert isinstance(model, ConvViT | MaskedAutoencoder)
    found = {f"{prefix}feature_{name}": tokens for name, tokens in model.features(images).items()}
    if isinstance(model, ConvViT):
        for reduction in ("all", "patch", "cls"):
            found[f"{prefix}out_{reduction}"] = model(images, reduction=reduction)
        return found
    out = model(images, mask_ratio=float(arrays["mask_ratio"]), noise=starting(arrays, "noise_"))
    found |= {f"out_pred_{view}": predicted for view, predicted in out.predictions.items()}
    found |= {f"mask_{view}": mask for view, mask in out.masks.items()}
    found |= {f"masked_indices_{view}": mask.nonzero()[:, 1].reshape(len(mask), -1) for view, mask in out.masks.items()}
    found |= {f"metric_{name}": value for name, value in out.metrics.items()}
    return found | {"out_loss": out.loss}


@pytest.mark.parametrize("name", CLASSES)
def test_outputs_equal_the_reference(name: str, shared_golden: Path) -> None:
    model = load_model(shared_golden / f"{name}.safetensors", shared_golden / f"{name}.yaml")
    assert isinstance(model, CLASSES[name])
    arrays = arrays_of(shared_golden / f"{name}_io.npz")
    compared = set()
    with torch.inference_mode():
        for prefix in ("", "alt_"):
            if any(key.startswith(f"{prefix}in_") for key in arrays):
                for key, value in outputs_of(model, arrays, prefix).items():
                    np.testing.assert_allclose(value.numpy(), arrays[key], rtol=0, atol=TOLERANCE, err_msg=key)
                    compared.add(key)
    inputs = ("in_", "alt_in_", "noise_", "mask_ratio")
    assert compared == {key for key in arrays if not key.startswith(inputs)}  # nothing of the file is left aside


def published_config(name: str, size: str, shared_golden: Path) -> dict[str, Any]:
    """Golden config with the published sizes put back."""
    config: dict[str, Any] = yaml.safe_load((shared_golden / f"{name}.yaml").read_text())
    sizes = {"size": size, "enc_conv_chans": [64, 128]}
    model = config["model"]
    if "convunetr" in model:
        model["convunetr"] |= sizes | {"dec_chans": [32, 64, 128, 256, 512]}
    else:
        (model["convvit"] if "convvit" in model else model).update(sizes)
    for view, patch_size in (("sax", [192, 192, 16]), ("lax", [256, 256])):
        if view in config["data"]:
            config["data"][view]["patch_size"] = patch_size
    return config


@pytest.mark.parametrize("size", ["tiny", "base"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_and_shapes_are_the_published_ones(name: str, size: str, shared_golden: Path) -> None:
    expected = json.loads((shared_golden / f"state_dict_{name}_{size}.json").read_text())
    with torch.device("meta"):
        model = build_model(published_config(name, size, shared_golden))
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == expected


# Sections 8.5 and 13 of the model specification, positions included.
PARAMETERS: Mapping[tuple[str, str], int] = {
    ("seg_sax", "large"): 353_167_846,
    ("seg_sax", "huge"): 689_714_150,
    ("seg_lax_4c", "large"): 323_881_382,
    ("seg_lax_4c", "huge"): 656_364_454,
    ("clf_sax", "large"): 308_331_466,
    ("clf_sax", "huge"): 637_408_970,
    ("landmark_coordinate_lax_4c", "large"): 306_196_940,
    ("landmark_coordinate_lax_4c", "huge"): 634_750_668,
    ("mae", "large"): 347_781_888,
    ("mae", "huge"): 680_531_456,
}


@pytest.mark.parametrize(("name", "size"), PARAMETERS)
def test_larger_sizes_have_as_many_parameters_as_published(name: str, size: str, shared_golden: Path) -> None:
    with torch.device("meta"):
        model = build_model(published_config(name, size, shared_golden))
    assert sum(value.numel() for value in model.parameters()) == PARAMETERS[name, size]


BASELINES = {
    ("unet_sax", "sax", (192, 192, 16)): 77_269_188,
    ("unet_sax", "lax_4c", (256, 256)): 26_691_204,
    ("resnet_sax", "sax", (192, 192, 16)): 46_187_269,
}


@pytest.mark.parametrize(("name", "view", "patch_size"), BASELINES)
def test_baselines_have_as_many_parameters_as_published(
    name: str, view: str, patch_size: tuple[int, ...], shared_golden: Path
) -> None:
    config: dict[str, Any] = yaml.safe_load((shared_golden / f"{name}.yaml").read_text())
    config["model"]["views"] = view
    config["data"]["sax" if view == "sax" else "lax"] = {"patch_size": list(patch_size), "in_chans": 1}
    config["model"].setdefault("unet", {})["chans"] = [32, 64, 128, 256, 512]
    config["model"].setdefault("resnet", {})["layer_inplanes"] = [64, 128, 256, 512]
    with torch.device("meta"):
        model = build_model(config)
    assert sum(value.numel() for value in model.parameters()) == BASELINES[name, view, patch_size]


@pytest.mark.parametrize("name", TRANSFERS)
def test_pretrained_encoder_arrives_as_published(name: str, shared_golden: Path) -> None:
    torch.manual_seed(0)
    model = build_model(shared_golden / f"{name}.yaml")
    report = transfer_pretrained(model, shared_golden / "mae.safetensors")
    expected = json.loads((shared_golden / f"{name}.json").read_text())
    assert sorted(report.loaded) == sorted(expected["loaded_keys"])
    assert sorted(report.not_loaded) == sorted(expected["not_loaded_keys"])
    arrays = arrays_of(shared_golden / f"{name}_io.npz")
    images = starting(arrays, "in_")
    ((view, image),) = images.items()
    with torch.inference_mode():
        if isinstance(model, ConvViT):
            found = {f"feature_{key}": tokens for key, tokens in model.features(images).items()}
        else:
            assert isinstance(model, ConvUNetR)
            tokens, _ = model.enc_down_dict[view](image)
            found = {"tokens_in": tokens, "tokens_out": model.encoder(tokens)}
    found[f"pos_embed_{view}"] = model.state_dict()[f"enc_down_dict.{view}.pos_embed"]
    assert set(found) == {key for key in arrays if not key.startswith("in_")}
    for key, value in found.items():
        np.testing.assert_allclose(value.numpy(), arrays[key], rtol=0, atol=TOLERANCE, err_msg=key)
