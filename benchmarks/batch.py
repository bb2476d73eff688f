"""How fast a cohort is measured where labels are given: ``python -m benchmarks.batch``.

Studies of synthetic hearts, each a whole cine with labels of every phase, as ``cinema batch`` takes them. Few different
hearts are made and repeated: what is measured is reading, measuring and handing out, not the making of hearts.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

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
    for i in range(n_hearts):
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


def measure(n_studies: int, n_hearts: int, n_phases: int, processes: int) -> list[Figure]:
    """Lines of the table."""
    folder = Path(tempfile.mkdtemp(prefix="cohort-"))
    try:
        entries = read_cohort(make_cohort(folder, n_studies, n_hearts, n_phases))
        result = run_batch(entries, BatchSettings(folder / "out", "benchmark"), processes=processes)
        speed = n_studies / result.seconds
        name = f"{n_studies} studies of {n_phases} phases, {n_hearts} different hearts, {processes} processes"
        return [
            Figure(name, f"{speed:.1f} studies a second, {len(result.failures)} failed", f">= {TARGET_PER_S:g}"),
            Figure("All of them", f"{result.seconds:.0f} s"),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--hearts", type=int, default=6, help="different synthetic hearts (6)")
    parser.add_argument("--phases", type=int, default=25)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    print_table("A cohort with labels given", measure(given.studies, given.hearts, given.phases, given.processes))


if __name__ == "__main__":
    main()
