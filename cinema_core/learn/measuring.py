"""How well a network draws labelled windows, before and after."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cinema_core.anatomy import FOREGROUND, UNLABELLED
from cinema_core.learn.guard import Figures
from cinema_core.learn.losses import masked_dice_ce
from cinema_core.learn.scores import mean
from cinema_core.learn.windows import Window
from cinema_core.measure.agreement import dice
from cinema_core.progress import CancelToken

BATCH: Final = 8
"""Windows of one slice per forward pass; more does not help two cores."""

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


@dataclass(frozen=True)
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
    """

    study_id: str
    t: int | None
    z: int
    dice_before: float | None
    dice_after: float | None
    dice_between: float | None


@torch.no_grad()
def opinions(
    network: nn.Module,
    view: str,
    windows: Sequence[Window],
    cancel: CancelToken,
    *,
    with_probabilities: bool = False,
) -> list[Opinion]:
    """Ask a network about every window, without chance: no dropout, no augmentation."""
    network.eval()
    device = next(network.parameters()).device
    found: list[Opinion] = []
    size = BATCH if not windows or windows[0].sample.image.shape[-1] == 1 else 1
    for first in range(0, len(windows), size):
        cancel.raise_if_cancelled()
        part = windows[first : first + size]
        images = torch.stack([window.sample.image for window in part])[:, None]  # (b, 1, x, y, z)
        logits = network({view: images.to(device)})[view].float().cpu()  # (b, c, x, y, z)
        for window, window_logits in zip(part, logits, strict=True):
            probabilities = window_logits.softmax(0) if with_probabilities else None
            loss = float(masked_dice_ce(window_logits[None], window.sample.labels[None]))
            labels = window_logits.argmax(0).to(torch.uint8).numpy()
            found.append(Opinion(labels, loss, probabilities))
    return found


def figures(windows: Sequence[Window], found: Sequence[Opinion]) -> Figures:
    """Loss over the windows and Dice over the frames that they come from.

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
    return Figures(
        loss=float(np.mean([opinion.loss for opinion in found])),
        dice=_mean_row(rows),
        n_slices=sum(len(window.planes) for window in windows),
    )


def slice_changes(
    windows: Sequence[Window], before: Sequence[Opinion], after: Sequence[Opinion]
) -> tuple[SliceChange, ...]:
    """Every labelled slice under both models, those drawn most differently first."""
    changes = []
    for window, old, new in zip(windows, before, after, strict=True):
        truth = window.sample.labels.numpy()
        for z, plane in window.planes:
            changes.append(
                SliceChange(
                    study_id=window.case.study_id,
                    t=window.case.phase_index,
                    z=z,
                    dice_before=_dice_row(old.labels[..., plane], truth[..., plane])["mean"],
                    dice_after=_dice_row(new.labels[..., plane], truth[..., plane])["mean"],
                    dice_between=_dice_row(new.labels[..., plane], old.labels[..., plane])["mean"],
                )
            )
    return tuple(sorted(changes, key=lambda c: 1.0 if c.dice_between is None else c.dice_between))


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
