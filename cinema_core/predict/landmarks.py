"""Landmarks on long-axis cines: the two insertions of the mitral valve and the apex. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cinema_core.answers import Landmarks
from cinema_core.cine import Cine
from cinema_core.errors import CheckpointError
from cinema_core.geometry import Array
from cinema_core.models import n_outputs, view_settings
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.inputs import ModelView, model_view
from cinema_core.progress import CancelToken, Progress, no_progress
from cinema_core.tasks import N_LANDMARKS, TaskKind, kind_of

SHARPNESS: Final = 1000.0
"""Factor of probabilities before the softmax that finds the peak of a heatmap, as published."""

FRAMES_PER_BATCH: Final = 4


def landmark_kind(model: LoadedModel) -> TaskKind:
    """Tell whether a model gives heatmaps or coordinates.

    Raises
    ------
    CheckpointError
        If it gives neither.
    """
    kind, outputs = kind_of(model.config), n_outputs(model.config)
    if kind in {TaskKind.HEATMAP, TaskKind.COORDINATE}:
        return kind
    raise CheckpointError(
        f"The model {model.card.name} gives {outputs} channels and no landmarks; those give {N_LANDMARKS} heatmaps or "
        f"{2 * N_LANDMARKS} coordinates. See `cinema models list`."
    )


def find_landmarks(
    cine: Cine,
    models: Sequence[LoadedModel],
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Landmarks:
    """Find the landmarks on every phase by one model or by the mean of several.

    Points are sub-pixel; the published evaluation cuts them to whole pixels.

    Parameters
    ----------
    cine
        2- or 4-chamber cine of one slice, as the models' view.

    Raises
    ------
    StudyError
        If the cine shows another view than the models look at, or cannot be used.
    CheckpointError
        If a model gives no landmarks, or several views.
    Cancelled
        If ``cancel`` was raised; it is looked at before each batch.
    """
    n_batches = -(-cine.n_phases // FRAMES_PER_BATCH)
    points, peaks = [], []
    for m, model in enumerate(models):
        kind = landmark_kind(model)
        window = _window(cine, model)
        found: list[Array] = []
        heights: list[Array] = []
        for k in range(n_batches):
            if cancel is not None:
                cancel.raise_if_cancelled()
            progress((m * n_batches + k) / (len(models) * n_batches), f"Landmarks by {model.card.name}")
            phases = range(k * FRAMES_PER_BATCH, min(cine.n_phases, (k + 1) * FRAMES_PER_BATCH))
            points_xy, peak = _ask(model, kind, window, phases)
            found.append(points_xy)
            heights.append(peak)
        points.append(window.native_yx(np.concatenate(found)))
        if kind is TaskKind.HEATMAP:
            peaks.append(np.concatenate(heights))
    progress(1.0, f"Landmarks of {cine.n_phases} phases")
    mean = np.mean(points, axis=0)
    return Landmarks(
        mean,
        np.mean(peaks, axis=0) if peaks else None,
        _spread_mm(np.stack(points) - mean, cine.geometry.pixel_spacing_mm) if len(points) > 1 else None,
        tuple(model.card for model in models),
    )


def heatmap_points(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Where heatmaps peak.

    Parameters
    ----------
    logits
        Shape (b, k, x, y), before the sigmoid.

    Returns
    -------
    points, peaks
        (b, k, 2) as (x, y), sub-pixel; and the highest probability of each map, (b, k).
    """
    probabilities = logits.float().sigmoid()
    flat = probabilities.flatten(2)  # (b, k, x * y)
    weights = (SHARPNESS * flat).softmax(dim=2).reshape(probabilities.shape)
    x = torch.arange(logits.shape[2], device=logits.device, dtype=torch.float32)
    y = torch.arange(logits.shape[3], device=logits.device, dtype=torch.float32)
    points = torch.stack([(weights.sum(dim=3) * x).sum(dim=2), (weights.sum(dim=2) * y).sum(dim=2)], dim=2)
    return points, flat.amax(dim=2)


def coordinate_points(relative: Tensor, size_xy: tuple[int, int]) -> Tensor:
    """Coordinates (b, 6) as x1, y1, x2, y2, x3, y3 relative to the padded image, in pixels: (b, 3, 2) as (x, y)."""
    return relative.float().reshape(len(relative), N_LANDMARKS, 2) * relative.new_tensor(size_xy)


def _ask(model: LoadedModel, kind: TaskKind, window: ModelView, phases: Sequence[int]) -> tuple[Array, Array]:
    view = str(window.cine.view)
    images = {view: torch.from_numpy(window.frames(phases))[:, None].to(model.device)}  # (b, 1, x, y)
    with torch.inference_mode():
        answer = model.network(images)
        if kind is TaskKind.HEATMAP:
            points, peaks = heatmap_points(answer[view])
        else:
            points = coordinate_points(answer, (window.grid.patch_size[0], window.grid.patch_size[1]))
            peaks = points.new_ones(points.shape[:2])
    return points.cpu().numpy(), peaks.cpu().numpy()


def _window(cine: Cine, model: LoadedModel) -> ModelView:
    views = view_settings(model.config)
    if len(views) != 1:
        raise CheckpointError(f"The model {model.card.name} looks at {', '.join(views)}; landmarks need one view.")
    ((view, grid),) = views.items()
    return model_view(cine, view, grid)


def _spread_mm(offsets_yx: NDArray[np.float64], spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    squared = np.square(offsets_yx * np.asarray(spacing_mm)).sum(axis=-1)  # (models, t, 3)
    return np.asarray(np.sqrt(squared.mean(axis=0)))
