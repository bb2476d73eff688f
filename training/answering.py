"""Learning to answer once per heart, from ED and ES: a class (disease, sex, vendor) or a value (EF, BMI, age)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from cinema_core.errors import InputError
from cinema_core.predict.inputs import scale_sample
from cinema_core.predict.windows import Merge, predict_windows
from training.datasets.augment import IMAGE, augmentation, seed_of
from training.datasets.processed import (
    Rows,
    Split,
    both_sides,
    read_channels,
    refuse_missing,
    rows_of_sides,
    test_rows,
)
from training.epochs import Lesson
from training.loop import Batch
from training.settings import Behaviour, FineTuneConfig

log = logging.getLogger(__name__)

ANSWERED: Final = ("acdc", "mnms", "mnms2")
"""Datasets whose tables hold answers, and whose files hold ED and ES."""

PUBLISHED_SMOOTHING: Final = 0.1
"""The published recipe does not read ``train.label_smoothing``."""

KEPT: Final = 512


@dataclass(frozen=True)
class AnsweredHeart:
    """ED and ES of one heart, and the answer: the index of its class, or its standardised value."""

    pid: str
    images: tuple[Path, Path]
    answer: float


class TeachingHearts(Dataset[tuple[Tensor, Tensor]]):
    """Varied hearts, (2, *spatial) float32 with ED before ES, and their answers; drawn as segmenters' images are."""

    def __init__(self, hearts: Sequence[AnsweredHeart], config: FineTuneConfig) -> None:
        self._hearts = tuple(hearts)
        self._config = config
        self._transform = augmentation(config, keys=(IMAGE,))

    def __len__(self) -> int:
        return len(self._hearts)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        heart = self._hearts[index % len(self._hearts)]
        self._transform.set_random_state(seed=seed_of(self._config, index))
        varied = self._transform({IMAGE: torch.from_numpy(read_heart(heart.images, self._config))})[IMAGE]
        kind = torch.float32 if self._config.task == "regression" else torch.int64
        return torch.as_tensor(varied).as_subclass(Tensor).float().contiguous(), torch.tensor(heart.answer, dtype=kind)


def lesson(folder: Path, config: FineTuneConfig) -> Lesson:
    """Find what there is to learn in prepared data.

    Raises
    ------
    InputError
        If the dataset has no such answers, something is missing, or nobody is left on one side.
    """
    teaching, validating = hearts_of(folder, config)
    log.info("%d hearts teach, %d validate", len(teaching), len(validating))
    return Lesson(
        images=TeachingHearts(teaching, config),
        names=tuple(heart.pid for heart in teaching),
        loss=partial(_loss, config),
        judge=partial(validate, config, validating),
    )


def hearts_of(folder: Path, config: FineTuneConfig) -> tuple[list[AnsweredHeart], list[AnsweredHeart]]:
    """List the hearts that teach and those that validate; those without an answer are left out.

    Raises
    ------
    InputError
        As :func:`lesson`.
    """
    _refuse_unanswered(config)
    return both_sides([_listed(place, rows, config) for place, rows in rows_of_sides(folder, config)], folder, config)


def split_hearts(folder: Path, config: FineTuneConfig, split: Split) -> list[AnsweredHeart]:
    """List the hearts of a split that have an answer.

    Raises
    ------
    InputError
        As :func:`lesson`.
    """
    if split != "test":
        return hearts_of(folder, config)[0 if split == "train" else 1]
    _refuse_unanswered(config)
    return _listed(*test_rows(folder, config), config)


def _refuse_unanswered(config: FineTuneConfig) -> None:
    if config.data.name not in ANSWERED:
        raise InputError(f"{config.data.name} has no answers to learn; data.name is one of {', '.join(ANSWERED)}.")


def _listed(place: Path, rows: Rows, config: FineTuneConfig) -> list[AnsweredHeart]:
    hearts = [heart for row in rows.to_dict("records") if (heart := _heart(place, row, config)) is not None]
    if len(hearts) < len(rows):
        log.info("%d of %d hearts have no answer that the config knows", len(rows) - len(hearts), len(rows))
    refuse_missing([path for heart in hearts for path in heart.images], config.data.name)
    return hearts


