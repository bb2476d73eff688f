"""Whether the review queue finds the slices that are drawn wrong: ``python -m benchmarks.review``.

Every ACDC slice that shows a heart, drawn by the model or in truth, is ranked by the signs that the program finds
on it (:mod:`cinema_core.learn.signs`), and compared with its true Dice. A slice counts as wrong below a mean Dice of
0.8 over the structures that truth or drawing hold. The figure is the area under the ROC curve. Then a reader who draws
as the experts did follows the queue, and it counts how soon the LV's ejection fraction is right. What mirror images add
is told by the patients that did not choose its strength: all but every second one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.bundled import acdc_cases
from benchmarks.table import DATA, Figure, print_table
from cinema_core.anatomy import FOREGROUND, LabelState
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine, View
from cinema_core.errors import InputError
from cinema_core.learn.select import SliceFacts, rank_for_review, slice_facts
from cinema_core.measure.agreement import dice
from cinema_core.measure.plane_rules import shows_heart
from cinema_core.process import prepare_to_compute
from training.simulated_reader import EF_NEAR_PCT, ejection_fraction_pct, is_wrong

if TYPE_CHECKING:
    from cinema_core.models.zoo import LoadedModel
    from cinema_core.predict.segment import Segmentation

WRONG_BELOW: Final = 0.8
TARGET: Final = ">= 0.80"
SHARE_LOOKED_AT: Final = 0.2


@dataclass(frozen=True)
class RankedSlice:
    """A slice with what the program thinks of it and how good it is in truth.

    Attributes
    ----------
    without
        What it would think without the disagreement under mirror images.
    disagreement
        That disagreement alone; 0 if the model is shown no mirror images.
    """

    patient: str
    facts: SliceFacts
    dice: float
    without: SliceFacts
    disagreement: float


def auroc(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Chance that a wrong slice has a higher score than a right one; ties count half."""
    ranks = rankdata(score)
    n_wrong, n_right = int(wrong.sum()), int((~wrong).sum())
    return float((ranks[wrong].sum() - n_wrong * (n_wrong + 1) / 2) / (n_wrong * n_right))


@dataclass(frozen=True, eq=False)
class DrawnStudy:
    """ED and ES of a patient as the model draws them, and in truth."""

    cases: list[TrainingCase]
    drawn: Segmentation

    @classmethod
    def of(cls, cases: list[TrainingCase], model: LoadedModel) -> DrawnStudy:
        """Let the model draw."""
        from cinema_core.predict import segment_cine

        cine = Cine(
            id="sax",
            pixels=np.stack([case.image for case in cases]),
            geometry=cases[0].geometry,
            view=View.SAX,
            phase_names=tuple(case.phase for case in cases),
        )
        return cls(cases, segment_cine(cine, model, device="cpu"))


def errors_along_queue(study: DrawnStudy, *, with_mirrors: bool) -> NDArray[np.float64]:
    """Error of LV ejection fraction, in points, after 0, 1, 2... looks of a reader who follows the review queue."""
    truth = np.stack([case.labels for case in study.cases])
    labels, states = study.drawn.labels.copy(), dict[tuple[int, int], LabelState]()
    true_pct = ejection_fraction_pct(truth)
    errors = [abs(ejection_fraction_pct(labels) - true_pct)]
    while True:
        facts = slice_facts(
            study.cases[0].study_id,
            labels,
            study.drawn.uncertainty,
            states,
            ed_es=(0, 1),
            mirrors=study.drawn.mirrors if with_mirrors else None,
        )
        queue = rank_for_review(facts, limit=1)
        if not queue:
            return np.array(errors)
        at = queue[0].t, queue[0].z
        states[at] = LabelState.ACCEPTED
        if is_wrong(labels[at], truth[at], study.cases[0].geometry.pixel_spacing_mm):
            labels[at], states[at] = truth[at], LabelState.CORRECTED
        errors.append(abs(ejection_fraction_pct(labels) - true_pct))


def looks_until_near(errors: NDArray[np.float64]) -> int:
    """Count looks until the ejection fraction is near, or all of them."""
    near = errors <= EF_NEAR_PCT
    return int(near.argmax()) if near.any() else len(errors) - 1


def told_of_queue(studies: list[DrawnStudy]) -> list[Figure]:
    """How soon the ejection fraction is right, with mirror images and without, and what they save."""
    now, without = (
        [errors_along_queue(study, with_mirrors=with_mirrors) for study in studies] for with_mirrors in (True, False)
    )
    figures = []
    for name, of_studies in (("as now", now), ("without mirror images", without)):
        looks = sum(looks_until_near(errors) for errors in of_studies)
        after = [np.mean([errors[min(n, len(errors) - 1)] for errors in of_studies]) for n in (0, 2, 4, 8)]
        text = f"{looks}; LVEF error after 0, 2, 4, 8 looks " + ", ".join(f"{error:.1f}" for error in after)
        figures.append(Figure(f"looks until LVEF is near, {name}", text))
    saved = np.array([looks_until_near(b) - looks_until_near(a) for a, b in zip(now, without, strict=True)])
    for name, chosen in (("all patients", saved), ("patients that did not choose", saved[1::2])):
        sums = np.random.default_rng(0).choice(chosen, (2000, len(chosen))).sum(axis=1)
        low, high = np.percentile(sums, (2.5, 97.5))
        figures.append(Figure(f"looks saved by mirror images, {name}", f"{chosen.sum()} [{low:.0f}, {high:.0f}]"))
    return figures


