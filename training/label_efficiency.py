"""How far a few labelled slices carry a model: ``python -m training.label_efficiency``.

Experts' labels of ACDC play the reader. A seed draws patients of a pool and slices of them by a rule of the teach
queue; a model learns from these alone; patients outside the pool, the same for every seed, say what was gained, by
the protocol ``native``. Compared are the bundled model, tuned as *Fine-tune on my labels* does it, the same network
from nothing, and a UNet of the paper's kind that learns the same slices from nothing. What the tuned model has
forgotten of synthetic hearts and of Sunnybrook is measured, too. Every run is a line of a table, one table for each
model; a run that is there is not made again, so that the command goes on after a stop.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from cinema_core.anatomy import UNLABELLED, LabelState
from cinema_core.cards import BUNDLED, ModelCard
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine, View
from cinema_core.errors import CinemaError, InputError
from cinema_core.learn.evaluate import evaluate
from cinema_core.learn.finetune import finetune
from cinema_core.learn.select import slice_facts
from cinema_core.learn.settings import FineTuneSettings, Tier
from cinema_core.learn.teach import Candidate, Strategy, rank_for_teaching
from cinema_core.model_config import mirrors
from cinema_core.models import build_model, zoo
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict import segment_cine
from cinema_core.predict.features import slice_features
from cinema_core.process import prepare_to_compute
from training.bundled import keep_middle_taps
from training.datasets.acdc import AcdcPatient, cases_of, read_patients
from training.figures import check_figure
from training.judging import JudgedVolume, dice_of, phantom_volumes, sunnybrook_volumes
from training.label_table import METHODS, SCRATCH, UNET, Budget, Row, draw, report, worse_kept
from training.table import append_row, read_rows, table_of

HERE: Final = Path(__file__).resolve().parent
DATA: Final = HERE.parent.parent / "shared" / "data"
DEFAULT_OUT: Final = HERE.parent / "out" / "label-efficiency"

POOL_PER_GROUP: Final = 3
"""Patients of each group of disease that may teach; the others test. By name, so that it is the same for everybody."""

FRESH_STEPS: Final = 400
"""Of a network from nothing: more than the bundled model takes, because it starts with less."""

FRESH_RATE: Final = 1e-3


@dataclass(frozen=True)
class Scores:
    """A model on the test patients."""

    dice: float
    lvef_mae: float
    by_structure: dict[str, float]


def split_patients(patients: Sequence[AcdcPatient]) -> tuple[list[AcdcPatient], list[AcdcPatient]]:
    """Pool and test patients: of each group of disease the first few by name are the pool."""
    pool, test = [], []
    for group in sorted({p.group for p in patients}):
        members = [p for p in patients if p.group == group]
        pool += members[:POOL_PER_GROUP]
        test += members[POOL_PER_GROUP:]
    return pool, test


class Trial:
    """Pool, test patients and the model to start from, with what every run asks of them."""

    def __init__(self, acdc: Path, sunnybrook: Path | None, base: LoadedModel, *, n_phantoms: int = 8) -> None:
        pool, test = split_patients(read_patients(acdc))
        self.base = base
        self._pool = {p.name: cases_of(p) for p in pool}
        self._test = [case for p in test for case in cases_of(p)]
        self._judged: dict[str, list[JudgedVolume]] = {"phantom": phantom_volumes(n_phantoms)}
        if sunnybrook is not None:
            self._judged["sunnybrook"] = sunnybrook_volumes(sunnybrook)
        self.before = self.scores(base)
        self._remembered = self._remembers(base)

    def scores(self, model: LoadedModel) -> Scores:
        """Measure a model on the test patients."""
        with tempfile.TemporaryDirectory() as out:
            summary = evaluate(self._test, model, Path(out))
        mean, mae = summary.dice["mean"], summary.lvef.mae
        assert mean is not None  # every case is labelled all over
        assert mae is not None
        return Scores(mean, mae, {key: float(value or 0) for key, value in summary.dice.items() if key != "mean"})

    def forgotten(self, model: LoadedModel) -> dict[str, float]:
        """Dice that a model has more (or, negative, less) than the base on what the base learned from."""
        return {name: value - self._remembered[name] for name, value in self._remembers(model).items()}

    def _remembers(self, model: LoadedModel) -> dict[str, float]:
        scores = {
            name: dice_of(model.network, volumes, mirrors(model.config)) for name, volumes in self._judged.items()
        }
        return {name: float(np.mean(list(found.values()))) for name, found in scores.items()}

    def teaching(self, budget: Budget, strategy: Strategy, seed: int) -> list[TrainingCase]:
        """Cases of the pool with labels on the chosen slices only.

        Raises
        ------
        InputError
            If the pool has not that many patients.
        """
        if budget.n_patients > len(self._pool):
            raise InputError(f"{budget.name}: the pool has only {len(self._pool)} patients.")
        names = sorted(self._pool)
        chosen = [names[k] for k in np.random.default_rng([seed, 1]).permutation(len(names))[: budget.n_patients]]
        studies = {name: self._pool[name] for name in sorted(chosen)}
        if budget.n_slices is None:
            return [case for study in studies.values() for case in study]
        per_study = budget.n_slices // budget.n_patients
        candidates = [c for name, study in studies.items() for c in self._candidates(name, study)]
        queue = rank_for_teaching(candidates, budget.n_slices, seed, strategy, per_study=per_study)
        picked = {(s.study_id, s.t, s.z) for s in queue}
        return [
            replace(
                case, labels=only_slices(case.labels, [z for z in range(len(case.labels)) if (name, t, z) in picked])
            )
            for name, study in studies.items()
            for t, case in enumerate(study)
            if any((name, t, z) in picked for z in range(len(case.labels)))
        ]

    def _candidates(self, name: str, study: list[TrainingCase]) -> list[Candidate]:
        """All that any rule asks for of a patient's slices."""
        cine = Cine(
            id="sax",
            pixels=np.stack([case.image for case in study]),
            geometry=study[0].geometry,
            view=View.SAX,
            phase_names=tuple(case.phase for case in study),
        )
        drawn = segment_cine(cine, self.base, device=str(self.base.device))
        states: dict[tuple[int, int], LabelState] = {}
        features = slice_features(cine, self.base)
        return [
            Candidate(
                fact,
                structure_uncertainty=(float(rv), float(myo), float(lv)),
                embedding=features[fact.t, fact.z],
            )
            for fact in slice_facts(name, drawn.labels, drawn.uncertainty, states, ed_es=(0, 1))
            for rv, myo, lv in [drawn.structure_uncertainty[fact.t, fact.z]]
        ]

    def start(self, method: str, seed: int) -> LoadedModel:
        """Model that a method begins with."""
        if method == BUNDLED:
            return self.base
        return (unet_from_nothing if method == UNET else network_from_nothing)(self.base, seed)

    def run(self, method: str, budget: Budget, strategy: Strategy, seed: int, settings: FineTuneSettings) -> Row:
        """Learn and measure once."""
        cases = self.teaching(budget, strategy, seed)
        start = self.start(method, seed)
        with tempfile.TemporaryDirectory() as out:
            result = finetune(cases, start, replace_settings(settings, method, seed), Path(out), "tuned")
            tuned = zoo.load(result.folder, device=str(self.base.device))
            after = self.scores(tuned)
            forgotten = self.forgotten(tuned) if method == BUNDLED else {}
        return Row(
            method=method,
            strategy=str(strategy),
            budget=budget.name,
            seed=seed,
            tier=str(result.card.recipe["tier"]),
            steps=result.steps,
            seconds=round(result.seconds, 1),
            alpha=result.alpha,
            dice_before=self.before.dice if method == BUNDLED else 0.0,
            dice_after=after.dice,
            lvef_before=self.before.lvef_mae if method == BUNDLED else float("nan"),
            lvef_after=after.lvef_mae,
            **after.by_structure,
            phantom_change=forgotten.get("phantom", float("nan")),
            sunnybrook_change=forgotten.get("sunnybrook", float("nan")),
            offered=str(result.scope or ""),
        )


