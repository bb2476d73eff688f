"""How fast the recipes train: ``python -m benchmarks.training [--device cuda] [--steps N]``.

A step of masked-autoencoder pretraining (four views) and one of segmentation fine-tuning, at the base size with the
published settings, each as `training` does it and as a plain PyTorch loop does it: the same network, batch, optimiser,
clipping and precision, by turns in one process. Then the data loading of both alone, beside what the network needs.
And what it takes to read one phase of a study in its four views, from a folder and from shards.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from benchmarks.table import Figure, print_table
from cinema_core.process import prepare_to_compute

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.data import Dataset

    from training.config_files import TrainingConfig
    from training.epochs import Lesson

N_STUDIES = 4
N_PHASES = 50
N_SLICES = 10
PARTS = ("pretraining", "segmentation", "reading")
N_READS = 24
FASTER_ON_GPU, FASTER_ON_CPU, LOADING = 1.3, 1.0, 3.0


@dataclass(frozen=True)
class Subject:
    """What is measured: a recipe with its network and data."""

    name: str
    config: TrainingConfig
    network: nn.Module
    lesson: Lesson


def write_hearts(folder: Path) -> None:
    """Write prepared files of made-up grey values, in the sizes of UK Biobank's cines and of ACDC's ED and ES."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(N_STUDIES):
        pid = f"patient{k:03d}"
        place = folder / "train" / pid
        place.mkdir(parents=True)
        for view, size in (
            ("sax", (N_SLICES, 192, 192)),
            *((v, (1, 256, 256)) for v in ("lax_2c", "lax_3c", "lax_4c")),
        ):
            smooth = np.cumsum(rng.integers(-2, 3, (N_PHASES, *size)), axis=-1) % 256
            frames = [sitk.GetImageFromArray(frame.astype(np.uint8)) for frame in smooth]
            for frame in frames:
                frame.SetSpacing((1.0, 1.0, 10.0))
            sitk.WriteImage(sitk.JoinSeries(frames), str(place / f"{pid}_{view}_t.nii.gz"), useCompression=True)
            if view == "sax":
                labels = np.zeros(size, dtype=np.uint8)
                labels[:, 60:130, 60:130], labels[:, 80:110, 80:110], labels[:, 70:120, 30:60] = 2, 3, 1
                truth = sitk.GetImageFromArray(labels)
                truth.CopyInformation(frames[0])
                for phase in ("ed", "es"):
                    sitk.WriteImage(frames[0], str(place / f"{pid}_sax_{phase}.nii.gz"), useCompression=True)
                    sitk.WriteImage(truth, str(place / f"{pid}_sax_{phase}_gt.nii.gz"), useCompression=True)
        rows.append(f"{pid},{'DCM' if k < N_STUDIES // 2 else 'NOR'}")
    (folder / "train_metadata.csv").write_text("\n".join(["pid,pathology", *rows]) + "\n", encoding="utf-8")


def subjects(folder: Path, size: str, batch: int, parts: Sequence[str]) -> Iterator[Subject]:
    """Recipes with fresh weights."""
    import torch

    from cinema_core.models import build_model
    from training import pretrain, segmenting
    from training.datasets.augment import TeachingImages
    from training.datasets.processed import LabelledImage
    from training.epochs import Lesson
    from training.pretrain_settings import read_pretrain_config
    from training.settings import read_config

    asked = [
        f"train.batch_size={batch}",
        f"train.batch_size_per_device={batch}",
        f"data.dir={folder}",
        "grad_ckpt=false",
    ]
    mae = read_pretrain_config("cinema", [*asked, f"model.size={size}"])
    torch.manual_seed(0)
    if "pretraining" in parts:
        yield Subject("MAE pretraining, 4 views", mae, build_model(mae.model_dump(mode="json")), pretrain.lesson(mae))
    if "segmentation" not in parts:
        return
    unet = read_config("segmentation", "acdc_sax", [*asked, f"model.convunetr.size={size}"])
    files = sorted(path for path in folder.rglob("*_sax_e?.nii.gz"))
    images = [LabelledImage(p.parent.name, (p,), p.with_name(p.name.replace(".nii", "_gt.nii"))) for p in files]
    learned = Lesson(
        TeachingImages(images, unet), tuple(i.pid for i in images), partial(segmenting._loss, unet), lambda _: {}
    )
    yield Subject("segmentation fine-tuning", unet, build_model(unet.model_dump(mode="json")), learned)


