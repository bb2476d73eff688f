"""Kill and starve real work at random moments, and look what is left.

``python -m benchmarks.faults --runs 100 --seed 0``: every run starts :mod:`benchmarks.fault_window`, the window's own
session without a display, on a copy of a small project of two patients with a version in use. It corrects, segments and
fine-tunes a tiny model, checking it on each patient in turn, until the fault of its turn: the engine or the window is
killed after some line that it said, or inside the writing of a version; or the disk is full. Whatever survives must
work to its end; a window that falls silent is ended, and counts. Then the project is opened again and looked at; see
:func:`violations_of`.

The seed decides fault, line, byte and delay; when exactly a kill arrives is the system's business.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psutil
import yaml

from benchmarks.table import Figure, print_table
from benchmarks.watchdog import SilenceError, lines_of
from cinema_core.cards import ModelCard, file_sha256, resolve_model, write_model_folder
from cinema_core.engine.parcel import LINUX_SHARED_MEMORY, block_prefix
from cinema_core.errors import CinemaError
from cinema_core.phantom import HeartParameters, make_phantom, write_phantom
from cinema_core.project import Project, label_set_sha256, training_slices

ROOT: Final = Path(__file__).resolve().parents[1]
SILENT_S: Final = 180.0
"""A window that says nothing for so long hangs; it says a line every second or so, once torch is loaded."""
ATTEMPTS: Final = 5
"""Windows that are started for one fault, until it comes while there is work."""
GONE_S: Final = 20.0
"""Longest wait for processes to end after the one that started them."""
LATEST_S: Final = 0.1
"""A kill comes up to this long after the line that it waits for."""
N_TRIALS: Final = 2
"""Models that a window makes which nothing happens to."""
GROUND_SEED: Final = 2**31
HELD_OUT: Final = "held-out patients"
"""What the progress says while patients are held out."""
RENAME_SHARE: Final = 0.1
"""Of the faults in a version's writing, those that hit the last rename."""

TINY: Final[dict[str, Any]] = {
    "data": {"sax": {"patch_size": [32, 32, 1], "spacing": [6.0, 6.0, 10.0], "in_chans": 1}},
    "model": {
        "name": "convunetr",
        "views": "sax",
        "out_chans": 4,
        "convunetr": {
            "size": "tiny",
            "enc_patch_size": [4, 4, 1],
            "enc_scale_factor": [2, 2, 1],
            "enc_conv_chans": [8, 8],
            "enc_conv_n_blocks": 1,
            "dec_chans": [8, 8, 8, 8, 8],
            "dec_patch_size": [2, 2, 1],
            "dec_scale_factor": [2, 2, 1],
            "dropout": 0.0,
            "drop_path": 0.0,
        },
    },
}
"""Same code as the bundled model's, in a size whose steps take milliseconds."""


class Fault(StrEnum):
    """What goes wrong."""

    ENGINE = "engine killed"
    WINDOW = "window killed"
    VERSION_FULL = "disk full while a version is written"
    VERSION_KILL = "engine killed while a version is written"
    JOURNAL_FULL = "disk full while labels are written"


@dataclass(frozen=True)
class Ground:
    """What every run starts from a copy of.

    Attributes
    ----------
    n_lines
        Lines that a window says which nothing happens to.
    n_bytes
        Size of a version.
    """

    folder: Path
    n_lines: int
    n_bytes: int

    @property
    def study(self) -> Path:
        """The image that the window works on."""
        return self.folder / "study" / "cine_sax.nii.gz"

    @property
    def other(self) -> Path:
        """That of another patient, with labels too."""
        return self.folder / "other" / "cine_sax.nii.gz"

    @property
    def project(self) -> Path:
        """The project with the version in use."""
        return self.folder / "ground.cinema"


