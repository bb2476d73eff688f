"""A tiny model, and labelled frames of the phantom to teach it with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cinema_core.anatomy import UNLABELLED
from cinema_core.cards import ModelCard
from cinema_core.cases import TrainingCase
from cinema_core.models import build_model
from cinema_core.models.zoo import LoadedModel
from cinema_core.phantom import PhantomStudy


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    # A tiny model has nothing to share out: threads that wait for each other took a hundred times its work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_config(depth: int = 1, view: str = "sax") -> dict[str, Any]:
    return {
        "data": {view: {"patch_size": [32, 32, depth], "spacing": [6.0, 6.0, 20.0], "in_chans": 1}},
        "model": {
            "name": "convunetr",
            "views": view,
            "out_chans": 4,
            "convunetr": {
                "size": "tiny",
                "enc_patch_size": [4, 4, 1],
                "enc_scale_factor": [2, 2, 1],
                "enc_conv_chans": [8, 8],
                "enc_conv_n_blocks": 1,
                "dec_chans": [8, 8, 8, 8, 8],
                "dec_patch_size": [2, 2, 1],
                "dec_scale_factor": [2, 2, 1],
                "dropout": 0.1,
                "drop_path": 0.0,
            },
        },
    }


@pytest.fixture
def make_base() -> Callable[..., LoadedModel]:
    """Build a tiny model with weights from a fixed seed."""

    def make(**config: Any) -> LoadedModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            settings = tiny_config(**config)
            return LoadedModel(build_model(settings), settings, ModelCard(name="tiny", sha256="0" * 64), Path())

    return make


@pytest.fixture
def base(make_base: Callable[..., LoadedModel]) -> LoadedModel:
    return make_base()


@pytest.fixture
def make_unet() -> Callable[[], LoadedModel]:
    """Build a tiny model of the other architecture that can be fine-tuned."""

    def make() -> LoadedModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            settings = tiny_config()
            sizes = {"chans": [4, 8], "patch_size": [2, 2, 1], "scale_factor": [2, 2, 1], "dropout": 0.1}
            settings["model"] = {"name": "unet", "views": "sax", "out_chans": 4, "unet": sizes}
            return LoadedModel(build_model(settings), settings, ModelCard(name="unet", sha256="0" * 64), Path())

    return make


@pytest.fixture
def make_case(phantom_study: PhantomStudy) -> Callable[..., TrainingCase]:
    """Take one phase of the phantom as a case, with labels on some slices."""

    def make(study: str = "a", t: int = 0, slices: tuple[int, ...] = (1, 2), **changes: Any) -> TrainingCase:
        labels = phantom_study.labels[t].copy()
        labels[[z for z in range(len(labels)) if z not in slices]] = UNLABELLED
        values = {
            "case_id": f"{study}-{t}",
            "study_id": study,
            "patient": study,
            "image": phantom_study.cine.pixels[t].astype(np.float32),
            "labels": labels,
            "geometry": phantom_study.cine.geometry,
            "phase_index": t,
        }
        return TrainingCase(**{**values, **changes})

    return make
