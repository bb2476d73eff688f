"""Train the bundled model from nothing: ``python -m training.bundled``.

It learns from synthetic slices (:mod:`cinema_core.phantom.slices`), and from the CC0 Sunnybrook images
where they are at hand; never from anything else. It is judged by synthetic hearts and by Sunnybrook
patients that it does not learn from. After a stop the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save
from torch import nn

from cinema_core.cards import RESEARCH_USE, ModelCard, write_model_folder
from cinema_core.errors import CinemaError, InputError
from cinema_core.models import build_model
from cinema_core.process import keep_freed_memory
from training.datasets.slices import SliceStream
from training.judging import phantom_volumes, sunnybrook_volumes
from training.loop import Run, Training, TrainSettings, fit

log = logging.getLogger(__name__)

HERE: Final = Path(__file__).resolve().parent
DEFAULT_CONFIG: Final = HERE / "configs" / "bundled.yaml"
DEFAULT_OUT: Final = HERE.parent / "resources" / "models" / "bundled"
DEFAULT_SUNNYBROOK: Final = HERE.parent.parent / "shared" / "data" / "sunnybrook_slices"
DEFAULT_WORK: Final = HERE.parent / "out" / "bundled-training"


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
    if not isinstance(config, dict) or "train" not in config or "model" not in config:
        raise InputError(f"{path} is no config: it needs the parts data, train and model.")
    return config


def read_settings(config: Mapping[str, Any], minutes: float | None, steps: int | None) -> TrainSettings:
    """Training part of a config, with what the command line says instead of it.

    Raises
    ------
    InputError
        If a setting is unknown or impossible.
    """
    wanted = dict(config["train"])
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
        raise InputError(f"Setting train.{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


@torch.no_grad()
def keep_middle_taps(network: nn.Module) -> None:
    """Set to zero what a window of one slice never sees: the outer taps along z.

    The layers convolve one slice with the middle tap alone, so the others get no gradient and would keep
    their random start. At zero they stay zero, and a deeper window treats each of its slices by itself.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[2] > 1:
            middle = module.kernel_size[2] // 2
            module.weight[..., :middle] = 0
            module.weight[..., middle + 1 :] = 0


def half(mean: Mapping[str, torch.Tensor]) -> bytes:
    """Return the weights as a safetensors file in float16."""
    return save({name: value.to(torch.float16).contiguous() for name, value in mean.items()})


def bundled_card(config: Mapping[str, Any], run: Run, command: str, with_sunnybrook: bool) -> ModelCard:
    """Card that the program shows of these weights; its figures are those seen while training."""
    taught = [f"{run.step * config['train']['batch_size']} synthetic short-axis slices (cinema_core/phantom/slices.py)"]
    if with_sunnybrook:
        share = config["train"]["sunnybrook_share"]
        taught = [
            f"{run.step * config['train']['batch_size']} slices, {1 - share:.0%} of them synthetic "
            "(cinema_core/phantom/slices.py)",
            f"{share:.0%} drawn with variation from Sunnybrook Cardiac Data (Radau et al. 2009, CC0): images and LV "
            "cavity contours of the patients that training.datasets.slices.is_held_out leaves to teach",
        ]
    last = run.curve[-1] if run.curve else {}
    measured = {key: value for key, value in last.items() if "dice" in key}
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "scipy", "safetensors")}
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
        recipe={
            "command": command,
            "seed": config["seed"],
            "steps": run.step,
            "batch_size": config["train"]["batch_size"],
            "minutes": round(run.seconds / 60, 1),
            "processor": f"{platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores, bfloat16",
            "versions": {"python": platform.python_version(), **versions},
            "curve": run.curve,
        },
        figures={"while training (mean Dice over volumes, cut at the heart)": measured} if measured else {},
    )


def write_bundled(
    out: Path,
    mean: Mapping[str, torch.Tensor],
    config: Mapping[str, Any],
    run: Run,
    command: str,
    with_sunnybrook: bool,
) -> ModelCard:
    """Write the model folder whole or not at all."""
    text = yaml.safe_dump(dict(config), sort_keys=False)
    return write_model_folder(out, half(mean), text, bundled_card(config, run, command, with_sunnybrook))


def train_bundled(
    config: Mapping[str, Any],
    *,
    out: Path,
    work: Path,
    sunnybrook: Path | None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    command: str = "",
    n_judged_hearts: int = 8,
) -> Run:
    """Train and write the model folder ``out``; see the command's help for the arguments."""
    settings = read_settings(config, minutes, steps)
    seed = int(config.get("seed", 0)) if seed is None else seed
    # The file beside the weights says what was done, not what was asked for at first.
    config = {**config, "seed": seed, "train": settings.model_dump(mode="json")}
    torch.manual_seed(seed)
    network = build_model(config)
    keep_middle_taps(network)
    judges = {"phantom": phantom_volumes(n_judged_hearts)} if n_judged_hearts else {}
    if sunnybrook is not None:
        judges["sunnybrook"] = sunnybrook_volumes(sunnybrook)

    def publish(mean: Mapping[str, torch.Tensor], run: Run) -> None:
        write_bundled(out, mean, config, run, command, sunnybrook is not None)

    training = Training(network, settings)
    fit(training, SliceStream(seed, sunnybrook, settings.sunnybrook_share), work / "checkpoint.pt", judges, publish)
    return training.run


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.bundled",
        description="Train the bundled model and write its folder.",
        epilog="Example: python -m training.bundled --minutes 55",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="config in the published form")
    parser.add_argument("--minutes", type=float, help="wall-clock budget, instead of the config's")
    parser.add_argument("--steps", type=int, help="number of steps, instead of minutes")
    parser.add_argument("--seed", type=int, help="seed, instead of the config's")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="model folder to write")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="folder of the checkpoint to go on from")
    parser.add_argument(
        "--sunnybrook",
        type=Path,
        default=DEFAULT_SUNNYBROOK if DEFAULT_SUNNYBROOK.is_dir() else None,
        help="folder sunnybrook_slices (CC0); without it only synthetic slices teach",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training process")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    # Inherited by the processes that draw slices: their small products are faster on one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    torch.set_num_threads(given.threads)
    command = shlex.join(["python", "-m", "training.bundled", *(sys.argv[1:] if arguments is None else arguments)])
    try:
        train_bundled(
            read_config(given.config),
            out=given.out,
            work=given.work,
            sunnybrook=given.sunnybrook,
            minutes=given.minutes,
            steps=given.steps,
            seed=given.seed,
            command=command,
        )
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
