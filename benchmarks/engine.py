"""How the engine answers, and whether the window stays awake meanwhile: ``python -m benchmarks.engine``.

The window is played by this process's main thread, which ticks every few milliseconds; how late its ticks come is
how long a click would wait.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.table import DATA, Figure, print_table
from cinema_core.anatomy import UNLABELLED
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine
from cinema_core.engine.client import EngineClient, Job
from cinema_core.engine.messages import SegmentRequest
from cinema_core.engine.parcel import new_block_name, pack, release, unpack
from cinema_core.io import load_study
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom
from cinema_core.process import prepare_to_compute

TICK_S = 0.005
BUDGET_S = 40.0
CANCELS = 3
CANCEL_AFTER_S = 6.0
TRANSFERS = 10
TURNS = 3


@dataclass
class Watched:
    """When the news of a job came, counted from the moment it was asked for."""

    asked_at: float = field(default_factory=time.perf_counter)
    first_progress_s: float | None = None
    ended_s: float | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    late_s: list[float] = field(default_factory=list)

    def follow(self, job: Job) -> None:
        """Listen to a job."""
        job.events.progressed.connect(self.on_progress)
        job.events.finished.connect(self.on_end)
        job.events.failed.connect(self.on_end)
        job.events.cancelled.connect(self.on_end)

    def on_progress(self, *_: object) -> None:
        """Note when the first one came."""
        if self.first_progress_s is None:
            self.first_progress_s = time.perf_counter() - self.asked_at
            self.begun.set()

    def on_end(self, *_: object) -> None:
        """Note when it ended."""
        self.ended_s = time.perf_counter() - self.asked_at
        self.ended.set()

    def tick_until_the_end(self) -> None:
        """Be the window: wake every few milliseconds and note how late."""
        while not self.ended.is_set():
            due = time.perf_counter() + TICK_S
            time.sleep(TICK_S)
            self.late_s.append(time.perf_counter() - due)

    def lateness(self) -> str:
        """Median, 99th percentile and maximum of how late the ticks were."""
        p50, p99 = (1000 * float(np.quantile(self.late_s, q)) for q in (0.5, 0.99))
        return f"{p50:.1f} / {p99:.1f} / {1000 * max(self.late_s):.0f} ms"


def segment(engine: EngineClient, cine: Cine) -> Watched:
    """Segment a cine, ticking meanwhile."""
    watched = Watched()
    job = engine.segment(cine, model="bundled", device="cpu")
    watched.follow(job)
    watched.tick_until_the_end()
    job.result()
    return watched


def cancel(engine: EngineClient, cine: Cine) -> float:
    """Seconds from cancel to its news, in the middle of segmenting."""
    watched = Watched()
    job = engine.segment(cine, model="bundled", device="cpu")
    watched.follow(job)
    watched.begun.wait()
    time.sleep(1.0)
    watched.asked_at = time.perf_counter()
    job.cancel()
    watched.ended.wait()
    assert watched.ended_s is not None
    return watched.ended_s


def restart(engine: EngineClient, cine: Cine) -> float:
    """Seconds from asking an engine that was killed until the next one is at work."""
    (child,) = (child for child in multiprocessing.active_children() if child.name == "cinema-engine")
    child.kill()
    child.join()
    watched = Watched()
    job = engine.segment(cine, model="bundled", device="cpu", phases=[0])
    watched.follow(job)
    watched.begun.wait()
    job.result()
    assert watched.first_progress_s is not None
    return watched.first_progress_s


def transfer(cine: Cine) -> float:
    """Median seconds of what both sides do to bring a cine to the engine and its labels back."""
    took = []
    for _ in range(TRANSFERS):
        started = time.perf_counter()
        for value in (SegmentRequest(cine, "bundled"), np.zeros(cine.shape, np.uint8)):
            parcel, memory = pack(value, new_block_name())
            unpack(parcel)
            release(memory)
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def there_and_here(engine: EngineClient, cine: Cine) -> tuple[float, float]:
    """Median seconds of segmenting in the engine and in this process, in turn: both see the same busy machine."""
    prepare_to_compute()
    from cinema_core.models import zoo
    from cinema_core.predict import segment_cine

    model = zoo.load("bundled")
    segment_cine(cine, model=model, device="cpu", phases=[0])
    there_s, here_s = [], []
    for _ in range(TURNS):
        started = time.perf_counter()
        engine.segment(cine, model="bundled", device="cpu").result()
        there_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        segment_cine(cine, model=model, device="cpu")
        here_s.append(time.perf_counter() - started)
    return statistics.median(there_s), statistics.median(here_s)


def finetune(engine: EngineClient, phantom: PhantomStudy, out: Path) -> tuple[Watched, float]:
    """Fine-tune on ten slices with a short budget, ticking meanwhile; then cancel a second run."""
    labels = phantom.labels[0].copy()
    labels[10:] = UNLABELLED
    image = phantom.cine.pixels[0].astype(np.float32)
    cases = [TrainingCase("a", "a", "a", image, labels, phantom.cine.geometry, phase_index=0)]
    watched = Watched()
    job = engine.finetune(cases, base="bundled", settings={"budget_s": BUDGET_S}, out=out, name="v001")
    watched.follow(job)
    watched.tick_until_the_end()
    job.result()

    second = Watched()
    job = engine.finetune(cases, base="bundled", settings={"budget_s": BUDGET_S}, out=out, name="v002")
    second.follow(job)
    second.begun.wait()
    second.ended.wait(CANCEL_AFTER_S)
    assert not second.ended.is_set(), "fine-tuning ended before it could be cancelled"
    second.asked_at = time.perf_counter()
    job.cancel()
    second.ended.wait()
    assert second.ended_s is not None
    return watched, second.ended_s


def main() -> None:
    """Measure and print."""
    phantom = make_phantom(HeartParameters(n_slices=12, n_phases=25), seed=1)
    sunnybrook = DATA / "sunnybrook_dicom" / "dicoms" / "SCD0000101"
    cine = load_study(sunnybrook).best("sax") if sunnybrook.is_dir() else phantom.cine
    with tempfile.TemporaryDirectory() as folder, EngineClient(log_folder=Path(folder)) as engine:
        cold = segment(engine, cine)
        warm = segment(engine, cine)
        cancels = [cancel(engine, cine) for _ in range(CANCELS)]
        restart_s = restart(engine, cine)
        learned, learn_cancel_s = finetune(engine, phantom, Path(folder))
        there_s, here_s = there_and_here(engine, cine)  # last: it brings torch into this process
    size = " x ".join(str(n) for n in cine.shape)
    print_table(
        f"The engine, bundled model, cine {size} (t, z, y, x)",
        [
            Figure(
                "first progress, process not started (torch is loaded)", f"{cold.first_progress_s:.2f} s", "<= 10 s"
            ),
            Figure("first progress, process warm", f"{warm.first_progress_s:.2f} s", "<= 10 s"),
            Figure("segmenting, process not started", f"{cold.ended_s:.1f} s"),
            Figure("segmenting, process warm", f"{warm.ended_s:.1f} s", "<= 20 s"),
            Figure("segmenting in turn, by the engine / in one process", f"{there_s:.1f} s / {here_s:.1f} s"),
            Figure("cine and labels through shared memory, median", f"{1000 * transfer(cine):.0f} ms"),
            Figure("first progress after the engine was killed", f"{restart_s:.2f} s", "<= 10 s"),
            Figure("cancel while segmenting, median", f"{statistics.median(cancels):.2f} s", "<= 2 s"),
            Figure("first progress of fine-tuning", f"{learned.first_progress_s:.2f} s", "<= 10 s"),
            Figure("cancel while fine-tuning", f"{learn_cancel_s:.2f} s", "<= 2 s"),
            Figure("window late while segmenting, median / p99 / max", warm.lateness(), "p99 <= 100 ms"),
            Figure("window late while fine-tuning, median / p99 / max", learned.lateness(), "p99 <= 100 ms"),
        ],
    )


if __name__ == "__main__":
    main()
