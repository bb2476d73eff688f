"""Two processes on one CPU against one: the same losses, whoever began and whoever went on."""

from __future__ import annotations

import argparse
import csv
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processed_datasets import TINY, TINY_MAE, small_config, small_pretraining, write_acdc, write_cines
from safetensors.torch import load_file

from cinema_core.errors import InputError
from cinema_core.model_config import ALL_VIEWS
from cinema_core.models import load_model
from training.datasets.cines import files_by_study
from training.datasets.shards import write_shards
from training.distributed import Processes, _numbers, launch
from training.epochs import portion
from training.finetune import finetune
from training.loop import Training
from training.output import Output
from training.pretrain import pretrain

pytestmark = pytest.mark.slow
pytest.importorskip("lightning_fabric", reason="Lightning Fabric is absent: pip install 'napari-cinema[training]'")

ROOT = Path(__file__).resolve().parents[2]
MAE = (*TINY_MAE, "train.batch_size_per_device=1", "train.checkpoint_minutes=0", "data.val_share=0.2")
"""Of six studies one validates, and five teach, four in a step: of the fifth the second process has no batch."""

KILLED = """
import sys
from training import pretrain
from training.loop import Training
whole = Training.step
def step(self, *batches, **how):
    if self.run.step == 3:
        sys.exit(9)
    return whole(self, *batches, **how)
Training.step = step
sys.exit(pretrain.main(sys.argv[1:]))
"""


def environment(**more: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "TORCHELASTIC"))}
    return {**own, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **more}


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command], env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]


def run_as_torchrun_does(*command: str) -> list[int]:
    """Two processes with the variables that torchrun sets; returns their exit statuses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment(TORCHELASTIC_RUN_ID="test", RANK=rank, LOCAL_RANK=rank, GROUP_RANK="0", **known),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in ("0", "1")
    ]
    return [process.wait(timeout=200) for process in started]


def curve(folder: Path) -> list[dict[str, float]]:
    with (folder / "curve_0.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def assert_same(whole: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len(whole) == len(other)
    for point, same in zip(whole, other, strict=True):
        assert point == pytest.approx(same, abs=1e-5)


@pytest.fixture(scope="module")
def cines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cines")
    write_cines(folder, 6)
    return folder


@pytest.fixture(scope="module")
def alone(cines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result of one process."""
    folder = tmp_path_factory.mktemp("alone")
    run = pretrain(small_pretraining(cines, *MAE), Output(folder, "cinema"))
    assert run.step == 8
    assert run.curve[0]["val_masked_error"] > 0
    return folder


