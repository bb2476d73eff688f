"""Long-axis segmentation: the published rule for stray parts, and the way from model to cine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import CheckpointError
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.long_axis import keep_near_rv, segment_long_axis

RV, MYO, LV = 1, 2, 3


def test_the_part_nearest_to_the_rv_stays() -> None:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[5:10, 2:6] = RV
    labels[5:10, 8:10] = LV  # 2 columns from the RV
    labels[2:18, 20:28] = LV  # larger, but far
    labels[5:8, 6:8] = MYO
    labels[12, 12] = MYO
    labels[4, 3] = RV  # parts of the RV all stay
    kept = keep_near_rv(labels)
    assert (kept == LV).sum() == 10
    assert (kept == MYO).sum() == 6
    np.testing.assert_array_equal(kept == RV, labels == RV)


def test_corners_touch() -> None:
    labels = np.zeros((6, 6), dtype=np.uint8)
    labels[0, 0], labels[1, 1], labels[2, 2], labels[3, 3] = RV, LV, LV, LV
    np.testing.assert_array_equal(keep_near_rv(labels), labels)


def test_without_an_rv_the_largest_part_stays() -> None:
    labels = np.zeros((10, 10), dtype=np.uint8)
    labels[0, :2] = LV
    labels[5:8, 5:8] = LV
    assert (keep_near_rv(labels) == LV).sum() == 9


class GreySays(nn.Module):
    """Structure by grey value: 0.33 is RV, 0.67 myocardium, 1 LV."""

    def __init__(self, tilt: float = 0.0) -> None:
        super().__init__()
        self.tilt = nn.Parameter(torch.tensor(tilt))

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ((view, image),) = images.items()
        levels = torch.tensor([0.0, 1 / 3, 2 / 3, 1.0])[None, :, None, None]
        return {view: -80 * (image - levels).abs() + self.tilt}


def loaded(network: nn.Module, out_chans: int = 4) -> LoadedModel:
    data = {"lax": {"spacing": [1.0, 1.0], "patch_size": [128, 128], "in_chans": 1}}
    config = {"data": data, "model": {"name": "convunetr", "views": "lax_4c", "out_chans": out_chans}}
    return LoadedModel(network, config, ModelCard(name="grey", sha256="0" * 64), Path())


@pytest.fixture
def truth() -> np.ndarray:
    labels = np.zeros((5, 1, 60, 70), dtype=np.uint8)
    labels[..., 10:30, 10:22] = RV
    labels[..., 10:30, 22:30] = MYO
    labels[..., 10:30, 30:50] = LV
    labels[2, :, 10:14] = 0
    return labels


@pytest.fixture
def cine(truth: np.ndarray) -> Cine:
    geometry = Geometry.from_affine(np.diag([1.5, 1.5, 8.0, 1.0]), 1)
    return Cine(id="four", pixels=truth.astype(np.float32) / 3, geometry=geometry, view=View.LAX_4C)


def test_labels_come_back_on_the_grid_of_the_cine(cine: Cine, truth: np.ndarray) -> None:
    found = segment_long_axis(cine, [loaded(GreySays())])
    assert found.labels.shape == truth.shape
    assert (found.labels == truth).mean() > 0.97  # edges are blurred by resampling
    np.testing.assert_allclose(found.areas_mm2[0, 2], (truth[0] == LV).sum() * 2.25, rtol=0.1)
    assert found.areas_mm2[2, 2] < found.areas_mm2[0, 2]
    assert found.uncertainty.shape == (5, 1)


def test_models_are_averaged(cine: Cine) -> None:
    alone = segment_long_axis(cine, [loaded(GreySays())])
    twice = segment_long_axis(
        cine, [loaded(GreySays()), loaded(GreySays(1.0))]
    )  # a shift of all logits changes nothing
    np.testing.assert_array_equal(twice.labels, alone.labels)
    assert len(twice.cards) == 2


def test_a_model_that_draws_something_else_is_refused(cine: Cine) -> None:
    with pytest.raises(CheckpointError, match="draws 3 structures; this task needs"):
        segment_long_axis(cine, [loaded(GreySays(), out_chans=3)])


def test_golden_network_draws(cine: Cine, shared_golden: Path) -> None:
    model = zoo.load(shared_golden / "seg_lax_4c.safetensors", shared_golden / "seg_lax_4c.yaml")
    assert segment_long_axis(cine, [model]).labels.max() > 0
