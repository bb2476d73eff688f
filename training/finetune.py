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
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import nn

from cinema_core.errors import CinemaError
from cinema_core.models import build_model, transfer_pretrained
from cinema_core.models.zoo import choose_device
from training import answering, landmarks, segmenting
from training.datasets.preparing import processed_folder
from training.distributed import Processes, add_options, device_of, launch
from training.epochs import Lesson, train_epochs
from training.loop import Run
from training.optimise import parameter_groups
from training.output import Output
from training.settings import TASKS, FineTuneConfig, read_config

log = logging.getLogger(__name__)

LESSONS: Final[Mapping[str, Callable[[Path, FineTuneConfig], Lesson]]] = {
    "segmentation": segmenting.lesson,
    "classification": answering.lesson,
    "regression": answering.lesson,
    "landmark_heatmap": landmarks.lesson,
    "landmark_coordinate": landmarks.lesson,
}


def finetune(
    config: FineTuneConfig,
    output: Output,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
) -> Run:
    """Fine-tune as a config says.

    Parameters
    ----------
    processes
        Those that train together; None: this one alone.

    Raises
    ------
    InputError
        If the data are not prepared, the folder holds the result already, or a checkpoint of another config.
    EngineError
        If the loss is no number again and again.
    StorageError
        If the disk refuses.
    """
    output.refuse_result(config)
    folder = config.data.dir or processed_folder(config.data.name)
    lesson = LESSONS[config.task](folder, config)
    network = _network(config)
    recipe, groups = _recipe(config, lesson), partial(parameter_groups, config=config)
    return train_epochs(network, lesson, config, output, recipe, groups, torch.device(device), processes)


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
    del form["train"], form["logging"]
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
    add_options(parser)
    given = parser.parse_intermixed_args(arguments)  # settings may stand before and after the options
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = read_config(given.task, given.config, given.settings)
        output = Output(given.out, Path(given.config).stem)
        device = choose_device(given.device)
        # The UNet has, as published, a convolution that it never uses.
        processes = launch(given, device, every_weight_used=config.model.name != "unet")
        run = finetune(config, output, device_of(processes, device), processes)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if processes.rank == 0:
        print(f"{run.step} steps, {run.skipped} left out. The best weights are {output.weights(config)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
