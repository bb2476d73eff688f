"""How good the bundled model is on hearts it never saw: ``python -m benchmarks.bundled``.

ACDC (by both protocols, by group of disease, by third of the ventricle), Sunnybrook patients from DICOM against
expert contours, and random synthetic hearts. Everything goes through what ``cinema evaluate`` and
``cinema segment`` run. Sets that are not at hand are left out, and said so.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.table import DATA, Figure, print_table, processor
from cinema_core.anatomy import Structure
from cinema_core.cards import CONFIG_FILE, WEIGHTS_FILE, write_model_folder
from cinema_core.cases import TrainingCase
from cinema_core.errors import InputError
from cinema_core.io import load_study
from cinema_core.io.contours import import_labels
from cinema_core.learn.scores import TABLE_NAME, THIRDS, Protocol
from cinema_core.measure import ventricular_function
from cinema_core.measure.agreement import dice
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, random_parameters
from cinema_core.process import prepare_to_compute
from training.datasets.acdc import cases_of, read_patients

CORES: Final = 2
KEYS: Final = ("lv", "myo", "rv")
UNSEEN_SEED: Final = 77_000_000
"""Hearts on which training did not judge itself."""

AT_ONCE: Final = 20
"""Synthetic hearts held in memory together."""

SUNNYBROOK: Final = {"SCD0000101": "SC-HF-I-1", "SCD0000301": "SC-HF-I-4"}
"""DICOM folder to contour folder, see ``link.csv`` beside them."""

TARGETS: Final = {
    "acdc": "LV >= 0.86, myo >= 0.76, RV >= 0.78",
    "acdc ef": "MAE <= 7, bias within 4",
    "sunnybrook": "LV >= 0.88, myo at ED >= 0.72",
    "sunnybrook ef": "within 8",
    "phantom": "LV >= 0.95, myo >= 0.90, RV >= 0.90",
    "phantom ef": "MAE <= 2",
    "speed": "<= 20 s",
}

Row = Mapping[str, str]
Found = dict[str, Any]


def mean_of(rows: Iterable[Row], column: str) -> float | None:
    """Mean of a column of ``cases.csv`` over the rows that know it."""
    values = [float(row[column]) for row in rows if row[column]]
    return float(np.mean(values)) if values else None


def dice_by(rows: Sequence[Row], suffix: str = "") -> dict[str, float | None]:
    """Mean Dice of each structure, of whole cases or of one third."""
    return {key: mean_of(rows, f"dice_{key}{suffix}") for key in KEYS}


def ejection_fraction_error(rows: Sequence[Row], ventricle: str, true_pct: Mapping[str, float] | None = None) -> Found:
    """Drawn minus true ejection fraction over studies, in points."""
    frames: dict[str, dict[str, Row]] = {}
    for row in rows:
        frames.setdefault(row["study"], {})[row["phase"]] = row

    def ef(pair: Mapping[str, Row], column: str) -> float:
        ed, es = (float(pair[phase][column]) for phase in ("ed", "es"))
        return 100 * (ed - es) / ed if ed > 0 else 0.0

    errors = np.array(
        [
            ef(pair, f"{ventricle}_ml") - (true_pct[study] if true_pct else ef(pair, f"true_{ventricle}_ml"))
            for study, pair in frames.items()
        ]
    )
    return {"n": len(errors), "mae": float(np.abs(errors).mean()), "bias": float(errors.mean())}


def evaluated(cases: Sequence[TrainingCase], model: Any, protocol: Protocol) -> list[dict[str, str]]:
    """Rows of ``cases.csv``, as ``cinema evaluate`` writes them."""
    from cinema_core.learn.evaluate import evaluate

    with tempfile.TemporaryDirectory() as out:
        evaluate(cases, model, Path(out), protocol)
        with (Path(out) / TABLE_NAME).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def acdc_cases(folder: Path) -> tuple[list[TrainingCase], dict[str, str]]:
    """ED and ES of every patient, and each one's group of disease."""
    patients = read_patients(folder)
    return [case for patient in patients for case in cases_of(patient)], {p.name: p.group for p in patients}


