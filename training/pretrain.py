"""Pretrain a masked autoencoder on cines without labels: ``python -m training.pretrain data.dir=CINES --out DIR``.

``DIR`` gets ``cinema_SEED.safetensors`` and ``config.yaml`` in the published form after every epoch, weights of every
hundredth epoch beside them, ``curve_SEED.csv``, and TensorBoard's files. Fine-tuning starts from the weights with
``model.ckpt_path=DIR/cinema_0.safetensors``. Any setting is said on the command line by its dotted name. After a stop
the same command goes on where it was.

Several GPUs: ``--devices 4``; several machines: start the command with torchrun, or through srun with ``--devices`` and
``--nodes``.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cinema_core.errors import CinemaError, InputError
from cinema_core.models import MaskedAutoencoder, build_model, load_model
from cinema_core.models.zoo import choose_device
from training.datasets.cines import MaskedCines, find_studies, packed_studies, split_studies
from training.distributed import Processes, add_options, device_of, launch
from training.epochs import Lesson, train_epochs
from training.loop import Batch, Run, decayed_groups
from training.output import Output
from training.pretrain_settings import PretrainConfig, read_pretrain_config

log = logging.getLogger(__name__)


def pretrain(
    config: PretrainConfig,
    output: Output,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
) -> Run:
    """Pretrain as a config says.

    Parameters
    ----------
    processes
        Those that train together; None: this one alone.

    Raises
    ------
    InputError
        If there are no cines, the folder holds the result already, or a checkpoint of another config.
    EngineError
        If the loss is no number again and again.
    StorageError
        If the disk refuses.
    """
    output.refuse_result(config)
    found = lesson(config)
    form = config.published_form()
    del form["train"], form["logging"]
    started = config.model.ckpt_path.name if config.model.ckpt_path else None
    recipe = {"config": form, "pretrained": started, "studies": list(found.names)}
    groups = partial(decayed_groups, weight_decay=config.train.weight_decay)
    network, publish = _network(config), partial(_publish, config, output)
    return train_epochs(network, found, config, output, recipe, groups, torch.device(device), processes, publish)


def lesson(config: PretrainConfig) -> Lesson:
    """Find what there is to learn.

    Raises
    ------
    InputError
        If there are no cines, or nobody is left to teach.
    """
    place = config.data.dir or config.data.shards
    if place is None:
        raise InputError("Say where the prepared cines are: data.dir=FOLDER, or data.shards=FOLDER of their shards.")
    listed = find_studies if config.data.shards is None else packed_studies
    studies = listed(place, config.data.views)
    teaching, validating = split_studies(studies, config.data.val_share)
    if config.data.max_n_samples >= 0:
        teaching = teaching[: config.data.max_n_samples]
    if not teaching:
        raise InputError(f"{place} leaves nobody to teach. Prepare more cines, or lower data.val_share.")
    log.info("%d studies teach, %d validate", len(teaching), len(validating))
    return Lesson(
        images=MaskedCines(teaching, config),
        names=tuple(study.name for study in teaching),
        loss=partial(_loss, config),
        judge=partial(validate, config, MaskedCines(validating, config, varied=False)),
    )


def _loss(config: PretrainConfig, network: nn.Module, batch: Batch) -> Tensor:
    images, noises = _by_view(config, batch)
    loss: Tensor = network(images, mask_ratio=config.train.enc_mask_ratio, noise=noises).loss
    return loss


@torch.no_grad()
def validate(config: PretrainConfig, cines: MaskedCines, network: nn.Module) -> dict[str, float]:
    """Mean squared error of the hidden patches, of all and of each view; the same are hidden every time."""
    device, errors = next(network.parameters()).device, []
    for index in range(len(cines)):
        images, noises = _by_view(config, [part[None].to(device) for part in cines[index]])
        out = network(images, mask_ratio=config.train.enc_mask_ratio, noise=noises)
        errors.append([float(out.loss), *(float(out.metrics[f"{view}_mse_loss"]) for view in config.data.views)])
    if not errors:
        return {}
    names = ["val_masked_error", *(f"val_{view}_masked_error" for view in config.data.views)]
    return dict(zip(names, np.mean(errors, axis=0).tolist(), strict=True))


def _by_view(config: PretrainConfig, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    views = config.data.views
    return dict(zip(views, batch[: len(views)], strict=True)), dict(zip(views, batch[len(views) :], strict=True))


def _publish(config: PretrainConfig, output: Output, weights: Mapping[str, Tensor], run: Run) -> None:
    epoch = int(run.curve[-1]["epoch"])
    if epoch % config.train.keep_interval == 0:
        output.write(weights, output.weights_after(config, epoch))
    output.publish(config, weights, run)


def _network(config: PretrainConfig) -> nn.Module:
    torch.manual_seed(config.seed)
    form = config.model_dump(mode="json")
    network = build_model(form) if config.model.ckpt_path is None else load_model(config.model.ckpt_path, form)
    assert isinstance(network, MaskedAutoencoder)  # that is what such a config describes
    return network


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.pretrain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="such as data.dir=cines train.batch_size_per_device=8")
    parser.add_argument(
        "--config", default="cinema", help="name of a config in training/configs/pretraining, or a .yaml"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    add_options(parser)
    given = parser.parse_intermixed_args(arguments)  # settings may stand before and after the options
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        config = read_pretrain_config(given.config, given.settings)
        output, device = Output(given.out, Path(given.config).stem), choose_device(given.device)
        # The parts of a view that is not learned from have no part in the loss.
        all_views = set(config.data.views) == set(config.model.views)
        processes = launch(given, device, every_weight_used=all_views)
        run = pretrain(config, output, device_of(processes, device), processes)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if processes.rank == 0:
        print(f"{run.step} steps, {run.skipped} left out. The newest weights are {output.weights(config)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
