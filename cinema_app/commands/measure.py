"""``cinema measure``: volumes and function from labels that somebody drew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cinema_app.commands.choices import Age, Areas, Bsa, Ends, Height, Papillary, PapillaryLevel, Sex, Weight
from cinema_core.rules import AreaRule, BsaFormula, EndSliceRule, PapillaryRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_core.cine import Cine
    from cinema_core.io import Study
    from cinema_core.measure.choices import ReportChoices
    from cinema_core.report import StudyResult

    Labels = NDArray[np.uint8]


def measure(
    out: Annotated[Path, typer.Option(metavar="F", help="The report, NAME.csv; NAME_provenance.json goes with it.")],
    image: Annotated[
        Path | None, typer.Option(metavar="F", help="Whole cine: NIfTI file or DICOM folder; with --labels.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(metavar="F", help="Its labels, NIfTI on the same grid.")] = None,
    ed_image: Annotated[Path | None, typer.Option(metavar="F", help="End-diastole, 3-D NIfTI.")] = None,
    es_image: Annotated[Path | None, typer.Option(metavar="F", help="End-systole, 3-D NIfTI.")] = None,
    ed_labels: Annotated[Path | None, typer.Option(metavar="F", help="Labels of end-diastole.")] = None,
    es_labels: Annotated[Path | None, typer.Option(metavar="F", help="Labels of end-systole.")] = None,
    study_id: Annotated[
        str | None, typer.Option("--study", metavar="ID", help="Study to take, where there are several.")
    ] = None,
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="Also write NAME_measures, _flags, _phases and _segments.csv beside the report NAME.csv."
        ),
    ] = False,
    document: Annotated[
        Path | None, typer.Option(metavar="F", help="Also write the report as a page: a .pdf or .html file.")
    ] = None,
    areas: Areas = AreaRule.PIXELS,
    ends: Ends = EndSliceRule.FULL,
    bsa: Bsa = BsaFormula.MOSTELLER,
    papillary: Papillary = PapillaryRule.CAVITY,
    papillary_level: PapillaryLevel = 0.5,
    sex: Sex = None,
    age: Age = None,
    height: Height = None,
    weight: Weight = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a report that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's row as JSON, for a program.")] = False,
) -> None:
    """Measure from given labels (0 background, 1 RV, 2 myocardium, 3 LV, 255 unlabelled), without a model.

    Example: cinema measure --image cine.nii.gz --labels labels.nii.gz --out report.csv

    Example: cinema measure --ed-image ed.nii.gz --es-image es.nii.gz --ed-labels ed_gt.nii.gz
    --es-labels es_gt.nii.gz --out report.csv

    A phase without any label, or with unlabelled voxels, is not measured.
    """
    from dataclasses import asdict

    from cinema_app.details import details_paths, provenance_path, write_details, write_table
    from cinema_app.terminal import say, say_json, say_measures
    from cinema_core.cine import View
    from cinema_core.errors import InputError
    from cinema_core.measure.choices import ReportChoices
    from cinema_core.report import report_row

    pair = (ed_image, es_image, ed_labels, es_labels)
    if image and labels and not any(pair):
        study, drawn = _whole(image, labels, study_id)
    elif ed_image and es_image and ed_labels and es_labels and not (image or labels):
        study, drawn = _pair(ed_image, es_image, ed_labels, es_labels)
    else:
        raise InputError("Give --image and --labels, or all of --ed-image, --es-image, --ed-labels and --es-labels.")
    written = [out, provenance_path(out), *(details_paths(out) if details else ()), *([document] if document else ())]
    if taken := [path for path in written if path.exists() and not overwrite]:
        raise InputError(f"{taken[0]} is there already. Choose another name, or replace it with --overwrite.")
    cine = study.best(View.SAX)
    choices = ReportChoices.of(
        sex=sex,
        age_years=age,
        height_cm=height,
        weight_kg=weight,
        areas=areas,
        ends=ends,
        bsa_formula=bsa,
        papillary=papillary,
        papillary_level=papillary_level,
    )
    result = _result(study, cine, drawn, choices)
    row = report_row(result)
    write_table(out, result)
    to_check = write_details(out, result, drawn) if details else []
    if document:
        from cinema_core.report.document import write_document

        write_document(document, result, drawn)
    if as_json:
        say_json(asdict(row))
        return
    say_measures(row)
    for sentence in to_check:
        say(sentence)
    for path in written:
        say(str(path))


def _whole(image: Path, labels: Path, study_id: str | None) -> tuple[Study, Labels]:
    """Read a cine and labels of each of its phases."""
    from cinema_app.opening import open_study
    from cinema_core.cine import View
    from cinema_core.errors import LabelError
    from cinema_core.io import read_labels

    study = open_study(image, study=study_id)
    cine = study.best(View.SAX)
    drawn = read_labels(labels, like=cine)
    if len(drawn) != cine.n_phases:
        raise LabelError(
            f"{labels} holds one phase but {image} has {cine.n_phases}. Give labels of every phase (0 where nothing "
            "is drawn), or ED and ES with --ed-image, --es-image, --ed-labels and --es-labels."
        )
    return study, drawn


def _pair(ed_image: Path, es_image: Path, ed_labels: Path, es_labels: Path) -> tuple[Study, Labels]:
    """Read two volumes, each with its labels."""
    import numpy as np

    from cinema_core.errors import LabelError
    from cinema_core.io import load_pair, read_labels

    study = load_pair(ed_image, es_image)
    [cine] = study.cines
    drawn = [read_labels(path, like=cine) for path in (ed_labels, es_labels)]
    for path, frames in zip((ed_labels, es_labels), drawn, strict=True):
        if len(frames) != 1:
            raise LabelError(f"{path} holds {len(frames)} phases; the labels of one of a pair hold one.")
    return study, np.concatenate(drawn)  # 2 x (1, z, y, x) -> (2, z, y, x)


def _result(study: Study, cine: Cine, labels: Labels, choices: ReportChoices) -> StudyResult:
    """Measure the phases that somebody labelled completely."""
    from datetime import UTC, datetime

    from cinema_core import __version__
    from cinema_core.cohort import drawn_phases
    from cinema_core.measure import study_measures
    from cinema_core.report import Origin, StudyResult, import_rules

    phases = drawn_phases(labels)
    origin = Origin(
        software_version=__version__,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        import_rules=import_rules(study.report.notes, cine),
    )
    return StudyResult(study.id, cine, study_measures(labels, cine, phases=phases, choices=choices), origin)
