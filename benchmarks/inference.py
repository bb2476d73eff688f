"""How much faster a cine is segmented than by a plain loop over the same network: ``python -m benchmarks.inference``.

The network has the published base size and random weights. The plain loop shows it one frame at a time in float32,
as published. Random weights draw no heart, so both are given the logits of a synthetic one on top: decoding around
the heart then has the window that it would have. Whether both draw the same labels is measured with trained weights:
the bundled ones, on real studies.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from cinema_core.process import prepare_to_compute

prepare_to_compute()  # as the engine and the commands do, before torch is imported

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.table import DATA, Figure, print_table  # noqa: E402
from cinema_core.anatomy import FOREGROUND, Structure  # noqa: E402
from cinema_core.cine import Cine  # noqa: E402
from cinema_core.geometry import scale_frames  # noqa: E402
from cinema_core.io import load_study  # noqa: E402
from cinema_core.learn.windows import labels_on  # noqa: E402
from cinema_core.measure.agreement import dice  # noqa: E402
from cinema_core.models import ConvUNetR, build_model, zoo  # noqa: E402
from cinema_core.models.convunetr import EncodedView, HalfDecoded  # noqa: E402
from cinema_core.models.layout import laid_out  # noqa: E402
from cinema_core.models.region import Region, cut  # noqa: E402
from cinema_core.models.zoo import LoadedModel, ViewSettings, short_axis_grid, view_settings  # noqa: E402
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom  # noqa: E402
from cinema_core.predict import forward, segment_cine  # noqa: E402
from cinema_core.predict.forward import WindowedNetwork  # noqa: E402
from cinema_core.predict.heart_window import HeartWindow  # noqa: E402
from cinema_core.predict.segment import SAX, grid_about_heart  # noqa: E402

Array = NDArray[np.float32]

CORES = 2
SURE = 20.0
"""Logit of the synthetic heart, far above those of random weights (up to 2)."""

STUDIES = {
    "Sunnybrook patient": "sunnybrook_dicom/dicoms/SCD0000101",
    "Siemens volunteer": "bivme_siemens_dicom/dicoms",
    "ACDC patient, ED and ES": "acdc/patient006",
}


class PaintedHeart(ConvUNetR):
    """A network with a heart painted over what it draws; the painting costs next to nothing."""

    painted: Tensor  # (c, x, y, z)

    def decode(self, view: str, encoded: EncodedView, window: Region | None = None) -> Tensor:
        """Logits, with the heart on top."""
        return self._with_heart(super().decode(view, encoded, window), window)

    def finish(self, view: str, half: HalfDecoded, window: Region | None = None) -> Tensor:
        """Logits, with the heart on top."""
        return self._with_heart(super().finish(view, half, window), window)

    def _with_heart(self, logits: Tensor, window: Region | None) -> Tensor:
        return logits + (self.painted[None] if window is None else cut(self.painted[None], window))


def base_config() -> dict[str, Any]:
    """Config of the published segmentation network for the short axis."""
    config: dict[str, Any] = deepcopy(dict(zoo.load("bundled").config))
    config["data"]["sax"]["patch_size"] = [192, 192, 16]
    config["model"]["convunetr"] |= {"size": "base", "enc_conv_chans": [64, 128], "dec_chans": [32, 64, 128, 256, 512]}
    return config


def painted_base(study: PhantomStudy) -> LoadedModel:
    """Make the base network with random weights, and paint the heart of a study, at all its phases, over it."""
    config = base_config()
    torch.manual_seed(0)
    network = build_model(config)
    network.__class__ = PaintedHeart
    grid = view_settings(config)[SAX]
    everywhere = labels_on(grid_about_heart(study.cine, grid), study.labels.max(axis=0))  # any phase; (x, y, z)
    everywhere[everywhere >= len(Structure)] = 0  # outside the image
    missing = grid.patch_size[2] - everywhere.shape[-1]
    labels = torch.from_numpy(np.pad(everywhere, ((0, 0), (0, 0), (0, missing)))).long()
    painted = SURE * F.one_hot(labels, len(Structure)).movedim(-1, 0).float()
    network.register_buffer("painted", painted.contiguous(), persistent=False)
    bundled = zoo.load("bundled")
    return LoadedModel(network.eval(), config, bundled.card, bundled.folder)


def frames_of(cine: Cine, grid: ViewSettings) -> Array:
    """Frames (t, x, y, z) as the network sees them."""
    return grid_about_heart(cine, grid).to_model(scale_frames(cine.pixels))


def plain_labels(network: nn.Module, frame: Array, depth: int) -> NDArray[np.uint8]:
    """As published: one frame (x, y, z), padded with zeros to the depth, in float32; slices if the depth is one."""
    with torch.inference_mode():
        if depth == 1:
            images = torch.from_numpy(frame).movedim(-1, 0)[:, None, :, :, None]  # (z, 1, x, y, 1)
            return np.stack([network({SAX: image[None]})[SAX][0, ..., 0].argmax(0) for image in images], -1).astype(
                "u1"
            )
        padded = np.pad(frame, ((0, 0), (0, 0), (0, depth - frame.shape[-1])))
        drawn = network({SAX: torch.from_numpy(padded)[None, None]})[SAX][0].argmax(0)  # (x, y, z)
        labels: NDArray[np.uint8] = drawn[..., : frame.shape[-1]].numpy().astype(np.uint8)
    return labels


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def side_by_side(model: LoadedModel, cine: Cine, n_plain: int) -> tuple[list[float], list[float]]:
    """Seconds of each plain frame, and of each frame of the fast path between them."""
    grid = short_axis_grid(model)
    depth = grid.patch_size[2]
    frames = frames_of(cine, grid)
    timed(lambda: plain_labels(model.network, frames[0], depth))  # the first one is slower, whatever it is
    turns = set(np.linspace(0, len(frames) - 1, n_plain).round().astype(int).tolist())
    found = WindowedNetwork(model.network, SAX, depth).probabilities(frames, lambda _share: None)
    plain, fast = [], []
    for t in range(len(frames)):
        if t in turns:
            plain.append(timed(lambda t=t: plain_labels(model.network, frames[t], depth)))  # type: ignore[misc]
        fast.append(timed(lambda: next(found).argmax(axis=0)))
    return plain, fast


def means(model: LoadedModel, frame: Array, repeats: int) -> Iterator[tuple[str, float]]:
    """Best seconds of one frame as one means after the other is added, every repeat in turn over all."""
    images = {SAX: torch.from_numpy(np.pad(frame, ((0, 0), (0, 0), (0, 16 - frame.shape[-1]))))[None, None]}
    channels_last, packed = laid_out(model.network, torch.float32), laid_out(model.network, torch.bfloat16)
    window = heart_window(model, frame)

    def step(network: nn.Module, bfloat16: bool, fused: bool, region: Region | None) -> Callable[[], None]:
        def run() -> None:
            assert isinstance(network, ConvUNetR)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16), attention(fused):
                network.decode(SAX, network.encode(images)[SAX], region)

        return run

    steps = {
        "float32": step(model.network, False, True, None),
        "float32, channels last, around the heart": step(channels_last, False, True, window),
        "bfloat16": step(model.network, True, True, None),
        "+ attention as plain products": step(model.network, True, False, None),
        "+ channels last": step(channels_last, True, False, None),
        "+ linear layers packed": step(packed, True, False, None),
        "+ around the heart": step(packed, True, False, window),
    }
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(repeats):
        for name, run in steps.items():
            best[name] = min(best[name], timed(run))
    yield from best.items()


def heart_window(model: LoadedModel, frame: Array) -> Region:
    """Window that the fast path takes around the painted heart."""
    painted = model.network.painted
    assert isinstance(painted, Tensor)
    heart = HeartWindow((192, 192))
    heart.see(painted[None].softmax(dim=1).numpy())
    region = heart.region
    assert region is not None
    return (*region, slice(0, frame.shape[-1]))


@contextmanager
def attention(fused: bool) -> Iterator[None]:
    """Attention by torch's fused kernel, or as the library does it."""
    if not fused:
        yield
        return
    with patch("cinema_core.models.vit.attend", F.scaled_dot_product_attention):
        yield


