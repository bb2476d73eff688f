"""Endless slices for the bundled model: synthetic ones, and the CC0 Sunnybrook images among them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.utils.data import Dataset

from cinema_core.anatomy import Structure
from cinema_core.errors import InputError
from cinema_core.phantom.drawing import PIXEL_MM, SLICE_SIZE
from cinema_core.phantom.slices import HardCase, training_slice

ASSUMED_SPACING_MM: Final = 1.3
"""Sunnybrook's PNGs do not state theirs; the DICOM files of the same collection have 1.25 to 1.37 mm."""


@dataclass(frozen=True, eq=False)
class SunnybrookSlice:
    """One image, uint8, and where its LV cavity is, bool; all else is unlabelled."""

    patient: str
    pixels: NDArray[np.uint8]
    lv_cavity: NDArray[np.bool_]


def is_held_out(patient: str) -> bool:
    """Whether a patient is for validation: about one in five, decided by the name alone, for good."""
    return hashlib.sha256(patient.encode()).digest()[0] % 5 == 0


@lru_cache(maxsize=2)
def read_sunnybrook(folder: Path) -> tuple[SunnybrookSlice, ...]:
    """Read all image and label pairs of a folder with ``images/`` and ``labels/``.

    Raises
    ------
    InputError
        If the folder has no such images, or a label is missing.
    """
    images = sorted((folder / "images").glob("*.png"))
    if not images:
        raise InputError(f"{folder} has no images/*.png; give the folder sunnybrook_slices, or leave --sunnybrook out.")
    slices = []
    for path in images:
        label = folder / "labels" / path.name
        if not label.exists():
            raise InputError(f"{label} is missing; every Sunnybrook image needs its label.")
        pixels = np.asarray(Image.open(path).convert("L"))
        cavity = np.asarray(Image.open(label).convert("L")) > 127
        slices.append(SunnybrookSlice(path.name.split("-IM-")[0], pixels, cavity))
    return tuple(slices)


class SliceStream(Dataset[tuple[torch.Tensor, torch.Tensor, bool]]):
    """Slice ``i`` depends on the seed and on ``i`` alone, so a resumed run sees what it would have seen.

    An item is the image (1, x, y, 1) float32, the labels (x, y) int64, and whether only the LV cavity is
    labelled (then every other pixel is known to be no LV cavity, and nothing else).
    """

    def __init__(
        self,
        seed: int,
        sunnybrook: Path | None = None,
        share: float = 0.0,
        hard: Mapping[HardCase, float] | None = None,
    ) -> None:
        """Say what to draw from.

        Parameters
        ----------
        sunnybrook
            Folder with images and labels; without it every slice is synthetic.
        share
            Share of real slices.
        hard
            Share of each hard case among the synthetic slices.
        """
        self._seed = seed
        self._hard = {case: chance for case, chance in (hard or {}).items() if chance > 0}
        self._folder = sunnybrook
        self._share = share if sunnybrook is not None else 0.0

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor, bool]:
        rng = np.random.default_rng([self._seed, index])
        only_lv = bool(rng.random() < self._share)
        if only_lv and self._folder is not None:
            teaching = [s for s in read_sunnybrook(self._folder) if not is_held_out(s.patient)]
            image, labels = varied(teaching[int(rng.integers(len(teaching)))], rng)
        else:
            image, labels = training_slice(rng, hard=chosen_case(self._hard, rng))
        return to_tensor(image), torch.from_numpy(labels.T.astype(np.int64)), only_lv


def chosen_case(shares: Mapping[HardCase, float], rng: np.random.Generator) -> HardCase | None:
    """Draw a hard case by its share, or none; without shares no number is drawn."""
    if not shares:
        return None
    place = rng.random()
    for case, share in shares.items():
        if place < share:
            return case
        place -= share
    return None


class MaskedStream(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The same slices without their labels, for a masked autoencoder.

    An item is the image (1, x, y, 1) and the noise, shape (n_tokens,), that decides which of its patches are hidden:
    so it, too, depends on the seed and the number of the slice alone.
    """

    def __init__(self, slices: SliceStream, seed: int, n_tokens: int) -> None:
        self._slices = slices
        self._seed = seed
        self._n_tokens = n_tokens

    def __len__(self) -> int:
        return len(self._slices)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = np.random.default_rng([self._seed, index, 1]).random(self._n_tokens, dtype=np.float32)
        return self._slices[index][0], torch.from_numpy(noise)


def to_tensor(image: NDArray[np.float32]) -> torch.Tensor:
    """Image (y, x) as the model takes it: (channel, x, y, z)."""
    return torch.from_numpy(np.ascontiguousarray(image.T))[None, :, :, None]


def window(
    source: SunnybrookSlice, turn: float, zoom: float, shift_mm: tuple[float, float], mirror: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a training slice's size around the LV; both results have shape (y, x)."""
    centre = np.argwhere(source.lv_cavity).mean(axis=0) if source.lv_cavity.any() else np.array([128.0, 128.0])
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s], [s, c]]) * PIXEL_MM / (ASSUMED_SPACING_MM * zoom)
    if mirror:
        matrix[:, 1] *= -1
    middle = np.array([SLICE_SIZE, SLICE_SIZE]) / 2 + np.array(shift_mm) / PIXEL_MM
    offset = centre - matrix @ middle
    shape = (SLICE_SIZE, SLICE_SIZE)
    image = ndimage.affine_transform(source.pixels.astype(np.float32), matrix, offset, shape, order=1)
    cavity = ndimage.affine_transform(source.lv_cavity.astype(np.float32), matrix, offset, shape, order=1) > 0.5
    labels = np.where(cavity, Structure.LV_CAVITY, Structure.BACKGROUND).astype(np.uint8)
    return image, labels


def normalised(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to 0..1 between the published percentiles."""
    low, high = np.percentile(image, (0.95, 99.5))
    return np.asarray(np.clip((image - low) / max(high - low, 1e-6), 0, 1), dtype=np.float32)


def varied(source: SunnybrookSlice, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return one slice in a random orientation, place, size, brightness and noise."""
    reach, toward = 35 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    image, labels = window(
        source,
        rng.uniform(0, 2 * np.pi),
        rng.uniform(0.75, 1.3),
        (reach * np.sin(toward), reach * np.cos(toward)),
        bool(rng.random() < 0.5),
    )
    axis = np.linspace(-1, 1, SLICE_SIZE, dtype=np.float32)
    image = image * np.exp(rng.normal(0, 0.3) * axis[:, None] + rng.normal(0, 0.3) * axis[None, :])
    image = normalised(image) ** np.float32(np.exp(rng.normal(0, 0.3)))
    image = image + rng.uniform(0, 0.05) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image * rng.uniform(0.6, 1.15), 0, 1).astype(np.float32), labels
