"""``cinema compare``: two readings of the same studies, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from cinema_core.cine import Cine
    from cinema_core.measure.comparison import MeasuredLabels, ReadingComparison
    from cinema_core.report.comparison import MeasureRow, RuleRow, SetRow, SliceRow, StructureRow

    Pair = tuple[str, Cine, MeasuredLabels, MeasuredLabels]
    Tables = tuple[list[StructureRow], list[MeasureRow], list[SliceRow], list[SetRow], list[RuleRow]]

FILES: Final = ("structures.csv", "measures.csv", "slices.csv", "agreement.csv", "rules.csv")

SHOWN_SLICES: Final = 5
"""Slices on the screen, of those that move EF most; the table has all."""


def compare(
    first: Annotated[
        Path, typer.Argument(metavar="FIRST", help="Project, case list, or label file; the one compared with.")
    ],
    second: Annotated[Path, typer.Argument(metavar="SECOND", help="Another of the same kind.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help=f"For {', '.join(FILES)}.")],
    image: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The study that two label files were drawn on.")
    ] = None,
    study_id: Annotated[
        str | None, typer.Option("--study", metavar="ID", help="Study to take, where there are several.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Compare two readings: readers, model versions, contours from elsewhere. Differences are second minus first.

    Example: cinema compare anna.cinema ben.cinema --out agreement

    Example: cinema compare first.nii.gz workspace.cvi42wsx --image STUDY_FOLDER --out agreement

    Projects and case lists (study,image,labels) are compared over the studies that both have. Writes Dice, HD95 and
    mean surface distance per structure at ED and ES, every measure, which slices cause the difference in EF, and over
    several studies bias, limits of agreement and coefficient of variation. Where the two readings of a study were
    measured by different rules (areas, end slices, papillary muscles, body surface), it says which: part of the
    difference is theirs.
    """
    from cinema_app.results import refuse_existing, written_together
    from cinema_app.terminal import progress_bar, say, say_json
    from cinema_core.errors import CinemaError, InputError
    from cinema_core.measure.comparison import compare_readings

    if not overwrite:
        refuse_existing(out, FILES)
    found: dict[str, ReadingComparison] = {}
    problems: list[str] = []
    with _pairs(first, second, image, study_id) as (names, read), progress_bar() as progress:
        for k, name in enumerate(names):
            progress(k / len(names), name)
            try:
                found[name] = compare_readings(*read(name))
            except CinemaError as error:
                problems.append(f"{name}: {error}")
    if not found:
        raise InputError(f"Nothing could be compared. {problems[0]}")
    tables = _tables(found)
    with written_together(out) as folder:
        _write(folder, tables)
    if as_json:
        say_json(_to_json(tables, problems))
    else:
        _tell(found, tables)
        for name in FILES:
            say(str(out / name))
    if problems:
        raise InputError(f"{len(problems)} of {len(names)} studies could not be compared. {' '.join(problems)}")


