"""``cinema evaluate``: a model against labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cinema_core.learn.scores import Summary


class Protocol(StrEnum):
    """The choices of ``--protocol``; the core's own enum would load numpy for ``--help``."""

    NATIVE = "native"
    REFERENCE = "reference"


def evaluate(
    cases: Annotated[Path, typer.Option(metavar="CASES.csv", help="Labelled images: study,image,labels,...")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="For cases.csv and summary.json.")],
    model: Annotated[str, typer.Option(help="Name, model folder, or .safetensors file.")] = "bundled",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config of a .safetensors file, if not beside it.")
    ] = None,
    protocol: Annotated[Protocol, typer.Option(help="How it is measured.")] = Protocol.NATIVE,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for a program.")] = False,
) -> None:
    """Measure Dice and surface distance per structure, and the error of ejection fraction.

    Example: cinema evaluate --cases labels.csv --model my-model --out results

    native: the whole image goes in, the program finds the heart, and the study's own grid is scored.
    reference: cropped at the true LV and scored at 1 x 1 x 10 mm as in the publication; the easier of the two, for
    comparison with published figures only.
    """
    from cinema_core.process import prepare_to_compute

    prepare_to_compute()
    from cinema_app.results import refuse_existing, written_together
    from cinema_app.terminal import progress_bar, say, say_json
    from cinema_core.cases import load_cases
    from cinema_core.learn import scores

    names = (scores.TABLE_NAME, scores.SUMMARY_NAME)
    if not overwrite:
        refuse_existing(out, names)
    labelled = load_cases(cases)  # before torch is loaded: a mistake in the list is told at once

    from cinema_core.learn.evaluate import evaluate as score
    from cinema_core.models import zoo

    loaded = zoo.load(model, config, device)
    with written_together(out) as folder, progress_bar() as progress:
        summary = score(labelled, loaded, folder, scores.Protocol(protocol), progress)
    if as_json:
        say_json(summary.to_json())
        return
    _tell(summary)
    for name in names:
        say(str(out / name))


def _tell(summary: Summary) -> None:
    from cinema_app.terminal import number, say, say_table
    from cinema_core.anatomy import FOREGROUND

    say(f"{summary.n_cases} case{'s' if summary.n_cases != 1 else ''}, protocol {summary.protocol}")
    names = {structure.key: structure.display_name for structure in reversed(FOREGROUND)} | {"mean": "Mean"}
    rows = [(name, number(summary.dice.get(key), 3), number(summary.hd95_mm.get(key))) for key, name in names.items()]
    say_table(("", "Dice", "HD95 mm"), rows)
    for name, error in (("LV", summary.lvef), ("RV", summary.rvef)):
        if error.n:
            say(
                f"{name} ejection fraction of {error.n}: mean absolute error {number(error.mae)} points, "
                f"bias {number(error.bias)}, SD {number(error.sd)}"
            )
