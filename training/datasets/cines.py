"""Cines without labels, for a masked autoencoder: a folder per study, a file per view, one phase shown per epoch.

The published preparation of UK Biobank writes ``EID_INSTANCE/EID_INSTANCE_sax.nii.gz``, ours ``PID_sax_t.nii.gz``; both
are found, and so is what other programs write under these names on the same grid. Large cohorts lie in shards, see
:mod:`training.datasets.shards`.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import torch
from monai.transforms import Compose, RandSpatialCropd, RandZoomd, ScaleIntensityd, SpatialPadd
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cinema_core.errors import GeometryError, InputError, StudyError
from training.datasets.shards import Packed, read_shards
from training.pretrain_settings import PretrainConfig

log = logging.getLogger(__name__)

_FILE: Final = re.compile(r"(?:.*_)?(sax|lax_2c|lax_3c|lax_4c)(?:_t)?\.nii(?:\.gz)?")
_BIOBANK: Final = re.compile(r"(\d+)_\d+")
"""Folder of a visit; the first number is the participant's."""

SAME_SPACING: Final = 0.05
"""Share by which voxel sizes may differ from the config's."""


@dataclass(frozen=True)
class CineStudy:
    """Files of a study by view; its name is its folder's, below the folder of all."""

    name: str
    files: Mapping[str, Path | Packed]

    @property
    def person(self) -> str:
        """Whom it shows: visits of a participant of UK Biobank are one person's."""
        visit = _BIOBANK.fullmatch(self.name.rpartition("/")[2])
        return visit.group(1) if visit else self.name


def find_studies(folder: Path, views: Sequence[str]) -> list[CineStudy]:
    """List the studies below a folder that have all of some views, by name.

    Raises
    ------
    InputError
        If the folder is not there, holds no such study, or two files of a study are of one view.
    """
    return _with_all_views(files_by_study(folder, views), folder, views)


def packed_studies(folder: Path, views: Sequence[str]) -> list[CineStudy]:
    """List the studies of a folder of shards that have all of some views, by name.

    Raises
    ------
    InputError
        If the shards are not there or not whole, or hold no such study.
    """
    return _with_all_views(read_shards(folder), folder, views)


def files_by_study(folder: Path, views: Sequence[str]) -> dict[str, dict[str, Path]]:
    """List the files of some views below a folder, by study and view, both in order.

    Raises
    ------
    InputError
        If the folder is not there, holds no such file, or two files of a study are of one view.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}. Prepare cines, and name their folder as data.dir.")
    found: dict[str, dict[str, Path]] = {}
    for place, below, names in os.walk(folder):
        below.sort()
        files: dict[str, Path] = {}
        for name in sorted(names):
            match = _FILE.fullmatch(name)
            if match is None or match.group(1) not in views:
                continue
            if match.group(1) in files:
                raise InputError(f"{place} has two files of {match.group(1)}: {files[match.group(1)].name}, {name}.")
            files[match.group(1)] = Path(place) / name
        if files:
            found[Path(place).relative_to(folder).as_posix()] = {view: files[view] for view in views if view in files}
    if not found:
        raise InputError(f"No study in {folder} has a file of {' or '.join(views)}. Prepare cines.")
    return dict(sorted(found.items()))


def _with_all_views(
    found: Mapping[str, Mapping[str, Path | Packed]], folder: Path, views: Sequence[str]
) -> list[CineStudy]:
    whole = [
        CineStudy(name, {view: files[view] for view in views})
        for name, files in sorted(found.items())
        if set(views) <= set(files)
    ]
    if not whole:
        raise InputError(
            f"None of {len(found)} studies in {folder} has all of {', '.join(views)}. Set data.views to what they have."
        )
    if len(whole) < len(found):
        log.info("%d of %d studies lack a view and are left out", len(found) - len(whole), len(found))
    return whole


def split_studies(studies: Sequence[CineStudy], val_share: float) -> tuple[list[CineStudy], list[CineStudy]]:
    """Studies that teach and those that validate; a person's name alone decides, whoever else is there."""
    validating = [study for study in studies if _place(study.person) < val_share]
    chosen = {study.name for study in validating}
    return [study for study in studies if study.name not in chosen], validating


def _place(name: str) -> float:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32


