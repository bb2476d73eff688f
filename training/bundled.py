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
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import nn

from cinema_core.cards import BUNDLED_MAE, write_model_folder
from cinema_core.errors import CinemaError, InputError
from cinema_core.models import MaskedAutoencoder, build_model, transfer_pretrained
from cinema_core.models.zoo import choose_device
from cinema_core.phantom.slices import HardCase
from cinema_core.process import keep_freed_memory
from training.bundled_cards import autoencoder_card, segmenter_card
from training.bundled_config import autoencoder_config, read_config, read_settings
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
