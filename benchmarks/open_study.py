"""How long opening a study takes: ``python -m benchmarks.open_study``."""

from __future__ import annotations

import time

from benchmarks.table import DATA, Figure, print_table
from cinema_core.io import load_study

STUDIES = {
    "Sunnybrook, one series of 240 files": ("sunnybrook_dicom/dicoms/SCD0000101", "<= 3 s"),
    "Siemens volunteer, 275 files in 11 series": ("bivme_siemens_dicom/dicoms", "<= 3 s"),
    "ACDC patient, two NIfTI volumes": ("acdc/patient003", ""),
}


def main() -> None:
    """Open each study three times, and show the first and the best time."""
    figures = []
    for name, (folder, target) in STUDIES.items():
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            load_study(DATA / folder)
            seconds.append(time.perf_counter() - start)
        figures.append(Figure(name, f"first {seconds[0]:.2f} s, best {min(seconds):.2f} s", target))
    print_table("Opening a study", figures)


if __name__ == "__main__":
    main()