def measure_acdc(model: Any, folder: Path) -> Found:
    """Both protocols; groups and thirds by the native one."""
    cases, groups = acdc_cases(folder)
    found: Found = {"n": len(groups)}
    for protocol in Protocol:
        rows = evaluated(cases, model, protocol)
        found[str(protocol)] = {
            "dice": dice_by(rows),
            "lvef": ejection_fraction_error(rows, "lv"),
            "rvef": ejection_fraction_error(rows, "rv"),
            "groups": {
                group: {
                    "dice": dice_by(own := [row for row in rows if groups[row["patient"]] == group]),
                    "lvef": ejection_fraction_error(own, "lv"),
                    "rvef": ejection_fraction_error(own, "rv"),
                }
                for group in sorted(set(groups.values()))
            },
            "thirds": {third: dice_by(rows, f"_{third}") for third in THIRDS},
            "phases": {phase: dice_by([row for row in rows if row["phase"] == phase]) for phase in ("ed", "es")},
        }
    return found


def measure_sunnybrook(model: Any, folder: Path) -> Found:
    """Draw every phase of the DICOM patients and compare on the slices that experts drew on, and on no others."""
    from cinema_core.predict import segment_cine

    scores: dict[str, list[float]] = {"lv": [], "myo_ed": []}
    errors = []
    for dicoms, contours in SUNNYBROOK.items():
        cine = load_study(folder / "dicoms" / dicoms).best("sax")
        expert = import_labels(folder / "contourfiles" / contours, cine)
        drawn = segment_cine(cine, model, device="cpu").labels
        truth_ml: dict[int, float] = {}
        for t in sorted({t for t, _ in expert.masks}):
            slices = [z for phase, z in expert.masks if phase == t]
            truth = np.stack([expert.masks[t, z] for z in slices])
            here = drawn[t, slices]
            scores["lv"].append(dice(here, truth, Structure.LV_CAVITY))
            truth_ml[t] = float((truth == Structure.LV_CAVITY).sum())
            with_muscle = [i for i, plane in enumerate(truth) if (plane == Structure.LV_MYOCARDIUM).any()]
            if with_muscle:
                scores["myo_ed"].append(dice(here[with_muscle], truth[with_muscle], Structure.LV_MYOCARDIUM))
        ed, es = max(truth_ml, key=truth_ml.__getitem__), min(truth_ml, key=truth_ml.__getitem__)
        expert_ef = 100 * (1 - truth_ml[es] / truth_ml[ed])
        found_ef = ventricular_function(drawn, cine).lv_ef_pct
        errors.append(None if found_ef is None else found_ef - expert_ef)
    return {
        "n": len(errors),
        "dice": {"lv": float(np.mean(scores["lv"])), "myo_ed": float(np.mean(scores["myo_ed"]))},
        "lvef_errors": errors,
    }


def phantom_cases(n_hearts: int, first: int = 0) -> tuple[list[TrainingCase], dict[str, HeartParameters]]:
    """ED and ES of random hearts, all pathologies among them; the hearts have numbers, from ``first`` on."""
    cases, parameters = [], {}
    for i in range(first, first + n_hearts):
        rng = np.random.default_rng([UNSEEN_SEED, i])
        p = replace(random_parameters(rng), n_phases=3)  # ED, ES, and one of filling
        study = make_phantom(p, seed=UNSEEN_SEED + i)
        name = f"heart{i:03d}"
        parameters[name] = p
        cases += [_case_of(study, name, phase, t) for phase, t in (("ed", p.ed_phase), ("es", p.es_phase))]
    return cases, parameters


def _case_of(study: PhantomStudy, name: str, phase: str, t: int) -> TrainingCase:
    return TrainingCase(
        case_id=f"{name} {phase}",
        study_id=name,
        patient=name,
        image=study.cine.pixels[t].astype(np.float32),
        labels=study.labels[t],
        geometry=study.cine.geometry,
        phase=phase,
    )


def measure_phantom(model: Any, n_hearts: int) -> Found:
    """Synthetic hearts by the native protocol; EF against labels on the slices and against the heart itself."""
    rows: list[dict[str, str]] = []
    parameters: dict[str, HeartParameters] = {}
    for first in range(0, n_hearts, AT_ONCE):
        cases, own = phantom_cases(min(AT_ONCE, n_hearts - first), first)
        rows += evaluated(cases, model, Protocol.NATIVE)
        parameters.update(own)
    return {
        "n": n_hearts,
        "dice": dice_by(rows),
        "thirds": {third: dice_by(rows, f"_{third}") for third in THIRDS},
        "lvef": ejection_fraction_error(rows, "lv"),
        "rvef": ejection_fraction_error(rows, "rv"),
        "lvef_of_the_heart_itself": ejection_fraction_error(
            rows, "lv", {name: p.lv_ef_pct for name, p in parameters.items()}
        ),
    }


