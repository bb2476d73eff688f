"""Cards of the bundled models: what taught them, how to make them again, and the figures seen while training."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import torch

from cinema_core.cards import BUNDLED_MAE, RESEARCH_USE, ModelCard
from training.loop import Run


def _taught(settings: Mapping[str, Any], run: Run, with_sunnybrook: bool, labels: str) -> list[str]:
    """Lines of a card: what a part of the training learned from."""
    n_slices = run.step * settings["batch_size"]
    if not with_sunnybrook:
        return [f"{n_slices} synthetic short-axis slices (cinema_core/phantom/slices.py)"]
    share = settings["sunnybrook_share"]
    return [
        f"{n_slices} slices, {1 - share:.0%} of them synthetic (cinema_core/phantom/slices.py)",
        f"{share:.0%} drawn with variation from Sunnybrook Cardiac Data (Radau et al. 2009, CC0): {labels} of the "
        "patients that training.datasets.slices.is_held_out leaves to teach",
    ]


def _recipe(settings: Mapping[str, Any], seed: int, run: Run, command: str, device: torch.device) -> dict[str, Any]:
    """Part of a card: what it takes to make the weights again, and how the training went."""
    versions = {name: metadata.version(name) for name in ("napari-cinema", "torch", "numpy", "scipy", "safetensors")}
    processor = f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores, bfloat16"
    if device.type == "cuda":
        processor = f"{torch.cuda.get_device_name(device)}, bfloat16"
    return {
        "command": command,
        "seed": seed,
        "data_order": "slice n follows from the seed and from n alone and is used once",
        "steps": run.step,
        "batch_size": settings["batch_size"],
        "minutes": round(run.seconds / 60, 1),
        "processor": processor,
        "versions": {"python": platform.python_version(), **versions},
        "curve": run.curve,
    }


def segmenter_card(
    config: Mapping[str, Any],
    run: Run,
    command: str,
    with_sunnybrook: bool,
    device: torch.device,
    refined: Run | None = None,
) -> ModelCard:
    """Card that the program shows of the segmenter; its figures are those seen while training."""
    curve = (refined or run).curve
    measured = {key: value for key, value in (curve[-1] if curve else {}).items() if "dice" in key}
    recipe = _recipe(config["train"], config["seed"], run, command, device)
    labels = "images and LV cavity contours"
    taught = _taught(config["train"], run, with_sunnybrook, labels)
    if refined is not None:
        recipe["refined"] = _recipe(config["refine"], config["seed"], refined, command, device)
        taught += [f"while refining: {line}" for line in _taught(config["refine"], refined, with_sunnybrook, labels)]
    if "pretrain" in config:
        recipe["pretrained"] = f"encoder from the masked autoencoder {BUNDLED_MAE}, {config['pretrain']['steps']} steps"
    return ModelCard(
        name="bundled",
        sha256="",
        kind="bundled",
        description=(
            "ConvUNetR in the published form, of a size of its own (width 192, 6 blocks), for short-axis cine slices: "
            "RV cavity, LV myocardium, LV cavity; papillary muscles count as cavity. A start to correct and to tune."
        ),
        trained_on=taught,
        licence="BSD-3-Clause",
        intended_use=RESEARCH_USE + " Not for clinical use.",
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=recipe,
        figures={"while training (mean Dice over volumes, cut at the heart)": measured} if measured else {},
    )


def autoencoder_card(
    config: Mapping[str, Any], run: Run, command: str, with_sunnybrook: bool, device: torch.device
) -> ModelCard:
    """Card of the masked autoencoder."""
    last = run.curve[-1] if run.curve else {}
    measured = {key: value for key, value in last.items() if "error" in key}
    return ModelCard(
        name=BUNDLED_MAE,
        sha256="",
        kind="bundled",
        description=(
            "Masked autoencoder in the published form, of the size of the bundled segmenter, for short-axis cine "
            "slices: the encoder that the segmenter started from, for transfer, embeddings and reconstruction."
        ),
        trained_on=_taught(config["pretrain"], run, with_sunnybrook, "images without labels"),
        licence="BSD-3-Clause",
        intended_use=RESEARCH_USE + " Not for clinical use.",
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        recipe=_recipe(config["pretrain"], config["seed"], run, command, device),
        figures={"while training (mean squared error of hidden patches, pixels 0 to 1)": measured} if measured else {},
    )
