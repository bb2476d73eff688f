"""How fast a cohort is measured where labels are given: ``python -m benchmarks.batch``.

Studies of synthetic hearts, each a whole cine with labels of every phase, as ``cinema batch`` takes them. Few different
hearts are made and repeated: what is measured is reading, measuring and handing out, not the making of hearts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from benchmarks.table import Figure, print_table
from cinema_core.cohort import read_cohort
from cinema_core.cohort.run import run_batch
from cinema_core.cohort.work import BatchSettings
from cinema_core.io import write_image, write_labels
from cinema_core.phantom import make_phantom, random_parameters

SEED = 99_000_000
TARGET_PER_S = 20.0


def make_cohort(folder: Path, n_studies: int, n_hearts: int, n_phases: int) -> Path:
    """Write the hearts and a case list in which every study has files of its own name."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_hearts):
        if (folder / f"heart-{i}-labels.nii.gz").exists():
            continue
        p = random_parameters(np.random.default_rng([SEED, i]))
        study = make_phantom(replace(p, n_phases=n_phases), seed=SEED + i)
        write_image(folder / f"heart-{i}.nii.gz", study.cine)
        write_labels(folder / f"heart-{i}-labels.nii.gz", study.labels, study.cine)
    lines = ["study,image,labels"]
    for k in range(n_studies):
        heart = f"heart-{k % n_hearts}"
        lines.append(f"study-{k:05d},{heart}.nii.gz,{heart}-labels.nii.gz")
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(folder: Path, n_studies: int, n_hearts: int, n_phases: int, processes: int) -> list[Figure]:
    """Lines of the table."""
    entries = read_cohort(make_cohort(folder, n_studies, n_hearts, n_phases))
    with tempfile.TemporaryDirectory(prefix="cohort-out-") as out:
        before = _cpu_s()
        result = run_batch(entries, BatchSettings(Path(out), "benchmark"), processes=processes)
        cpu_s = _cpu_s() - before
    speed = n_studies / result.seconds
    name = f"{n_studies} studies of {n_phases} phases, {n_hearts} different hearts, {processes} processes"
    return [
        Figure(name, f"{speed:.1f} studies a second, {len(result.failures)} failed", f">= {TARGET_PER_S:g}"),
        Figure("All of them", f"{result.seconds:.0f} s"),
        # What the computer was busy with beside it does not count here.
        Figure("Processor time a study, start of the cluster included", f"{cpu_s / n_studies:.3f} s"),
        Figure("Studies a second that two free cores would give", f"{2 * n_studies / cpu_s:.1f}"),
    ]


def _cpu_s() -> float:
    """Processor time of this process and of those that it started and that have ended (not on Windows: 0 there)."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + getattr(times, "children_user", 0) + getattr(times, "children_system", 0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--hearts", type=int, default=6, help="different synthetic hearts (6)")
    parser.add_argument("--phases", type=int, default=25)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--keep", type=Path, help="where the hearts are made, and found again; making them takes longest"
    )
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cohort-") as made:
        figures = measure(given.keep or Path(made), given.studies, given.hearts, given.phases, given.processes)
    print_table("A cohort with labels given", figures)


if __name__ == "__main__":
    main()
