"""``cinema predict``: the published tasks, each with the models that were published for it or models of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cinema_app.commands.predict_inputs import (
    Asked,
    choose_cines,
    choose_phases,
    from_zero,
    load_models,
    usual_view,
    view_of,
)
from cinema_core.errors import InputError
from cinema_core.tasks import TASKS, Task, TaskKind, task_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cinema_core.answers import ClassAnswer, ValueAnswer
    from cinema_core.cine import Cine
    from cinema_core.models.zoo import LoadedModel

LABELS, REPORT, PROVENANCE, PREDICTION = "labels.nii.gz", "report.csv", "provenance.json", "prediction.json"
AREAS, LANDMARKS, PICTURE, FEATURES = "areas.csv", "landmarks.csv", "reconstruction.png", "features.npz"
FILES = {
    TaskKind.SEGMENTATION: (LABELS, REPORT, AREAS, PROVENANCE),
    TaskKind.HEATMAP: (LANDMARKS, PREDICTION),
    TaskKind.COORDINATE: (LANDMARKS, PREDICTION),
    TaskKind.CLASS: (PREDICTION,),
    TaskKind.VALUE: (PREDICTION,),
    TaskKind.RECONSTRUCTION: (PICTURE, PREDICTION),
    TaskKind.FEATURES: (FEATURES, PREDICTION),
}
"""What may lie in the folder of results."""

NEED_FOLDER = {TaskKind.SEGMENTATION, TaskKind.RECONSTRUCTION, TaskKind.FEATURES}
"""Answers that do not fit on a terminal."""


def predict(
    task: Annotated[str, typer.Argument(metavar="TASK", help=", ".join(TASKS))],
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="Study, as for 'cinema segment'.", show_default=False)
    ] = None,
    ed: Annotated[Path | None, typer.Option(metavar="F", help="End-diastole as a NIfTI file; with --es.")] = None,
    es: Annotated[Path | None, typer.Option(metavar="F", help="End-systole as a NIfTI file; with --ed.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Instead of the published models; give it again for more than one."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config of a .safetensors file, if not beside it.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Published models of this data set: acdc, mnms or mnms2.")
    ] = None,
    study_id: Annotated[
        str | None, typer.Option("--study", metavar="ID", help="Study to take, where there are several.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(metavar="VIEW", help="sax, lax_2c, lax_3c or lax_4c; also sets an unknown view.")
    ] = None,
    cine: Annotated[
        str | None, typer.Option(metavar="ID", help="This cine of the study, as 'cinema inspect' calls it.")
    ] = None,
    ed_phase: Annotated[int | None, typer.Option(metavar="N", min=1, help="End-diastole, from 1.")] = None,
    es_phase: Annotated[int | None, typer.Option(metavar="N", min=1, help="End-systole, from 1.")] = None,
    phase: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Phase to reconstruct or take features of, from 1.")
    ] = None,
    mask_ratio: Annotated[float, typer.Option(min=0, max=0.99, help="Share hidden before reconstruction.")] = 0.75,
    seed: Annotated[int, typer.Option(min=0, help="Source of chance of what is hidden.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for the results.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Run a published task on a study: landmarks, disease, sex, vendor, age, BMI, EF regression, reconstruction.

    Example: cinema predict landmarks-heatmap STUDY --view lax_4c --out results

    Example: cinema predict disease STUDY --dataset acdc --json

    The published models are used, all seeds of them together; the spread between seeds is given with the answer. They
    have to be on this computer: see 'cinema models list --published'. Research use only.
    """
    chosen = task_of(task)
    if path is None and ed is None and es is None:
        raise InputError("Give a study, or a pair with --ed and --es. See: cinema predict --help")
    if out is None and chosen.kind in NEED_FOLDER:
        raise InputError(f"{chosen.name} writes files. Give a folder for them with --out.")
    from cinema_core.process import prepare_to_compute

    prepare_to_compute()
    from cinema_app.opening import open_study
    from cinema_app.results import refuse_existing
    from cinema_app.terminal import progress_bar

    if out is not None and not overwrite:
        refuse_existing(out, FILES[chosen.kind])
    with progress_bar() as progress:
        study = open_study(path or Path(), ed=ed, es=es, study=study_id, progress=progress)
    wanted = view_of(view)
    models = load_models(chosen, model, config, dataset, wanted or usual_view(chosen, study), device)
    asked = Asked(
        chosen,
        study,
        choose_cines(chosen, study, models, wanted, cine),
        models,
        device,
        from_zero(ed_phase),
        from_zero(es_phase),
        from_zero(phase),
        mask_ratio,
        seed,
    )
    ANSWERS[chosen.kind](asked, out, as_json)


