"""Small prepared datasets: hearts made of discs, 32 x 32 x 2 voxels, and a config for a tiny network."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np

from training.settings import FineTuneConfig, read_config

TINY = (
    "data.sax.patch_size=[32, 32, 2]",
    "transform.sax.translate_range=[3, 3, 0]",
    "transform.sax.dropout_size=[6, 6, 1]",
    "model.convunetr.size=tiny",
    "model.convunetr.enc_conv_chans=[4, 8]",
    "model.convunetr.enc_conv_n_blocks=1",
    "model.convunetr.dec_chans=[4, 6, 8, 10, 12]",
    "train.n_workers=0",
    "train.batch_size=4",
    "train.batch_size_per_device=2",
    "train.n_warmup_epochs=1",
    "train.n_epochs=4",
    "train.eval_interval=2",
)


def small_config(folder: Path, *overrides: str) -> FineTuneConfig:
    return read_config("segmentation", "acdc_sax", [*TINY, f"data.dir={folder}", *overrides])


def disc_heart(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 and labels (x, y, z): LV within muscle, RV beside it."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[:32, :32]
    cx, cy = rng.uniform(13, 18, 2)
    labels = np.zeros((32, 32), dtype=np.int64)
    labels[np.hypot(x - cx + 8, y - cy) < 6] = 1
    labels[np.hypot(x - cx, y - cy) < 7] = 2
    labels[np.hypot(x - cx, y - cy) < 4.5] = 3
    image = np.array([40, 220, 90, 230])[labels] + rng.normal(0, 5, labels.shape)
    return (np.stack([part] * 2, axis=-1) for part in (np.clip(image, 0, 255).astype(np.uint8), labels))  # type: ignore[return-value]


def write_acdc(folder: Path, n_per_group: int, order: tuple[int, ...] = (0, 1, 2, 3), split: str = "train") -> None:
    """Prepared patients of two groups; ``order`` gives the stored value of each label."""
    rows = []
    for k in range(2 * n_per_group):
        pid = f"patient{k:03d}"
        (folder / split / pid).mkdir(parents=True, exist_ok=True)
        for phase in ("ed", "es"):
            image, labels = disc_heart(2 * k + (phase == "es"))
            stem = folder / split / pid / f"{pid}_sax_{phase}"
            affine = np.diag([1.0, 1.0, 10.0, 1.0])
            nib.save(nib.Nifti1Image(image, affine), f"{stem}.nii.gz")
            nib.save(nib.Nifti1Image(np.array(order)[labels].astype(np.uint8), affine), f"{stem}_gt.nii.gz")
        rows.append({"pid": pid, "pathology": "DCM" if k < n_per_group else "NOR", "n_slices": 2})
    with (folder / f"{split}_metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
