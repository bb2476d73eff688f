"""Open studies that were broken on purpose: ``python -m benchmarks.fuzz_import --cases 5000``.

Half of the cases are synthetic studies with the faults that scanners, archives and anonymisers make; half are real
files with bytes changed, cut or doubled. Whatever is in the files, the importer gives a study that agrees with them or
a :class:`~cinema_core.errors.CinemaError` that says why not. Anything else ends the run: another error, a case that
takes longer than :data:`~benchmarks.fuzz_agreement.HANG_S`, a cine that does not agree with its files.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_agreement import run_case
from benchmarks.fuzz_cases import KINDS, mutate, real_sets, write_case
from benchmarks.fuzz_faults import FAULTS
from benchmarks.table import Figure, print_table
from cinema_core.io.dicom_headers import tolerant_pydicom


def run_synthetic(n_cases: int, *, repeatable: bool, count: Counter[str]) -> None:
    """Run synthetic cases that hypothesis draws, and count how they end."""

    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        derandomize=repeatable,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        kind=st.sampled_from(KINDS),
        faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=4),
        n_slices=st.integers(1, 6),
        n_phases=st.integers(1, 6),
        seed=st.integers(0, 2**32),
    )
    def case(kind: str, faults: list[str], n_slices: int, n_phases: int, seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder, tolerant_pydicom():
            places = write_case(Path(folder), kind, faults, n_slices, n_phases, random.Random(seed))
            count.update(run_case(places))

    case()


def run_mutated(n_cases: int, seed: int, count: Counter[str]) -> None:
    """Run cases of real files with changed bytes, and count how they end."""
    sets = real_sets()
    for k in range(n_cases):
        rng = random.Random(f"{seed}/{k}")
        name = rng.choice(sorted(sets))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            victims = set(rng.sample(range(len(sets[name])), rng.randint(1, min(3, len(sets[name])))))
            for n, (file, blob) in enumerate(sets[name]):
                (folder / file).write_bytes(mutate(blob, rng) if n in victims else blob)
            try:
                count.update(run_case(folder / sets[name][0][0] if len(sets[name]) == 1 else folder))
            except Exception as error:
                kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / "case"
                shutil.copytree(folder, kept)
                error.add_note(f"Case {k} of seed {seed} ({name}); its files are kept in {kept}.")
                raise


def main() -> None:
    """Run the cases and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    synthetic: Counter[str] = Counter()
    mutated: Counter[str] = Counter()
    run_synthetic(arguments.cases // 2, repeatable=False, count=synthetic)
    run_mutated(arguments.cases - arguments.cases // 2, arguments.seed, mutated)
    figures = [
        Figure(f"{name}: {outcome}", str(n))
        for name, counts in (("synthetic", synthetic), ("mutated", mutated))
        for outcome, n in counts.most_common()
    ]
    print_table(
        f"{arguments.cases} broken studies, no crash, no hang, no wrong geometry ({time.perf_counter() - start:.0f} s)",
        figures,
    )


if __name__ == "__main__":
    main()
