"""What one press of *Fine-tune on my labels* buys: ``python -m benchmarks.finetune``.

Experts' labels of ACDC play the reader. Ten slices of one patient teach (five of ED, five of ES, spread from base to
apex); the rest of that patient tells whether the next slices get better, and patients of the other groups tell
what was forgotten. Every figure is of the protocol ``native``: whole image in, the program finds the heart.

With ``--large`` only the time is measured: the network has the published base size and random weights, with a heart
painted over what it draws, so that there is one to look at.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.table import DATA, Figure, print_table
from cinema_core.anatomy import UNLABELLED
from cinema_core.cases import TrainingCase
from cinema_core.cine import View
from cinema_core.io import load_study, read_labels
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.phantom import HeartParameters, make_phantom
from cinema_core.process import prepare_to_compute

CORES = 2
READ = ("patient016", "patient035", "patient071", "patient091")
"""One of each group but the first: DCM, HCM, NOR, RV."""

OTHERS = ("patient003", "patient026", "patient047", "patient057", "patient081")
SLICES_PER_PHASE = 5


def cases_of(patient: str) -> list[TrainingCase]:
    """ED and ES of a patient, all slices labelled."""
    folder = DATA / "acdc" / patient
    cine = load_study(folder).best(View.SAX)
    truths = [read_labels(path)[0] for path in sorted(folder.glob("*_gt.nii.gz"))]
    return [
        TrainingCase(
            f"{patient}-{phase}", patient, patient, cine.pixels[t].astype(np.float32), truth, cine.geometry, phase
        )
        for t, (phase, truth) in enumerate(zip(cine.phase_names, truths, strict=True))
    ]


def split(case: TrainingCase) -> tuple[TrainingCase, TrainingCase]:
    """Keep the labels of a few slices for teaching, and of the others for judging."""
    drawn = np.flatnonzero((case.labels > 0).any(axis=(1, 2)))
    taught = np.unique(drawn[np.linspace(0, len(drawn) - 1, SLICES_PER_PHASE).round().astype(int)])
    teach, judge = case.labels.copy(), case.labels.copy()
    teach[np.setdiff1d(np.arange(len(teach)), taught)] = UNLABELLED
    judge[taught] = UNLABELLED
    return replace(case, labels=teach), replace(case, labels=judge)


def time_large(patients: int) -> None:
    """Time one press with a network of the published base size, from some patients' labels."""
    prepare_to_compute()
    import resource  # not on Windows

    import torch

    from benchmarks.inference import painted_base
    from cinema_core.learn.finetune import finetune

    torch.set_num_threads(CORES)
    painted = painted_base(make_phantom(HeartParameters()))
    # The published models are shown no mirror images; the bundled one, whose config this was, is.
    base = replace(painted, config={key: value for key, value in painted.config.items() if key != "predict"})
    teach = [split(case)[0] for patient in READ[:patients] for case in cases_of(patient)]
    first_step_s: list[float] = []
    start = time.perf_counter()

    def learned(*_: object) -> None:
        first_step_s.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder:
        tuned = finetune(teach, base, FineTuneSettings(device="cpu"), Path(folder), "large", learned=learned)
    recipe = tuned.card.recipe
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print_table(
        f"Fine-tuning 127 M parameters on {SLICES_PER_PHASE * len(teach)} slices of {patients} ACDC patients",
        [
            Figure("time", f"{tuned.seconds:.0f} s", "<= 120 s"),
            Figure("until the first step", f"{first_step_s[0]:.0f} s"),
            Figure("tier", recipe["tier"]),
            Figure("steps of the final run", str(recipe["steps"])),
            Figure("runs with patients held out, steps of each", f"{recipe['folds']}, {recipe['fold_steps']}"),
            Figure("largest memory of the process", f"{peak_gb:.1f} GB"),
        ],
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.finetune", description=__doc__)
    parser.add_argument("--large", type=int, choices=(1, 2, 3, 4), metavar="N", help="time it with N patients' labels")
    patients = parser.parse_args().large
    if patients is None:
        teach_bundled()
    else:
        time_large(patients)


def teach_bundled() -> None:
    """Teach on one patient after another, always from the bundled model."""
    prepare_to_compute()
    import torch

    from cinema_core.learn.evaluate import evaluate
    from cinema_core.learn.finetune import finetune
    from cinema_core.models import zoo
    from cinema_core.models.zoo import LoadedModel

    torch.set_num_threads(CORES)
    bundled = zoo.load("bundled", device="cpu")
    others = [case for patient in OTHERS for case in cases_of(patient)]
    seconds: list[float] = []
    change: dict[str, list[tuple[float, float]]] = {"slices it learned from": [], "its other slices": [], "others": []}
    with tempfile.TemporaryDirectory() as folder:

        def mean_dice(model: LoadedModel, cases: list[TrainingCase]) -> float:
            found = evaluate(cases, model, Path(folder) / "scores").dice["mean"]
            assert found is not None
            return found

        others_before = mean_dice(bundled, others)
        for patient in READ:
            teach, judge = zip(*(split(case) for case in cases_of(patient)), strict=True)
            start = time.perf_counter()
            tuned = finetune(teach, bundled, FineTuneSettings(device="cpu"), Path(folder), patient)
            seconds.append(time.perf_counter() - start)
            version = zoo.load(tuned.folder, device="cpu")
            for name, cases in (("slices it learned from", list(teach)), ("its other slices", list(judge))):
                change[name].append((mean_dice(bundled, cases), mean_dice(version, cases)))
            change["others"].append((others_before, mean_dice(version, others)))

    def told(pairs: list[tuple[float, float]]) -> str:
        before, after = (statistics.mean(values) for values in zip(*pairs, strict=True))
        return f"{before:.3f} -> {after:.3f}"

    worst = max(seconds)
    print_table(
        f"Fine-tuning the bundled model on {2 * SLICES_PER_PHASE} slices of one ACDC patient, mean of {len(READ)}",
        [
            Figure("time, median / longest", f"{statistics.median(seconds):.0f} s / {worst:.0f} s", "<= 120 s"),
            Figure("mean Dice, slices it learned from", told(change["slices it learned from"])),
            Figure("mean Dice, the patient's other slices", told(change["its other slices"])),
            Figure(f"mean Dice, {len(OTHERS)} other patients", told(change["others"]), "not less"),
        ],
    )


if __name__ == "__main__":
    main()
