"""Learning to point at three landmarks of a long-axis view."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import raw_datasets
import torch
from PIL import Image

from cinema_core.errors import InputError
from cinema_core.models import load_model
from cinema_core.phantom import PhantomStudy
from training.datasets.preparing import prepare_dataset
from training.datasets.published import RECIPES
from training.finetune import Output, finetune
from training.landmarks import (
    TeachingMarks,
    _coordinate_loss,
    heatmaps,
    marked_images,
    peaks_of,
    read_pixels,
    validate,
    wing,
)
from training.settings import Behaviour, FineTuneConfig, read_config

TINY = (
    "data.lax.patch_size=[64, 64]",
    "transform.lax.translate_range=[4, 4]",
    *(f"model.{name}.size=tiny" for name in ("convunetr", "convvit")),
    *(f"model.{name}.enc_conv_chans=[4, 8]" for name in ("convunetr", "convvit")),
    *(f"model.{name}.enc_conv_n_blocks=1" for name in ("convunetr", "convvit")),
    "model.convunetr.dec_chans=[4, 6, 8, 10, 12]",
    "train.n_workers=0",
    "train.batch_size=4",
    "train.batch_size_per_device=2",
    "train.n_warmup_epochs=1",
    "train.n_epochs=2",
    "train.eval_interval=1",
)


def small(task: str, folder: Path, *overrides: str) -> FineTuneConfig:
    return read_config(task, "lax_4c", [*TINY, f"data.dir={folder}", *overrides])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, heart: PhantomStudy) -> Path:
    """Five patients, two frames each: 3 teach, 1 validates, 1 is for the test; images of 44 x 40 pixels."""
    folder = tmp_path_factory.mktemp("landmark")
    prepare_dataset(RECIPES["landmark"], raw_datasets.landmark(folder / "raw", heart), folder / "processed")
    return folder / "processed"


def test_tables_say_who_teaches_and_points_lie_where_the_masks_had_them(prepared: Path, heart: PhantomStudy) -> None:
    teaching, validating = marked_images(prepared, small("landmark_heatmap", prepared))
    assert (len(teaching), len(validating)) == (6, 2)
    view = next(view for view in heart.long_axis if view.cine.id == "lax_4c")
    assert view.landmarks_px is not None
    first = next(image for image in teaching if image.path.stem.endswith("__00"))
    with Image.open(first.path) as stored:
        height = stored.height
    known = view.landmarks_px[0] / 4
    found = np.array(first.points)
    np.testing.assert_allclose(found[:, 0], known[:, 0], atol=0.3)
    mirrored = not np.allclose(found[:, 1], known[:, 1], atol=0.3)
    if mirrored:
        np.testing.assert_allclose(found[:, 1], height - 1 - known[:, 1], atol=0.3)
    assert read_pixels(first.path).shape == (1, 44, 40)


def test_heatmaps_peak_at_their_landmarks_and_move_with_the_image(prepared: Path) -> None:
    maps = torch.from_numpy(heatmaps([(5, 7), (20, 3), (11, 30)], (44, 40)))
    points, height = peaks_of(maps[None])
    assert points[0].tolist() == [[5, 7], [20, 3], [11, 30]]
    assert height.min() == 1
    assert float(maps[0, 8, 7]) == pytest.approx(np.exp(-0.5))
    config = small("landmark_heatmap", prepared, "transform.prob=1", "transform.lax.translate_range=[1, 1]")
    image, moved = TeachingMarks(marked_images(prepared, config)[0], config)[0]
    assert (image.shape, moved.shape) == ((1, 64, 64), (3, 64, 64))
    assert not np.allclose(
        peaks_of(moved[None])[0][0], np.array(marked_images(prepared, config)[0][0].points), atol=0.6
    )


def test_wing_loss_in_both_parts_and_by_what_counts() -> None:
    errors = torch.tensor([[[2.0, -2.0], [30.0, 30.0], [0.0, 0.0]]])
    near = 10 * np.log(2)
    far = 30 - (10 - 10 * np.log(6))
    counted = torch.tensor([[True, True, False]])
    assert float(wing(errors, counted)) == pytest.approx((near + far) / 2, rel=1e-5)
    assert float(wing(errors, torch.zeros(1, 3, dtype=torch.bool))) == 0


def test_a_landmark_outside_of_the_image_teaches_nothing_when_mended(prepared: Path) -> None:
    maps = torch.from_numpy(heatmaps([(5, 7), (20, 3), (200, 200)], (48, 48)))[None]
    gradients = {}
    for behaviour in ("mended", "published"):
        answer = torch.full((1, 6), 0.5, requires_grad=True)
        config = small("landmark_coordinate", prepared, f"behaviour={behaviour}")
        network = torch.nn.Module()
        network.forward = lambda images, answer=answer: answer  # type: ignore[method-assign,misc]
        _coordinate_loss(config, network, (torch.zeros(1, 1, 48, 48), maps)).backward()
        assert answer.grad is not None
        gradients[behaviour] = answer.grad[0]
    assert gradients["mended"][4:].abs().max() == 0
    assert gradients["mended"][:4].abs().min() > 0
    assert gradients["published"][4:].abs().min() > 0


@pytest.mark.parametrize("task", ["landmark_heatmap", "landmark_coordinate"])
def test_both_ways_train_and_load_back(prepared: Path, tmp_path: Path, task: str) -> None:
    config = small(task, prepared)
    run = finetune(config, Output(tmp_path, "lax_4c"))
    assert run.step == 4
    best = min(point["val_mean_distance"] for point in run.curve)
    model = load_model(tmp_path / "lax_4c_0.safetensors", tmp_path / "config.yaml")
    figures = validate(config, marked_images(prepared, config)[1], model)
    assert figures["val_mean_distance"] == pytest.approx(best, abs=1e-3)


class Fixed(torch.nn.Linear):
    """Answers the same whatever it sees."""

    def __init__(self, answer: object) -> None:
        super().__init__(1, 1)
        self.answer = answer

    def forward(self, images: object) -> object:  # type: ignore[override]
        return self.answer


def test_a_network_that_knows_is_less_than_a_pixel_off(prepared: Path) -> None:
    config = small("landmark_heatmap", prepared)
    (image, *_) = marked_images(prepared, config)[1]
    knowing = Fixed({"lax_4c": torch.from_numpy(heatmaps(image.points, (64, 64)))[None] * 20 - 10})
    assert 0 < validate(config, [image], knowing)["val_mean_distance"] < 0.75


def test_published_points_are_cut_to_whole_pixels(prepared: Path) -> None:
    config = small("landmark_coordinate", prepared, "data.lax.spacing=[2.0, 2.0]")
    (image, *_) = marked_images(prepared, config)[1]
    whole = np.trunc(np.array(image.points))
    network = Fixed(torch.tensor((whole + 0.75).reshape(1, 6) / 64, dtype=torch.float32))
    for behaviour, points in ((Behaviour.MENDED, whole + 0.75), (Behaviour.PUBLISHED, whole)):
        found = validate(config.model_copy(update={"behaviour": behaviour}), [image], network)
        expected = 2 * np.linalg.norm(points - np.array(image.points), axis=1)
        assert found["val_mean_distance"] == pytest.approx(expected.mean(), abs=1e-4)
        assert found["val_distance_3"] == pytest.approx(expected[2], abs=1e-4)


def test_missing_columns_and_images_are_told(prepared: Path, tmp_path: Path) -> None:
    config = small("landmark_heatmap", tmp_path)
    with pytest.raises(InputError, match=r"There is no .*lax_4c_train.csv. Run: python -m training.prepare landmark"):
        marked_images(tmp_path, config)
    for split in ("train", "val"):
        (tmp_path / f"lax_4c_{split}.csv").write_text((prepared / f"lax_4c_{split}.csv").read_text())
    with pytest.raises(InputError, match="6 prepared files are missing"):
        marked_images(tmp_path, config)
    with (prepared / "lax_4c_train.csv").open(newline="") as file:
        rows = [{key: value for key, value in row.items() if key != "y3"} for row in csv.DictReader(file)]
    raw_datasets.write_table(tmp_path / "lax_4c_train.csv", rows)
    with pytest.raises(InputError, match="no x1 to y3"):
        marked_images(tmp_path, config)
