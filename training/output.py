"""What a training leaves: weights and config in the published form, the curve, a checkpoint while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from safetensors.torch import save_file
from torch import Tensor

from cinema_core.disk import disk_errors
from cinema_core.errors import InputError
from training.config_files import TrainingConfig
from training.datasets.preparing import csv_text, write_text
from training.loop import Run
from training.tracking import Tracker


@dataclass(frozen=True)
class Output:
    """Where a training writes.

    Attributes
    ----------
    name
        Of the config: the weights are called ``NAME_SEED.safetensors``, as published.
    """

    folder: Path
    name: str

    def publish(self, config: TrainingConfig, weights: Mapping[str, Tensor], run: Run) -> None:
        """Write weights, config and curve; each appears whole or not at all, the weights last.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        write_text(self.folder / "config.yaml", yaml.safe_dump(config.published_form(), sort_keys=False))
        write_text(self.curve(config), csv_text(run.curve))
        self.write(weights, self.weights(config))

    def write(self, weights: Mapping[str, Tensor], path: Path) -> None:
        """Write weights whole or not at all.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        with disk_errors(f"{path} could not be written"):
            partial_file = path.with_name(f".partial-{path.name}")
            try:
                save_file({key: value.detach().to("cpu").contiguous() for key, value in weights.items()}, partial_file)
                partial_file.replace(path)
            finally:
                partial_file.unlink(missing_ok=True)

    def weights(self, config: TrainingConfig) -> Path:
        """Path of the weights."""
        return self.folder / f"{self.name}_{config.seed}.safetensors"

    def weights_after(self, config: TrainingConfig, epoch: int) -> Path:
        """Path of the weights of an epoch that are kept beside the last."""
        return self.folder / f"{self.name}_{config.seed}_epoch{epoch:04d}.safetensors"

    def curve(self, config: TrainingConfig) -> Path:
        """Path of the table with a row per validation."""
        return self.folder / f"curve_{config.seed}.csv"

    def checkpoint(self, config: TrainingConfig) -> Path:
        """Path of the checkpoint; it is there from the first validation to the end."""
        return self.folder / f"checkpoint_{config.seed}.pt"

    def tracker(self, config: TrainingConfig, first_step: int = 0) -> Tracker:
        """Open the log of the run."""
        run = f"{self.name}_{config.seed}"
        return Tracker(self.folder / "tensorboard", run, config.logging, config.published_form(), first_step)

    def refuse_result(self, config: TrainingConfig) -> None:
        """Make sure that no result is overwritten.

        Raises
        ------
        InputError
            If the folder holds one already.
        """
        if self.weights(config).exists() and not self.checkpoint(config).exists():
            raise InputError(
                f"{self.weights(config)} is there already, and no checkpoint to go on from. Choose another folder, or "
                "remove it to train anew."
            )

    def make_folder(self) -> None:
        """Make the folder.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        with disk_errors(f"Nothing could be written to {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True)