def _segment(asked: Asked, out: Path | None, as_json: bool) -> None:
    from cinema_core.cine import View

    assert out is not None
    if asked.cine.view is View.SAX:
        from cinema_app.commands.segment import segment_short_axis
        from cinema_core.models.zoo import together

        segment_short_axis(asked.study, asked.cine, together(asked.models), out, asked.device, as_json=as_json)
        return
    from cinema_app.results import write_json, written_together
    from cinema_app.terminal import number, progress_bar, say, say_json
    from cinema_core.io import write_labels
    from cinema_core.predict.long_axis import segment_long_axis
    from cinema_core.report.predictions import areas_table, models_json, write_table

    with written_together(out) as folder:
        with progress_bar() as progress:
            found = segment_long_axis(asked.cine, asked.models, progress)
        write_labels(folder / LABELS, found.labels, asked.cine)
        write_table(folder / AREAS, areas_table(asked.cine, found))
        write_json(folder / PROVENANCE, _provenance(asked, {}))
    largest = found.areas_mm2.max(axis=0)
    single_plane = _single_plane(asked.cine, found.labels)
    if as_json:
        names = ("rv", "myo", "lv")
        areas = dict(zip(names, (round(float(area), 1) for area in largest), strict=True))
        say_json(
            {"task": asked.task.name, "largest_area_mm2": areas, "lv_single_plane": single_plane}
            | {"models": models_json(found.cards)}
        )
        return
    if single_plane is not None:
        edv, esv, ef = (number(single_plane[name]) for name in ("edv_ml", "esv_ml", "ef_pct"))
        say(f"LV, single-plane area-length: EDV {edv} ml, ESV {esv} ml, EF {ef} %")
    _say_models(asked)
    _say_files(out, (LABELS, AREAS, PROVENANCE))


def _single_plane(cine: Cine, labels: NDArray[np.uint8]) -> dict[str, float | int | None] | None:
    """LV volumes from one long-axis view; None of a view that the method is not for, or without spacing."""
    from cinema_core.cine import View
    from cinema_core.measure.area_length import area_length_volumes, long_axis_cavity

    if cine.view not in (View.LAX_2C, View.LAX_4C) or not cine.geometry.spacing_is_stated:
        return None
    found = area_length_volumes(long_axis_cavity(labels, cine))
    return {
        "edv_ml": found.edv_ml,
        "esv_ml": found.esv_ml,
        "ef_pct": found.ef_pct,
        "ed_phase": found.ed_phases[0] + 1 if found.ed_phases else None,
        "es_phase": found.es_phases[0] + 1 if found.es_phases else None,
    }


def _landmarks(asked: Asked, out: Path | None, as_json: bool) -> None:
    from cinema_app.results import write_json, written_together
    from cinema_app.terminal import number, progress_bar, say, say_json, say_pairs
    from cinema_core.errors import CheckpointError
    from cinema_core.measure.long_axis import long_axis_function
    from cinema_core.predict.landmarks import find_landmarks, landmark_kind
    from cinema_core.report.predictions import landmarks_json, landmarks_table, write_table

    for model in asked.models:
        if landmark_kind(model) is not asked.task.kind:
            raise CheckpointError(
                f"The model {model.card.name} gives {landmark_kind(model).value}; {asked.task.name} needs "
                f"{asked.task.kind.value}. Use the other landmark task, or another model."
            )
    with progress_bar() as progress:
        found = find_landmarks(asked.cine, asked.models, progress)
    function = long_axis_function(found.points_yx, asked.cine.geometry.pixel_spacing_mm)
    values = landmarks_json(asked.task, asked.study.id, asked.cine, found, function)
    if out is not None:
        with written_together(out) as folder:
            write_table(folder / LANDMARKS, landmarks_table(asked.cine, found))
            write_json(folder / PREDICTION, values)
    if as_json:
        say_json(values)
        return
    lengths = function.lv_length_mm
    say_pairs(
        [
            ("cine", f"{asked.cine.id}, {asked.cine.view.display_name.lower()}, {asked.cine.n_phases} phases"),
            ("longest", f"{number(lengths[function.longest], unit='mm')} in phase {function.longest + 1}"),
            ("shortest", f"{number(lengths[function.shortest], unit='mm')} in phase {function.shortest + 1}"),
            ("GLS", f"{number(function.gls_pct, unit='%')} (shortening of that length)"),
            ("MAPSE", number(function.mapse_mm, unit="mm")),
            ("seeds apart", number(values["spread_mm"], unit="mm")),
        ]
    )
    _say_models(asked)
    say("Research use only.")
    if out is not None:
        _say_files(out, (LANDMARKS, PREDICTION))


def _answer_once(asked: Asked, out: Path | None, as_json: bool) -> None:
    from cinema_app.results import write_json, written_together
    from cinema_app.terminal import say, say_json
    from cinema_core.models import n_frames
    from cinema_core.predict.whole_study import check_target, classify, regress
    from cinema_core.report.predictions import answer_json

    check_target(asked.task, asked.models)
    phases = choose_phases(asked, n_frames(asked.models[0].config))
    ask = classify if asked.task.kind is TaskKind.CLASS else regress
    answer = ask(asked.cines, asked.models, phases)
    values = answer_json(asked.task, asked.study.id, phases, answer)
    if out is not None:
        with written_together(out) as folder:
            write_json(folder / PREDICTION, values)
    if as_json:
        say_json(values)
        return
    for view, chosen in phases.items():
        shown = zip(("ED", "ES") if len(chosen) == 2 else ("phase",), chosen, strict=True)
        say(f"{view}: " + ", ".join(f"{name} {t + 1}" for name, t in shown))
    _say_answer(asked.task, answer)
    _say_models(asked)
    say(f"{asked.task.note} Research use only.".strip())
    if out is not None:
        _say_files(out, (PREDICTION,))