def stopped(cines: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process, killed in its fourth step."""
    whole = Training.step

    def step(self: Training, *batches: object, **how: object) -> float:
        if self.run.step == 3:
            raise KeyboardInterrupt
        return whole(self, *batches, **how)  # type: ignore[arg-type]

    with monkeypatch.context() as killed:
        killed.setattr(Training, "step", step)
        with pytest.raises(KeyboardInterrupt):
            pretrain(small_pretraining(cines, *MAE), Output(folder, "cinema"))


def test_every_batch_of_a_step_counts_once_and_processes_stay_in_step() -> None:
    for n_batches in (1, 3, 4):
        for size in (1, 2, 3):
            portions = []
            for rank in range(size):
                processes = Processes()
                processes.rank, processes.size = rank, size
                portions.append(portion(n_batches, processes))
            assert len({len(part.places) for part in portions}) == 1
            counted = [
                place for part in portions for place, share in zip(part.places, part.shares, strict=True) if share
            ]
            assert sorted(counted) == list(range(n_batches))
            assert sum(share for part in portions for share in part.shares) == pytest.approx(1)


def test_numbers_of_processes_are_asked_of_the_command_then_of_torchrun() -> None:
    nothing = argparse.Namespace(devices=None, nodes=None)
    assert _numbers(nothing, {}) == (1, 1)
    assert _numbers(nothing, {"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}) == (4, 2)
    assert _numbers(nothing, {"WORLD_SIZE": "2"}) == (1, 1)  # a process that another one of ours started
    assert _numbers(argparse.Namespace(devices=2, nodes=3), {}) == (2, 3)
    with pytest.raises(InputError, match="1 or more"):
        _numbers(argparse.Namespace(devices=-1, nodes=None), {})
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="2 x 1 processes cannot be started"):
            launch(argparse.Namespace(devices=2, nodes=None, strategy="ddp"), torch.device("cuda"))


def test_two_processes_have_the_losses_of_one(cines: Path, alone: Path, tmp_path: Path) -> None:
    asked = [*MAE, f"data.dir={cines}", "--device", "cpu", "--devices", "2", "--out", str(tmp_path)]
    run("-m", "training.pretrain", *asked)
    assert_same(curve(alone), curve(tmp_path))
    first, second = (load_file(folder / "cinema_0.safetensors") for folder in (alone, tmp_path))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=1e-4)


def test_two_processes_that_read_packed_cines_have_the_losses_of_one(cines: Path, alone: Path, tmp_path: Path) -> None:
    write_shards(files_by_study(cines, ALL_VIEWS), tmp_path / "shards", per_shard=4)
    asked = [*MAE, f"data.shards={tmp_path / 'shards'}", "train.n_workers=1", "--device", "cpu", "--devices", "2"]
    run("-m", "training.pretrain", *asked, "--out", str(tmp_path / "out"))
    assert_same(curve(alone), curve(tmp_path / "out"))


def test_one_process_goes_on_from_where_two_were_killed(cines: Path, alone: Path, tmp_path: Path) -> None:
    asked = [*MAE, f"data.dir={cines}", "--device", "cpu", "--out", str(tmp_path)]
    assert run_as_torchrun_does("-c", KILLED, *asked) == [9, 9]
    assert len(curve(tmp_path)) == 1
    pretrain(small_pretraining(cines, *MAE), Output(tmp_path, "cinema"))
    assert_same(curve(alone), curve(tmp_path))


def test_shards_go_on_from_where_one_process_was_killed_and_are_published_whole(
    cines: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(cines, tmp_path, monkeypatch)
    asked = [*MAE, f"data.dir={cines}", "--device", "cpu", "--out", str(tmp_path), "--strategy", "fsdp"]
    run("-m", "training.pretrain", *asked, "--devices", "2")
    assert_same(curve(alone), curve(tmp_path))
    load_model(tmp_path / "cinema_0.safetensors", tmp_path / "config.yaml")
    first, second = (load_file(folder / "cinema_0.safetensors") for folder in (alone, tmp_path))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=1e-4)


def test_one_process_goes_on_from_where_shards_were_killed(cines: Path, alone: Path, tmp_path: Path) -> None:
    asked = [*MAE, f"data.dir={cines}", "--device", "cpu", "--out", str(tmp_path), "--strategy", "fsdp"]
    assert run_as_torchrun_does("-c", KILLED, *asked) == [9, 9]
    pretrain(small_pretraining(cines, *MAE), Output(tmp_path, "cinema"))
    assert_same(curve(alone), curve(tmp_path))


def test_fine_tuning_a_network_with_an_unused_layer_has_the_losses_of_one(tmp_path: Path) -> None:
    write_acdc(tmp_path / "acdc", n_per_group=3)
    unet = ("model.name=unet", "model.unet.chans=[2, 3, 4, 5, 6]", "train.batch_size_per_device=1", "train.n_epochs=2")
    whole = finetune(small_config(tmp_path / "acdc", *unet), Output(tmp_path / "one", "acdc_sax"))
    asked = [*TINY, *unet, f"data.dir={tmp_path / 'acdc'}", "--device", "cpu", "--devices", "2"]
    run("-m", "training.finetune", "segmentation", "acdc_sax", *asked, "--out", str(tmp_path / "two"))
    assert_same([dict(point) for point in whole.curve], curve(tmp_path / "two"))