def agreement(model: LoadedModel, cine: Cine, precision: torch.dtype) -> Mapping[Structure, float]:
    """Dice of each structure between the fast path in a precision and the plain loop, over all frames."""
    grid = short_axis_grid(model)
    frames = frames_of(cine, grid)
    plain = np.stack([plain_labels(model.network, frame, grid.patch_size[2]) for frame in frames])
    with patch.object(forward, "choose_precision", lambda *_: precision):
        windowed = WindowedNetwork(model.network, SAX, grid.patch_size[2])
        fast = np.stack([found.argmax(axis=0) for found in windowed.probabilities(frames, lambda _share: None)])
    return {structure: dice(fast.astype(np.uint8), plain, structure) for structure in FOREGROUND}


def peak_gb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def main() -> None:
    """Time, memory and agreement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phases", type=int, default=25, help="frames of the cine; the fast path segments all")
    parser.add_argument(
        "--frames", type=int, default=3, help="frames that the plain loop is timed on, spread over them"
    )
    parser.add_argument("--repeats", type=int, default=3, help="of each single means")
    asked = parser.parse_args()
    torch.set_num_threads(CORES)

    study = make_phantom(HeartParameters(n_slices=10, n_phases=asked.phases), seed=1)
    model = painted_base(study)
    plain, fast = side_by_side(model, study.cine, asked.frames)
    per_plain, per_fast = float(np.mean(plain)), float(np.mean(fast))
    loop = f"{per_plain:.2f} s a frame ({min(plain):.2f} to {max(plain):.2f}), {len(plain)} of {len(fast)} timed"
    whole_cine = timed(lambda: segment_cine(study.cine, model, device="cpu"))
    n = len(fast)
    figures = [
        Figure("plain loop, float32", loop),
        Figure("fast path", f"{per_fast:.2f} s a frame, {sum(fast):.1f} s all {n}"),
        Figure("faster by", f"{per_plain / per_fast:.2f}", ">= 3"),
        Figure(f"segment_cine of {n} phases x 10 slices, to labels on its own grid", f"{whole_cine:.1f} s"),
        Figure("largest memory of the process, plain loop included", f"{peak_gb():.2f} GB", "<= 4 GB"),
    ]
    print_table(f"Base size, random weights, {CORES} threads", figures)

    frame = frames_of(study.cine, short_axis_grid(model))[0]
    columns, rows, slices = heart_window(model, frame)
    size = " x ".join(str(s.stop - s.start) for s in (columns, rows, slices))
    figures = [Figure(name, f"{seconds:.2f} s") for name, seconds in means(model, frame, asked.repeats)]
    print_table(f"One frame by each means, best of {asked.repeats}; window {size} of 192 x 192 x 16", figures)

    bundled = zoo.load("bundled")
    figures = []
    for name, folder in STUDIES.items():
        if (DATA / folder).is_dir():
            cine = load_study(DATA / folder).best("sax")
            for precision in (torch.float32, torch.bfloat16):
                found = agreement(bundled, cine, precision)
                row = ", ".join(f"{structure.name} {value:.4f}" for structure, value in found.items())
                figures.append(Figure(f"{name}, {str(precision).removeprefix('torch.')}", row, ">= 0.995"))
    print_table("Dice of the fast path with the plain loop, bundled weights, the model's own grid", figures)


if __name__ == "__main__":
    main()