def _heart(place: Path, row: Mapping[str, Any], config: FineTuneConfig) -> AnsweredHeart | None:
    answer = answer_of(row, config)
    if answer is None:
        return None
    pid, view = row["pid"], config.model.views
    ed, es = (place / pid / f"{pid}_{view}_{phase}.nii.gz" for phase in ("ed", "es"))
    return AnsweredHeart(pid, (ed, es), answer)


def answer_of(row: Mapping[str, Any], config: FineTuneConfig) -> float | None:
    """Answer in a row of a table: index of a class or standardised value; None if there is none.

    Raises
    ------
    InputError
        If the table has no such column.
    """
    data = config.data
    column = data.class_column or (data.ef_from if data.regression_column == "ef" else data.regression_column) or ""
    if column not in row:
        raise InputError(f"The tables of {data.name} have no column {column}; they have {', '.join(map(str, row))}.")
    text = str(row[column]).strip()
    if data.class_column is not None:
        return float(data.classes.index(text)) if text in data.classes else None
    try:
        value = (float(text) - data.standard.mean) / data.standard.std
    except ValueError:
        return None
    return value if np.isfinite(value) else None


@lru_cache(maxsize=KEPT)
def read_heart(images: tuple[Path, Path], config: FineTuneConfig) -> NDArray[np.float32]:
    """ED and ES (2, *spatial), grey values as stored; a long-axis view has no slice axis."""
    pixels = read_channels(images)
    return pixels if len(config.view.patch_size) == 3 else pixels[..., 0]


def _loss(config: FineTuneConfig, network: nn.Module, batch: Batch) -> Tensor:
    images, answers = batch
    found = network({config.model.views: images}).float()
    if config.task == "regression":
        return functional.mse_loss(found[:, 0], answers)
    published = config.behaviour is Behaviour.PUBLISHED
    smoothing = PUBLISHED_SMOOTHING if published else config.train.label_smoothing
    return functional.cross_entropy(found, answers, label_smoothing=smoothing)


@torch.no_grad()
def validate(config: FineTuneConfig, hearts: Sequence[AnsweredHeart], network: nn.Module) -> dict[str, float]:
    """Matthews' correlation and accuracy of classes; mean absolute error of values, standardised and restored."""
    regression = config.task == "regression"
    answers = [answer_by(config, heart, network) for heart in hearts]
    found = [float(answer[0]) if regression else float(answer.argmax()) for answer in answers]
    given, true = np.array(found), np.array([heart.answer for heart in hearts])
    if regression:
        error = float(np.abs(given - true).mean())
        return {"val_mae": error, "val_restored_mae": error * config.data.standard.std}
    return {"val_mcc": matthews(true.astype(int), given.astype(int)), "val_accuracy": float((given == true).mean())}


@torch.no_grad()
def answer_by(config: FineTuneConfig, heart: AnsweredHeart, network: nn.Module) -> Tensor:
    """Ask a network about a heart: logits of the classes, or one standardised value; on the CPU."""
    view, merge = config.model.views, Merge.PLAIN if config.task == "regression" else Merge.SOFTMAX
    shown = torch.from_numpy(scale_sample(read_heart(heart.images, config)))[None]
    shown = shown.to(next(network.parameters()).device)
    answer = predict_windows(network, {view: shown}, {view: config.view.patch_size}, merge)
    assert isinstance(answer, Tensor)  # such a network answers once
    return answer[0].float().cpu()


def matthews(true: NDArray[np.integer], given: NDArray[np.integer]) -> float:
    """Matthews' correlation coefficient of several classes; 0 if only one is true or given.

    References
    ----------
    Gorodkin, Comput Biol Chem 28:367 (2004).
    """
    n_classes = int(max(true.max(), given.max())) + 1
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (true, given), 1)
    n, right, of_true, of_given = counts.sum(), np.trace(counts), counts.sum(axis=1), counts.sum(axis=0)
    spread = (n**2 - of_true @ of_true) * (n**2 - of_given @ of_given)
    return float((right * n - of_true @ of_given) / np.sqrt(spread)) if spread > 0 else 0.0