def ranked_slices(drawn_study: DrawnStudy) -> list[RankedSlice]:
    """Gather the facts of all slices with a heart."""
    study, drawn = drawn_study.cases, drawn_study.drawn
    found = []
    facts_of = partial(slice_facts, study[0].study_id, drawn.labels, drawn.uncertainty, {}, ed_es=(0, 1))
    without = {(fact.t, fact.z): fact for fact in facts_of()}
    for fact in facts_of(mirrors=drawn.mirrors):
        here, truth = drawn.labels[fact.t, fact.z], study[fact.t].labels[fact.z]
        if not shows_heart(here).any() and not shows_heart(truth).any():
            continue
        scores = [dice(here, truth, s) for s in FOREGROUND if (here == s).any() or (truth == s).any()]
        alone = 0.0 if drawn.mirrors is None else float(drawn.mirrors.disagreement[fact.t, fact.z])
        found.append(RankedSlice(study[0].patient, fact, float(np.mean(scores)), without[fact.t, fact.z], alone))
    return found


def interval(
    slices: list[RankedSlice], scores: NDArray[np.float64], n: int = 500, less: NDArray[np.float64] | None = None
) -> tuple[float, float]:
    """95 % interval of the AUROC over patients drawn again; less that of other scores of the same slices, if given."""
    rng = np.random.default_rng(0)
    patients = sorted({s.patient for s in slices})
    of = {p: [k for k, s in enumerate(slices) if s.patient == p] for p in patients}
    wrong = np.array([s.dice < WRONG_BELOW for s in slices])
    found = []
    for _ in range(n):
        chosen = np.concatenate([of[p] for p in rng.choice(patients, len(patients))])
        if 0 < wrong[chosen].sum() < len(chosen):
            other = 0.0 if less is None else auroc(less[chosen], wrong[chosen])
            found.append(auroc(scores[chosen], wrong[chosen]) - other)
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)


def gain_by_mirrors(slices: list[RankedSlice]) -> str:
    """Tell what the disagreement adds on the patients that did not choose its strength."""
    chose = sorted({s.patient for s in slices})[::2]
    rest = [s for s in slices if s.patient not in chose]
    wrong = np.array([s.dice < WRONG_BELOW for s in rest])
    doubt, without = np.array([s.facts.doubt for s in rest]), np.array([s.without.doubt for s in rest])
    before, after = auroc(without, wrong), auroc(doubt, wrong)
    low, high = interval(rest, doubt, less=without)
    return f"AUROC {before:.3f} -> {after:.3f}, {after - before:+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.review",
        description="Whether the review queue finds slices with a Dice below 0.8, on ACDC.",
        epilog="Example: python -m benchmarks.review --model bundled",
    )
    parser.add_argument("--model", default="bundled", help="name or folder of the model")
    given = parser.parse_args()
    if not (DATA / "acdc").is_dir():
        raise InputError(f"{DATA / 'acdc'} is not there; this benchmark needs its patients.")
    prepare_to_compute()
    from cinema_core.models import zoo

    model = zoo.load(given.model)
    cases, _ = acdc_cases(DATA / "acdc")
    studies: dict[str, list[TrainingCase]] = {}
    for case in cases:
        studies.setdefault(case.study_id, []).append(case)
    drawn = [DrawnStudy.of(study, model) for study in studies.values()]
    slices = [found for study in drawn for found in ranked_slices(study)]
    wrong = np.array([s.dice < WRONG_BELOW for s in slices])
    worst = np.array([s.dice for s in slices]) <= np.percentile([s.dice for s in slices], 10)
    figures = [Figure("slices, of which wrong", f"{len(slices)}, {int(wrong.sum())}")]
    for name, scores, target in (
        ("signs together (doubt)", np.array([s.facts.doubt for s in slices]), TARGET),
        ("order of the queue (points of EF at stake)", np.array([s.facts.risk for s in slices]), ""),
        ("signs without disagreement under mirror images", np.array([s.without.doubt for s in slices]), ""),
        ("order of the queue without it", np.array([s.without.risk for s in slices]), ""),
        ("disagreement under mirror images alone", np.array([s.disagreement for s in slices]), ""),
        ("the model's uncertainty alone", np.array([s.facts.uncertainty or 0.0 for s in slices]), ""),
        ("chance", np.random.default_rng(0).random(len(slices)), ""),
    ):
        low, high = interval(slices, scores)
        looked_at = scores >= np.quantile(scores, 1 - SHARE_LOOKED_AT)
        recall = float((worst & looked_at).sum() / worst.sum())
        text = f"AUROC {auroc(scores, wrong):.3f} [{low:.3f}, {high:.3f}]; worst tenth in the first fifth {recall:.2f}"
        figures.append(Figure(name, text, target))
    figures.append(Figure("added by mirror images, on patients that did not choose", gain_by_mirrors(slices)))
    figures += told_of_queue(drawn)
    print_table(f"Slices that {model.card.name} draws wrong, {len(studies)} ACDC patients", figures)


if __name__ == "__main__":
    main()
