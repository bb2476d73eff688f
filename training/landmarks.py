"""Learning to point at the insertions of the mitral valve and at the apex, by heatmaps or by coordinates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from monai.losses import DiceLoss
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from cinema_core.errors import InputError, StudyError
from cinema_core.predict.inputs import scale_sample
from cinema_core.predict.landmarks import coordinate_points, heatmap_points
from cinema_core.predict.windows import pad_end
from cinema_core.tasks import N_LANDMARKS
from training.datasets.augment import IMAGE, KEPT, augmentation, seed_of
from training.datasets.processed import Split, both_sides, read_table, refuse_missing
from training.epochs import Lesson
from training.loop import Batch
from training.settings import Behaviour, FineTuneConfig

log = logging.getLogger(__name__)

HEATMAP: Final = "heatmap"
SIGMA: Final = 3.0
"""Width of the peak in a heatmap that teaches, pixels."""
LOWEST_PEAK: Final = 0.5
"""A landmark that was moved out of the image leaves no peak; this low it may be the foot of one at the border."""
WING_WIDTH, WING_CURVE = 10.0, 2.0

_DICE: Final = DiceLoss(sigmoid=True, include_background=True)


@dataclass(frozen=True)
class MarkedImage:
    """A long-axis image and its landmarks, pixels (x, y) of the prepared image."""

    pid: str
    path: Path
    points: tuple[tuple[float, float], ...]


class TeachingMarks(Dataset[tuple[Tensor, ...]]):
    """Varied images (1, x, y) with their heatmaps (3, x, y); drawn as segmenters' images are."""

    def __init__(self, images: Sequence[MarkedImage], config: FineTuneConfig) -> None:
        self._images = tuple(images)
        self._config = config
        self._transform = augmentation(config, keys=(IMAGE, HEATMAP))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        image = self._images[index % len(self._images)]
        pixels = read_pixels(image.path)
        shown = {IMAGE: torch.from_numpy(pixels), HEATMAP: torch.from_numpy(heatmaps(image.points, pixels.shape[1:]))}
        self._transform.set_random_state(seed=seed_of(self._config, index))
        varied = self._transform(shown)
        return tuple(torch.as_tensor(varied[key]).as_subclass(Tensor).float().contiguous() for key in (IMAGE, HEATMAP))


def lesson(folder: Path, config: FineTuneConfig) -> Lesson:
    """Find what there is to learn in prepared data.

    Raises
    ------
    InputError
        If a table or an image is missing, or nobody is left on one side.
    """
    teaching, validating = marked_images(folder, config)
    log.info("%d images teach, %d validate", len(teaching), len(validating))
    loss = _heatmap_loss if config.task == "landmark_heatmap" else _coordinate_loss
    return Lesson(
        images=TeachingMarks(teaching, config),
        names=tuple(image.pid for image in teaching),
        loss=partial(loss, config),
        judge=partial(validate, config, validating),
    )


def marked_images(folder: Path, config: FineTuneConfig) -> tuple[list[MarkedImage], list[MarkedImage]]:
    """List the images that teach and those that validate, by the tables ``{view}_{train,val}.csv``.

    Raises
    ------
    InputError
        As :func:`lesson`.
    """
    return both_sides([_listed(folder, config, split) for split in ("train", "val")], folder, config)


def split_images(folder: Path, config: FineTuneConfig, split: Split) -> list[MarkedImage]:
    """List the images of a split.

    Raises
    ------
    InputError
        As :func:`lesson`.
    """
    return _listed(folder, config, split) if split == "test" else marked_images(folder, config)[split == "val"]


def _listed(folder: Path, config: FineTuneConfig, split: str) -> list[MarkedImage]:
    view = config.model.views
    rows = read_table(folder / f"{view}_{split}.csv", config.data.name)
    if split == "train" and config.data.proportion < 1:
        rows = rows.sample(frac=config.data.proportion, random_state=config.seed)
    images = [_marked(folder / view / "images", row) for row in rows.to_dict("records")]
    refuse_missing([image.path for image in images], config.data.name)
    return images


def _marked(folder: Path, row: Mapping[str, Any]) -> MarkedImage:
    try:
        points = tuple((float(row[f"x{k}"]), float(row[f"y{k}"])) for k in range(1, N_LANDMARKS + 1))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"A row of the table has no x1 to y{N_LANDMARKS} ({error}). Prepare the dataset again."
        ) from None
    return MarkedImage(row["pid"], folder / f"{row['uid']}.png", points)