def only_slices(
    labels: np.ndarray[Any, np.dtype[np.uint8]], kept: Sequence[int]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Labels (z, y, x) with all but some slices unlabelled."""
    known = np.full_like(labels, UNLABELLED)
    known[list(kept)] = labels[list(kept)]
    return known


def replace_settings(settings: FineTuneSettings, method: str, seed: int) -> FineTuneSettings:
    """Take the product's settings for the bundled model, and plain training for a network that knows nothing."""
    if method == BUNDLED:
        return settings.model_copy(update={"seed": seed})
    steps = FRESH_STEPS if settings.steps is None else settings.steps
    # Nothing is held out, and nothing taken back: there is no base worth going back to.
    plain = {"steps": steps, "fold_min_steps": steps + 1, "base_weight": 0.0, "unmeasured_alpha": 1.0}
    plain["learning_rate"] = FRESH_RATE
    return settings.model_copy(update={**plain, "seed": seed, "tier": Tier.WHOLE})


def unet_from_nothing(like: LoadedModel, seed: int) -> LoadedModel:
    """Make a UNet of the paper's kind, for the grid of another model and of about the bundled model's size."""
    config = {key: value for key, value in like.config.items() if key not in ("model", "predict")}
    sizes = {"chans": [16, 32, 64, 128, 256], "patch_size": [2, 2, 1], "scale_factor": [2, 2, 1], "dropout": 0.0}
    view = like.config["model"]["views"]
    model = {"name": "unet", "ckpt_path": None, "views": view, "out_chans": 4, "unet": sizes}
    torch.manual_seed(seed)
    network = build_model({**config, "model": model}).to(like.device).eval()
    return LoadedModel(network, {**config, "model": model}, ModelCard(name="unet", sha256=""), like.folder)


def network_from_nothing(like: LoadedModel, seed: int) -> LoadedModel:
    """Make the network of another model with fresh weights, which is shown no mirror images: it learns from none."""
    torch.manual_seed(seed)
    config = {key: value for key, value in like.config.items() if key != "predict"}
    network = build_model(config)
    keep_middle_taps(network)  # as the bundled model began
    return LoadedModel(network.to(like.device).eval(), config, ModelCard(name=SCRATCH, sha256=""), like.folder)


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m training.label_efficiency",
        description="How far a few labelled slices carry the bundled model, and networks from nothing.",
        epilog="Example: python -m training.label_efficiency --budgets 8/4 40/10 --seeds 5 --methods bundled unet",
    )
    parser.add_argument("--acdc", type=Path, default=DATA / "acdc", help="folder of ACDC's patients")
    parser.add_argument("--sunnybrook", type=Path, default=DATA / "sunnybrook_slices", help="for what is forgotten")
    parser.add_argument("--model", default=BUNDLED, help="model to tune")
    parser.add_argument("--budgets", nargs="+", default=["8/4", "40/10"], help="slices/patients, such as 8/4 or all/10")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--strategies",
        nargs="+",
        choices=[str(s) for s in Strategy],
        default=[str(Strategy.FOREGROUND_RANDOM)],
        help="rules of the teach queue",
    )
    parser.add_argument("--figure", type=Path, help="file of a figure of all runs of the table: .png, .svg or .pdf")
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--steps", type=int, help="steps of every run, instead of what the time budget buys")
    parser.add_argument(
        "--tier",
        choices=[str(tier) for tier in Tier],
        default=str(Tier.AUTO),
        help="how much of the bundled model is trained; each tier has a table of its own",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of the training process")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder of the table of runs")
    given = parser.parse_args(arguments)
    prepare_to_compute()
    torch.set_num_threads(given.threads)
    try:
        budgets = [Budget.named(text) for text in given.budgets]
        if given.figure is not None:
            check_figure(given.figure)
        base = zoo.load(given.model, device=given.device)
        tier = Tier(given.tier)
        path = table_of(given.out, "runs" if tier is Tier.AUTO else f"runs-{tier}", base.card.sha256)
        rows = read_rows(path, Row)
        wanted = [
            (seed, budget, method, strategy)
            for seed in range(given.seeds)
            for budget in budgets
            for method in given.methods
            for strategy in map(Strategy, given.strategies)
            if (method, str(strategy), budget.name, seed) not in {row.key for row in rows}
        ]
        if wanted:
            trial = Trial(given.acdc, given.sunnybrook if given.sunnybrook.is_dir() else None, base)
            settings = FineTuneSettings(device=given.device, steps=given.steps, tier=tier)
        for seed, budget, method, strategy in wanted:
            rows.append(trial.run(method, budget, strategy, seed, settings))
            append_row(path, rows[-1])
            print(rows[-1], flush=True)
        if given.figure is not None:
            draw(rows, given.figure)
    except CinemaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(report(rows))
    n_offered, n_worse = worse_kept(rows)
    print(f"Offered for the project: {n_offered} runs, of which {n_worse} were worse on the test patients.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
