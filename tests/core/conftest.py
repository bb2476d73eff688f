"""A model whose right answer is known on any grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard
from cinema_core.models.zoo import LoadedModel

GREY = {Structure.BACKGROUND: 0, Structure.RV_CAVITY: 100, Structure.LV_MYOCARDIUM: 200, Structure.LV_CAVITY: 300}


class GreyReader(nn.Module):
    """Knows each structure by its grey; remembers how deep the windows were that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.Parameter(torch.tensor([GREY[s] / 300 for s in Structure]), requires_grad=False)
        self.depths: list[int] = []

    def forward(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.depths.append(images["sax"].shape[-1])
        distance = (images["sax"] - self.levels.view(1, 4, 1, 1, 1)) ** 2
        return {"sax": -2000 * distance}


@pytest.fixture
def grey_reader() -> Callable[..., LoadedModel]:
    """Make the model that knows structures by their grey, for windows of a depth."""

    def make(depth: int = 1, pixel_mm: float = 1.0, **model: Any) -> LoadedModel:
        size = round(192 / pixel_mm)
        config = {
            "model": {"name": "convunetr", "views": "sax", "out_chans": 4, **model},
            "data": {"sax": {"patch_size": [size, size, depth], "spacing": [pixel_mm, pixel_mm, 10.0], "in_chans": 1}},
        }
        return LoadedModel(GreyReader(), config, ModelCard(name="grey", sha256=""), Path())

    return make


@pytest.fixture
def greys_of() -> Callable[[np.ndarray], np.ndarray]:
    """Draw labels as the image that the grey reader understands."""
    values = np.array([GREY[s] for s in Structure], dtype=np.int16)

    def draw(labels: np.ndarray) -> np.ndarray:
        return np.asarray(values[labels])

    return draw