def measure_speed(model: Any) -> Found:
    """Seconds for a whole cine of 25 phases and 10 slices."""
    from cinema_core.predict import segment_cine

    cine = make_phantom(HeartParameters(n_slices=10, n_phases=25), seed=1).cine
    start = time.perf_counter()
    segment_cine(cine, model, device="cpu")
    return {"seconds": time.perf_counter() - start, "shape": list(cine.shape)}


def _dice_text(found: Mapping[str, float | None]) -> str:
    names = {"lv": "LV", "myo": "myo", "rv": "RV", "myo_ed": "myo at ED"}
    return ", ".join(f"{names[key]} {value:.3f}" for key, value in found.items() if value is not None)


def _ef_text(found: Mapping[str, float]) -> str:
    return f"MAE {found['mae']:.1f}, bias {found['bias']:+.1f}"


def figures_of(found: Mapping[str, Found]) -> list[Figure]:
    """Lines of the table."""
    figures = []
    if "acdc" in found:
        for protocol in Protocol:
            part, name = found["acdc"][str(protocol)], f"ACDC, {found['acdc']['n']} patients, {protocol}"
            native = protocol is Protocol.NATIVE
            figures += [
                Figure(f"{name}: Dice", _dice_text(part["dice"]), TARGETS["acdc"] if native else ""),
                Figure(f"{name}: LVEF, points", _ef_text(part["lvef"]), TARGETS["acdc ef"] if native else ""),
                Figure(f"{name}: RVEF, points", _ef_text(part["rvef"])),
            ]
            for group, own in part["groups"].items():
                figures.append(
                    Figure(f"  {group}", f"{_dice_text(own['dice'])}; LVEF {_ef_text(own['lvef'])}"),
                )
            figures += [Figure(f"  {third}", _dice_text(own)) for third, own in part["thirds"].items()]
    if "sunnybrook" in found:
        part = found["sunnybrook"]
        name = f"Sunnybrook DICOM, {part['n']} patients"
        errors = ", ".join("no LVEF" if error is None else f"{error:+.1f}" for error in part["lvef_errors"])
        figures += [
            Figure(f"{name}: Dice", _dice_text(part["dice"]), TARGETS["sunnybrook"]),
            Figure(f"{name}: LVEF error of each, points", errors, TARGETS["sunnybrook ef"]),
        ]
    if "phantom" in found:
        part = found["phantom"]
        name = f"Synthetic, {part['n']} random hearts"
        figures += [
            Figure(f"{name}: Dice", _dice_text(part["dice"]), TARGETS["phantom"]),
            Figure(f"{name}: LVEF, points", _ef_text(part["lvef"]), TARGETS["phantom ef"]),
            Figure(f"{name}: RVEF, points", _ef_text(part["rvef"])),
            Figure(f"{name}: LVEF against the heart itself", _ef_text(part["lvef_of_the_heart_itself"])),
            *(Figure(f"  {third}", _dice_text(own)) for third, own in part["thirds"].items()),
        ]
    if "speed" in found:
        part = found["speed"]
        shape = " x ".join(map(str, part["shape"]))
        figures.append(
            Figure(f"Whole cine {shape} (t, z, y, x), {CORES} threads", f"{part['seconds']:.1f} s", TARGETS["speed"])
        )
    return figures


def record(model: Any, found: Mapping[str, Found], command: str) -> None:
    """Write the figures into the model's card."""
    card = model.card.model_copy(
        update={"figures": {**model.card.figures, "measured": {"command": command, **rounded(found)}}}
    )
    weights = (model.folder / WEIGHTS_FILE).read_bytes()
    write_model_folder(model.folder, weights, (model.folder / CONFIG_FILE).read_text(encoding="utf-8"), card)


def rounded(found: Any) -> Any:
    """Return the same with three decimals."""
    if isinstance(found, float):
        return round(found, 3)
    if isinstance(found, Mapping):
        return {key: rounded(value) for key, value in found.items()}
    return [rounded(value) for value in found] if isinstance(found, list) else found


