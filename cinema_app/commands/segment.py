"""``cinema segment``: labels, report and where they come from, of one study."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cinema_app.details import details_paths, write_details
from cinema_core.errors import InputError

if TYPE_CHECKING:
    from cinema_core.cine import Cine
    from cinema_core.io import Study
    from cinema_core.measure import VentricularFunction
    from cinema_core.models.zoo import LoadedModel
    from cinema_core.predict import Segmentation
    from cinema_core.report import ReportRow

LABELS, REPORT, PROVENANCE = "labels.nii.gz", "report.csv", "provenance.json"
PHASES, SEGMENTS = (path.name for path in details_paths(Path(REPORT)))


class Phases(StrEnum):
    """Which phases are segmented."""

    ALL = "all"
    ED_ES = "ed,es"


def segment(
    out: Annotated[Path, typer.Option(metavar="DIR", help=f"For {LABELS}, {REPORT} and {PROVENANCE}.")],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH", help="DICOM folder, 4-D NIfTI file, or ACDC patient folder.", show_default=False
        ),
    ] = None,
    ed: Annotated[Path | None, typer.Option(metavar="F", help="End-diastole as a 3-D NIfTI file; with --es.")] = None,
    es: Annotated[Path | None, typer.Option(metavar="F", help="End-systole as a 3-D NIfTI file; with --ed.")] = None,
    study_id: Annotated[
        str | None, typer.Option("--study", metavar="ID", help="Study to take, where there are several.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name, model folder, or .safetensors file.")] = "bundled",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config of a .safetensors file, if not beside it.")
    ] = None,
    phases: Annotated[
        Phases, typer.Option(help="Segment every phase, or end-diastole and end-systole only.")
    ] = Phases.ALL,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    details: Annotated[
        bool, typer.Option("--details", help=f"Also write {PHASES} and {SEGMENTS}: volumes by phase, wall by segment.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's row as JSON, for a program.")] = False,
) -> None:
    """Draw RV, myocardium and LV on the study's own grid, and measure.

    Example: cinema segment STUDY_FOLDER --out results

    Example: cinema segment --ed ed.nii.gz --es es.nii.gz --out results

    --phases ed,es: a pair is taken by its names. In a whole cine the model first draws the middle third of the
    slices on all phases; ED and ES are where the LV cavity is largest and smallest there. Phases that were not
    segmented are 0 in the labels and empty in the curve.
    """
    if path is None and ed is None and es is None:
        raise InputError("Give a study, or a pair with --ed and --es. See: cinema segment --help")
    from cinema_core.process import prepare_to_compute

    prepare_to_compute()
    from cinema_app.opening import open_study
    from cinema_app.results import refuse_existing
    from cinema_app.terminal import progress_bar
    from cinema_core.cine import View
    from cinema_core.models import zoo

    if not overwrite:
        refuse_existing(out, (LABELS, REPORT, PROVENANCE, *((PHASES, SEGMENTS) if details else ())))
    with progress_bar() as progress:
        study = open_study(path or Path(), ed=ed, es=es, study=study_id, progress=progress)
    cine = study.best(View.SAX)
    cine.geometry.slice_extent_mm()  # refuses slices without a distance now, not after all the work
    loaded = zoo.load(model, config, device)
    segment_short_axis(study, cine, loaded, out, device, phases, details=details, as_json=as_json)


def segment_short_axis(
    study: Study,
    cine: Cine,
    model: LoadedModel,
    out: Path,
    device: str,
    phases: Phases = Phases.ALL,
    *,
    details: bool = False,
    as_json: bool = False,
) -> None:
    """Segment and measure a short-axis cine, write labels, tables and provenance, and tell the reader."""
    from cinema_app.results import written_together

    with written_together(out) as folder:
        segmentation = _segment(cine, model, phases, device)
        settings = {"phases": phases.value, "device": model.device.type}
        row, function = _write(folder, study, cine, segmentation, settings)
        to_check = write_details(folder / REPORT, study.id, segmentation.labels, cine, function) if details else []
    names = (LABELS, REPORT, PROVENANCE, *((PHASES, SEGMENTS) if details else ()))
    _tell([out / name for name in names], study, [*cine.warnings, *to_check], row, as_json)


def _segment(cine: Cine, model: LoadedModel, phases: Phases, device: str) -> Segmentation:
    from cinema_app.terminal import progress_bar
    from cinema_core.predict import segment_cine
    from cinema_core.predict.ed_es import find_ed_es

    chosen = None
    if phases is Phases.ED_ES:
        with progress_bar() as progress:
            chosen = find_ed_es(cine, model, device, progress)
    with progress_bar() as progress:
        return segment_cine(cine, model, device, progress, phases=chosen)


def _write(
    folder: Path, study: Study, cine: Cine, segmentation: Segmentation, settings: dict[str, Any]
) -> tuple[ReportRow, VentricularFunction]:
    from cinema_app.results import write_json
    from cinema_core import __version__
    from cinema_core.io import write_labels
    from cinema_core.measure import ventricular_function
    from cinema_core.report import provenance, report_row, write_report

    made: dict[str, Any] = {
        "card": segmentation.card,
        "software_version": __version__,
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    settings |= {"segmented_phases": [t + 1 for t in segmentation.phases]}
    function = ventricular_function(segmentation.labels, cine, phases=segmentation.phases)
    row = report_row(study.id, cine, function, **made)
    write_labels(folder / LABELS, segmentation.labels, cine)
    write_report(folder / REPORT, [row])
    write_json(folder / PROVENANCE, provenance(study.id, cine, settings=settings, **made))
    return row, function


def _tell(written: list[Path], study: Study, to_check: list[str], row: ReportRow, as_json: bool) -> None:
    from dataclasses import asdict

    from cinema_app.terminal import say, say_json, say_measures

    if as_json:
        say_json(asdict(row))
        return
    say_measures(row)
    for sentence in to_check:
        say(sentence)
    if study.report.refused:
        say(f"{len(study.report.refused)} files were not used; 'cinema inspect' tells why.")
    for path in written:
        say(str(path))
