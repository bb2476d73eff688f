"""The window of :mod:`benchmarks.reading_faults`, without a display: a scripted reading that says what has been done.

``python -m benchmarks.reading_window PROJECT STUDY LABELS SEED``: reading, contour editor and project are those of the
window. Every line on standard output is the :func:`digest` of the reading after one more thing was done; the same seed
does the same things.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from cinema_app.contours.editor import ContourEditor, Grip
from cinema_app.reading import Reading
from cinema_app.session import Session
from cinema_core.anatomy import Structure
from cinema_core.engine.client import EngineClient
from cinema_core.errors import CinemaError
from cinema_core.io.contours import Outline
from cinema_core.project import Project

N_ACTS: Final = 40
ACTS: Final = (
    "pull", "pull", "pull", "move", "grow", "smooth", "brush", "copy", "fill", "revert", "clear", "accept", "undo",
    "undo", "redo", "ed", "es",
)  # fmt: skip


def digest(reading: Reading) -> str:
    """Hash what a reader sees: labels, their states, ED and ES, whether Undo and Redo have something to do."""
    cine = reading.cine
    states = [str(reading.state(t, z)) for t in range(cine.n_phases) for z in range(cine.n_slices)]
    seen = hashlib.sha256(np.ascontiguousarray(reading.labels).tobytes())
    reading.measure()
    choice = reading.phases
    phases = choice and (choice.ed_phase, choice.es_phase, choice.rv_ed_phase, choice.rv_es_phase, choice.source)
    seen.update(repr((states, phases, reading.can_undo, reading.can_redo)).encode())
    return seen.hexdigest()


def open_session(project: Path) -> Session:
    """Open the project as a window does; its engine is never started."""
    return Session(Project.open(project, create=True, reader="Reader"), EngineClient())


class ScriptedReader:
    """Reads with contours, brush, copies, undo and phases, in an order that the seed decides."""

    def __init__(self, reading: Reading, seed: int) -> None:
        self._reading = reading
        self._editor = ContourEditor(reading)
        self._random = np.random.default_rng(seed)
        reading.events.go_to.connect(self._editor.go_to)

    def act(self) -> None:
        """Do the next thing; what the program refuses changes nothing."""
        cine, editor = self._reading.cine, self._editor
        editor.go_to(int(self._random.integers(cine.n_phases)), int(self._random.integers(cine.n_slices)))
        editor.choose(list(Outline)[self._random.integers(len(Outline))])
        act, amount = ACTS[self._random.integers(len(ACTS))], float(self._random.uniform(-3, 3))
        try:
            self._do(act, amount)
        except CinemaError:
            pass

    def _do(self, act: str, amount: float) -> None:
        reading, editor = self._reading, self._editor
        t, z = editor.here
        simple: dict[str, Any] = {
            "grow": lambda: editor.grow(round(amount)),
            "smooth": editor.smooth,
            "copy": lambda: editor.copy_to(0, 1 if amount > 0 else -1),
            "fill": editor.fill_slices,
            "revert": editor.revert_to_model,
            "clear": editor.clear,
            "accept": lambda: reading.accept([(t, z)]),
            "undo": reading.undo,
            "redo": reading.redo,
            "ed": lambda: reading.set_ed(t),
            "es": lambda: reading.set_es(t),
        }
        if act in simple:
            simple[act]()
        elif act == "brush":
            mask = reading.labels[t, z].copy()
            y, x = self._random.integers(10, min(mask.shape) - 10, 2)
            mask[y : y + 4, x : x + 4] = Structure.LV_CAVITY
            reading.correct(t, z, mask)
        elif (curve := editor.curves.get(editor.chosen)) is not None:
            grip = Grip.MOVE if act == "move" else Grip.SHAPE
            place = curve.points[int(self._random.integers(len(curve.points)))].copy()
            editor.press(place, 1.0, grip)
            editor.drag(place + amount)
            editor.release()


def main(arguments: list[str]) -> int:
    """Read to the end, or until something ends this."""
    project, study, labels, seed = arguments
    with open_session(Path(project)) as session:
        reading = session.reading
        reading.open(Path(study))
        if not reading.can_undo:
            reading.import_labels(Path(labels), label_order="cinema")
        reader = ScriptedReader(reading, int(seed))
        print(digest(reading), flush=True)
        for _ in range(N_ACTS):
            reader.act()
            print(digest(reading), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
