"""Segment a long-axis cine: RV, myocardium and LV on its one slice. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.answers import LongAxisSegmentation
from cinema_core.cine import Cine
from cinema_core.errors import CheckpointError
from cinema_core.geometry import Array
from cinema_core.models import architecture, view_settings
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.inputs import ModelView, model_view
from cinema_core.predict.uncertainty import doubt
from cinema_core.predict.windows import Merge, predict_windows
from cinema_core.progress import CancelToken, Progress, no_progress

FRAMES_PER_BATCH: Final = 4


def segment_long_axis(
    cine: Cine,
    models: Sequence[LoadedModel],
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> LongAxisSegmentation:
    """Draw RV, myocardium and LV on every phase, by one model or by the mean of several.

    Parameters
    ----------
    cine
        Long-axis cine of one slice, as the models' view.

    Raises
    ------
    StudyError
        If the cine shows another view than the models look at, or cannot be used.
    CheckpointError
        If a model does not draw on one long-axis view.
    Cancelled
        If ``cancel`` was raised; it is looked at before each batch.
    """
    windows = [_window(cine, model) for model in models]
    labels = np.zeros(cine.shape, dtype=np.uint8)
    uncertainty = np.zeros(cine.shape[:2], dtype=np.float32)
    dy, dx = cine.geometry.pixel_spacing_mm
    for first in range(0, cine.n_phases, FRAMES_PER_BATCH):
        if cancel is not None:
            cancel.raise_if_cancelled()
        progress(first / cine.n_phases, f"Segmenting phase {first + 1} of {cine.n_phases}")
        phases = range(first, min(cine.n_phases, first + FRAMES_PER_BATCH))
        asked = [_probabilities(model, window, phases) for model, window in zip(models, windows, strict=True)]
        for t, *on_grids in zip(phases, *asked, strict=True):
            native = [window.to_native(found) for window, found in zip(windows, on_grids, strict=True)]
            mean = np.mean(native, axis=0)  # (c, 1, y, x)
            labels[t, 0] = keep_near_rv(mean[:, 0].argmax(axis=0).astype(np.uint8))
            uncertainty[t] = doubt(mean, dy * dx)[0]
    progress(1.0, f"Segmented {cine.n_phases} phases")
    areas = np.stack([(labels == structure).sum(axis=(1, 2, 3)) * dy * dx for structure in FOREGROUND], axis=1)
    return LongAxisSegmentation(labels, uncertainty, areas, tuple(model.card for model in models))


def keep_near_rv(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of myocardium and LV keep the part that lies nearest to the RV, as published for the 4-chamber view.

    Without an RV there is nothing to be near to: the largest part stays (the published rule leaves that open).

    Parameters
    ----------
    labels
        Shape (y, x).
    """
    kept = labels.copy()
    right = labels == Structure.RV_CAVITY
    distance = ndimage.distance_transform_cdt(~right, metric="taxicab") if right.any() else None
    for structure in (Structure.LV_MYOCARDIUM, Structure.LV_CAVITY):
        parts, n_parts = ndimage.label(labels == structure, structure=np.ones((3, 3)))
        if n_parts < 2:
            continue
        sizes = np.bincount(parts.ravel(), minlength=n_parts + 1)[1:]
        if distance is not None:
            nearest = ndimage.minimum(distance, parts, index=range(1, n_parts + 1))
            best = int(np.argmin(np.asarray(nearest) - sizes / (labels.size + 1)))  # the larger of two as near
        else:
            best = int(sizes.argmax())
        kept[(labels == structure) & (parts != 1 + best)] = Structure.BACKGROUND
    return kept


def _probabilities(model: LoadedModel, window: ModelView, phases: Sequence[int]) -> Array:
    """Class probabilities on the model's grid, shape (t, c, x, y)."""
    view = str(window.cine.view)
    images = {view: torch.from_numpy(window.frames(phases))[:, None].to(model.device)}  # (b, 1, x, y)
    with torch.inference_mode():
        found = predict_windows(model.network, images, {view: window.grid.patch_size}, Merge.SOFTMAX)
        assert isinstance(found, dict)
        probabilities: Array = found[view].float().softmax(dim=1).cpu().numpy()
    return probabilities


def _window(cine: Cine, model: LoadedModel) -> ModelView:
    grids = view_settings(model.config)
    draws = architecture(model.config) in {"convunetr", "unet"}
    n_classes = model.config["model"].get("out_chans")
    if not draws or len(grids) != 1 or n_classes != len(Structure) or len(next(iter(grids.values())).patch_size) != 2:
        raise CheckpointError(
            f"The model {model.card.name} takes {', '.join(grids)} and draws {n_classes if draws else 0} structures; "
            f"this task needs one that takes a long-axis view and draws {len(Structure)}. See `cinema models list`."
        )
    ((view, grid),) = grids.items()
    return model_view(cine, view, grid)