def plain_step(
    subject: Subject, device: torch.device, precision: torch.dtype
) -> Callable[[Sequence[torch.Tensor]], None]:
    """One step as a plain loop does it: AdamW, clipping, autocast, nothing else."""
    import torch

    train = subject.config.train
    network = subject.network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6, betas=train.betas, weight_decay=train.weight_decay)

    def step(batch: Sequence[torch.Tensor]) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=precision, enabled=precision is not torch.float32):
            loss = subject.lesson.loss(network, [part.to(device) for part in batch])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_grad)
        optimizer.step()
        float(loss.detach())

    return step


def our_step(
    subject: Subject, device: torch.device, precision: torch.dtype
) -> Callable[[Sequence[torch.Tensor]], None]:
    """One step as the recipes do it."""
    from training.loop import Training

    training = Training(
        subject.network,
        subject.config.train,
        subject.lesson.loss,
        device,
        rate=lambda run: 1e-6,
        precision=precision,
    )
    training.network.train()

    def step(batch: Sequence[torch.Tensor]) -> None:
        training.step(batch)

    return step


@dataclass(frozen=True)
class Lasted:
    """Seconds of a step, by the clock and of the processor: on a shared machine only the latter can be compared."""

    clock: float
    processor: float


def seconds_by_turns(
    ways: Sequence[Callable[[Sequence[torch.Tensor]], None]], batch: Sequence[torch.Tensor], n: int
) -> list[list[Lasted]]:
    """Time ``n`` steps of each way, one after the other in turn, after one step each to warm up.

    Each turn is told as it ends: on a slow machine a step of the base size takes minutes.
    """
    import torch

    found: list[list[Lasted]] = [[] for _ in ways]
    for turn in range(n + 1):
        told = []
        for way, seconds in zip(ways, found, strict=True):
            began, used = time.perf_counter(), time.process_time()
            way(batch)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            lasted = Lasted(time.perf_counter() - began, time.process_time() - used)
            told.append(f"{lasted.clock:.1f} s ({lasted.processor:.1f} s of the processor)")
            if turn:
                seconds.append(lasted)
        print(f"{f'turn {turn} of {n}' if turn else 'to warm up'}: {', '.join(told)}", file=sys.stderr, flush=True)
    return found


def by_processor(name: str, lasted: Sequence[Sequence[Lasted]]) -> list[Figure]:
    """Seconds of the processor of a step each way, and how many times as fast the second is by them."""
    figures, medians = [], []
    for way, steps in zip(("plain loop", "training"), lasted, strict=True):
        used = [step.processor for step in steps]
        medians.append(statistics.median(used))
        shown = f"{medians[-1]:.3g} ({min(used):.3g} to {max(used):.3g})"
        figures.append(Figure(f"{name}, {way}, s of the processor per step", shown))
    times = f"{medians[0] / medians[1]:.2f}"
    return [*figures, Figure(f"{name}, faster by, by the processor", times, f">= {FASTER_ON_CPU}")]


def loading_per_s(images: Dataset[tuple[torch.Tensor, ...]], batch: int, n_workers: int, n_batches: int) -> float:
    """Images per second that the loader alone gives, after its processes have started."""
    from torch.utils.data import DataLoader, SequentialSampler

    loader = DataLoader(
        images,
        batch_size=batch,
        sampler=SequentialSampler(range(batch * (n_batches + 2 * n_workers))),
        num_workers=n_workers,
        multiprocessing_context="spawn",
        prefetch_factor=2,
    )
    given = iter(loader)
    for _ in range(2 * n_workers):
        next(given)
    began = time.perf_counter()
    for _ in range(n_batches):
        next(given)
    return batch * n_batches / (time.perf_counter() - began)


