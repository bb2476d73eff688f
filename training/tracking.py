"""How a training goes, for TensorBoard and, where it is installed and asked for, Weights & Biases."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from training.config_files import Logging

log = logging.getLogger(__name__)


class Meter:
    """Throughput: images per second, and how much of the time was spent waiting for them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._images = 0
        self._seconds = self._waited = 0.0
        self.start()

    def start(self) -> None:
        """Count the time from now: what came before (validation, a checkpoint) was no training."""
        self._began = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around whatever fetches images."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def lap(self, n_images: int) -> float:
        """Seconds since the start, for so many images, over all processes."""
        seconds = time.perf_counter() - self._began
        self._seconds += seconds
        self._images += n_images
        return seconds

    def figures(self) -> dict[str, float]:
        """Tell what was measured since the last time; where there is a GPU, its memory and utilisation, too."""
        seconds = max(self._seconds, 1e-9)
        found = {"samples_per_s": self._images / seconds, "waiting_for_data_pct": 100 * self._waited / seconds}
        self._images, self._seconds, self._waited = 0, 0.0, 0.0
        if self._device.type == "cuda":
            found["gpu_memory_gb"] = torch.cuda.max_memory_allocated(self._device) / 1e9
            try:
                found["gpu_utilisation_pct"] = float(torch.cuda.utilization(self._device))
            except (ModuleNotFoundError, RuntimeError):  # needs nvidia-ml-py, and a driver that tells
                pass
        return found


class Tracker:
    """Writes figures by step. Without the package ``tensorboard`` the curves are in the run's CSV only."""

    def __init__(
        self, folder: Path, name: str, settings: Logging, config: Mapping[str, Any], first_step: int = 0
    ) -> None:
        """Open the log.

        Parameters
        ----------
        folder
            Of TensorBoard's files, unless the settings name another.
        name
            Of the run.
        config
            What is told of the run.
        first_step
            Where a training goes on; what an earlier run logged from there on is no more shown.
        """
        self._writer = _summary_writer((settings.dir or folder) / name, first_step)
        self._wandb = _wandb_run(name, settings, config) if settings.wandb.project else None

    def tell(self, step: int, figures: Mapping[str, float]) -> None:
        """Write figures of a step."""
        if self._writer is not None:
            for key, value in figures.items():
                self._writer.add_scalar(key, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(figures), step=step)

    def close(self) -> None:
        """Finish the log."""
        if self._writer is not None:
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("TensorBoard is not installed, no curves are logged: pip install 'napari-cinema[training]'")
        return None
    return SummaryWriter(str(folder), purge_step=first_step or None)


def _wandb_run(name: str, settings: Logging, config: Mapping[str, Any]) -> Any:
    try:
        import wandb
    except ImportError:
        log.warning("logging.wandb.project is set, but wandb is not installed: pip install wandb")
        return None
    return wandb.init(
        project=settings.wandb.project,
        entity=settings.wandb.entity,
        name=name,
        config=dict(config),
        dir=str(settings.dir) if settings.dir else None,
    )