class MaskedCines(Dataset[tuple[Tensor, ...]]):
    """One phase of a study in all its views, and the noise that decides which patches are hidden.

    An item holds first the images, (1, x, y[, z]) float32 0 to 1 of the model's size, then the noises, (tokens,), both
    in the order of ``data.views``. What is drawn for an index follows from it and the seed alone; an index is
    ``epoch * len(studies) + i``.
    """

    def __init__(self, studies: Sequence[CineStudy], config: PretrainConfig, *, varied: bool = True) -> None:
        self.studies = tuple(studies)
        self._config = config
        self._transform = augmentation(config) if varied else sizing(config)

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        config, study = self._config, self.studies[index % len(self.studies)]
        rng = np.random.default_rng([config.seed, index])
        at = float(rng.random())
        images = {view: torch.from_numpy(read_phase(study.files[view], at, config, view)) for view in config.data.views}
        self._transform.set_random_state(seed=int(rng.integers(2**32)))
        shown = self._transform(images)
        noises = [rng.random(n_tokens(config, view), dtype=np.float32) for view in config.data.views]
        return (
            *(torch.as_tensor(shown[view]).as_subclass(Tensor).float().contiguous() for view in config.data.views),
            *map(torch.from_numpy, noises),
        )


def n_tokens(config: PretrainConfig, view: str) -> int:
    """Patches of a view."""
    size = config.view(view).patch_size
    return int(np.prod([n // p for n, p in zip(size, config.patch(len(size)), strict=True)]))


def read_phase(path: Path | Packed, at: float, config: PretrainConfig, view: str) -> NDArray[np.float32]:
    """One phase of a cine, shape (1, x, y[, z]), grey values as stored.

    Only that phase is read: an uncompressed file gives it at once, a compressed one is unpacked up to it.

    Parameters
    ----------
    at
        Where in the cycle, 0 up to but not including 1: the same for all views, which may have other numbers of phases.

    Raises
    ------
    StudyError
        If the file is damaged, or is no cine.
    GeometryError
        If its voxels have another size than the config says, or a long-axis view has several slices.
    """
    wanted = config.view(view)
    try:
        with _opened(path) as image:
            shape, zooms = image.shape, image.header.get_zooms()
            if len(shape) not in (3, 4):
                raise StudyError(
                    f"{path} has {len(shape)} axes; a prepared cine has 3 (one phase) or 4. Prepare it again."
                )
            t = int(at * shape[3]) if len(shape) == 4 else 0
            pixels = np.asarray(image.dataobj[..., t] if len(shape) == 4 else image.dataobj, dtype=np.float32)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, ImageFileError, tarfile.TarError) as error:
        raise StudyError(f"{path} is cut short or damaged ({error}). Prepare it again.") from error
    n_axes = len(wanted.patch_size)
    if not np.allclose(zooms[:n_axes], wanted.spacing, rtol=SAME_SPACING):
        raise GeometryError(
            f"{path} has voxels of {' x '.join(f'{mm:g}' for mm in zooms[:n_axes])} mm, the config says "
            f"{' x '.join(f'{mm:g}' for mm in wanted.spacing)}. Prepare it again, or change data.*.spacing."
        )
    if n_axes == 2:
        if pixels.shape[2] != 1:
            raise GeometryError(f"{path} has {pixels.shape[2]} slices; a long-axis view has one. Prepare it again.")
        pixels = pixels[..., 0]
    if not np.isfinite(pixels).all():
        raise StudyError(f"{path} holds voxels that are no numbers. Prepare it again.")
    return pixels[None]


@contextmanager
def _opened(path: Path | Packed) -> Iterator[Any]:
    """Image whose voxels are read as they are asked for."""
    if isinstance(path, Path):
        yield nib.load(path)
        return
    with path.opened() as file:
        yield nib.Nifti1Image.from_stream(file)


def augmentation(config: PretrainConfig) -> Compose:
    """Build the published steps: zoom, then :func:`sizing`."""
    views, (low, high) = config.data.views, config.transform.zoom
    long_axis = [view for view in views if view != "sax"]
    steps = []
    for keys, mode in (([view for view in views if view == "sax"], "trilinear"), (long_axis, "bicubic")):
        if keys:
            chance = {"prob": config.transform.prob, "min_zoom": low, "max_zoom": high}
            steps.append(RandZoomd(keys, mode=mode, padding_mode="constant", keep_size=True, **chance))
    return Compose([*steps, *sizing(config).transforms])


def sizing(config: PretrainConfig) -> Compose:
    """Stretch to 0 to 1, cut what is larger than the model's size anywhere, pad the rest at the end."""
    steps: list[Any] = [ScaleIntensityd(config.data.views)]
    for view in config.data.views:
        size = config.view(view).patch_size
        steps += [RandSpatialCropd(view, roi_size=size, random_size=False), SpatialPadd(view, size, method="end")]
    return Compose(steps)