@contextmanager
def _pairs(first: Path, second: Path, image: Path | None, study_id: str | None) -> Iterator[tuple[list[str], Any]]:
    """Names of the studies that both have, and what reads one of them."""
    from cinema_core.errors import InputError
    from cinema_core.project import Project

    kinds = [_kind(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        raise InputError(f"{first} is a {kinds[0]}, {second} a {kinds[1]}. Give two of one kind.")
    if kinds[0] != "label file" and image is not None:
        raise InputError(f"--image goes with two label files; a {kinds[0]} names its images itself.")
    if kinds[0] == "project":
        with Project.open(first) as one, Project.open(second) as other:
            shared = {study.study_id for study in other.studies() if other.states(study.study_id)}
            names = [s.study_id for s in one.studies() if s.study_id in shared and one.states(s.study_id)]
            yield _some(names, first, second, study_id), lambda name: _of_projects(one, other, name)
    elif kinds[0] == "case list":
        from cinema_core.cohort import read_cohort

        lists = [{entry.study: entry for entry in read_cohort(path, labelled=True)} for path in (first, second)]
        names = [name for name in lists[0] if name in lists[1]]
        yield _some(names, first, second, study_id), lambda name: _of_entries(lists[0][name], lists[1][name])
    else:
        if image is None:
            raise InputError("Two label files need the study that they were drawn on: --image PATH.")
        opened, cine = _short_axis(image, study_id)
        yield [opened], lambda _: _of_files(cine, first, second)


def _kind(path: Path) -> str:
    from cinema_core.errors import InputError
    from cinema_core.project.store import DATABASE_NAME

    if not path.exists():
        raise InputError(f"There is no file or folder {path}. Check the path.")
    if (path / DATABASE_NAME).is_file():
        return "project"
    return "case list" if path.suffix.lower() == ".csv" else "label file"


def _some(names: list[str], first: Path, second: Path, study_id: str | None) -> list[str]:
    from cinema_core.errors import InputError

    chosen = [name for name in names if study_id in (None, name)]
    if not chosen:
        which = "no labelled study" if study_id is None else f"no study {study_id}"
        raise InputError(f"{first} and {second} have {which} in common. Choose readings of the same studies.")
    return chosen


def _short_axis(image: Path, study_id: str | None) -> tuple[str, Cine]:
    from cinema_app.opening import open_study
    from cinema_core.cine import View

    study = open_study(image, study=study_id)
    return study.id, study.best(View.SAX)


def _of_projects(one: Any, other: Any, study_id: str) -> tuple[Cine, MeasuredLabels, MeasuredLabels]:
    from cinema_app.teaching import read_again
    from cinema_core.measure.comparison import MeasuredLabels
    from cinema_core.project import study_snapshot
    from cinema_core.report.from_project import snapshot_measures

    cine = read_again(one.study(study_id), one.import_choices)
    other.verify_image(study_id, cine.content_sha256)
    snapshots = [study_snapshot(project, study_id) for project in (one, other)]
    first, second = (MeasuredLabels(found.labels, snapshot_measures(found, cine).function) for found in snapshots)
    return cine, first, second


def _of_entries(one: Any, other: Any) -> tuple[Cine, MeasuredLabels, MeasuredLabels]:
    from cinema_core.errors import LabelError

    cine = one.open_cine()
    if other.images != one.images:
        raise LabelError("the two case lists name different images. Compare readings of one image.")
    return cine, _measured(cine, one.read_labels(cine)), _measured(cine, other.read_labels(cine))


def _of_files(cine: Cine, first: Path, second: Path) -> tuple[Cine, MeasuredLabels, MeasuredLabels]:
    from cinema_core.cohort import labels_on
    from cinema_core.errors import LabelError

    drawn = [labels_on(path, cine) for path in (first, second)]
    for path, labels in zip((first, second), drawn, strict=True):
        if len(labels) != cine.n_phases:
            raise LabelError(f"{path} holds one phase but the image has {cine.n_phases}. Give labels of every phase.")
    return cine, _measured(cine, drawn[0]), _measured(cine, drawn[1])


def _measured(cine: Cine, labels: Any) -> MeasuredLabels:
    from cinema_core.cohort import drawn_phases
    from cinema_core.measure import ventricular_function
    from cinema_core.measure.comparison import MeasuredLabels

    return MeasuredLabels(labels, ventricular_function(labels, cine, phases=drawn_phases(labels)))


def _tables(found: dict[str, ReadingComparison]) -> Tables:
    from cinema_core.report.comparison import measure_rows, rule_rows, set_rows, slice_rows, structure_rows

    measures = [row for name, one in found.items() for row in measure_rows(name, one)]
    return (
        [row for name, one in found.items() for row in structure_rows(name, one)],
        measures,
        [row for name, one in found.items() for row in slice_rows(name, one)],
        set_rows(measures),
        [row for name, one in found.items() for row in rule_rows(name, one)],
    )


def _write(folder: Path, tables: Tables) -> None:
    from cinema_core.report.comparison import COMPARISON_DECIMALS, MeasureRow, RuleRow, SetRow, SliceRow, StructureRow
    from cinema_core.report.table import write_rows

    structures, measures, slices, over, rules = (folder / name for name in FILES)
    write_rows(structures, StructureRow, tables[0], COMPARISON_DECIMALS)
    write_rows(measures, MeasureRow, tables[1], COMPARISON_DECIMALS)
    write_rows(slices, SliceRow, tables[2], COMPARISON_DECIMALS)
    write_rows(over, SetRow, tables[3], COMPARISON_DECIMALS)
    write_rows(rules, RuleRow, tables[4])


def _to_json(tables: Tables, problems: list[str]) -> dict[str, Any]:
    from dataclasses import asdict

    structures, measures, slices, over, rules = tables
    return {
        "structures": [asdict(row) for row in structures],
        "measures": [asdict(row) for row in measures],
        "slices": [asdict(row) for row in slices],
        "agreement": [asdict(row) for row in over],
        "rules": [asdict(row) for row in rules],
        "problems": problems,
    }


def _tell(found: dict[str, ReadingComparison], tables: Tables) -> None:
    from cinema_app.terminal import number, say, say_table

    structures, measures, slices, over, rules = tables
    if rules:
        n_other = len({row.study_id for row in rules})
        say(f"{n_other} of {len(found)} studies measured by different rules: part of the difference is theirs")
        alike = dict.fromkeys((row.rule, row.first, row.second) for row in rules)
        say_table(("Rule", "First", "Second"), list(alike))
        say()
    if len(found) == 1:
        say_table(
            ("", "Phase", "Dice", "HD95 mm", "Mean distance mm"),
            [
                (r.structure, r.phase, number(r.dice, 3), number(r.hd95_mm), number(r.mean_surface_mm, 2))
                for r in structures
            ],
        )
        say()
        rows = [(r.measure, number(r.first), number(r.second), number(r.difference)) for r in measures]
        say_table(("", "First", "Second", "Difference"), rows)
        say()
        say_table(
            ("EF", "Slice", "EDV ml", "ESV ml", "EF points"),
            [
                (r.ventricle, str(r.slice), number(r.edv_ml), number(r.esv_ml), number(r.ef_points))
                for ventricle in ("lv", "rv")
                for r in [row for row in slices if row.ventricle == ventricle][:SHOWN_SLICES]
            ],
        )
        return
    say(f"{len(found)} studies, second minus first")
    say_table(
        ("", "n", "Bias", "Lower limit", "Upper limit", "CV %"),
        [
            (r.measure, str(r.n), number(r.bias), number(r.lower_limit), number(r.upper_limit), number(r.cv_pct))
            for r in over
        ],
    )
