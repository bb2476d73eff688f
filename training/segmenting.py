"""Learning to draw: ventricles, or what a heart attack left behind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.metrics import compute_dice
from numpy.typing import NDArray
from torch import Tensor, nn

from cinema_core.predict.inputs import scale_sample
from cinema_core.predict.windows import Merge, predict_windows
from training.datasets.augment import TeachingImages, read_sample
from training.datasets.processed import SETS, LabelledImage, Scored, images_of
from training.epochs import Lesson
from training.loop import Batch
from training.losses import dice_ce
from training.settings import FineTuneConfig

log = logging.getLogger(__name__)


def lesson(folder: Path, config: FineTuneConfig) -> Lesson:
    """Find what there is to learn in prepared data.

    Raises
    ------
    InputError
        If the dataset has no labels, something is missing, or nobody is left on one side.
    """
    teaching, validating = images_of(folder, config)
    log.info("%d images teach, %d validate", len(teaching), len(validating))
    return Lesson(
        images=TeachingImages(teaching, config),
        names=tuple(image.pid for image in teaching),
        loss=partial(_loss, config),
        judge=partial(validate, config, validating),
    )


def _loss(config: FineTuneConfig, network: nn.Module, batch: Batch) -> Tensor:
    images, labels = batch
    return dice_ce(network({config.model.views: images})[config.model.views], labels, config.behaviour)


@torch.no_grad()
def validate(config: FineTuneConfig, images: Sequence[LabelledImage], network: nn.Module) -> dict[str, float]:
    """Mean Dice of the scored structures over the images that have all of them, and of each structure."""
    known = SETS[config.data.name]
    rows = []
    for image in images:
        drawn, truth = logits_of(config, image, network).argmax(dim=1), read_sample(image, config)[1]
        pairs = [scored_masks(labels, known.scored) for labels in (drawn, torch.from_numpy(truth)[None])]
        rows.append(compute_dice(pairs[0], pairs[1], ignore_empty=not known.empty_is_perfect)[0].numpy())
    dice = np.array(rows)
    by_structure = [mean_of_known(column) for column in dice.T]
    figures = {f"val_dice_{k}": value for k, value in enumerate(by_structure, start=1)}
    return {"val_mean_dice_score": mean_of_known(dice.mean(axis=1)), **figures}


@torch.no_grad()
def logits_of(config: FineTuneConfig, image: LabelledImage, network: nn.Module) -> Tensor:
    """Let a network draw on an image: logits (1, c, *spatial), on the CPU.

    Large images are seen through overlapping windows, as published; they have logarithms of probabilities.
    """
    view = config.model.views
    shown = torch.from_numpy(scale_sample(read_sample(image, config)[0]))[None]
    shown = shown.to(next(network.parameters()).device)
    answer = predict_windows(network, {view: shown}, {view: config.view.patch_size}, Merge.SOFTMAX)
    assert isinstance(answer, dict)  # a segmenter answers by view
    return answer[view].float().cpu()


def scored_masks(labels: Tensor, scored: Scored) -> Tensor:
    """Masks (1, structures, *spatial) of labels (1, *spatial)."""
    return torch.stack([torch.isin(labels, torch.tensor(values)) for values in scored.values()], dim=1)


def mean_of_known(values: NDArray[np.floating]) -> float:
    """Mean of the numbers among values; NaN if there is none."""
    numbers = values[~np.isnan(values)]
    return float(numbers.mean()) if numbers.size else float("nan")
