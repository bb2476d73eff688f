"""Learning a class or a value from ED and ES."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from processed_datasets import TINY, write_acdc

from cinema_core.errors import InputError
from cinema_core.models import load_model
from training.answering import TeachingHearts, answer_of, hearts_of, matthews, validate
from training.finetune import Output, finetune
from training.settings import FineTuneConfig, read_config

TINY_ANSWERS = (
    *(each for each in TINY if "convunetr" not in each and "dropout_size" not in each),
    "model.convvit.size=tiny",
    "model.convvit.enc_conv_chans=[4, 8]",
    "model.convvit.enc_conv_n_blocks=1",
)


def small(task: str, folder: Path, *overrides: str) -> FineTuneConfig:
    return read_config(task, "acdc_sax", [*TINY_ANSWERS, f"data.dir={folder}", *overrides])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients of each of two groups; their BMI follows from nothing."""
    folder = tmp_path_factory.mktemp("acdc")
    write_acdc(folder, n_per_group=4)
    path = folder / "train_metadata.csv"
    with path.open(newline="") as file:
        rows = [row | {"bmi": 20 + k, "lv_ef": 30 + 5 * k} for k, row in enumerate(csv.DictReader(file))]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_ed_and_es_are_shown_together_with_the_class_as_the_config_counts_it(prepared: Path) -> None:
    config = small("classification_cvd", prepared)
    teaching, validating = hearts_of(prepared, config)
    assert (len(teaching), len(validating)) == (4, 4)
    assert {heart.answer for heart in teaching} == {0, 3}  # DCM and NOR of DCM, HCM, MINF, NOR, RV
    assert [path.name.split("_")[-1] for path in teaching[0].images] == ["ed.nii.gz", "es.nii.gz"]
    images, answer = TeachingHearts(teaching, config)[1]
    assert images.shape == (2, 32, 32, 2)
    assert answer.dtype is torch.int64
    assert 0 <= float(images.min()) < float(images.max()) <= 1.5


def test_values_are_standardised_and_hearts_without_an_answer_left_out(prepared: Path) -> None:
    config = small("regression_bmi", prepared)
    bmi = config.data.standard
    assert answer_of({"bmi": "30"}, config) == pytest.approx((30 - bmi.mean) / bmi.std)
    assert answer_of({"bmi": ""}, config) is None
    assert answer_of({"bmi": "nan"}, config) is None
    ef = small("regression_ef", prepared)
    assert answer_of({"lv_ef": str(ef.data.standard.mean), "rv_ef": "0"}, ef) == pytest.approx(0)
    assert answer_of({"pathology": "AHS"}, small("classification_cvd", prepared)) is None
    with pytest.raises(InputError, match="no column bmi; they have pid, age"):
        answer_of({"pid": "1", "age": "3"}, config)
    with pytest.raises(InputError, match="rescan has no answers to learn"):
        hearts_of(prepared, small("regression_bmi", prepared, "data.name=rescan"))


@pytest.mark.parametrize(
    ("true", "given", "known"),
    [
        ([0, 1, 1, 0], [0, 1, 1, 0], 1.0),
        ([0, 1, 1, 0], [1, 0, 0, 1], -1.0),
        ([0, 1, 2, 3], [0, 0, 0, 0], 0.0),
        ([0, 0, 0], [0, 0, 0], 0.0),
        ([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 2, 2], 0.7833494518),  # by hand: 18 / sqrt(24 * 22)
    ],
)
def test_matthews_correlation(true: list[int], given: list[int], known: float) -> None:
    found = matthews(np.array(true), np.array(given))
    assert found == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("task", ["classification_cvd", "regression_ef"])
@pytest.mark.parametrize("name", ["convvit", "resnet"])
def test_both_networks_train_and_load_back(prepared: Path, tmp_path: Path, task: str, name: str) -> None:
    config = small(
        task, prepared, f"model.name={name}", "model.resnet.depth=10", "model.resnet.layer_inplanes=[2, 4, 6, 8]"
    )
    run = finetune(config, Output(tmp_path, "acdc_sax"))
    assert run.step == 4
    best = {"classification_cvd": max, "regression_ef": min}[task](
        point[config.train.early_stopping.metric] for point in run.curve
    )
    model = load_model(tmp_path / "acdc_sax_0.safetensors", tmp_path / "config.yaml")
    figures = validate(config, hearts_of(prepared, config)[1], model)
    assert figures[config.train.early_stopping.metric] == pytest.approx(best, abs=1e-3)


def test_published_smoothing_is_hard_coded_and_the_mended_one_is_read(prepared: Path) -> None:
    from training.answering import _loss

    class Fixed(torch.nn.Module):
        def forward(self, images: object) -> torch.Tensor:
            return torch.tensor([[4.0, 0.0, 0.0, 0.0, 0.0]])

    batch = torch.zeros(1, 2, 32, 32, 2), torch.tensor([0])
    losses = {
        behaviour: float(
            _loss(
                small("classification_cvd", prepared, f"behaviour={behaviour}", "train.label_smoothing=0"),
                Fixed(),
                batch,
            )
        )
        for behaviour in ("mended", "published")
    }
    sure = torch.nn.functional.cross_entropy(Fixed()(None), torch.tensor([0]))
    assert losses["mended"] == pytest.approx(float(sure))
    assert losses["published"] > losses["mended"] + 0.1