def reading(folder: Path) -> list[Figure]:
    """Time of the processor per study, one phase in four views, however the same cines are stored."""
    from cinema_core.model_config import ALL_VIEWS
    from training.datasets.cines import files_by_study, find_studies, packed_studies, read_phase
    from training.datasets.shards import write_shards
    from training.pretrain_settings import read_pretrain_config

    config, stored = read_pretrain_config("cinema"), {"a folder of .nii.gz": find_studies(folder, ALL_VIEWS)}
    for name, unpack in (("shards of .nii.gz", False), ("shards of .nii (--unpack)", True)):
        out = folder.with_name(f"shards-{unpack}")
        write_shards(files_by_study(folder, ALL_VIEWS), out, unpack=unpack)
        stored[name] = packed_studies(out, ALL_VIEWS)
    figures = []
    for name, studies in stored.items():
        began = time.process_time()
        for k, at in enumerate(np.random.default_rng(0).random(N_READS)):
            for view, file in studies[k % len(studies)].files.items():
                read_phase(file, float(at), config, view)
        took = 1000 * (time.process_time() - began) / N_READS
        figures.append(Figure(f"one phase in 4 views from {name}, ms of the processor", f"{took:.3g}"))
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--size", default="base", help="tiny, base, large or huge")
    parser.add_argument("--batch", type=int, help="images of a step; default 2 on a CPU, 16 on a GPU")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--steps", type=int, default=3, help="steps of each way")
    parser.add_argument("--workers", type=int, default=2, help="processes that load data")
    given = parser.parse_args()
    prepare_to_compute()
    import torch
    from torch.utils.data import default_collate

    device = torch.device(given.device)
    on_gpu = device.type == "cuda"
    batch_size = given.batch or (16 if on_gpu else 2)
    precision = torch.bfloat16 if on_gpu else torch.float32
    figures = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "hearts"
        write_hearts(folder)
        if "reading" in given.parts:
            figures += reading(folder)
        for subject in subjects(folder, given.size, batch_size, given.parts):
            images = subject.lesson.images
            batch = default_collate([images[k] for k in range(batch_size)])
            ways = [plain_step(subject, device, precision), our_step(subject, device, precision)]
            lasted = seconds_by_turns(ways, batch, given.steps)
            plain, ours = ([batch_size / step.clock for step in way] for way in lasted)
            faster = statistics.median(ours) / statistics.median(plain)
            for name, rates in (("plain loop", plain), ("training", ours)):
                shown = f"{statistics.median(rates):.3g} ({min(rates):.3g} to {max(rates):.3g})"
                figures.append(Figure(f"{subject.name}, {name}, samples/s", shown))
            if not on_gpu:
                figures += by_processor(subject.name, lasted)
            target = FASTER_ON_GPU if on_gpu else FASTER_ON_CPU
            figures.append(Figure(f"{subject.name}, faster by", f"{faster:.2f}", f">= {target}"))
            loaded = loading_per_s(images, batch_size, given.workers, max(4, 16 // batch_size))
            times = loaded / statistics.median(ours)
            figures.append(Figure(f"{subject.name}, data loading alone, samples/s", f"{loaded:.3g}"))
            figures.append(Figure(f"{subject.name}, loading against need", f"{times:.1f}", f">= {LOADING:g}"))
            del ways, subject
    how = f"{given.size}, batch {batch_size}, {given.device}, {str(precision).removeprefix('torch.')}"
    threads = f"{torch.get_num_threads()} threads, {given.workers} loading processes"
    print_table(f"Training steps, {how}, median of {given.steps}; {threads}", figures)


if __name__ == "__main__":
    main()
