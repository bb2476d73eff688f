"""Landmarks: from heatmaps and coordinates to pixels of the cine, alone and together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import Cancelled, CheckpointError, StudyError
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.landmarks import coordinate_points, find_landmarks, heatmap_points
from cinema_core.progress import CancelToken

POINTS_YX = np.array([[20.0, 15.0], [22.0, 40.0], [50.0, 30.0]])


def config(name: str, out_chans: int, size: int = 96) -> dict[str, object]:
    data = {"lax": {"spacing": [1.0, 1.0], "patch_size": [size, size], "in_chans": 1}}
    return {"data": data, "model": {"name": name, "views": "lax_4c", "n_frames": 1, "out_chans": out_chans}}


class PeakAt(nn.Module):
    """Heatmaps that peak where it is told, in pixels (x, y) of the model; narrow, as trained ones."""

    def __init__(self, points_xy: np.ndarray) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.from_numpy(points_xy).float())

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        ((view, image),) = images.items()
        x = torch.arange(image.shape[2])[:, None] - self.points[:, 0, None, None]
        y = torch.arange(image.shape[3])[None, :] - self.points[:, 1, None, None]
        heat = 0.98 * torch.exp(-(x**2 + y**2) / 18) + 0.01  # sigma 3 pixels, as the published targets
        return {view: heat.logit().expand(len(image), -1, -1, -1)}


class SayCoordinates(nn.Module):
    def __init__(self, relative: list[float]) -> None:
        super().__init__()
        self.relative = nn.Parameter(torch.tensor(relative))

    def forward(self, images: Mapping[str, Tensor]) -> Tensor:
        ((_, image),) = images.items()
        return self.relative.expand(len(image), -1)


def loaded(network: nn.Module, settings: dict[str, object], name: str = "marks") -> LoadedModel:
    return LoadedModel(network, settings, ModelCard(name=name, sha256="0" * 64), Path())


@pytest.fixture
def cine() -> Cine:
    pixels = np.random.default_rng(0).uniform(size=(6, 1, 60, 60)).astype(np.float32)
    geometry = Geometry.from_affine(np.diag([1.6, 1.6, 8.0, 1.0]), 1)
    return Cine(id="four", pixels=pixels, geometry=geometry, view=View.LAX_4C)


def on_model(points_yx: np.ndarray, spacing_mm: float = 1.6) -> np.ndarray:
    """Same places in pixels (x, y) of a model with 1 mm, whose window begins where the image begins."""
    return np.asarray((points_yx[:, ::-1] + 0.5) * spacing_mm - 0.5)


def test_heatmaps_become_pixels_of_the_cine(cine: Cine) -> None:
    model = loaded(PeakAt(on_model(POINTS_YX)), config("convunetr", 3))
    found = find_landmarks(cine, [model])
    assert found.points_yx.shape == (6, 3, 2)
    np.testing.assert_allclose(found.points_yx[3], POINTS_YX, atol=0.3)  # half a model pixel: its grid is whole
    assert found.confidence is not None
    assert found.confidence.min() > 0.9
    assert found.spread_mm is None


def test_coordinates_become_pixels_of_the_cine(cine: Cine) -> None:
    relative = (on_model(POINTS_YX) / 96).ravel().tolist()
    found = find_landmarks(cine, [loaded(SayCoordinates(relative), config("convvit", 6))])
    np.testing.assert_allclose(found.points_yx[0], POINTS_YX, atol=1e-4)
    assert found.confidence is None


def test_seeds_are_averaged_and_their_distance_is_told(cine: Cine) -> None:
    apart = np.array([[0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    models = [
        loaded(SayCoordinates((on_model(POINTS_YX + sign * apart) / 96).ravel().tolist()), config("convvit", 6), name)
        for sign, name in ((1, "a"), (-1, "b"))
    ]
    found = find_landmarks(cine, models)
    np.testing.assert_allclose(found.points_yx[0], POINTS_YX, atol=1e-4)
    assert found.spread_mm is not None
    np.testing.assert_allclose(found.spread_mm[0], [2 * 1.6, 0, 0], atol=1e-3)
    assert [card.name for card in found.cards] == ["a", "b"]


def test_peak_is_found_between_pixels() -> None:
    logits = PeakAt(np.array([[10.5, 20.0]]))({"lax_4c": torch.zeros(1, 1, 32, 40)})["lax_4c"]
    points, peaks = heatmap_points(logits)
    torch.testing.assert_close(points[0, 0], torch.tensor([10.5, 20.0]), atol=1e-3, rtol=0)
    assert peaks.shape == (1, 1)


def test_coordinates_are_shares_of_width_and_height() -> None:
    points = coordinate_points(torch.tensor([[0.5, 0.25, 0.0, 1.0, 0.1, 0.2]]), (200, 100))
    torch.testing.assert_close(points[0], torch.tensor([[100.0, 25.0], [0.0, 100.0], [20.0, 20.0]]))


def test_a_model_without_landmarks_is_refused(cine: Cine) -> None:
    with pytest.raises(CheckpointError, match="gives 4 channels and no landmarks"):
        find_landmarks(cine, [loaded(PeakAt(POINTS_YX), config("convunetr", 4))])


def test_another_view_is_refused(cine: Cine) -> None:
    model = loaded(PeakAt(on_model(POINTS_YX)), config("convunetr", 3))
    with pytest.raises(StudyError, match="this model looks at 4-chamber"):
        find_landmarks(cine.with_view(View.LAX_2C), [model])


def test_cancel_is_obeyed_between_batches(cine: Cine) -> None:
    token, asked = CancelToken(), []

    def cancel_after_first(fraction: float, message: str) -> None:
        asked.append(fraction)
        token.cancel()

    with pytest.raises(Cancelled):
        find_landmarks(cine, [loaded(PeakAt(on_model(POINTS_YX)), config("convunetr", 3))], cancel_after_first, token)
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["landmark_heatmap_lax_4c", "landmark_coordinate_lax_4c"])
def test_golden_networks_answer_on_a_cine(name: str, cine: Cine, shared_golden: Path) -> None:
    model = zoo.load(shared_golden / f"{name}.safetensors", shared_golden / f"{name}.yaml")
    assert np.isfinite(find_landmarks(cine, [model]).points_yx).all()
