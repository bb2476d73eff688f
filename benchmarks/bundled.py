"""How good the bundled model is on hearts it never saw: ``python -m benchmarks.bundled``.

Synthetic hearts, held-out Sunnybrook patients (LV cavity only), and ACDC at ED and ES. All are cut
192 x 192 mm about the true LV and scored at 1 x 1 mm on the study's own slices: what the network can do once
the heart is found. ``cinema evaluate`` measures the whole program, which finds the heart itself.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.table import DATA, Figure, print_table
from cinema_core.anatomy import FOREGROUND, Structure
from cinema_core.cards import CONFIG_FILE, WEIGHTS_FILE, write_model_folder
from cinema_core.models import zoo
from cinema_core.phantom.slices import SLICE_SIZE
from cinema_core.process import keep_freed_memory
from training.datasets.slices import normalised
from training.judging import JudgedVolume, dice_of, phantom_volumes, sunnybrook_volumes

STRUCTURES = (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM, Structure.RV_CAVITY)

UNSEEN_SEED = 77_000_000
"""Hearts on which training did not judge itself."""


def acdc_volumes(folder: Path) -> dict[str, list[JudgedVolume]]:
    """ED and ES of every ACDC patient, by group of disease."""
    groups: dict[str, list[JudgedVolume]] = defaultdict(list)
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for frame in (row["ed_frame"], row["es_frame"]):
                stem = folder / row["patient"] / f"{row['patient']}_frame{int(frame):02d}"
                groups[row["group"]].append(_acdc_volume(stem, (float(row["dy_mm"]), float(row["dx_mm"]))))
    return dict(groups)


def _acdc_volume(stem: Path, spacing_mm: tuple[float, float]) -> JudgedVolume:
    # nibabel has (x, y, z)
    pixels = np.asarray(nib.load(stem.with_name(stem.name + ".nii.gz")).dataobj).T.astype(np.float32)
    truth = np.asarray(nib.load(stem.with_name(stem.name + "_gt.nii.gz")).dataobj).T.astype(np.float32)
    lv = np.argwhere(truth == Structure.LV_CAVITY)[:, 1:]
    centre = (lv.min(axis=0) + lv.max(axis=0)) / 2
    images = np.stack([_cut(plane, centre, spacing_mm, 1) for plane in pixels])
    labels = np.stack([_cut(plane, centre, spacing_mm, 0) for plane in truth])
    return JudgedVolume(normalised(images), labels.astype(np.uint8), FOREGROUND)


def _cut(
    plane: NDArray[np.float32], centre: NDArray[np.float64], spacing_mm: tuple[float, float], order: Literal[0, 1]
) -> NDArray[np.float32]:
    """192 x 192 mm at 1 mm about ``centre`` (pixels)."""
    scale = 1 / np.array(spacing_mm)
    offset = centre - scale * SLICE_SIZE / 2
    return np.asarray(ndimage.affine_transform(plane, scale, offset, (SLICE_SIZE, SLICE_SIZE), order=order))


def measure(model: zoo.LoadedModel, n_hearts: int) -> dict[str, dict[str, float]]:
    """Mean Dice over volumes of every set that is at hand, by the set's name."""
    network = model.network
    found = {f"{n_hearts} synthetic hearts": dice_of(network, phantom_volumes(n_hearts, seed=UNSEEN_SEED))}
    if (DATA / "sunnybrook_slices").is_dir():
        held_out = sunnybrook_volumes(DATA / "sunnybrook_slices")
        found[f"Sunnybrook, {len(held_out)} held-out patients"] = dice_of(network, held_out)
    if (DATA / "acdc").is_dir():
        groups = acdc_volumes(DATA / "acdc")
        everyone = [volume for volumes in groups.values() for volume in volumes]
        found[f"ACDC, {len(everyone) // 2} patients"] = dice_of(network, everyone)
        found.update({f"ACDC {group}": dice_of(network, volumes) for group, volumes in sorted(groups.items())})
    return found


def record(model: zoo.LoadedModel, found: dict[str, dict[str, float]], command: str) -> None:
    """Write the figures into the model's card."""
    rounded = {name: {key: round(value, 3) for key, value in dice.items()} for name, dice in found.items()}
    measured = {"command": command, "what": "mean Dice over ED and ES volumes, cut at the true LV, 1 x 1 mm", **rounded}
    card = model.card.model_copy(update={"figures": {**model.card.figures, "measured": measured}})
    weights = (model.folder / WEIGHTS_FILE).read_bytes()
    write_model_folder(model.folder, weights, (model.folder / CONFIG_FILE).read_text(encoding="utf-8"), card)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bundled",
        description="Mean Dice of the bundled model on hearts it never saw.",
        epilog="Example: python -m benchmarks.bundled --record",
    )
    parser.add_argument("--model", default="bundled", help="name or folder of the model")
    parser.add_argument("--hearts", type=int, default=30, help="number of synthetic hearts")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's card")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(2)
    model = zoo.load(given.model)
    found = measure(model, given.hearts)
    figures = [
        Figure(name, "  ".join(f"{s.key} {dice[s.key]:.3f}" for s in STRUCTURES if s.key in dice))
        for name, dice in found.items()
    ]
    print_table(f"Mean Dice of the model {model.card.name} over ED and ES, cut at the true LV", figures)
    if given.record:
        record(model, found, f"python -m benchmarks.bundled --hearts {given.hearts}")


if __name__ == "__main__":
    main()
