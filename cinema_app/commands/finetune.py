"""``cinema finetune``: the function behind the button, without the window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinema_core.errors import InputError

if TYPE_CHECKING:
    from cinema_core.cases import TrainingCase
    from cinema_core.learn.finetune import FineTuneResult
    from cinema_core.learn.guard import Figures
    from cinema_core.learn.settings import FineTuneSettings, Tier


def finetune(
    cases: Annotated[Path, typer.Option(metavar="CASES.csv", help="Labelled images: study,image,labels,...")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Becomes the folder of the new model; must not exist yet.")],
    base: Annotated[str, typer.Option(metavar="NAME", help="Model to start from: name, folder or file.")] = "bundled",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config of a base that is a .safetensors file.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="Time for all of it. Default: 120.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Training steps, instead of a time; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Source of all chance.")] = 0,
    tier: Annotated[
        str,
        typer.Option(
            help="What is trained: auto (by the base's size, the number of labels and the device), whole, norms (and "
            "biases), decoder or last-blocks; whole is for a GPU where the base is large."
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with who is held out with whom. Made if absent; new patients are added, others stay.",
        ),
    ] = None,
) -> None:
    """Teach a model from labelled slices, and measure it before and after.

    Example: cinema finetune --cases labels.csv --base bundled --out my-model --budget 120

    The list has the columns study,image,labels[,patient][,phase][,slices]; label value 255 means unlabelled.
    With two patients or more, figures come from patients that were held out. Give the same --ledger whenever the
    list has grown: figures of one round then compare with those of the last.
    """
    if budget is not None and steps is not None:
        raise InputError("Give --budget or --steps, not both.")
    from cinema_core.process import prepare_to_compute

    prepare_to_compute()
    from cinema_app.terminal import progress_bar, say_aside
    from cinema_core.cases import load_cases
    from cinema_core.learn.finetune import chained
    from cinema_core.learn.finetune import finetune as teach
    from cinema_core.learn.settings import FineTuneSettings
    from cinema_core.learn.versions import refuse_existing
    from cinema_core.models import zoo

    out = out.absolute()
    refuse_existing(out)
    labelled = load_cases(cases)
    loaded = zoo.load(base, config, device)
    for line in chained(loaded.card):
        say_aside(line)
    asked = {"budget_s": budget, "steps": steps, "seed": seed, "device": device, "tier": _tier(tier)}
    settings = FineTuneSettings.model_validate({name: value for name, value in asked.items() if value is not None})
    folds = _kept_folds(ledger, labelled, settings)
    with progress_bar() as progress:
        result = teach(labelled, loaded, settings, out.parent, out.name, progress, ledger=folds)
    _tell(result)


def _tier(name: str) -> Tier:
    from cinema_core.learn.settings import Tier

    if name not in [tier.value for tier in Tier]:
        raise InputError(f"--tier {name} is not known. Choose one of {', '.join(tier.value for tier in Tier)}.")
    return Tier(name)


def _kept_folds(path: Path | None, labelled: Sequence[TrainingCase], settings: FineTuneSettings) -> dict[str, int]:
    """Fold by patient of a ledger's file, which gets those that it lacks; empty without a file."""
    if path is None:
        return {}
    from cinema_core.cases import group_of
    from cinema_core.folds import extended, read_ledger, write_ledger

    known = read_ledger(path)
    patients = [group_of(case) for case in labelled if case.labelled_slices]
    folds = extended(known, patients, settings.folds, settings.seed)
    if folds != known:
        write_ledger(path, folds)  # before the training: a fold is decided before a figure is seen
    return folds


def _tell(result: FineTuneResult) -> None:
    from cinema_app.terminal import say

    say(f"{result.steps} steps in {result.seconds:.0f} s, from {result.card.lineage['base']}")
    _compare(f"Measured on {result.validation}", result.before, result.after)
    if result.after is not result.learned_after:
        _compare("Measured on the labels it learned from", result.learned_before, result.learned_after)
    for note in result.notes:
        say(note)
    if result.worse:
        say("The new model is worse than its base. It was written, but should not be used.")
    say(f"Model  {result.folder}")


def _compare(heading: str, before: Figures, after: Figures) -> None:
    from cinema_app.terminal import number, say, say_table
    from cinema_core.anatomy import FOREGROUND

    say(f"{heading} ({after.n_slices} slice{'s' if after.n_slices != 1 else ''})")
    rows = [("loss", number(before.loss, 4), number(after.loss, 4))]
    keys = {f"Dice {structure.display_name}": structure.key for structure in reversed(FOREGROUND)} | {
        "Dice mean": "mean"
    }
    rows += [(name, number(before.dice.get(key), 3), number(after.dice.get(key), 3)) for name, key in keys.items()]
    say_table(("", "Before", "After"), rows)
