"""How long importing DICOM takes, and how much memory: ``python -m benchmarks.import``.

A study of 300 files is opened as the window opens it; a folder of twenty studies is gone through, as
``cinema inspect`` does it. The files are written by pydicom with the sizes of real ones (Siemens volunteer: 25 phases,
about 210 x 256 pixels).
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from benchmarks.table import DATA, Figure, print_table
from cinema_core.cine import Cine, Geometry, Plane, Timing, View
from cinema_core.io import load_studies, load_study
from cinema_core.io.dicom import find_studies
from cinema_core.io.dicom_write import write_dicom
from cinema_core.io.files import listed
from cinema_core.progress import no_progress

N_SLICES, N_PHASES, N_ROWS, N_COLUMNS = 12, 25, 210, 256

N_STUDIES: Final = 20


def write_study(folder: Path, seed: int) -> None:
    """Write one study of 300 files."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 1000, (N_PHASES, N_SLICES, N_ROWS, N_COLUMNS), dtype=np.int16)
    x, y = np.array([0.7, 0.7, -0.1]), np.array([0.1, 0.04, 0.99])
    x /= np.linalg.norm(x)
    y = y - (y @ x) * x
    y /= np.linalg.norm(y)
    normal = np.cross(x, y)
    planes = tuple(Plane(10.0 * z * normal, x, y, (1.4, 1.4)) for z in range(N_SLICES))
    timing = Timing(tuple(32.0 * t for t in range(N_PHASES)), (800.0,) * N_SLICES, "trigger time", "stated")
    cine = Cine("sax", pixels, Geometry(planes), View.SAX, 0.9, timing)
    write_dicom(cine, folder, patient_id=f"study-{seed:08x}", study_entropy=f"benchmark {seed}")


def main() -> None:
    """Write the studies, then measure each step in a process of its own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for k in range(N_STUDIES):
            write_study(folder / f"study{k:02d}", k)
        one = folder / "study00"
        figures = []
        for name, place in (
            ("300 files", one),
            ("Siemens volunteer, 275 files", DATA / "bivme_siemens_dicom/dicoms"),
            ("Sunnybrook, 240 files", DATA / "sunnybrook_dicom/dicoms/SCD0000101"),
        ):
            for step, limit in (("headers", "<= 1 s"), ("cine", "<= 3 s")):
                seconds, megabytes = _measured(step, place)
                figures.append(Figure(f"{name}: {step} read", f"{seconds:.2f} s, {megabytes:.0f} MB", limit))
        seconds, megabytes = _measured("cine", DATA / "acdc/patient003")
        figures.append(Figure("ACDC patient, two NIfTI volumes", f"{seconds:.2f} s, {megabytes:.0f} MB", "<= 3 s"))
        seconds, megabytes = _measured("studies", folder)
        figures.append(
            Figure(
                f"{300 * N_STUDIES} files, {N_STUDIES} studies", f"{seconds:.1f} s, {megabytes:.0f} MB", "<= 30 s, 2 GB"
            )
        )
    print_table("Importing DICOM (files in the system's cache, libraries loaded)", figures)


def _measured(step: str, place: Path) -> tuple[float, float]:
    """Seconds of a step and the most memory that its process took, in MB."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run, (step, place))


def _run(step: str, place: Path) -> tuple[float, float]:
    start = time.perf_counter()
    if step == "headers":
        with listed(place) as listing:
            find_studies(listing.files, no_progress)
    elif step == "cine":
        load_study(place)
    else:
        for _ in load_studies(place):
            pass
    seconds = time.perf_counter() - start
    memory = psutil.Process().memory_info()
    return seconds, getattr(memory, "peak_wset", 0) / 2**20 or _peak_mb()


def _peak_mb() -> float:
    """Most memory that this process took; the standard library tells it on Linux and macOS only."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
