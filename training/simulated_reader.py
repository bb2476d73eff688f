"""What a reader has to correct until ejection fractions are right: ``python -m training.simulated_reader``.

A simulated reader opens one ACDC study after another, follows the review queue, corrects the slices that are drawn
wrong and accepts the others, until the LV's ejection fraction is near the experts'. Once it never fine-tunes, once
after every second study. What counts is the number of corrected slices. The ideal reader draws as the experts did; the
noisy one misses some errors and draws with a trembling border. Neither is a person: robots that follow rules do better
than readers do (arXiv 2404.01816), and no time is claimed. Every session is a line of a table; what the model in use
was worth on studies that nobody read is another table, a line per round.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cinema_core.anatomy import FOREGROUND, UNLABELLED, LabelState, Structure
from cinema_core.cards import BUNDLED
from cinema_core.cases import TrainingCase, group_of
from cinema_core.cine import Cine, View
from cinema_core.errors import CinemaError
from cinema_core.folds import extended
from cinema_core.learn.evaluate import evaluate
from cinema_core.learn.finetune import finetune
from cinema_core.learn.guard import Scope
from cinema_core.learn.select import rank_for_review, slice_facts
from cinema_core.learn.settings import FineTuneSettings
from cinema_core.measure.agreement import dice, hd95_mm
from cinema_core.models import zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict import segment_cine
from cinema_core.process import prepare_to_compute
from training.datasets.acdc import cases_of, read_patients
from training.figures import Course, check_figure, draw_courses
from training.label_efficiency import DATA, split_patients
from training.label_table import interval
from training.table import append_row, read_rows, table_of

Labels = NDArray[np.uint8]

DEFAULT_OUT: Final = Path(__file__).resolve().parent.parent / "out" / "simulated-reader"

N_STUDIES: Final = 10
TUNE_EVERY: Final = 2
"""Studies between two fine-tunings."""

EF_NEAR_PCT: Final = 5.0
"""Points of LV ejection fraction within which a study is done; readers differ by about as much among themselves
(Suinesiaputra et al., JCMR 17:63, 2015)."""

WRONG_DICE: Final = 0.92
WRONG_HD95_MM: Final = 5.0
"""A slice is corrected below this mean Dice or above this distance."""

MISSED_SHARE: Final = 0.1
TREMOR_PX: Final = 1.0
"""What makes a reader noisy: errors passed over, and how far the border strays."""


class Reader(StrEnum):
    """How well the simulated reader reads."""

    IDEAL = "ideal"
    NOISY = "noisy"


@dataclass(frozen=True)
class Session:
    """One reader through all studies.

    Attributes
    ----------
    tuned
        1 if the reader fine-tuned on the way, else 0.
    corrected, looked_at
        Slices.
    n_kept
        Versions that the gate offered for the project and the reader took.
    lvef_mae
        Mean absolute error of LV ejection fraction when each study was left, in points.
    """

    reader: str
    tuned: int
    seed: int
    corrected: int
    looked_at: int
    n_kept: int
    lvef_mae: float


@dataclass(frozen=True)
class Round:
    """What a reader's model was worth on studies that nobody read, after some studies.

    Attributes
    ----------
    n_studies, corrected
        Studies that were read and slices that were corrected so far.
    dice, unread_lvef_mae
        Mean Dice and mean absolute error of LV ejection fraction, in points, of the model in use.
    """

    reader: str
    tuned: int
    seed: int
    n_studies: int
    corrected: int
    dice: float
    unread_lvef_mae: float


Judge = Callable[[LoadedModel], tuple[float, float]]
"""Mean Dice and error of LV ejection fraction of a model on unread studies."""


def ejection_fraction_pct(labels: Labels) -> float:
    """LV ejection fraction of ED and ES, shape (2, z, y, x), in percent; 0 where no cavity is drawn at ED."""
    ed, es = (int((frame == Structure.LV_CAVITY).sum()) for frame in labels)
    return 100 * (ed - es) / ed if ed else 0.0


def is_wrong(drawn: Labels, truth: Labels, pixel_mm: tuple[float, float]) -> bool:
    """Whether a reader would correct a slice (y, x)."""
    scores = [dice(drawn, truth, s) for s in FOREGROUND if (drawn == s).any() or (truth == s).any()]
    if scores and float(np.mean(scores)) < WRONG_DICE:
        return True
    shown = [s for s in FOREGROUND if (drawn == s).any() and (truth == s).any()]
    return any(hd95_mm(drawn, truth, s, pixel_mm) > WRONG_HD95_MM for s in shown)


def trembling(truth: Labels, rng: np.random.Generator) -> Labels:
    """Labels (y, x) as a hand draws them that strays by about a pixel, smoothly along the border."""
    shift = ndimage.gaussian_filter(rng.standard_normal((2, *truth.shape)), (0, 4, 4))
    shift *= TREMOR_PX / max(float(shift.std()), 1e-9)
    at = np.indices(truth.shape) + shift
    return np.asarray(ndimage.map_coordinates(truth, at, order=0, mode="nearest"), dtype=np.uint8)


class Desk:
    """A reader at work: the studies that were read so far, with their labels."""

    def __init__(self, reader: Reader, seed: int, base: LoadedModel, settings: FineTuneSettings) -> None:
        self._reader = reader
        self._rng = np.random.default_rng([seed, 7])
        self._base = base
        self._model = base
        self._settings = settings.model_copy(update={"seed": seed})
        self._labelled: list[TrainingCase] = []
        self._ledger: dict[str, int] = {}
        self.corrected = self.looked_at = self.n_kept = 0
        self.errors_pct: list[float] = []

    def read(self, study: Sequence[TrainingCase]) -> None:
        """Read one study, ED and ES, until its ejection fraction is near the truth or every slice was looked at."""
        truth = np.stack([case.labels for case in study])
        cine = Cine(
            id="sax",
            pixels=np.stack([case.image for case in study]),
            geometry=study[0].geometry,
            view=View.SAX,
            phase_names=tuple(case.phase for case in study),
        )
        found = segment_cine(cine, self._model, device=str(self._base.device))
        labels, states = found.labels.copy(), dict[tuple[int, int], LabelState]()
        true_pct = ejection_fraction_pct(truth)
        pixel_mm = study[0].geometry.pixel_spacing_mm
        while abs(ejection_fraction_pct(labels) - true_pct) > EF_NEAR_PCT:
            facts = slice_facts(
                study[0].study_id, labels, found.uncertainty, states, ed_es=(0, 1), mirrors=found.mirrors
            )
            queue = rank_for_review(facts, limit=1)
            if not queue:
                break
            t, z = queue[0].t, queue[0].z
            self.looked_at += 1
            states[t, z] = LabelState.ACCEPTED
            if is_wrong(labels[t, z], truth[t, z], pixel_mm) and not self._misses():
                self.corrected += 1
                states[t, z] = LabelState.CORRECTED
                labels[t, z] = truth[t, z] if self._reader is Reader.IDEAL else trembling(truth[t, z], self._rng)
        self.errors_pct.append(abs(ejection_fraction_pct(labels) - true_pct))
        self._keep(study, labels, states)

    def fine_tune(self) -> None:
        """Tune the base on all labels so far, and take the version if the gate offers it for the project."""
        if not self._labelled:
            return
        patients = [group_of(case) for case in self._labelled]
        self._ledger = extended(self._ledger, patients, self._settings.folds, self._settings.seed)
        with tempfile.TemporaryDirectory() as out:
            result = finetune(self._labelled, self._base, self._settings, Path(out), "tuned", ledger=self._ledger)
            if result.scope is Scope.PROJECT:
                self._model = zoo.load(result.folder, device=str(self._base.device))
                self.n_kept += 1

    @property
    def model(self) -> LoadedModel:
        """Model in use."""
        return self._model

    def _misses(self) -> bool:
        return self._reader is Reader.NOISY and bool(self._rng.random() < MISSED_SHARE)

    def _keep(self, study: Sequence[TrainingCase], labels: Labels, states: dict[tuple[int, int], LabelState]) -> None:
        for t, case in enumerate(study):
            known = np.full_like(case.labels, UNLABELLED)
            for at, z in states:
                if at == t:
                    known[z] = labels[t, z]
            if (known != UNLABELLED).any():
                self._labelled.append(replace(case, labels=known, phase_index=t))


def session(
    reader: Reader,
    studies: Sequence[Sequence[TrainingCase]],
    base: LoadedModel,
    seed: int,
    settings: FineTuneSettings,
    *,
    tuned: bool,
) -> tuple[Session, list[Round]]:
    """Let a reader go through studies in an order of the seed; what is left over judges the model in use."""
    desk = Desk(reader, seed, base, settings)
    order = np.random.default_rng([seed, 3]).permutation(len(studies))
    judge = judge_on([case for place in order[N_STUDIES:] for case in studies[place]])
    worth = judge(base)
    rounds = [Round(str(reader), int(tuned), seed, 0, 0, *worth)]
    for k, place in enumerate(order[:N_STUDIES], start=1):
        desk.read(studies[place])
        if k % TUNE_EVERY == 0 and k < N_STUDIES:
            before = desk.model
            if tuned:
                desk.fine_tune()
            worth = worth if desk.model is before else judge(desk.model)
            rounds.append(Round(str(reader), int(tuned), seed, k, desk.corrected, *worth))
    told = Session(
        reader=str(reader),
        tuned=int(tuned),
        seed=seed,
        corrected=desk.corrected,
        looked_at=desk.looked_at,
        n_kept=desk.n_kept,
        lvef_mae=float(np.mean(desk.errors_pct)),
    )
    return told, rounds


def judge_on(cases: Sequence[TrainingCase]) -> Judge:
    """Measure models on these cases, by the protocol ``native``."""

    def judge(model: LoadedModel) -> tuple[float, float]:
        if not cases:
            return float("nan"), float("nan")
        with tempfile.TemporaryDirectory() as out:
            summary = evaluate(cases, model, Path(out))
        dice_mean, lvef = summary.dice["mean"], summary.lvef.mae
        assert dice_mean is not None  # every case is labelled all over
        assert lvef is not None
        return dice_mean, lvef

    return judge


def draw_rounds(rounds: Sequence[Round], path: Path) -> None:
    """Draw Dice and error of LVEF on unread studies against corrected slices, a line per reader, with intervals.

    Raises
    ------
    InputError, StorageError
        As :func:`training.figures.draw_lines`.
    """
    held = {(r.reader, r.tuned, r.seed, r.n_studies): r for r in rounds}  # of a round that was begun twice the last
    panels = {}
    for label, value in (
        ("mean Dice, unread studies", "dice"),
        ("LVEF error, points, unread studies", "unread_lvef_mae"),
    ):
        courses = []
        for reader, tuned in sorted({(r.reader, r.tuned) for r in held.values()}):
            stages = sorted({r.n_studies for r in held.values() if (r.reader, r.tuned) == (reader, tuned)})
            spent, had = [], []
            for stage in stages:
                of_seeds = [r for (*which, _, k), r in held.items() if (which, k) == ([reader, tuned], stage)]
                spent.append(_mean_and_interval([r.corrected for r in of_seeds]))
                had.append(_mean_and_interval([getattr(r, value) for r in of_seeds]))
            name = f"{reader}, {'fine-tuned' if tuned else 'never'}"
            courses.append(Course(name, tuple(spent), tuple(had)))
        panels[label] = courses
    draw_courses(path, panels, "corrected slices, 95 % intervals over orders of studies")


def _mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    return (float(np.mean(values)), *interval(values))


def report(sessions: Sequence[Session]) -> str:
    """Table in Markdown: corrected slices without and with fine-tuning, and the share that is saved, seed by seed."""
    lines = [
        "| Reader | Seeds | Corrected without | Corrected with | Saved (95 % interval) | LVEF, MAE without / with |",
        "|---|---|---|---|---|---|",
    ]
    for reader in Reader:
        held = {(s.seed, s.tuned): s for s in sessions if s.reader == reader}
        pairs = [(held[seed, 0], held[seed, 1]) for seed, tuned in sorted(held) if tuned == 0 and (seed, 1) in held]
        if not pairs:
            continue
        without, with_ = ([pair[k].corrected for pair in pairs] for k in (0, 1))
        saved = [100 * (a - b) / a for a, b in zip(without, with_, strict=True) if a]
        low, high = interval(saved) if saved else (0.0, 0.0)
        mae = [float(np.mean([pair[k].lvef_mae for pair in pairs])) for k in (0, 1)]
        lines.append(
            f"| {reader} | {len(pairs)} | {np.mean(without):.1f} | {np.mean(with_):.1f} "
            f"| {np.mean(saved) if saved else 0:.0f} % [{low:.0f}, {high:.0f}] | {mae[0]:.1f} / {mae[1]:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.simulated_reader",
        description="How many slices a simulated reader corrects, with and without fine-tuning on the way.",
        epilog="Example: python -m training.simulated_reader --readers ideal noisy --seeds 3",
    )
    parser.add_argument("--acdc", type=Path, default=DATA / "acdc", help="folder of ACDC's patients")
    parser.add_argument("--model", default=BUNDLED, help="model to start from")
    parser.add_argument("--readers", nargs="+", choices=[str(r) for r in Reader], default=[str(r) for r in Reader])
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--figure", type=Path, help="file of a figure of all rounds of the table: .png, .svg or .pdf")
    parser.add_argument("--steps", type=int, help="steps of every fine-tuning, instead of what the time budget buys")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training process")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the table of sessions")
    given = parser.parse_args(arguments)
    prepare_to_compute()
    torch.set_num_threads(given.threads)
    try:
        if given.figure is not None:
            check_figure(given.figure)
        base = zoo.load(given.model, device=given.device)
        path = table_of(given.out, "sessions", base.card.sha256)
        held = read_rows(path, Session)
        rounds_path = table_of(given.out, "rounds", base.card.sha256)
        # Patients that the curves of label efficiency test on: nothing is chosen by them.
        studies = [cases_of(patient) for patient in split_patients(read_patients(given.acdc))[1]]
        settings = FineTuneSettings(device=given.device, steps=given.steps)
        for seed in range(given.seeds):
            for reader in given.readers:
                for tuned in (0, 1):
                    if (reader, tuned, seed) in {(s.reader, s.tuned, s.seed) for s in held}:
                        continue
                    told, rounds = session(Reader(reader), studies, base, seed, settings, tuned=bool(tuned))
                    for each in rounds:
                        append_row(rounds_path, each)
                    append_row(path, told)
                    held.append(told)
                    print(told, flush=True)
        if given.figure is not None:
            draw_rounds(read_rows(rounds_path, Round), given.figure)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(report(held))
    return 0


if __name__ == "__main__":
    sys.exit(main())