def _say_answer(task: Task, answer: ClassAnswer | ValueAnswer) -> None:
    from cinema_app.terminal import UNKNOWN, number, say, say_table
    from cinema_core.answers import ValueAnswer

    if isinstance(answer, ValueAnswer):
        spread = "" if answer.spread is None else f" (seeds differ by {answer.spread:.1f})"
        say(f"{task.title}: {number(answer.value, unit=task.unit)}{spread}")
        return
    say(f"{task.title}: {answer.answer}")
    order = answer.probabilities.argsort()[::-1]
    apart = [UNKNOWN] * len(order) if answer.spread is None else [f"{value:.2f}" for value in answer.spread]
    say_table(
        ("Class", "Probability", "Seeds differ by"),
        [(answer.classes[k], f"{answer.probabilities[k]:.2f}", apart[k]) for k in order],
    )


def _reconstruct(asked: Asked, out: Path | None, as_json: bool) -> None:
    from cinema_app.results import write_json, written_together
    from cinema_app.terminal import say_json, say_table
    from cinema_core.cine import View
    from cinema_core.predict.whole_study import reconstruct
    from cinema_core.report.predictions import draw_reconstruction, models_json

    assert out is not None
    phases = choose_phases(asked, 1)
    found = reconstruct(asked.cines, _only(asked), phases, asked.mask_ratio, asked.seed)
    values = {
        "task": asked.task.name,
        "study_id": asked.study.id,
        "phases": {view: [t + 1 for t in chosen] for view, chosen in phases.items()},
        "mask_ratio": asked.mask_ratio,
        "seed": asked.seed,
        "mse": {view: round(one.mse, 6) for view, one in found.items()},
        "models": models_json([model.card for model in asked.models]),
    }
    with written_together(out) as folder:
        titles = {view: View(view).display_name for view in found}
        draw_reconstruction(found, titles).save(folder / PICTURE)
        write_json(folder / PREDICTION, values)
    if as_json:
        say_json(values)
        return
    say_table(("View", "Mean squared error"), [(view, f"{one.mse:.4f}") for view, one in found.items()])
    _say_models(asked)
    _say_files(out, (PICTURE, PREDICTION))


def _features(asked: Asked, out: Path | None, as_json: bool) -> None:
    import numpy as np

    from cinema_app.results import write_json, written_together
    from cinema_app.terminal import say_json, say_table
    from cinema_core.models import n_frames
    from cinema_core.predict.whole_study import extract_features
    from cinema_core.report.predictions import models_json

    assert out is not None
    model = _only(asked)
    phases = choose_phases(asked, n_frames(model.config))
    found = extract_features(asked.cines, model, phases)
    values = {
        "task": asked.task.name,
        "study_id": asked.study.id,
        "phases": {view: [t + 1 for t in chosen] for view, chosen in phases.items()},
        "shapes": {name: list(tokens.shape) for name, tokens in found.items()},
        "models": models_json([model.card]),
    }
    with written_together(out) as folder:
        np.savez_compressed(folder / FEATURES, allow_pickle=False, **found)
        write_json(folder / PREDICTION, values)
    if as_json:
        say_json(values)
        return
    say_table(("Tokens", "Count", "Width"), [(name, *map(str, tokens.shape)) for name, tokens in found.items()])
    _say_models(asked)
    _say_files(out, (FEATURES, PREDICTION))


ANSWERS = {
    TaskKind.SEGMENTATION: _segment,
    TaskKind.HEATMAP: _landmarks,
    TaskKind.COORDINATE: _landmarks,
    TaskKind.CLASS: _answer_once,
    TaskKind.VALUE: _answer_once,
    TaskKind.RECONSTRUCTION: _reconstruct,
    TaskKind.FEATURES: _features,
}


def _only(asked: Asked) -> LoadedModel:
    if len(asked.models) != 1:
        raise InputError(f"{asked.task.name} takes one model; {len(asked.models)} were given.")
    return asked.models[0]


def _provenance(asked: Asked, settings: dict[str, Any]) -> dict[str, Any]:
    from datetime import UTC, datetime

    from cinema_core import __version__
    from cinema_core.models.zoo import ensemble_card
    from cinema_core.report import provenance

    return provenance(
        asked.study.id,
        asked.cine,
        card=ensemble_card([model.card for model in asked.models]) if len(asked.models) > 1 else asked.models[0].card,
        settings={"task": asked.task.name, "device": asked.models[0].device.type} | settings,
        software_version=__version__,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _say_models(asked: Asked) -> None:
    from cinema_app.terminal import say
    from cinema_core.report.predictions import models_json

    for model in models_json([model.card for model in asked.models]):
        say(f"By {model['name']} ({model['sha256'][:8]}). {model['trained_on']}")


def _say_files(out: Path, names: Sequence[str]) -> None:
    from cinema_app.terminal import say

    for name in names:
        say(str(out / name))
