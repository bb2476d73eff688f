"""What an evaluation tells of each case, with the published metrics, and the figures of all cases together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from monai.losses import DiceLoss
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from cinema_core.predict.long_axis import keep_near_rv
from training import answering, landmarks
from training.answering import AnsweredHeart, answer_by, matthews
from training.datasets import processed
from training.datasets.augment import read_sample
from training.datasets.processed import SETS, VENTRICLES, LabelledImage, Scored, Split, spacing_mm
from training.landmarks import MarkedImage, distances_mm, heatmaps, points_by
from training.scars import without_small_scars
from training.segmenting import logits_of, scored_masks
from training.settings import FineTuneConfig
from training.statistics import CORRECT, Row, column, mean_of_known, score_names

STABLE: Final = 1.0
"""How far a centred logit is moved down and up for the stability of an outline."""
ENTROPY_FLOOR: Final = 1e-6
_SOFT_DICE: Final = DiceLoss(sigmoid=True, include_background=True, reduction="none")


def score_split(folder: Path, config: FineTuneConfig, split: Split, network: nn.Module) -> list[dict[str, Any]]:
    """Score every case of a split.

    Parameters
    ----------
    folder
        Prepared files.
    network
        In evaluation mode.

    Returns
    -------
    Rows, each with ``patient`` and ``pid``.

    Raises
    ------
    InputError
        If the split has no truth for this task, or files are missing.
    """
    if config.task == "segmentation":
        return [score_image(config, image, network) for image in processed.split_images(folder, config, split)]
    if config.task in {"classification", "regression"}:
        return [score_heart(config, heart, network) for heart in answering.split_hearts(folder, config, split)]
    return [score_marks(config, image, network) for image in landmarks.split_images(folder, config, split)]


def figures_of(config: FineTuneConfig) -> Callable[[Sequence[Row]], Mapping[str, float]]:
    """Choose what is told of all cases together."""
    if config.task == "classification":
        return lambda rows: classification_figures(rows, config.data.classes)
    return regression_figures if config.task == "regression" else mean_figures


def mean_figures(rows: Sequence[Row]) -> dict[str, float]:
    """Mean of every score over the cases that have it."""
    return {name: mean_of_known(column(rows, name)) for name in score_names(rows)}


@torch.no_grad()
def score_image(config: FineTuneConfig, image: LabelledImage, network: nn.Module) -> dict[str, Any]:
    """Dice, IoU, 95th percentile Hausdorff distance and stability of each structure of an image.

    A 4-chamber view keeps the muscle and LV that are nearest to the RV, MyoPS no small scars, as published.
    """
    known = SETS[config.data.name]
    truth = read_sample(image, config)[1]
    logits = logits_of(config, image, network)
    drawn = logits.argmax(dim=1)[0].numpy().astype(np.uint8)
    if known.scored is VENTRICLES and config.model.views == "lax_4c":
        drawn = keep_near_rv(drawn)
    elif config.data.name == "myops2020":
        drawn = without_small_scars(drawn)
    spacing = spacing_mm(image.labels, truth.ndim)
    given, there = (scored_masks(torch.from_numpy(labels)[None], known.scored) for labels in (drawn, truth))
    empty = known.empty_is_perfect
    by_metric = {
        "dice": compute_dice(given, there, ignore_empty=not empty)[0].double().numpy(),
        "iou": compute_iou(given, there, ignore_empty=not empty)[0].double().numpy(),
        "hd95_mm": _hd95_mm(given, there, spacing),
    }
    row: dict[str, Any] = {"patient": _patient(config, image.pid), "pid": image.pid, "phase": image.phase}
    for metric, values in by_metric.items():
        # As published a structure without a value leaves the mean without one, but for scars, which many do not have.
        row[f"{metric}_mean"] = mean_of_known(values) if empty else float(values.mean())
        row |= {f"{metric}_{name}": float(value) for name, value in zip(known.scored, values, strict=True)}
    row |= {f"stability_label_{k}": value for k, value in enumerate(stability(logits), start=1)}
    if known.scored is VENTRICLES and truth.ndim == 3:
        row |= _volumes(drawn, truth, known.scored, float(np.prod(spacing)) / 1000)
    return row


def _hd95_mm(drawn: Tensor, truth: Tensor, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Distance of each structure; NaN where it is not drawn or not there: there is no surface to measure to."""
    found = np.full(drawn.shape[1], np.nan)
    for k in range(drawn.shape[1]):
        if drawn[0, k].any() and truth[0, k].any():
            a, b = (masks[:, k : k + 1] for masks in (drawn, truth))
            distance = compute_hausdorff_distance(a, b, include_background=True, percentile=95, spacing=list(spacing))
            found[k] = float(distance)
    return found


def stability(logits: Tensor) -> list[float]:
    """How little each outline moves with the threshold, for all labels but the background.

    Parameters
    ----------
    logits
        Shape (1, c, *spatial).

    Returns
    -------
    IoU of where the centred logit is at least +1 with where it is at least -1; NaN where neither is.
    """
    centred = (logits - logits.mean(dim=1, keepdim=True))[0, 1:].flatten(1)
    sure, possible = (centred >= STABLE).sum(dim=1), (centred >= -STABLE).sum(dim=1)
    return [int(a) / int(b) if b else float("nan") for a, b in zip(sure, possible, strict=True)]


def _volumes(drawn: NDArray[np.uint8], truth: NDArray[np.uint8], scored: Scored, voxel_ml: float) -> dict[str, float]:
    return {
        f"{kind}_{name}_ml": float(np.isin(labels, scored[name]).sum()) * voxel_ml
        for name in ("lv", "rv")
        for kind, labels in (("predicted", drawn), ("true", truth))
    }