def markdown_of(found: Mapping[str, Found], command: str) -> str:
    """Tables of the model's page."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    def row(name: str, scores: Mapping[str, float | None], lvef: Found | None, rvef: Found | None) -> str:
        cells = [number(scores.get(key), ".3f") for key in KEYS]
        for error in (lvef, rvef):
            cells.append("-" if error is None else f"{error['mae']:.1f} ({error['bias']:+.1f})")
        return f"| {name} | " + " | ".join(cells) + " |"

    head = [
        "| On | LV cavity | Myocardium | RV | LVEF, MAE (bias) | RVEF, MAE (bias) |",
        "|---|---|---|---|---|---|",
    ]
    lines = [f"`{command}` on {processor()}:", "", *head]
    if "acdc" in found:
        for protocol in Protocol:
            part = found["acdc"][str(protocol)]
            lines.append(
                row(f"**ACDC, {found['acdc']['n']} patients, `{protocol}`**", part["dice"], part["lvef"], part["rvef"])
            )
            lines += [
                row(f"ACDC {g}, `{protocol}`", o["dice"], o["lvef"], o["rvef"]) for g, o in part["groups"].items()
            ]
            lines += [row(f"ACDC, {third}, `{protocol}`", own, None, None) for third, own in part["thirds"].items()]
    if "sunnybrook" in found:
        part = found["sunnybrook"]
        errors = ", ".join("none" if error is None else f"{error:+.1f}" for error in part["lvef_errors"])
        scores = {"lv": part["dice"]["lv"], "myo": part["dice"]["myo_ed"]}
        line = row(f"**Sunnybrook DICOM, {part['n']} patients** (myocardium at ED)", scores, None, None)
        lines.append(line.replace("| - | - | - |", f"| - | each: {errors} | - |"))
    if "phantom" in found:
        part = found["phantom"]
        lines.append(row(f"**Synthetic, {part['n']} random hearts**", part["dice"], part["lvef"], part["rvef"]))
        lines += [row(f"Synthetic, {third}", own, None, None) for third, own in part["thirds"].items()]
    if "speed" in found:
        lines += ["", f"A cine of 25 phases and 10 slices took {found['speed']['seconds']:.1f} s on {CORES} threads."]
    return "\n".join(lines)


def write_page(page: Path, text: str) -> None:
    """Put the tables between the page's marks.

    Raises
    ------
    InputError
        If the page has no marks.
    """
    old = page.read_text(encoding="utf-8")
    before, begins, rest = old.partition(MARKS[0])
    _, ends, after = rest.partition(MARKS[1])
    if not (begins and ends):
        raise InputError(f"{page} has no {MARKS[0]} ... {MARKS[1]} to put the figures between.")
    page.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8", newline="\n")


MARKS: Final = ("<!-- figures: benchmarks/bundled.py -->", "<!-- end of figures -->")
SETS: Final = ("acdc", "sunnybrook", "phantom", "speed")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bundled",
        description="Dice, ejection fraction and speed of the bundled model on hearts it never saw.",
        epilog="Example: python -m benchmarks.bundled --record",
    )
    parser.add_argument("--model", default="bundled", help="name or folder of the model")
    parser.add_argument("--sets", default=",".join(SETS), help=f"which, of {','.join(SETS)}")
    parser.add_argument("--hearts", type=int, default=200, help="number of synthetic hearts")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's card")
    parser.add_argument("--page", type=Path, help="Markdown page to write the figures into, between its marks")
    given = parser.parse_args()
    asked = given.sets.split(",")
    if unknown := sorted(set(asked) - set(SETS)):
        parser.error(f"--sets has no {unknown[0]!r}; choose among {', '.join(SETS)}")
    if (given.record or given.page) and set(asked) != set(SETS):
        parser.error("--record and --page replace all figures, so they need all --sets")
    prepare_to_compute()
    import torch

    from cinema_core.models import zoo

    torch.set_num_threads(CORES)
    model = zoo.load(given.model)
    found: dict[str, Found] = {}
    for name, folder, measure in (
        ("acdc", DATA / "acdc", measure_acdc),
        ("sunnybrook", DATA / "sunnybrook_dicom", measure_sunnybrook),
    ):
        if name in asked and folder.is_dir():
            found[name] = measure(model, folder)
        elif name in asked:
            print(f"{name} is not measured: {folder} is not there.")
    if "phantom" in asked:
        found["phantom"] = measure_phantom(model, given.hearts)
    if "speed" in asked:
        found["speed"] = measure_speed(model)
    print_table(f"The model {model.card.name} on hearts it never saw", figures_of(found))
    if given.json:
        given.json.write_text(json.dumps(rounded(found), indent=2) + "\n", encoding="utf-8")
    command = f"python -m benchmarks.bundled --model {given.model} --hearts {given.hearts}"
    if given.page:
        write_page(given.page, markdown_of(found, command))
    if given.record:
        record(model, found, command)


if __name__ == "__main__":
    main()
