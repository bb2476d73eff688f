"""One answer per study: disease, sex, vendor, a value; features; and what a masked autoencoder sees. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cinema_core.answers import ClassAnswer, Reconstruction, ValueAnswer
from cinema_core.cine import Cine, View
from cinema_core.errors import CheckpointError
from cinema_core.geometry import Array
from cinema_core.models import ConvViT, MaskedAutoencoder, n_frames, view_settings
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.inputs import study_sample
from cinema_core.predict.windows import Merge, pad_end, predict_windows
from cinema_core.tasks import Task, kind_of, target_of

Phases = Mapping[str, Sequence[int]]


def views_of(models: Sequence[LoadedModel]) -> tuple[View, ...]:
    """Name the views that models look at.

    Raises
    ------
    CheckpointError
        If they do not all look at the same.
    """
    found = {tuple(view_settings(model.config)) for model in models}
    if len(found) != 1:
        names = ", ".join(model.card.name for model in models)
        raise CheckpointError(f"The models {names} look at different views; give models of one task together.")
    return tuple(View(view) for view in found.pop())


def check_target(task: Task, models: Sequence[LoadedModel]) -> None:
    """Make sure that checkpoints answer a task.

    Raises
    ------
    CheckpointError
        If one has another target, or answers in another form.
    """
    for model in models:
        target = target_of(model.config)
        if kind_of(model.config) is not task.kind or target not in task.columns:
            raise CheckpointError(
                f"The model {model.card.name} answers {target or 'no question about whole studies'!r}; "
                f"{task.name} needs one that answers {' or '.join(task.columns)!r}. See `cinema models list`."
            )


def classify(cines: Mapping[str, Cine], models: Sequence[LoadedModel], phases: Phases) -> ClassAnswer:
    """Classify a study by one model or by the mean of several.

    Parameters
    ----------
    cines
        By view key.
    models
        Networks of the same classes and views.
    phases
        ED and ES of each view, frame indices from 0.

    Raises
    ------
    StudyError, PhaseError
        If the study does not show what the models look at.
    CheckpointError
        If the models do not know the same classes.
    """
    known = {tuple(map(str, model.config["data"][target_of(model.config)])) for model in models}
    if len(known) != 1:
        raise CheckpointError("The models know different classes; give models of one task together.")
    found = np.stack([_answer(model, cines, phases, Merge.SOFTMAX) for model in models])  # (models, classes)
    shares = np.exp(found - found.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return ClassAnswer(known.pop(), shares.mean(axis=0), _spread(shares), tuple(model.card for model in models))


def regress(cines: Mapping[str, Cine], models: Sequence[LoadedModel], phases: Phases) -> ValueAnswer:
    """Estimate a value of a study by one model or by the mean of several; see :func:`classify`."""
    values = []
    for model in models:
        scale = model.config["data"][target_of(model.config)]
        standardised = _answer(model, cines, phases, Merge.PLAIN)
        values.append(float(standardised[0]) * float(scale["std"]) + float(scale["mean"]))
    found = np.array(values)
    spread = _spread(found)
    cards = tuple(model.card for model in models)
    return ValueAnswer(float(found.mean()), None if spread is None else float(spread), cards)


def extract_features(cines: Mapping[str, Cine], model: LoadedModel, phases: Phases) -> dict[str, Array]:
    """Tokens of a study, for a model of one's own.

    Parameters
    ----------
    cines
        By view key; of a masked autoencoder any of its views.
    phases
        Frames of each view: one for a masked autoencoder, ED and ES for a model that looks at both.

    Returns
    -------
    dict
        ``cls`` (1, width), and by view (tokens, width), tokens in C order over (x, y[, z]).

    Raises
    ------
    CheckpointError
        If the model has no such features.
    """
    network = model.network
    if not isinstance(network, ConvViT | MaskedAutoencoder):
        raise CheckpointError(
            f"The model {model.card.name} is a {type(network).__name__}, which has no features of a whole study. "
            "Use cinema-mae, or a classification or regression model."
        )
    grids = view_settings(model.config)
    if isinstance(network, MaskedAutoencoder):
        grids = {view: grid for view, grid in grids.items() if view in cines}
    samples = study_sample(cines, grids, phases)
    images = {view: pad_end(x, grids[view].patch_size) for view, x in _tensors(model, samples).items()}
    with torch.inference_mode():
        found = network.features(images)
    return {name: tokens[0].float().cpu().numpy() for name, tokens in found.items()}


def reconstruct(
    cines: Mapping[str, Cine], model: LoadedModel, phases: Phases, mask_ratio: float = 0.75, seed: int = 0
) -> dict[str, Reconstruction]:
    """Hide part of a study from a masked autoencoder and let it fill in the rest.

    Of a stack with more slices than the model takes, the middle ones are used.

    Parameters
    ----------
    cines
        By view key; any of the model's views, which inform each other.
    phases
        One frame of each view.
    seed
        Of the mask.

    Raises
    ------
    CheckpointError
        If the model is no masked autoencoder.
    """
    network = model.network
    if not isinstance(network, MaskedAutoencoder):
        raise CheckpointError(
            f"The model {model.card.name} is a {type(network).__name__}; only a masked autoencoder reconstructs. "
            "Use cinema-mae."
        )
    grids = {view: grid for view, grid in view_settings(model.config).items() if view in cines}
    samples = {view: _middle(x, grids[view].patch_size) for view, x in study_sample(cines, grids, phases).items()}
    images = {view: pad_end(x, grids[view].patch_size) for view, x in _tensors(model, samples).items()}
    noise_of = torch.Generator().manual_seed(seed)
    noise = {view: torch.rand(1, network.n_tokens(view), generator=noise_of) for view in images}
    with torch.inference_mode():
        output = network(images, mask_ratio, noise)
        pictures, masked = network.reconstruct(images, output), network.masked_voxels(output)
    found = {}
    for view, sample in samples.items():
        inside: tuple[Any, ...] = (0, 0, *(slice(0, n) for n in sample.shape[1:]))
        found[view] = Reconstruction(
            image=sample[0],
            masked=masked[view][inside].cpu().numpy(),
            reconstruction=pictures[view][inside].float().cpu().numpy(),
            mse=float(output.metrics[f"{view}_mse_loss"]),
        )
    return found


def _answer(model: LoadedModel, cines: Mapping[str, Cine], phases: Phases, merge: Merge) -> NDArray[np.float64]:
    """Answer of one model, shape (outputs,)."""
    grids = view_settings(model.config)
    frames = n_frames(model.config)
    given = {view: len(phases[view]) for view in grids if view in phases}
    if any(n != frames for n in given.values()):
        raise CheckpointError(
            f"The model {model.card.name} looks at {frames} phases of a study; {max(given.values())} were given."
        )
    images = _tensors(model, study_sample(cines, grids, phases))
    with torch.inference_mode():
        found = predict_windows(model.network, images, {v: grid.patch_size for v, grid in grids.items()}, merge)
    if isinstance(found, dict):
        raise CheckpointError(f"The model {model.card.name} draws; it does not answer questions about whole studies.")
    return found[0].double().cpu().numpy()


def _tensors(model: LoadedModel, samples: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    return {view: torch.from_numpy(np.ascontiguousarray(x))[None].to(model.device) for view, x in samples.items()}


def _middle(sample: Array, size: Sequence[int]) -> Array:
    """Middle slices of a stack (c, x, y, z) that is deeper than a model."""
    if sample.ndim == 3 or sample.shape[3] <= size[2]:
        return sample
    first = (sample.shape[3] - size[2]) // 2
    return sample[..., first : first + size[2]]


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return np.asarray(values.std(axis=0, ddof=1)) if len(values) > 1 else None