def _patient(config: FineTuneConfig, pid: str) -> str:
    """Whose heart it is: Rescan saw each of its test twice, as ``scan_00_A`` and ``scan_00_B``."""
    return pid.removesuffix("_A").removesuffix("_B") if config.data.name == "rescan" else pid


def score_heart(config: FineTuneConfig, heart: AnsweredHeart, network: nn.Module) -> dict[str, Any]:
    """Score what is answered for a heart: its class and how sure that is, or its value."""
    answer = answer_by(config, heart, network).double().numpy()
    row: dict[str, Any] = {"patient": heart.pid, "pid": heart.pid}
    if config.task == "regression":
        mean, std = config.data.standard.mean, config.data.standard.std
        given = float(answer[0])
        row |= {"true_value": heart.answer * std + mean, "predicted_value": given * std + mean}
        row |= {"abs_error": abs(given - heart.answer), "restored_abs_error": abs(given - heart.answer) * std}
        return row
    shares = np.exp(answer - answer.max())
    shares /= shares.sum()
    classes = config.data.classes
    row |= {"true_class": classes[int(heart.answer)], "predicted_class": classes[int(answer.argmax())]}
    row |= {CORRECT: float(answer.argmax() == heart.answer)}
    row |= {"entropy": float(-(shares * np.log(shares + ENTROPY_FLOOR)).sum())}
    return row | {f"probability_{name}": float(share) for name, share in zip(classes, shares, strict=True)}


def regression_figures(rows: Sequence[Row]) -> dict[str, float]:
    """Errors of values, standardised and as they are (``restored_``)."""
    found = {}
    away = column(rows, "predicted_value") - column(rows, "true_value")
    size = column(rows, "abs_error"), column(rows, "restored_abs_error")
    for prefix, errors in zip(("", "restored_"), size, strict=True):
        found[f"{prefix}mae"] = float(errors.mean())
        found[f"{prefix}rmse"] = float(np.sqrt(np.square(errors).mean()))
        found[f"{prefix}min_error"], found[f"{prefix}max_error"] = float(errors.min()), float(errors.max())
    return found | {"restored_bias": float(away.mean())}


def classification_figures(rows: Sequence[Row], classes: Sequence[str]) -> dict[str, float]:
    """Accuracy, entropy, Matthews' correlation, F1 and area under the ROC curve; the last class of two is positive.

    F1 of several classes is micro-averaged, which is their accuracy; the area is the mean over all pairs of classes.
    Correlation and area are 0 where there is a single true class.
    """
    true, given = (np.array([classes.index(row[f"{kind}_class"]) for row in rows]) for kind in ("true", "predicted"))
    shares = np.stack([column(rows, f"probability_{name}") for name in classes], axis=1)
    found = {
        "accuracy": float((true == given).mean()),
        "entropy": float(column(rows, "entropy").mean()),
        "mcc": matthews(true, given),
        "roc_auc": area_under_curve(true, shares),
    }
    if len(classes) > 2:
        return found | {"f1": found["accuracy"]}
    hits, alarms, misses = (int(((true == a) & (given == b)).sum()) for a, b in ((1, 1), (0, 1), (1, 0)))
    n_positive, n_negative = int((true == 1).sum()), int((true == 0).sum())
    nan = float("nan")
    found["f1"] = 2 * hits / (2 * hits + alarms + misses) if hits + alarms + misses else nan
    found["sensitivity"] = hits / n_positive if n_positive else nan
    found["specificity"] = (n_negative - alarms) / n_negative if n_negative else nan
    return found


def area_under_curve(true: NDArray[np.integer], shares: NDArray[np.float64]) -> float:
    """Area under the ROC curve: mean over all ordered pairs of classes that are there; 0 if there is one only.

    Parameters
    ----------
    true
        Class of each case, shape (n,).
    shares
        Probability of each class, shape (n, classes).

    References
    ----------
    Hand and Till, Machine Learning 45:171 (2001).
    """
    areas = []
    present = np.unique(true)
    for one in present:
        for other in present[present != one]:
            inside, outside = shares[true == one, one], shares[true == other, one]
            n = len(inside)
            wins = stats.rankdata(np.concatenate([inside, outside]))[:n].sum() - n * (n + 1) / 2
            areas.append(float(wins) / (n * len(outside)))
    return float(np.mean(areas)) if areas else 0.0


def score_marks(config: FineTuneConfig, image: MarkedImage, network: nn.Module) -> dict[str, Any]:
    """Distance of each landmark, mm; of heatmaps also their soft Dice."""
    points, answer = points_by(config, image, network)
    away = distances_mm(points, image, config)
    row: dict[str, Any] = {"patient": image.pid, "pid": image.pid, "phase": image.path.stem}
    row |= {"distance_mm_mean": float(away.mean())}
    row |= {f"distance_mm_{k}": float(mm) for k, mm in enumerate(away, start=1)}
    if config.task == "landmark_heatmap":
        truth = torch.from_numpy(heatmaps(image.points, answer.shape[1:]))[None]
        dice = 1 - _SOFT_DICE(answer[None], truth).flatten()
        row |= {f"soft_dice_{k}": float(value) for k, value in enumerate(dice, start=1)}
    for k, ((x, y), (true_x, true_y)) in enumerate(zip(points.tolist(), image.points, strict=True), start=1):
        row |= {f"predicted_x{k}": x, f"predicted_y{k}": y, f"true_x{k}": true_x, f"true_y{k}": true_y}
    return row