@dataclass
class Run:
    """One fault and what came of it.

    Attributes
    ----------
    said
        Whole lines of the window.
    stage
        What it was at when the fault struck.
    family
        Processes that the window had.
    killed
        Whether a process was killed from here.
    silent
        Whether the window said nothing for so long that it was ended.
    """

    fault: Fault
    project: Path
    said: list[str] = field(default_factory=list)
    stage: str = ""
    family: dict[int, psutil.Process] = field(default_factory=dict)
    pid: int = 0
    exit_code: int | None = None
    killed: bool = False
    silent: bool = False

    @property
    def struck(self) -> bool:
        """Whether the fault came while there was work to disturb."""
        return self.killed or any(line.startswith(("told", "refused")) for line in self.said)

    @property
    def survived(self) -> bool:
        """Whether the window was left to work to its end."""
        return self.fault is not Fault.WINDOW


def lay_ground(folder: Path) -> Ground:
    """Make two patients' studies and a project with a version, which a first window makes without any fault.

    Its labels are noise, from which a version does not always learn enough to be kept; then another window tries.
    """
    import torch
    from safetensors.torch import save

    from cinema_core.models import build_model

    for seed, name in ((7, "study"), (8, "other")):
        write_phantom(folder / name, make_phantom(HeartParameters(n_slices=5, slice_step_mm=18.0, n_phases=6), seed))
    ground = Ground(folder, 0, 0)
    torch.manual_seed(0)
    weights = save(build_model(TINY).state_dict())
    for seed in range(GROUND_SEED, GROUND_SEED + ATTEMPTS):
        shutil.rmtree(ground.project, ignore_errors=True)
        with Project.open(ground.project, create=True) as project:
            write_model_folder(
                project.models_folder / "tiny", weights, yaml.safe_dump(TINY), ModelCard(name="tiny", sha256="")
            )
            project.set_current_model("tiny")
        first = _work(Run(Fault.ENGINE, ground.project), ground, seed, "none", strike_at=None)
        if "kept v001" in first.said:
            break
    if first.exit_code != 0 or "kept v001" not in first.said:
        raise SystemExit(f"The window does not even work without a fault: {first.said[-1:]}")
    if not any(HELD_OUT in line for line in first.said):
        raise SystemExit("No patient was held out, so no fault would ever fall there.")
    n_bytes = sum(path.stat().st_size for path in (ground.project / "models" / "v001").iterdir())
    return Ground(folder, len(first.said), n_bytes)