@lru_cache(maxsize=KEPT)
def read_pixels(path: Path) -> NDArray[np.float32]:
    """Read a prepared image, shape (1, x, y), grey values as stored.

    Raises
    ------
    StudyError
        If it is damaged.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"), dtype=np.float32).T[None].copy()  # (y, x) -> (1, x, y)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise StudyError(f"{path.name} is no image that can be read. Prepare the dataset again.") from error


def heatmaps(points: Sequence[tuple[float, float]], size: Sequence[int]) -> NDArray[np.float32]:
    """Draw a peak of height 1 about every landmark, shape (3, x, y)."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
    return np.stack([np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * SIGMA**2)) for px, py in points]).astype(np.float32)


def peaks_of(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Whole pixels (b, 3, 2) where heatmaps (b, 3, x, y) are highest, as (x, y), and how high they are (b, 3)."""
    height, at = maps.flatten(2).max(dim=2)
    return torch.stack([at // maps.shape[3], at % maps.shape[3]], dim=2).float(), height


def _heatmap_loss(config: FineTuneConfig, network: nn.Module, batch: Batch) -> Tensor:
    images, maps = batch
    logits = network({config.model.views: images})[config.model.views].float()
    dice: Tensor = _DICE(logits, maps)
    return functional.binary_cross_entropy_with_logits(logits, maps) + dice


def _coordinate_loss(config: FineTuneConfig, network: nn.Module, batch: Batch) -> Tensor:
    """Wing loss on the points, and on each point as seen from the middle of the other two.

    As published a landmark that was moved out of the image is said to be in its first pixel; mended, the image says
    nothing of it.
    """
    images, maps = batch
    found = coordinate_points(network({config.model.views: images}), (images.shape[2], images.shape[3]))
    true, height = peaks_of(maps)
    seen = height > LOWEST_PEAK if config.behaviour is Behaviour.MENDED else torch.ones_like(height, dtype=torch.bool)
    whole = seen.all(dim=1, keepdim=True).expand_as(seen)  # a point is seen from the others if all are there
    return wing(found - true, seen) + wing(_relative(found) - _relative(true), whole)


def _relative(points: Tensor) -> Tensor:
    """Each point minus the middle of the other two, (b, 3, 2)."""
    return points - (points.sum(dim=1, keepdim=True) - points) / (N_LANDMARKS - 1)


def wing(errors: Tensor, counted: Tensor) -> Tensor:
    """Mean wing loss of the points (b, 3, 2) that count (b, 3): steep near 0, then linear; 0 if none counts.

    References
    ----------
    Feng et al., Wing loss for robust facial landmark localisation, CVPR 2018.
    """
    size = errors.abs()
    offset = WING_WIDTH - WING_WIDTH * np.log1p(WING_WIDTH / WING_CURVE)
    loss = torch.where(size < WING_WIDTH, WING_WIDTH * torch.log1p(size / WING_CURVE), size - offset)
    weight = counted[..., None].expand_as(loss).to(loss.dtype)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


@torch.no_grad()
def validate(config: FineTuneConfig, images: Sequence[MarkedImage], network: nn.Module) -> dict[str, float]:
    """Mean distance (mm) of the landmarks that are found; published behaviour cuts points to whole pixels.

    Raises
    ------
    StudyError
        If an image is larger than the network takes.
    """
    away = [torch.from_numpy(distances_mm(points_by(config, image, network)[0], image, config)) for image in images]
    by_landmark = torch.stack(away).mean(dim=0)
    figures = {f"val_distance_{k}": float(mm) for k, mm in enumerate(by_landmark, start=1)}
    return {"val_mean_distance": float(by_landmark.mean()), **figures}


def distances_mm(points: NDArray[np.float32], image: MarkedImage, config: FineTuneConfig) -> NDArray[np.float64]:
    """Distance of points (3, 2) from the landmarks of an image, shape (3,)."""
    away = (points.astype(np.float64) - np.array(image.points)) * config.view.spacing
    return np.asarray(np.linalg.norm(away, axis=1))


@torch.no_grad()
def points_by(config: FineTuneConfig, image: MarkedImage, network: nn.Module) -> tuple[NDArray[np.float32], Tensor]:
    """Where a network finds the landmarks, pixels (3, 2) as (x, y); and its answer for the padded image.

    Raises
    ------
    StudyError
        If the image is larger than the network takes.
    """
    view, size = config.model.views, config.view.patch_size
    pixels = read_pixels(image.path)
    if any(n > limit for n, limit in zip(pixels.shape[1:], size, strict=True)):
        raise StudyError(f"{image.path.name} is larger than data.lax.patch_size. Set it to more.")
    shown = torch.from_numpy(scale_sample(pixels))[None].to(next(network.parameters()).device)
    answer = network({view: pad_end(shown, size)})
    if config.task == "landmark_heatmap":
        answer = answer[view]
        points = heatmap_points(answer)[0]
    else:
        points = coordinate_points(answer, (size[0], size[1]))
    if config.behaviour is Behaviour.PUBLISHED:
        points = points.trunc()
    return points[0].cpu().numpy(), answer[0].float().cpu()
