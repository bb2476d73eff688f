"""Every config of ``training/configs`` on a miniature of its dataset: trained, loaded back, evaluated.

The networks are tiny and the training two epochs long; task, view, channels, outputs and augmentation are the config's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import raw_datasets

from cinema_core.models import load_model
from cinema_core.phantom import PhantomStudy
from training import evaluate, finetune
from training.datasets.preparing import prepare_dataset
from training.datasets.published import RECIPES
from training.settings import CONFIGS, TASKS, read_config

PATIENTS = {f"patient{k:03d}": "training" for k in range(3)} | {"patient101": "testing"}

MINIATURES: dict[str, Callable[[Path, PhantomStudy], Path]] = {
    "acdc": partial(raw_datasets.acdc, patients=PATIENTS, whole=False),
    "mnms": raw_datasets.mnms,
    "mnms2": raw_datasets.mnms2,
    "rescan": partial(raw_datasets.rescan, training=("A/s_0000", "A/s_0001")),
    "landmark": raw_datasets.landmark,
    "emidec": raw_datasets.emidec,
    "myops2020": partial(raw_datasets.myops2020, n_training=6),
}

TINY = (
    *(f"model.{name}.size=tiny" for name in ("convunetr", "convvit")),
    *(f"model.{name}.enc_conv_chans=[4, 8]" for name in ("convunetr", "convvit")),
    *(f"model.{name}.enc_conv_n_blocks=1" for name in ("convunetr", "convvit")),
    "model.convunetr.dec_chans=[4, 6, 8, 10, 12]",
    "data.max_n_samples=2",
    "train.n_workers=0",
    "train.batch_size=2",
    "train.batch_size_per_device=1",
    "train.n_warmup_epochs=1",
    "train.n_epochs=2",
    "train.eval_interval=2",
)

SIZES = {"sax": "data.sax.patch_size=[96, 96, 9]", "lax": "data.lax.patch_size=[128, 128]"}

MAIN_FIGURE = {
    "segmentation": "dice_mean",
    "classification": "accuracy",
    "regression": "restored_mae",
    "landmark": "distance_mm_mean",
}

CASES = [(task, path.stem) for task in TASKS for path in sorted((CONFIGS / task).glob("*.yaml"))]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, heart: PhantomStudy) -> Callable[[str], Path]:
    """Prepares a miniature when it is first asked for."""
    folder = tmp_path_factory.mktemp("datasets")

    def at(name: str) -> Path:
        out = folder / name / "processed"
        if not out.exists():
            prepare_dataset(RECIPES[name], MINIATURES[name](folder / name / "raw", heart), out)
        return out

    return at


def test_there_is_a_recipe_for_every_task() -> None:
    assert {task for task, _ in CASES} == set(TASKS)
    assert len(CASES) == 24


@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_recipe_trains_loads_back_and_is_evaluated(
    task: str, name: str, prepared: Callable[[str], Path], tmp_path: Path
) -> None:
    data = read_config(task, name).data
    folder = f"data.dir={prepared(data.name)}"
    out = tmp_path / "run"
    asked = [task, name, "--out", str(out), "--device", "cpu", folder, *TINY]
    assert finetune.main([*asked, SIZES["sax" if data.sax else "lax"]]) == 0
    weights = out / f"{name}_0.safetensors"
    assert load_model(weights, out / "config.yaml") is not None

    split = "val" if data.name == "myops2020" else "test"  # the labels of its test are not given out
    asked = [task, str(out / "config.yaml"), "--weights", str(weights), "--out", str(tmp_path / "scores")]
    assert evaluate.main([*asked, "--split", split, "--device", "cpu", folder]) == 0
    summary = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert summary["n_cases"] > 0
    assert summary["metrics"][MAIN_FIGURE[task.split("_")[0]]]["mean"] >= 0
