"""The config of the bundled models, in the published form: read, checked, and that of the autoencoder made from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cinema_core.errors import InputError
from training.loop import TrainSettings


def read_config(path: Path) -> dict[str, Any]:
    """Read a config in the published form.

    Raises
    ------
    InputError
        If the file is not there or is no config.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a config: {error}.") from error
    if not isinstance(config, dict) or not {"data", "train", "model"} <= set(config):
        raise InputError(f"{path} is no config: it needs the parts data, train and model.")
    return config


def read_settings(
    config: Mapping[str, Any], minutes: float | None, steps: int | None, part: str = "train"
) -> TrainSettings:
    """One part of a config that says how to train, with what the command line says instead of it.

    Raises
    ------
    InputError
        If a setting is unknown or impossible.
    """
    wanted = dict(config[part])
    if steps is not None:
        wanted.update(steps=steps)
    elif minutes is not None:
        wanted.update(minutes=minutes, steps=None)
    if wanted.get("minutes") is None and wanted.get("steps") is None:
        raise InputError("The config names neither minutes nor steps; give --minutes or --steps.")
    try:
        return TrainSettings(**wanted)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"Setting {part}.{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def autoencoder_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Config, in the published form, of the masked autoencoder whose encoder fits the segmenter."""
    unet = config["model"]["convunetr"]
    return {
        "seed": config["seed"],
        "data": config["data"],
        "train": {**config["pretrain"], "enc_mask_ratio": config["pretrain"]["mask_ratio"]},
        "model": {
            "size": unet["size"],
            "views": [config["model"]["views"]],
            "ckpt_path": None,
            "patch_size": unet["enc_patch_size"],
            "scale_factor": unet["enc_scale_factor"],
            "enc_conv_chans": unet["enc_conv_chans"],
            "enc_conv_n_blocks": unet["enc_conv_n_blocks"],
        },
    }
