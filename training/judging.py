"""Hearts that judge a model while it learns: synthetic ones, and Sunnybrook patients kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.models import MaskedAutoencoder
from cinema_core.phantom import make_phantom, random_parameters
from cinema_core.phantom.drawing import PIXEL_MM, SLICE_SIZE
from training.datasets.slices import is_held_out, normalised, read_sunnybrook, to_tensor, window

VALIDATION_SEED: Final = 9_000_000
"""Far from the training seeds."""


@dataclass(frozen=True, eq=False)
class JudgedVolume:
    """Slices of one heart at one phase, images (z, y, x) 0..1 and labels (z, y, x)."""

    images: NDArray[np.float32]
    labels: NDArray[np.uint8]
    structures: tuple[Structure, ...]


def phantom_volumes(n_hearts: int, seed: int = VALIDATION_SEED) -> list[JudgedVolume]:
    """Synthetic hearts at ED and ES, cut to a training slice's size about a point near the LV."""
    volumes = []
    for i in range(n_hearts):
        rng = np.random.default_rng([seed, i])
        parameters = replace(random_parameters(rng), n_phases=3)
        study = make_phantom(parameters, seed=seed + i)
        spacing = parameters.pixel_spacing_mm
        centre = np.argwhere(study.labels[0] == Structure.LV_CAVITY)[:, 1:].mean(axis=0) + rng.normal(0, 6, 2)
        step = PIXEL_MM / spacing
        offset = centre - SLICE_SIZE / 2 * step
        shape = (SLICE_SIZE, SLICE_SIZE)
        for t in (parameters.ed_phase, parameters.es_phase):
            images = np.stack(
                [
                    ndimage.affine_transform(plane.astype(np.float32), [step] * 2, offset, shape, order=1)
                    for plane in study.cine.pixels[t]
                ]
            )
            labels = np.stack(
                [ndimage.affine_transform(plane, [step] * 2, offset, shape, order=0) for plane in study.labels[t]]
            )
            volumes.append(JudgedVolume(normalised(images), labels, FOREGROUND))
    return volumes


def sunnybrook_volumes(folder: Path) -> list[JudgedVolume]:
    """Held-out Sunnybrook patients; only their LV cavity is known."""
    slices = [s for s in read_sunnybrook(folder) if is_held_out(s.patient)]
    volumes = []
    for patient in sorted({s.patient for s in slices}):
        cut = [window(s, 0.0, 1.0, (0.0, 0.0), False) for s in slices if s.patient == patient]
        images = np.stack([normalised(image) for image, _ in cut])
        volumes.append(JudgedVolume(images, np.stack([labels for _, labels in cut]), (Structure.LV_CAVITY,)))
    return volumes


@torch.inference_mode()
def dice_of(
    network: nn.Module, volumes: list[JudgedVolume], mirrors: Sequence[Sequence[int]] = ((),)
) -> dict[str, float]:
    """Mean over volumes of each structure's Dice.

    Parameters
    ----------
    mirrors
        Axes of (x, y) of the mirror images that the network is shown; the mean of what it says counts.
    """
    scores: dict[str, list[float]] = {}
    device = next(network.parameters()).device
    for volume in volumes:
        x = torch.stack([to_tensor(image) for image in volume.images])
        found = []
        for axes in mirrors:
            turned = [2 + axis for axis in axes]
            with torch.autocast(device.type, dtype=torch.bfloat16):
                logits = [network({"sax": part.flip(turned).to(device)})["sax"] for part in x.split(8)]
            found.append(torch.cat(logits).float().softmax(1).flip(turned))
        predicted = (
            torch.stack(found).mean(0).argmax(1)[..., 0].cpu().numpy().transpose(0, 2, 1)
        )  # (z, x, y) -> (z, y, x)
        for structure in volume.structures:
            a, b = predicted == structure, volume.labels == structure
            if b.any():
                scores.setdefault(structure.key, []).append(2 * float((a & b).sum()) / float(a.sum() + b.sum()))
    return {key: float(np.mean(values)) for key, values in scores.items()}


@torch.inference_mode()
def masked_error_of(network: nn.Module, volumes: list[JudgedVolume], mask_ratio: float) -> float:
    """Mean squared error of a masked autoencoder on what it does not see; the same patches are hidden every time."""
    assert isinstance(network, MaskedAutoencoder)  # no other network hides patches
    device = next(network.parameters()).device
    chance = torch.Generator().manual_seed(VALIDATION_SEED)
    errors = []
    for volume in volumes:
        x = torch.stack([to_tensor(image) for image in volume.images])
        noise = torch.rand(len(x), network.n_tokens("sax"), generator=chance)
        out = network({"sax": x.to(device)}, mask_ratio=mask_ratio, noise={"sax": noise.to(device)})
        errors.append(float(out.loss))
    return float(np.mean(errors))