def strike(ground: Ground, folder: Path, fault: Fault, seed: int) -> Run:
    """Let one window work on a copy of the project until the fault, and as far as it gets after it.

    A busy machine tells less of its progress: a line that is not reached is tried again earlier.
    """
    chance = random.Random(seed)
    line = chance.randint(1, ground.n_lines - 1)
    for attempt in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        run = _strike_at(ground, Run(fault, folder), seed, max(1, line // 2**attempt), chance)
        if run.struck:
            break
    return run


def _strike_at(ground: Ground, run: Run, seed: int, line: int, chance: random.Random) -> Run:
    fault = run.fault
    shutil.copytree(ground.project, run.project)
    trouble, strike_at = "none", None
    if fault in (Fault.ENGINE, Fault.WINDOW):
        strike_at = (line, chance.uniform(0, LATEST_S))
    elif fault is Fault.JOURNAL_FULL:
        trouble = f"journal-full:{line}"
    else:
        rename = chance.random() < RENAME_SHARE
        byte = ground.n_bytes if rename else chance.randrange(ground.n_bytes)
        trouble = f"{'version-full' if fault is Fault.VERSION_FULL else 'version-kill'}:{byte}"
    return _work(run, ground, seed, trouble, strike_at)


def _work(run: Run, ground: Ground, seed: int, trouble: str, strike_at: tuple[int, float] | None) -> Run:
    """Run a window, killing it or its engine at some line, and hear all it says."""
    log = run.project.with_suffix(".log")
    command = [run.project, ground.study, ground.other, log, seed, trouble]
    # The reader's own map of identities is none of ours.
    environment = {**os.environ, "CINEMA_IDENTITIES": str(ground.folder / "identities.json"), "OMP_NUM_THREADS": "1"}
    with (
        run.project.with_suffix(".stderr").open("w", encoding="utf-8") as complaints,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fault_window", *map(str, command)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            encoding="utf-8",
        ) as window,
    ):
        assert window.stdout is not None
        run.pid = window.pid
        started = psutil.Process(window.pid)
        try:
            for line in lines_of(window.stdout, SILENT_S):
                if not line.endswith("\n"):
                    break  # killed in the middle of a word: it acknowledges nothing
                run.said.append(line.rstrip("\n"))
                _count(run, started)
                if strike_at is not None and len(run.said) == strike_at[0]:
                    time.sleep(strike_at[1])
                    _kill(run, started)
            run.exit_code = window.wait(SILENT_S)
        except (SilenceError, subprocess.TimeoutExpired):
            run.silent = True
            _end_all(run, started)
            run.exit_code = window.wait()
    run.stage = run.stage or _stage(run)
    return run


def _count(run: Run, window: psutil.Process) -> None:
    """Remember the processes of the window; a line is a good moment, none lives for a shorter time."""
    with suppress(psutil.NoSuchProcess):
        run.family.update({child.pid: child for child in window.children(recursive=True)})


def _end_all(run: Run, window: psutil.Process) -> None:
    """End a window that hangs and all that it started, which may be what keeps its output open."""
    _count(run, window)
    for process in (window, *run.family.values()):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _kill(run: Run, window: psutil.Process) -> None:
    _count(run, window)
    run.stage = _stage(run)
    with suppress(psutil.NoSuchProcess):
        if run.fault is Fault.WINDOW:
            window.kill()
            run.killed = True
            return
        for child in window.children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
                run.killed = True


def _stage(run: Run) -> str:
    """Tell what the window was at, by what it said."""
    troubles = [k for k, line in enumerate(run.said) if line.startswith(("told", "refused"))]
    said = run.said[: troubles[0]] if troubles else run.said
    last = next((line for line in reversed(said) if not line.startswith(("row", "refused"))), "")
    if last.startswith("progress"):
        if HELD_OUT in last:
            return "checking on held-out patients"
        return "fine-tuning" if any(line.startswith("segmented") for line in said) else "segmenting"
    return "between"


def violations_of(run: Run, ground: Ground) -> list[str]:
    """Find what a run left that it must not have left, one line each.

    No silence, no process, no shared memory; the model that was in use byte by byte as it was; a project that opens to
    be written, whole, with every edit that was acknowledged; no version but those that were kept, each whole; and if
    the window was left alive, a word about what happened, and all its work done.
    """
    found = [] if run.struck else ["the fault never came"]
    if run.silent:
        found.append(f"the window said nothing for {SILENT_S:.0f} s and was ended, after {run.said[-1:]}")
    _, alive = psutil.wait_procs(list(run.family.values()), timeout=GONE_S)
    found += [f"a process is left: {process.name()}" for process in alive]
    if LINUX_SHARED_MEMORY.is_dir():
        found += ["shared memory is left" for _ in LINUX_SHARED_MEMORY.glob(f"{block_prefix(run.pid)}*")]
    for name in ("tiny", "v001"):
        if _hashes(run.project / "models" / name) != _hashes(ground.project / "models" / name):
            found.append(f"the model {name} is not what it was")
    try:
        with Project.open(run.project) as project:
            found += _violations_in(project, run)
    except CinemaError as error:
        found.append(f"the project does not open: {error}")
    with closing(sqlite3.connect(run.project / "project.sqlite")) as rows:
        found += [f"the database says {row[0]}" for row in rows.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += ["a row refers to nothing" for _ in rows.execute("PRAGMA foreign_key_check")]
    if run.survived:
        if run.exit_code != 0 or run.said[-1:] != ["done"]:
            found.append(f"the window did not finish: exit code {run.exit_code} after {run.said[-1:]}")
        told = any(line.startswith(("told", "refused")) for line in run.said)
        answered = run.fault is Fault.ENGINE and sum(line.startswith("trial") for line in run.said) == N_TRIALS
        if not told and not answered:  # an engine that is killed when it has answered all is no loss
            found.append("the reader was told nothing")
    return found


def _violations_in(project: Project, run: Run) -> list[str]:
    found = []
    if project.read_only:
        found.append(f"the project cannot be written: {project.read_only_reason}")
    kept_rows = {
        label.row_id: hashlib.sha256(label.mask.tobytes()).hexdigest()
        for study in project.studies()
        for t in range(study.shape[0])
        for z in range(study.shape[1])
        for label in project.history(study.study_id, t, z)
    }
    said = [line.split() for line in run.said]
    found += [f"row {row} is lost" for word, row, sha in _of(said, "row", 3) if kept_rows.get(int(row)) != sha]
    found += [f"the journal ends before {row}" for _, row in _of(said, "segmented", 2) if int(row) > len(kept_rows)]
    if sorted(kept_rows) != list(range(1, len(kept_rows) + 1)):
        found.append("the journal has gaps")

    recorded = {version.name: version.model_sha256 for version in project.versions()}
    on_disk = {path.name for path in project.models_folder.iterdir()}
    if on_disk != {"tiny", *recorded}:
        found.append(f"the folder of models holds {sorted(on_disk)}, recorded are {sorted(recorded)}")
    for name in recorded:
        try:
            if resolve_model(name, project_models=project.models_folder).card.sha256 != recorded[name]:
                found.append(f"{name} is not the model that was kept")
        except CinemaError as error:
            found.append(f"{name} cannot be used: {error}")
    kept = [name for _, name in _of(said, "kept", 2)]
    found += [f"{name} was kept and is not recorded" for name in kept if name not in recorded]
    in_use = project.current_model(project.studies()[0].study_id)
    if in_use not in recorded or (kept and in_use != kept[-1]):
        found.append(f"the model in use is {in_use}")
    return found + _violations_of_the_record(project)


def _violations_of_the_record(project: Project) -> list[str]:
    """Whether a fine-tuning that was cut off can be run again: its record can be read, and its labels are there."""
    pending = project.pending_run()
    if pending is None:
        return []
    rows = training_slices(project, at=pending.journal_position, studies=[study.study_id for study in pending.studies])
    if label_set_sha256(rows) != pending.label_set_sha256:
        return ["the labels of the fine-tuning that was cut off are not there"]
    return []


def _of(said: Sequence[Sequence[str]], word: str, n_words: int) -> list[Sequence[str]]:
    return [line for line in said if line[:1] == [word] and len(line) == n_words]


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir()} if folder.is_dir() else {}


def figures_of(runs: Sequence[Run], violations: Mapping[int, Sequence[str]]) -> list[Figure]:
    """One row per fault: how often, at what, and what it broke."""
    figures = []
    for fault in Fault:
        ours = [k for k, run in enumerate(runs) if run.fault is fault]
        stages = Counter(runs[k].stage for k in ours)
        where = ", ".join(f"{stage} {count}" for stage, count in sorted(stages.items()))
        broken = sum(len(violations.get(k, ())) for k in ours)
        figures.append(Figure(f"{fault} ({where})", f"{len(ours)} runs, {broken} violations", "0 violations"))
    return figures


def main() -> None:
    """Run, look, print; exit code 1 if anything was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    runs: list[Run] = []
    violations: dict[int, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="cinema-faults-") as name:
        folder = Path(name)
        ground = lay_ground(folder)
        for k in range(asked.runs):
            fault = list(Fault)[k % len(Fault)]
            run = strike(ground, folder / f"run{k}.cinema", fault, 1000 * asked.seed + k)
            if found := violations_of(run, ground):
                violations[k] = found
                print(f"run {k}, {fault}, {run.stage}: {'; '.join(found)}", flush=True)
            else:
                shutil.rmtree(run.project)
            runs.append(run)
    print_table(f"{asked.runs} faults, seed {asked.seed}", figures_of(runs, violations))
    if violations:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
