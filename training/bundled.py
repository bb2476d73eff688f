"""Train the bundled models from nothing: ``python -m training.bundled``.

First a masked autoencoder learns to fill in what is hidden of a slice, without labels. Then a ConvUNetR takes over
its encoder and learns to segment. Then it is refined: it learns on with more of what it found hardest, small and thick
hearts at end-systole whose papillary muscles fill the cavity, the right atrium beside the LV, slices across the
valves, and bowel below the heart. All parts learn from synthetic slices (:mod:`cinema_core.phantom.slices`), and from
the CC0 Sunnybrook images where they are at hand; never from anything else. They are judged by synthetic hearts and by
Sunnybrook patients that they do not learn from.
After a stop the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn

from cinema_core.cards import BUNDLED_MAE, RESEARCH_USE, ModelCard, write_model_folder
from cinema_core.errors import CinemaError, InputError
from cinema_core.models import MaskedAutoencoder, build_model, transfer_pretrained
from cinema_core.models.zoo import choose_device
from cinema_core.phantom.slices import HardCase
from cinema_core.process import keep_freed_memory
from training.datasets.slices import MaskedStream, SliceStream
from training.judging import JudgedVolume, dice_of, masked_error_of, phantom_volumes, sunnybrook_volumes
from training.loop import Batch, Run, Training, TrainSettings, fit, recipe_text
from training.partial_loss import segmentation_loss

log = logging.getLogger(__name__)

HERE: Final = Path(__file__).resolve().parent
DEFAULT_CONFIG: Final = HERE / "configs" / "bundled.yaml"
DEFAULT_OUT: Final = HERE.parent / "resources" / "models" / "bundled"
"""The masked autoencoder goes beside it, see :func:`autoencoder_folder`."""

DEFAULT_SUNNYBROOK: Final = HERE.parent.parent / "shared" / "data" / "sunnybrook_slices"
PARTS: Final = ("pretrain", "train", "refine")
"""Parts of the config that say how to train, in the order of training; the first and the last may be missing."""

RECIPE: Final = "recipe"
"""Key under which a weights file says what it was made by."""

RUN: Final = "run"
"""Key under which the weights of a part that is done say how it went."""

PRETRAINING_SEEDS_FROM: Final = 1_000_000
REFINING_SEEDS_FROM: Final = 2_000_000
"""Each part learns from slices that no other part saw."""
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


def autoencoder_folder(out: Path) -> Path:
    """Where the masked autoencoder of a bundled model is written: beside it."""
    return out.with_name(BUNDLED_MAE if out.name == "bundled" else f"{out.name}-mae")


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
    return save({name: value.to("cpu", torch.float16).contiguous() for name, value in mean.items()})


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


def _keep(path: Path, tensors: Mapping[str, torch.Tensor], training: Training) -> None:
    """Write the weights of a part that is done, with its recipe and how it went, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.cpu().contiguous() for name, value in tensors.items()}
    partial.write_bytes(save(contiguous, {RECIPE: training.recipe, RUN: json.dumps(asdict(training.run))}))
    os.replace(partial, path)


def _run_kept(path: Path, recipe: str) -> Run | None:
    """How a part went that was done before a stop; None if it was not.

    Raises
    ------
    InputError
        If it was done by another recipe.
    """
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        known = file.metadata() or {}
    if known.get(RECIPE) != recipe:
        raise InputError(
            f"{path} was made with other settings, another seed or other data. Ask for the same as then, remove it to "
            "start anew, or give another --work."
        )
    return Run(**json.loads(known[RUN]))


