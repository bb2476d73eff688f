"""Fine-tune a published network on a prepared dataset: ``python -m training.finetune segmentation acdc_sax --out DIR``.

``DIR`` gets ``NAME_SEED.safetensors`` and ``config.yaml`` in the published form, and ``curve_SEED.csv``. Any setting is
said on the command line by its dotted name: ``train.lr=0.0003 model.ckpt_path=cinema.safetensors``. After a stop the
same command goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from cinema_core.disk import disk_errors
from cinema_core.errors import CinemaError, InputError
from cinema_core.models import build_model, transfer_pretrained
from cinema_core.models.zoo import choose_device
from training import answering, landmarks, segmenting
from training.datasets.preparing import csv_text, processed_folder, write_text
from training.epochs import Lesson, fit_epochs, steps_per_epoch
from training.loop import Run, Training
from training.optimise import parameter_groups, rate_at
from training.settings import TASKS, FineTuneConfig, read_config

log = logging.getLogger(__name__)

LESSONS: Final[Mapping[str, Callable[[Path, FineTuneConfig], Lesson]]] = {
    "segmentation": segmenting.lesson,
    "classification": answering.lesson,
    "regression": answering.lesson,
    "landmark_heatmap": landmarks.lesson,
    "landmark_coordinate": landmarks.lesson,
}


@dataclass(frozen=True)
class Output:
    """Where a fine-tuning writes.

    Attributes
    ----------
    name
        Of the config: the weights are called ``NAME_SEED.safetensors``, as published.
    """

    folder: Path
    name: str

    def publish(self, config: FineTuneConfig, weights: Mapping[str, Tensor], run: Run) -> None:
        """Write weights, config and curve; each appears whole or not at all, the weights last.

        Raises
        ------
        StorageError
            If the disk refuses.
        """
        write_text(self.folder / "config.yaml", yaml.safe_dump(config.published_form(), sort_keys=False))
        write_text(self.curve(config), csv_text(run.curve))
        path = self.weights(config)
        with disk_errors(f"{path} could not be written"):
            partial_file = path.with_name(f".partial-{path.name}")
            save_file({key: value.detach().to("cpu").contiguous() for key, value in weights.items()}, partial_file)
            partial_file.replace(path)

    def weights(self, config: FineTuneConfig) -> Path:
        """Path of the weights."""
        return self.folder / f"{self.name}_{config.seed}.safetensors"

    def curve(self, config: FineTuneConfig) -> Path:
        """Path of the table with a row per validation."""
        return self.folder / f"curve_{config.seed}.csv"

    def checkpoint(self, config: FineTuneConfig) -> Path:
        """Path of the checkpoint; it is there from the first validation to the end."""
        return self.folder / f"checkpoint_{config.seed}.pt"


def finetune(config: FineTuneConfig, output: Output, device: torch.device | str = "cpu") -> Run:
    """Fine-tune as a config says.

    Raises
    ------
    InputError
        If the data are not prepared, the folder holds the result already, or a checkpoint of another config.
    EngineError
        If the loss is no number again and again.
    StorageError
        If the disk refuses.
    """
    if output.weights(config).exists() and not output.checkpoint(config).exists():
        raise InputError(
            f"{output.weights(config)} is there already, and no checkpoint to go on from. Choose another folder, or "
            "remove it to train anew."
        )
    device = torch.device(device)
    folder = config.data.dir or processed_folder(config.data.name)
    lesson = LESSONS[config.task](folder, config)
    per_epoch = steps_per_epoch(len(lesson.names), config.train, config.behaviour)
    network = _network(config)
    with disk_errors(f"Nothing could be written to {output.folder}"):
        output.folder.mkdir(parents=True, exist_ok=True)
    training = Training(
        network,
        config.train,
        lesson.loss,
        device,
        recipe=_recipe(config, lesson),
        rate=lambda run: rate_at(run.step / per_epoch, config.train),
        groups=parameter_groups(network, config),
        precision=torch.bfloat16 if device.type == "cuda" else torch.float32,
    )
    fit_epochs(training, lesson, config, output.checkpoint(config), partial(output.publish, config))
    write_text(output.curve(config), csv_text(training.run.curve))
    return training.run


def _network(config: FineTuneConfig) -> nn.Module:
    torch.manual_seed(config.seed)
    network = build_model(config.model_dump(mode="json"))
    if config.model.ckpt_path is not None:
        report = transfer_pretrained(network, config.model.ckpt_path, freeze=config.model.freeze_pretrained)
        log.info("%d tensors are pretrained, %d start anew", len(report.loaded), len(report.not_loaded))
    return network


def _recipe(config: FineTuneConfig, lesson: Lesson) -> dict[str, object]:
    """Everything but ``train`` that the weights follow from."""
    form = config.published_form()
    del form["train"]
    pretrained = config.model.ckpt_path.name if config.model.ckpt_path else None
    return {"config": form, "pretrained": pretrained, "images": list(lesson.names)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.finetune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("config", help="name of a config in training/configs/TASK, or a .yaml file")
    parser.add_argument("settings", nargs="*", help="such as train.lr=0.0003 seed=1")
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    given = parser.parse_intermixed_args(arguments)  # settings may stand before and after the options
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = read_config(given.task, given.config, given.settings)
        output = Output(given.out, Path(given.config).stem)
        run = finetune(config, output, choose_device(given.device))
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{run.step} steps, {run.skipped} left out. The best weights are {output.weights(config)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
