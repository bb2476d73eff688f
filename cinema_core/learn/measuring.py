"""How well a network draws labelled windows, before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cinema_core.anatomy import FOREGROUND, UNLABELLED, VENTRICLES, Structure
from cinema_core.errors import GeometryError
from cinema_core.learn.frozen import look
from cinema_core.learn.guard import Figures
from cinema_core.learn.losses import masked_dice_ce
from cinema_core.learn.scores import ejection_fraction_pct, mean
from cinema_core.learn.windows import Window
from cinema_core.measure.agreement import dice
from cinema_core.measure.volumes import pixel_volumes_ml
from cinema_core.progress import CancelToken

BATCH: Final = 8
"""Windows of one slice per forward pass; more does not help two cores."""

EF_SLICES: Final = 3
"""Slices that have to be labelled at both ED and ES before an ejection fraction is told from them. Of one or two, an
ejection fraction is little more than how one outline was drawn."""

CROP_MM: Final = 12.0
"""Room around the ventricles in a picture of a slice."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a network makes of one window.

    Attributes
    ----------
    labels
        uint8, shape (x, y, z).
    loss
        Masked Dice + cross-entropy against the window's labels.
    probabilities
        float32, shape (c, x, y, z); None unless asked for.
    """

    labels: Labels
    loss: float
    probabilities: Tensor | None = None


@dataclass(frozen=True, eq=False)
class SliceChange:
    """One labelled slice under the old and the new model.

    Attributes
    ----------
    t, z
        Phase (None if the file holds one) and slice, from 0.
    dice_before, dice_after
        Mean Dice against the reader's label; None if it is background only.
    dice_between
        Mean Dice of the two models with each other: low where the new one draws otherwise.
    image, truth, before, after
        What the models saw around the heart, float32, and the labels of reader, old and new model, uint8; shape (y, x)
        each, pixels of the model's own grid. 255 where the reader said nothing.
    """

    study_id: str
    t: int | None
    z: int
    dice_before: float | None
    dice_after: float | None
    dice_between: float | None
    image: NDArray[np.float32]
    truth: Labels
    before: Labels
    after: Labels


@torch.no_grad()
def opinions(
    network: nn.Module,
    view: str,
    windows: Sequence[Window],
    mirrors: Sequence[Sequence[int]],
    cancel: CancelToken,
    *,
    with_probabilities: bool = False,
    whole: bool = False,
) -> list[Opinion]:
    """Ask a network about every window, without chance: no dropout, no augmentation.

    Parameters
    ----------
    mirrors
        Axes of (x, y) of the mirror images that it is shown, as at prediction; the mean counts.
    whole
        Look at all of a window whose frozen part was kept, and later wherever a heart was seen now. Else only where
        one was seen before.
    """
    network.eval()
    device = next(network.parameters()).device
    found: list[Opinion] = []
    size = BATCH if not windows or windows[0].sample.image.shape[-1] == 1 else 1
    for first in range(0, len(windows), size):
        cancel.raise_if_cancelled()
        part = windows[first : first + size]
        if part[0].looks:
            found_logits = [
                look(network, view, state, axes, None if whole else part[0].heart)
                for state, axes in zip(part[0].looks, mirrors, strict=True)
            ]
        else:
            images = torch.stack([window.sample.image for window in part])[:, None].to(device)  # (b, 1, x, y, z)
            found_logits = [_mirrored(network, view, images, [2 + axis for axis in axes]) for axes in mirrors]
        logits = _together(found_logits).cpu()  # (b, c, x, y, z)
        if whole and part[0].heart is not None:
            part[0].heart.see(logits.softmax(1).numpy())
        for window, window_logits in zip(part, logits, strict=True):
            probabilities = window_logits.softmax(0) if with_probabilities else None
            loss = float(masked_dice_ce(window_logits[None], window.sample.labels[None]))
            labels = window_logits.argmax(0).to(torch.uint8).numpy()
            found.append(Opinion(labels, loss, probabilities))
    return found


def _mirrored(network: nn.Module, view: str, images: Tensor, axes: list[int]) -> Tensor:
    """Logits (b, c, x, y, z) of images (b, 1, x, y, z) that are shown mirrored along some axes."""
    logits: Tensor = network({view: images.flip(axes)})[view]
    return logits.float().flip(axes)


def _together(found: Sequence[Tensor]) -> Tensor:
    """Logits (b, c, x, y, z) of the mean of the probabilities that each mirror image is given."""
    if len(found) == 1:
        return found[0]
    return torch.stack([logits.softmax(1) for logits in found]).mean(0).clamp_min(torch.finfo(torch.float32).tiny).log()


def figures(windows: Sequence[Window], found: Sequence[Opinion]) -> Figures:
    """Loss over the windows, Dice over the frames that they come from, ejection fraction over the studies.

    Dice is taken over all labelled slices of a frame together, as an evaluation does: slice by slice, a tiny
    apex would weigh as much as the whole middle.
    """
    frames: dict[str, list[int]] = defaultdict(list)
    for k, window in enumerate(windows):
        frames[window.case.case_id].append(k)
    rows = []
    for members in frames.values():
        truth = np.concatenate([windows[k].sample.labels.numpy() for k in members], axis=-1)  # (x, y, all z)
        drawn = np.concatenate([found[k].labels for k in members], axis=-1)
        rows.append(_dice_row(drawn, truth))
    errors = ejection_fraction_errors(windows, found)
    return Figures(
        loss=float(np.mean([opinion.loss for opinion in found])),
        dice=_mean_row(rows),
        n_slices=sum(len(window.planes) for window in windows),
        ef_error_points={ventricle.key: mean(map(abs, errors[ventricle])) for ventricle in VENTRICLES},
        ef_studies={ventricle.key: len(errors[ventricle]) for ventricle in VENTRICLES},
    )


def ejection_fraction_errors(windows: Sequence[Window], found: Sequence[Opinion]) -> dict[Structure, list[float]]:
    """Drawn minus true ejection fraction of every study that says, in points, by ventricle.

    Both are taken over the slices that are labelled at both ED and ES, as readers label few: an ejection fraction of
    part of the ventricle, the same part for reader and model. A study says nothing without :data:`EF_SLICES` of them,
    without a slice distance, or if the reader drew no such cavity at ED.
    """
    errors: dict[Structure, list[float]] = {ventricle: [] for ventricle in VENTRICLES}
    for ed, es in _labelled_pairs(windows, found):
        both = sorted(ed.keys() & es.keys())
        if len(both) < EF_SLICES:
            continue
        edv, esv = (np.sum([phase[z] for z in both], axis=0) for phase in (ed, es))  # (reader and model, ventricle)
        for k, ventricle in enumerate(VENTRICLES):
            true, drawn = (ejection_fraction_pct(edv[who, k], esv[who, k]) for who in (0, 1))
            if edv[0, k] > 0 and true is not None and drawn is not None:
                errors[ventricle].append(drawn - true)
    return errors


SliceVolumes = dict[int, NDArray[np.float64]]
"""By slice z: what reader and model drew (first axis) of each ventricle (second), in one unit for all slices."""


def _labelled_pairs(windows: Sequence[Window], found: Sequence[Opinion]) -> Iterator[tuple[SliceVolumes, SliceVolumes]]:
    """Volumes on the wholly labelled slices at ED and at ES, of every study that has both."""
    studies: dict[str, dict[str, SliceVolumes]] = defaultdict(lambda: {"ed": {}, "es": {}})
    for window, opinion in zip(windows, found, strict=True):
        case = window.case
        if case.phase not in ("ed", "es"):
            continue
        try:
            # The model's pixels are of one size, so that only the lengths of the slices count in the ratio.
            per_pixel = pixel_volumes_ml(case.geometry)
        except GeometryError:
            continue  # no slice distance: no volumes
        truth = window.sample.labels.numpy()
        for z, plane in window.planes:
            if bool((case.labels[z] == UNLABELLED).any()):
                continue  # what the reader left open is not to be taken for empty
            known = truth[..., plane] != UNLABELLED  # not so beyond the image's edge
            counts = [
                [np.count_nonzero((labels[..., plane] == ventricle) & known) for ventricle in VENTRICLES]
                for labels in (truth, opinion.labels)
            ]
            studies[case.study_id][case.phase][z] = per_pixel[z] * np.array(counts)
    for phases in studies.values():
        yield phases["ed"], phases["es"]


def slice_changes(
    windows: Sequence[Window], before: Sequence[Opinion], after: Sequence[Opinion], pixel_mm: float
) -> tuple[SliceChange, ...]:
    """Every labelled slice under both models, those drawn most differently first.

    Parameters
    ----------
    pixel_mm
        Size of the windows' pixels.
    """
    changes = []
    for window, old, new in zip(windows, before, after, strict=True):
        truth = window.sample.labels.numpy()
        for z, plane in window.planes:
            around = _around_heart([labels[..., plane] for labels in (truth, old.labels, new.labels)], pixel_mm)
            changes.append(
                SliceChange(
                    study_id=window.case.study_id,
                    t=window.case.phase_index,
                    z=z,
                    dice_before=_dice_row(old.labels[..., plane], truth[..., plane])["mean"],
                    dice_after=_dice_row(new.labels[..., plane], truth[..., plane])["mean"],
                    dice_between=_dice_row(new.labels[..., plane], old.labels[..., plane])["mean"],
                    image=_picture(window.sample.image.numpy()[..., plane], around),
                    truth=_picture(truth[..., plane], around),
                    before=_picture(old.labels[..., plane], around),
                    after=_picture(new.labels[..., plane], around),
                )
            )
    return tuple(sorted(changes, key=lambda c: 1.0 if c.dice_between is None else c.dice_between))


def _around_heart(planes: Sequence[Labels], pixel_mm: float) -> tuple[slice, slice]:
    """Square (x, y) around all that anybody drew on a slice; the whole slice if that is nothing."""
    drawn = np.any([np.isin(plane, FOREGROUND) for plane in planes], axis=0)
    if not drawn.any():
        return slice(None), slice(None)
    spans = [(int(where.min()), int(where.max())) for where in np.nonzero(drawn)]
    reach = max(last - first for first, last in spans) / 2 + CROP_MM / pixel_mm
    middles = [(first + last) / 2 for first, last in spans]
    x, y = (
        slice(max(0, round(middle - reach)), min(size, round(middle + reach) + 1))
        for middle, size in zip(middles, drawn.shape, strict=True)
    )
    return x, y


def _picture(plane: NDArray[Any], around: tuple[slice, slice]) -> NDArray[Any]:
    return np.ascontiguousarray(plane[around].T)  # (x, y) -> (y, x)


def _dice_row(drawn: Labels, truth: Labels) -> dict[str, float | None]:
    """Dice by structure and their mean; None where the truth holds none of it."""
    row: dict[str, float | None] = {}
    for structure in FOREGROUND:
        value = dice(drawn, truth, structure, ignore=UNLABELLED) if bool((truth == structure).any()) else np.nan
        row[structure.key] = None if np.isnan(value) else float(value)
    row["mean"] = mean(row.values())
    return row


def _mean_row(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean over frames by structure, then over structures."""
    row = {structure.key: mean(r[structure.key] for r in rows) for structure in FOREGROUND}
    row["mean"] = mean(row.values())
    return row