class Recipe:
    """All parts of the training, with what they share: where from, where to, who judges."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        out: Path,
        work: Path,
        sunnybrook: Path | None,
        command: str,
        n_judged_hearts: int,
        device: str,
    ) -> None:
        self.config = dict(config)
        self.out = out
        self.work = work
        self.sunnybrook = sunnybrook
        self.command = command
        self.device = choose_device(device)
        self._judged: dict[str, list[JudgedVolume]] = {}
        if n_judged_hearts:
            self._judged["phantom"] = phantom_volumes(n_judged_hearts)
        if sunnybrook is not None:
            self._judged["sunnybrook"] = sunnybrook_volumes(sunnybrook)

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return int(self.config["seed"])

    @property
    def pretrained(self) -> Path:
        """Weights of the autoencoder while the segmenter learns; absent until they are done."""
        return self.work / "pretrained.safetensors"

    @property
    def segmented(self) -> Path:
        """Weights of the segmenter while it is refined; absent until they are done."""
        return self.work / "segmented.safetensors"

    def _what_decides(self, part: str) -> dict[str, Any]:
        """Everything but the settings of a part that its weights follow from."""
        return {
            "part": part,
            "seed": self.seed,
            "sunnybrook": self.sunnybrook is not None,
            "model": self.config["model"],
            "data": self.config["data"],
            "after": {earlier: self.config.get(earlier) for earlier in PARTS[: PARTS.index(part)]},
        }

    def pretrain(self, settings: TrainSettings) -> Run | None:
        """Train the masked autoencoder; nothing to do if that was done before a stop.

        Raises
        ------
        InputError
            If it was done by another recipe.
        """
        torch.manual_seed(self.seed)
        config = autoencoder_config(self.config)
        network = build_model(config)
        assert isinstance(network, MaskedAutoencoder)  # that is what the config describes

        def loss_of(network: nn.Module, batch: Batch) -> torch.Tensor:
            images, noise = batch
            loss: torch.Tensor = network({"sax": images}, mask_ratio=settings.mask_ratio, noise={"sax": noise}).loss
            return loss

        def judge(network: nn.Module) -> dict[str, float]:
            return {
                f"{name}_masked_error": masked_error_of(network, volumes, settings.mask_ratio)
                for name, volumes in self._judged.items()
            }

        def publish(mean: Mapping[str, torch.Tensor], run: Run) -> None:
            card = autoencoder_card(self.config, run, self.command, self.sunnybrook is not None, self.device)
            text = yaml.safe_dump(config, sort_keys=False)
            write_model_folder(autoencoder_folder(self.out), half(mean), text, card)

        training = Training(network, settings, loss_of, self.device, self._what_decides("pretrain"))
        if _run_kept(self.pretrained, training.recipe) is not None:
            return None
        # Other slices than those that the segmenter will learn from.
        slices = self._slices(self.seed + PRETRAINING_SEEDS_FROM, settings)
        stream = MaskedStream(slices, self.seed, network.n_tokens("sax"))
        fit(training, stream, self.work / "pretraining.pt", judge, publish)
        _keep(self.pretrained, training.mean, training)
        return training.run

    def segment(self, settings: TrainSettings) -> Run:
        """Train the segmenter, from the autoencoder's encoder if there is one.

        Raises
        ------
        InputError
            If it was done before a stop, by another recipe.
        """
        done = _run_kept(self.segmented, recipe_text(settings, self._what_decides("train")))
        if done is not None:
            return done
        torch.manual_seed(self.seed)
        network = build_model(self.config)
        if "pretrain" in self.config:
            transfer_pretrained(network, self.pretrained)
        keep_middle_taps(network)
        training = self._segmenter_training("train", network, settings)
        slices = self._slices(self.seed, settings)
        fit(training, slices, self.work / "checkpoint.pt", self._dice, self._publish)
        if "refine" in self.config:
            # In float16, as they would ship: refining starts from what can be downloaded, too.
            _keep(self.segmented, {name: value.half() for name, value in training.mean.items()}, training)
        else:
            self._all_done()
        return training.run

    def refine(self, settings: TrainSettings, first: Run) -> Run:
        """Train the segmenter on, from where :meth:`segment` left it after the run ``first``."""
        torch.manual_seed(self.seed)
        network = build_model(self.config)
        network.load_state_dict({name: value.float() for name, value in load_file(self.segmented).items()})
        training = self._segmenter_training("refine", network, settings)
        slices = self._slices(self.seed + REFINING_SEEDS_FROM, settings)

        def publish(mean: Mapping[str, torch.Tensor], run: Run) -> None:
            self._publish(mean, first, run)

        fit(training, slices, self.work / "refining.pt", self._dice, publish)
        self._all_done()
        return training.run

    def _all_done(self) -> None:
        for kept in (self.pretrained, self.segmented):
            kept.unlink(missing_ok=True)

    def _slices(self, seed: int, settings: TrainSettings) -> SliceStream:
        hard = {
            HardCase.EMPTIED: settings.emptied_share,
            HardCase.VALVE: settings.valve_share,
            HardCase.STRADDLING: settings.straddling_share,
            HardCase.BOWEL: settings.bowel_share,
        }
        return SliceStream(seed, self.sunnybrook, settings.sunnybrook_share, hard)

    def _segmenter_training(self, part: str, network: nn.Module, settings: TrainSettings) -> Training:
        def loss_of(network: nn.Module, batch: Batch) -> torch.Tensor:
            images, labels, only_lv = batch
            logits = network({"sax": images})["sax"].squeeze(-1)
            return segmentation_loss(logits, labels, only_lv)

        return Training(network, settings, loss_of, self.device, self._what_decides(part))

    def _dice(self, network: nn.Module) -> dict[str, float]:
        return {
            f"{name}_dice_{key}": value
            for name, volumes in self._judged.items()
            for key, value in dice_of(network, volumes).items()
        }

    def _publish(self, mean: Mapping[str, torch.Tensor], run: Run, refined: Run | None = None) -> None:
        with_sunnybrook = self.sunnybrook is not None
        card = segmenter_card(self.config, run, self.command, with_sunnybrook, self.device, refined)
        write_model_folder(self.out, half(mean), yaml.safe_dump(self.config, sort_keys=False), card)


def train_bundled(
    config: Mapping[str, Any],
    *,
    out: Path,
    work: Path,
    sunnybrook: Path | None,
    minutes: float | None = None,
    steps: int | None = None,
    pretraining_steps: int | None = None,
    refining_steps: int | None = None,
    seed: int | None = None,
    command: str = "",
    n_judged_hearts: int = 8,
    device: str = "cpu",
) -> Run:
    """Train and write the model folder ``out`` and its autoencoder's; see the command's help for the arguments.

    Returns
    -------
    How the training of the segmenter went; its last part.
    """
    settings = read_settings(config, minutes, steps)
    # The files beside the weights say what was done, not what was asked for at first.
    changes: dict[str, Any] = {
        "seed": int(config.get("seed", 0)) if seed is None else seed,
        "train": settings.model_dump(mode="json"),
    }
    config = {**config, **changes}
    around: dict[str, TrainSettings] = {}
    for part, wanted in (("pretrain", pretraining_steps), ("refine", refining_steps)):
        if part in config and wanted != 0:
            around[part] = read_settings(config, None, wanted, part=part)
            config[part] = around[part].model_dump(mode="json")
        else:
            config.pop(part, None)
    recipe = Recipe(
        config,
        out=out,
        work=work,
        sunnybrook=sunnybrook,
        command=command,
        n_judged_hearts=n_judged_hearts,
        device=device,
    )
    if "pretrain" in around:
        recipe.pretrain(around["pretrain"])
    run = recipe.segment(settings)
    return recipe.refine(around["refine"], run) if "refine" in around else run


def command_line(arguments: Sequence[str]) -> str:
    """Return the command as a card tells it: of an absolute path the last part alone, for a card is published."""
    told = []
    for argument in arguments:
        option, equals, value = argument.rpartition("=")
        told.append(option + equals + (Path(value).name if Path(value).is_absolute() else value))
    return shlex.join(["python", "-m", "training.bundled", *told])


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.bundled",
        description="Train the bundled segmenter and its masked autoencoder, and write their folders.",
        epilog="Example: python -m training.bundled --config training/configs/bundled.yaml",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="config in the published form")
    parser.add_argument("--minutes", type=float, help="wall-clock budget of the segmenter, instead of the config's")
    parser.add_argument("--steps", type=int, help="steps of the segmenter, instead of the config's")
    parser.add_argument("--pretraining-steps", type=int, help="steps of the autoencoder; 0 leaves it out")
    parser.add_argument("--refining-steps", type=int, help="steps of refining the segmenter; 0 leaves it out")
    parser.add_argument("--seed", type=int, help="seed, instead of the config's")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="model folder to write")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="folder of the checkpoint to go on from")
    parser.add_argument(
        "--sunnybrook",
        type=Path,
        default=DEFAULT_SUNNYBROOK if DEFAULT_SUNNYBROOK.is_dir() else None,
        help="folder sunnybrook_slices (CC0); without it only synthetic slices teach",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training process")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_freed_memory()
    # Inherited by the processes that draw slices: their small products are faster on one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    torch.set_num_threads(given.threads)
    command = command_line(sys.argv[1:] if arguments is None else arguments)
    try:
        train_bundled(
            read_config(given.config),
            out=given.out,
            work=given.work,
            sunnybrook=given.sunnybrook,
            minutes=given.minutes,
            steps=given.steps,
            pretraining_steps=given.pretraining_steps,
            refining_steps=given.refining_steps,
            seed=given.seed,
            command=command,
            device=given.device,
        )
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
