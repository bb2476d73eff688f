"""General rules of the networks, at other sizes, views and channels than the golden files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from cinema_core.errors import CheckpointError, GeometryError
from cinema_core.models import ConvViT, MaskedAutoencoder, build_model
from cinema_core.models.vit import patchify, unpatchify


def golden_config(shared_golden: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((shared_golden / f"{name}.yaml").read_text())
    return found


@pytest.mark.parametrize(("grid", "patch", "chans"), [((3, 2), (4, 2), 1), ((2, 3, 4), (2, 4, 1), 3)])
def test_unpatchify_undoes_patchify(grid: tuple[int, ...], patch: tuple[int, ...], chans: int) -> None:
    image = torch.rand(2, chans, *(g * p for g, p in zip(grid, patch, strict=True)))
    assert torch.equal(unpatchify(patchify(image, patch), grid, patch), image)


@pytest.mark.parametrize("size", [(32, 32, 4), (37, 45, 3), (64, 31, 1)])
def test_unet_takes_any_size(size: tuple[int, ...], shared_golden: Path) -> None:
    model = build_model(shared_golden / "unet_sax.yaml")
    with torch.inference_mode():
        assert model({"sax": torch.rand(1, 1, *size)})["sax"].shape == (1, 4, *size)


@pytest.mark.parametrize("depth", [10, 18, 34, 50, 101])
def test_resnet_of_each_depth_answers(depth: int, shared_golden: Path) -> None:
    config = golden_config(shared_golden, "resnet_sax")
    config["model"]["resnet"]["depth"] = depth
    with torch.inference_mode():
        assert build_model(config)({"sax": torch.rand(1, 2, 33, 40, 5)}).shape == (1, 5)


def test_unknown_depth_is_named(shared_golden: Path) -> None:
    config = golden_config(shared_golden, "resnet_sax")
    config["model"]["resnet"]["depth"] = 51
    with pytest.raises(CheckpointError, match="depth 51; known are"):
        build_model(config)


def two_views(shared_golden: Path) -> dict[str, Any]:
    config = golden_config(shared_golden, "clf_sax")
    config["model"]["views"] = ["sax", "lax_4c"]
    config["data"]["lax"] = {"patch_size": [48, 80], "in_chans": 1}
    return config


def test_several_views_answer_together(shared_golden: Path) -> None:
    model = build_model(two_views(shared_golden))
    assert isinstance(model, ConvViT)
    images = {"sax": torch.rand(2, 2, 64, 64, 4), "lax_4c": torch.rand(2, 2, 48, 80)}
    with torch.inference_mode():
        heads = {name: model.pred_head_dict[name](x.mean(1)) for name, x in model.features(images).items()}
        torch.testing.assert_close(model(images), sum(heads.values()) / 3)
        torch.testing.assert_close(model(images, reduction="patch"), (heads["sax"] + heads["lax_4c"]) / 2)
        # The order of the views is only that of the tokens.
        torch.testing.assert_close(model(dict(reversed(images.items()))), model(images), atol=1e-5, rtol=0)


def test_a_missing_view_is_refused_unless_the_class_token_answers(shared_golden: Path) -> None:
    model = build_model(two_views(shared_golden))
    images = {"sax": torch.rand(1, 2, 64, 64, 4)}
    with pytest.raises(GeometryError, match="all its views together; lax_4c is missing"):
        model(images)
    with torch.inference_mode():
        assert model(images, reduction="cls").shape == (1, 5)


BAD_IMAGES = {
    "another view": ({"lax_2c": (1, 2, 64, 64)}, "knows sax, not lax_2c"),
    "no image": ({}, "needs an image of one of its views: sax"),
    "one frame of two": ({"sax": (1, 1, 64, 64, 4)}, r"\(1, 64, 64, 4\); this model takes \(2, 64, 64, 4\)"),
    "no slices": ({"sax": (1, 2, 64, 64)}, "this model takes"),
    "no multiple of the patch": ({"sax": (1, 2, 60, 64, 4)}, r"multiples of \(16, 16, 1\)"),
    "smaller than a patch": ({"sax": (1, 2, 8, 8, 4)}, r"multiples of \(16, 16, 1\)"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_do_not_fit_are_refused(case: str, shared_golden: Path) -> None:
    shapes, message = BAD_IMAGES[case]
    model = build_model(shared_golden / "clf_sax.yaml")
    with pytest.raises(GeometryError, match=message):
        model({view: torch.rand(shape) for view, shape in shapes.items()})


def test_views_hold_as_many_samples(shared_golden: Path) -> None:
    model = build_model(two_views(shared_golden))
    with pytest.raises(GeometryError, match="sax 1, lax_4c 2"):
        model({"sax": torch.rand(1, 2, 64, 64, 4), "lax_4c": torch.rand(2, 2, 48, 80)})


@pytest.fixture
def mae(shared_golden: Path) -> MaskedAutoencoder:
    torch.manual_seed(0)
    model = build_model(shared_golden / "mae.yaml")
    assert isinstance(model, MaskedAutoencoder)
    return model


def test_masked_autoencoder_takes_any_subset_of_its_views(mae: MaskedAutoencoder) -> None:
    images = {"lax_4c": torch.rand(2, 1, 64, 64), "sax": torch.rand(2, 1, 64, 64, 4)}
    with torch.inference_mode():
        out = mae(images)
    assert {view: tuple(found.shape) for view, found in out.predictions.items()} == {
        "lax_4c": (2, 12, 256),
        "sax": (2, 48, 256),
    }
    expected = torch.stack([out.metrics["lax_4c_mse_loss"], out.metrics["sax_mse_loss"]]).mean()
    torch.testing.assert_close(out.loss, expected)


def test_masked_pixels_do_not_reach_what_is_seen(mae: MaskedAutoencoder) -> None:
    image = torch.rand(1, 1, 64, 64)
    noise = {"lax_2c": torch.rand(1, 16)}
    with torch.inference_mode():
        first = mae({"lax_2c": image}, noise=noise)
        hidden = first.masks["lax_2c"].reshape(1, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
        second = mae({"lax_2c": torch.where(hidden, torch.rand(1, 1, 64, 64), image)}, noise=noise)
    torch.testing.assert_close(second.predictions["lax_2c"], first.predictions["lax_2c"], atol=1e-6, rtol=0)


def test_a_view_whose_loss_is_not_finite_is_left_out(mae: MaskedAutoencoder) -> None:
    with torch.inference_mode():
        mae.pred_head_dict["lax_2c"].bias.fill_(torch.nan)
        out = mae({"lax_2c": torch.rand(1, 1, 64, 64), "lax_3c": torch.rand(1, 1, 64, 64)})
    assert torch.isnan(out.metrics["lax_2c_mse_loss"])
    torch.testing.assert_close(out.loss, out.metrics["lax_3c_mse_loss"])


def test_reconstruction_keeps_what_was_seen(mae: MaskedAutoencoder) -> None:
    image = torch.rand(1, 1, 64, 64, 4)
    with torch.inference_mode():
        out = mae({"sax": image})
        picture = mae.reconstruct({"sax": image}, out)["sax"]
    patches, original = patchify(picture, (16, 16, 1)), patchify(image, (16, 16, 1))
    masked = out.masks["sax"]
    assert torch.equal(patches[~masked], original[~masked])
    torch.testing.assert_close(patches[masked], out.predictions["sax"][0])


def test_masking_differs_from_call_to_call_but_not_in_number(mae: MaskedAutoencoder) -> None:
    images = {"sax": torch.rand(3, 1, 64, 64, 4)}
    with torch.inference_mode():
        masks = [mae(images, mask_ratio=0.6).masks["sax"] for _ in range(2)]
    assert not torch.equal(*masks)
    assert all((mask.sum(1) == 64 - int(64 * 0.4)).all() for mask in masks)


@pytest.mark.parametrize("ratio", [-0.1, 1.0])
def test_mask_ratio_out_of_range_is_refused(ratio: float, mae: MaskedAutoencoder) -> None:
    with pytest.raises(ValueError, match="mask_ratio"):
        mae({"lax_2c": torch.rand(1, 1, 64, 64)}, mask_ratio=ratio)


@pytest.mark.parametrize("name", ["mae", "clf_sax", "seg_lax_4c"])
def test_forgetting_activations_changes_no_gradient(name: str, shared_golden: Path) -> None:
    gradients = []
    for forget in (False, True):
        config = golden_config(shared_golden, name) | {"grad_ckpt": forget}
        config["model"].get("convvit", config["model"].get("convunetr", {})).update(drop_path=0.0, dropout=0.0)
        torch.manual_seed(0)
        model = build_model(config).train()
        images = {
            view: torch.rand(1, found.in_chans, *found.image_size, generator=torch.Generator().manual_seed(1))
            for view, found in model.view_inputs.items()
        }
        if isinstance(model, MaskedAutoencoder):
            noise = {view: torch.linspace(0, 1, 64 if view == "sax" else 16)[None] for view in images}
            model(images, noise=noise).loss.backward()
        else:
            out = model(images)
            (sum(out.values()) if isinstance(out, dict) else out).square().mean().backward()
        gradients.append({key: value.grad for key, value in model.named_parameters() if value.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for key, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], value)
