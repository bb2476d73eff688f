"""The datasets that the published models learned from or were measured on, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from training.datasets import acdc, emidec, kaggle, landmark, mnms, mnms2, myops2020, rescan
from training.datasets.preparing import Recipe

RECIPES: Final[Mapping[str, Recipe]] = MappingProxyType(
    {module.RECIPE.name: module.RECIPE for module in (acdc, mnms, mnms2, kaggle, rescan, landmark, emidec, myops2020)}
)
