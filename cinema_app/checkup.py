"""What this computer can do: one small check after the other, each with how to mend what it finds.

What may abort the interpreter or load torch (Qt, OpenGL, torch itself) is looked at in a process of its own.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cinema_core.progress import Progress, no_progress

GIB: Final = 2**30

ENOUGH_MEMORY: Final = 4 * GIB
"""The window with a 25-phase cine and the engine with the bundled model hold about 2 GiB together."""

ENOUGH_DISK: Final = 2 * GIB
"""A project grows by some MB per study and version; below this a full disk is near."""

ENOUGH_SHARED_MEMORY: Final = 256 * 2**20
"""Cine and labels cross to the engine in it. Containers often give 64 MB, less than one cine of doubles."""

PATIENCE_S: Final = 120.0


class Health(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to do about it (empty: nothing)."""

    name: str
    health: Health
    found: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return {"name": self.name, "status": str(self.health), "found": self.found, "mend": self.mend}


def check_up(progress: Progress = no_progress) -> list[Finding]:
    """Look at everything, in the order in which it matters."""
    findings = []
    for k, (name, check) in enumerate(CHECKS.items()):
        progress(k / len(CHECKS), name)
        findings.append(_guarded(name, check))
    return findings


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Turn a check that breaks into a finding: who asks a doctor has a computer where things break."""
    try:
        return check()
    except Exception as error:
        return Finding(name, Health.FAIL, f"{type(error).__name__}: {error}", "Install napari-cinema again.")


def check_python() -> Finding:
    """Tell Python and the operating system."""
    found = f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    return Finding("python", Health.OK, found)


def check_processor() -> Finding:
    """Count the cores that this process may use, which may be fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores < 2:
        return Finding("processor", Health.WARN, "1 core", "Two cores or more keep the window smooth during training.")
    return Finding("processor", Health.OK, f"{cores} cores")


def check_memory() -> Finding:
    """Look for free memory."""
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free"
    if memory.available < ENOUGH_MEMORY:
        return Finding("memory", Health.WARN, found, "Close other programs before fine-tuning.")
    return Finding("memory", Health.OK, found)


def check_disk() -> Finding:
    """Look for room where projects are kept, and try to write there."""
    from cinema_app.session import default_project_folder

    folder = next(parent for parent in default_project_folder().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        mend = f"Nothing can be written there ({error.strerror}); give a folder of your own with --project."
        return Finding("disk", Health.FAIL, found, mend)
    if free < ENOUGH_DISK:
        return Finding("disk", Health.WARN, found, "Free some space, or give a folder on another disk with --project.")
    return Finding("disk", Health.OK, found)


def check_shared_memory() -> Finding:
    """Look at the memory through which images reach the engine; only Linux limits it."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Finding("shared memory", Health.OK, "not limited on this system")
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.2f} GiB free"
    if free < ENOUGH_SHARED_MEMORY:
        return Finding("shared memory", Health.WARN, found, "In a container, start it with --shm-size=1g.")
    return Finding("shared memory", Health.OK, found)


def check_display() -> Finding:
    """Look for somewhere to open a window."""
    from cinema_app.app import has_display

    if not has_display():
        mend = "Log in to a desktop, or start under xvfb-run; commands without a window work as they are."
        return Finding("display", Health.WARN, "none", mend)
    found = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or "of the system"
    return Finding("display", Health.OK, found)


def check_qt() -> Finding:
    """Look for the library that draws windows."""
    from cinema_app.app import refuse_broken_qt
    from cinema_core.errors import InputError

    answer = _ask("import json, qtpy; print(json.dumps({'api': qtpy.API_NAME, 'version': qtpy.QT_VERSION}))")
    if isinstance(answer, str):
        mend = "Install one with: pip install 'napari-cinema[app]'"
        return Finding("Qt", Health.FAIL, f"no Qt binding ({answer})", mend)
    found = f"{answer['api']}, Qt {answer['version']}"
    try:
        refuse_broken_qt()
    except InputError as error:
        return Finding("Qt", Health.FAIL, found, str(error))
    return Finding("Qt", Health.OK, found)


def check_opengl() -> Finding:
    """Try the graphics driver that napari draws with."""
    from cinema_app.app import has_display

    if not has_display():
        return Finding("OpenGL", Health.WARN, "not looked at: no display")
    answer = _ask(_OPENGL)
    if isinstance(answer, str):
        mend = "Install the graphics driver, or Mesa's software one: apt install libgl1 libegl1 libopengl0"
        return Finding("OpenGL", Health.FAIL, f"no context ({answer})", mend)
    found = f"{answer['version']}, {answer['renderer']}"
    if "llvmpipe" in found or "softpipe" in found:
        return Finding("OpenGL", Health.OK, f"{found} (drawn by the processor: slower, correct)")
    return Finding("OpenGL", Health.OK, found)


def check_torch() -> Finding:
    """Load the library that computes, and ask on what."""
    answer = _ask(_TORCH)
    if isinstance(answer, str):
        return Finding("torch", Health.FAIL, f"cannot be loaded ({answer})", "Install it again: pip install torch")
    found = f"torch {answer['version']} on {answer['device']}"
    if answer["device"] == "CPU" and _has_nvidia_gpu():
        mend = "There is an NVIDIA GPU that this torch does not use: install its CUDA build, see pytorch.org."
        return Finding("torch", Health.WARN, found, mend)
    return Finding("torch", Health.OK, found)


def check_bundled_model() -> Finding:
    """Compare the weights that come with the program with their card."""
    from cinema_core.cards import BUNDLED, resolve_model
    from cinema_core.errors import CheckpointError

    try:
        files = resolve_model(BUNDLED)
    except CheckpointError as error:
        return Finding("bundled model", Health.FAIL, str(error), "Install napari-cinema again.")
    size = files.weights.stat().st_size / 2**20
    return Finding("bundled model", Health.OK, f"sha256 {files.card.sha256[:8]} as on its card, {size:.1f} MiB")


CHECKS: Final[dict[str, Callable[[], Finding]]] = {
    "python": check_python,
    "processor": check_processor,
    "memory": check_memory,
    "shared memory": check_shared_memory,
    "disk": check_disk,
    "display": check_display,
    "Qt": check_qt,
    "OpenGL": check_opengl,
    "torch": check_torch,
    "bundled model": check_bundled_model,
}

_TORCH: Final = """
import json, torch
device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
if torch.cuda.is_available():
    device += f", {torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB"
print(json.dumps({"version": torch.__version__, "device": device}))
"""

# The numbers are GL_RENDERER and GL_VERSION of OpenGL's registry.
_OPENGL: Final = """
import json
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
surface = QOffscreenSurface()
surface.create()
context = QOpenGLContext()
if not (context.create() and context.makeCurrent(surface)):
    raise SystemExit("Qt could not make an OpenGL context")
gl = context.functions()
print(json.dumps({"renderer": gl.glGetString(0x1F01), "version": gl.glGetString(0x1F02)}))
context.doneCurrent()
"""


def _ask(code: str) -> dict[str, Any] | str:
    """Run code in a process of its own; returns the JSON that it printed last, or in a line why there is none."""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if not said:
        return f"it ended with {done.returncode}"
    # Python puts its reason last, Qt first.
    return said[-1] if said[0].startswith("Traceback") else said[0]


def _has_nvidia_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
