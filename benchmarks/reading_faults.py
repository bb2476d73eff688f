"""Kill a reading at random moments, and look whether an edit is lost or half done.

``python -m benchmarks.reading_faults --runs 200``: each run starts :mod:`benchmarks.reading_window`, which reads by a
script, kills it after some line that it said and a little later, and opens the project again. What a reader then sees
must be what the window had said last, or what the one thing that it was at would have made: known from a reading with
the same seed that nothing happened to.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.reading_window import N_ACTS, digest, open_session
from benchmarks.table import Figure, print_table
from cinema_core.errors import CinemaError
from cinema_core.phantom import HeartParameters, make_phantom, write_phantom

ROOT: Final = Path(__file__).resolve().parents[1]
KILLS_PER_SEED: Final = 20
LATEST_S: Final = 0.05
"""A kill comes up to this long after the line that it waits for; one thing takes a few hundredths of a second."""


class Ground:
    """A study with its labels, which every reading starts from."""

    def __init__(self, folder: Path) -> None:
        phantom = make_phantom(HeartParameters(n_slices=6, slice_step_mm=16.0, n_phases=4), seed=5)
        self._folder = folder
        self._image = write_phantom(folder / "study", phantom)
        self._labels = folder / "study" / "truth" / "labels.nii.gz"

    def start(self, project: Path, seed: int) -> subprocess.Popen[str]:
        """Start a reading."""
        command = [sys.executable, "-m", "benchmarks.reading_window", project, self._image, self._labels, seed]
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            # The reader's own map of identities is none of ours.
            env={**os.environ, "CINEMA_IDENTITIES": str(self._folder / "identities.json"), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def undisturbed(self, seed: int) -> list[str]:
        """Return what a reading says that nothing happens to."""
        with self.start(self._folder / f"whole-{seed}.cinema", seed) as window:
            assert window.stdout is not None
            said = window.stdout.read().split()
        if len(said) != N_ACTS + 1:
            raise SystemExit(f"The reading of seed {seed} does not even work without a fault.")
        return said

    def killed(self, project: Path, seed: int, chance: random.Random) -> int:
        """Kill a reading; returns how many lines it said."""
        line, delay_s = chance.randint(1, N_ACTS), chance.uniform(0, LATEST_S)
        with self.start(project, seed) as window:
            assert window.stdout is not None
            said = 0
            for text in window.stdout:
                said += text.endswith("\n")  # killed in the middle of a word: it acknowledges nothing
                if said == line:
                    time.sleep(delay_s)
                    window.kill()
        return said

    def violations(self, project: Path, expected: Sequence[str], said: int) -> list[str]:
        """Find what the kill broke, one line each."""
        found = []
        try:
            with open_session(project) as session:
                if session.project.read_only:
                    found.append(f"the project cannot be written: {session.project.read_only_reason}")
                session.reading.open(self._image)
                if digest(session.reading) not in expected[said - 1 : said + 1]:
                    found.append(f"what was done up to line {said} is not what is shown")
        except CinemaError as error:
            found.append(f"the project does not open: {error}")
        with closing(sqlite3.connect(project / "project.sqlite")) as rows:
            found += [f"the database says {row[0]}" for row in rows.execute("PRAGMA integrity_check") if row[0] != "ok"]
        return found


def main() -> None:
    """Run, look, print; exit code 1 if anything was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    broken: Counter[str] = Counter()
    at_work = 0
    with tempfile.TemporaryDirectory(prefix="cinema-readings-") as name:
        folder = Path(name)
        ground = Ground(folder / "ground")
        expected: list[str] = []
        for k in range(asked.runs):
            seed = 1000 * asked.seed + k // KILLS_PER_SEED
            if k % KILLS_PER_SEED == 0:
                expected = ground.undisturbed(seed)
            project = folder / f"run{k}.cinema"
            said = ground.killed(project, seed, random.Random(f"{asked.seed} {k}"))
            at_work += said <= N_ACTS
            for line in ground.violations(project, expected, said):
                print(f"run {k}: {line}", flush=True)
                broken[line.split(":")[0]] += 1
    figures = [
        Figure("readings killed", f"{asked.runs}, {at_work} of them at work"),
        Figure("lost or half-done edits, broken projects", str(broken.total()), "0"),
    ]
    print_table(f"Kill -9 during a scripted reading, seed {asked.seed}", figures)
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
