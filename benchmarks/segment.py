"""How long the bundled model takes for a whole cine: ``python -m benchmarks.segment``."""

from __future__ import annotations

import time

from benchmarks.table import DATA, Figure, print_table
from cinema_core.cine import Cine
from cinema_core.io import load_study
from cinema_core.phantom import HeartParameters, make_phantom
from cinema_core.process import prepare_to_compute

CORES = 2


def cines() -> dict[str, Cine]:
    """Make or open the cines that are measured."""
    phantom = make_phantom(HeartParameters(n_slices=10, n_phases=25), seed=1).cine
    found = {"synthetic heart": phantom}
    for name, folder in (
        ("Sunnybrook patient", "sunnybrook_dicom/dicoms/SCD0000101"),
        ("Siemens volunteer", "bivme_siemens_dicom/dicoms"),
    ):
        if (DATA / folder).is_dir():
            found[name] = load_study(DATA / folder).best("sax")
    return found


def main() -> None:
    """Load the model once, then segment each cine."""
    prepare_to_compute()  # as the engine and the commands do, before torch is imported
    import torch

    from cinema_core.models import zoo
    from cinema_core.predict import segment_cine

    torch.set_num_threads(CORES)
    start = time.perf_counter()
    model = zoo.load("bundled")
    figures = [Figure("load the bundled model", f"{time.perf_counter() - start:.2f} s")]
    for name, cine in cines().items():
        start = time.perf_counter()
        segment_cine(cine, model=model, device="cpu")
        size = " x ".join(str(n) for n in cine.shape)
        target = "<= 20 s" if cine.n_phases >= 20 else ""
        figures.append(Figure(f"{name}, {size} (t, z, y, x)", f"{time.perf_counter() - start:.1f} s", target))
    print_table(f"Segmenting a whole cine with the bundled model, {CORES} threads", figures)


if __name__ == "__main__":
    main()
