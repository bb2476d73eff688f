"""The labels of one cine, slice by slice: what is drawn, how far it was looked at, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema_app.undo import EditHistory, SliceChange, SliceContent, Step
from cinema_core.anatomy import LabelState
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.project import MODEL_TOOL, Project, SliceEdit

Slice = tuple[int, int]
"""Where a slice lies: phase ``t`` and position ``z``, both from 0."""


class Labelling:
    """Labels of a cine, kept in step with the project's journal.

    An edit is in the journal before it is in memory. A full disk then refuses the edit, instead of showing a
    label that would be lost.

    Parameters
    ----------
    study_id
        Under which the project keeps these labels; the project must know it, or they are read only.
    """

    def __init__(self, project: Project, study_id: str, cine: Cine) -> None:
        self.study_id = study_id
        self.cine = cine
        self._project = project
        self._history = EditHistory()
        self._labels = np.zeros(cine.shape, np.uint8)
        self._states: dict[Slice, LabelState] = {}
        self._model_of: dict[Slice, str] = {}

    def load(self) -> None:
        """Take the newest label of every slice from the journal."""
        for where, row in self._project.slices(self.study_id).items():
            self._labels[where] = row.mask
            self._model_of[where] = row.model_sha256
            if row.state is not LabelState.ABSENT:
                self._states[where] = row.state

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Labels, shape (t, z, y, x), not writeable."""
        view = self._labels.view()
        view.flags.writeable = False
        return view

    def state(self, t: int, z: int) -> LabelState:
        """How far the label of a slice has been looked at."""
        return self._states.get((t, z), LabelState.ABSENT)

    def slices_in(self, *states: LabelState) -> list[Slice]:
        """Slices in any of the given states, ordered by phase and position."""
        return sorted(where for where, state in self._states.items() if state in states)

    @property
    def complete_phases(self) -> tuple[int, ...]:
        """Phases in which no slice is absent."""
        n_t, n_z = self.cine.shape[:2]
        return tuple(t for t in range(n_t) if all((t, z) in self._states for z in range(n_z)))

    def models(self) -> list[str]:
        """Hash of the model that each labelled slice came or started from."""
        return list(self._model_of.values())

    # ---------------------------------------------------------------- edits; each returns the slices that changed

    def correct(self, t: int, z: int, mask: NDArray[np.integer[Any]], tool: str) -> Sequence[Slice]:
        """Take the reader's label of one slice; nothing is done if it is the same."""
        return self._take({(t, z): mask}, LabelState.CORRECTED, tool)

    def fill(self, masks: Mapping[Slice, NDArray[np.integer[Any]]], tool: str) -> Sequence[Slice]:
        """Take labels that were carried over from other slices; one undo takes them all back.

        They are predicted, as the model's are: nobody looked at them on the images where they now lie, so nothing is
        learned from them and they wait to be checked.
        """
        return self._take(masks, LabelState.PREDICTED, tool)

    def _take(self, masks: Mapping[Slice, NDArray[np.integer[Any]]], state: LabelState, tool: str) -> Sequence[Slice]:
        # First: the layer reports a slice also when it was only looked at.
        drawn = {where: np.array(mask, dtype=np.uint8) for where, mask in masks.items()}
        drawn = {where: mask for where, mask in drawn.items() if not np.array_equal(mask, self._labels[where])}
        for where in drawn:
            self._refuse_gap(*where)
        step = tuple(self._change(t, z, state, mask) for (t, z), mask in drawn.items())
        return self._do(step, tool) if step else ()

    def revert_to_model(self, t: int, z: int) -> Sequence[Slice]:
        """Bring back what a model drew last on a slice, as predicted.

        Raises
        ------
        LabelError
            If no model has drawn there.
        """
        rows = [row for row in self._project.history(self.study_id, t, z) if row.tool == MODEL_TOOL]
        if not rows:
            raise LabelError("No model has drawn on this slice yet. Press Segment first.")
        drawn = rows[-1].mask
        if self.state(t, z) is LabelState.PREDICTED and np.array_equal(drawn, self._labels[t, z]):
            return ()
        return self._do((self._change(t, z, LabelState.PREDICTED, drawn),), "revert")

    def accept(self, slices: Iterable[Slice]) -> Sequence[Slice]:
        """Vouch for slices as they are."""
        wanted = list(slices)
        for where in wanted:
            self._refuse_gap(*where)
        step = tuple(
            self._change(t, z, LabelState.ACCEPTED) for t, z in wanted if self.state(t, z) is not LabelState.ACCEPTED
        )
        return self._do(step, "accept") if step else ()

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back and can be done again."""
        return self._history.can_redo

    def undo(self) -> Sequence[Slice]:
        """Take back the last edit."""
        if not self.can_undo:
            return ()
        changed = self._apply(self._history.peek_undo(), "undo")
        self._history.undone()
        return changed

    def redo(self) -> Sequence[Slice]:
        """Do again what was taken back last."""
        if not self.can_redo:
            return ()
        changed = self._apply(self._history.peek_redo(), "redo")
        self._history.redone()
        return changed

    def take_prediction(
        self,
        labels: NDArray[np.uint8],
        phases: Iterable[int],
        model_sha256: str,
        uncertainty: NDArray[np.float32] | None = None,
    ) -> Sequence[Slice]:
        """Take a model's labels; slices that a reader corrected or accepted stay as they are.

        Parameters
        ----------
        labels
            Shape (t, z, y, x).
        phases
            Those that were segmented.
        uncertainty
            How unsure the model was, shape (t, z); kept with the slices that are taken.
        """
        slices = [
            (t, z)
            for t in phases
            for z in range(self.cine.n_slices)
            if self.cine.has_image(t, z) and not self.state(t, z).is_teaching
        ]
        self._project.record_many(
            [
                SliceEdit(
                    self.study_id,
                    t,
                    z,
                    labels[t, z],
                    LabelState.PREDICTED,
                    "model",
                    model_sha256,
                    None if uncertainty is None else float(uncertainty[t, z]),
                )
                for t, z in slices
            ]
        )
        for where in slices:
            self._labels[where] = labels[where]
            self._states[where] = LabelState.PREDICTED
            self._model_of[where] = model_sha256
        return slices

    def take_import(
        self, masks: Mapping[Slice, NDArray[np.uint8]], origin: str, *, replace: bool = False
    ) -> tuple[Sequence[Slice], int]:
        """Take labels that were drawn elsewhere, as accepted; one undo takes them all back.

        Parameters
        ----------
        masks
            Labels (y, x) by (t, z).
        replace
            Take them also where a reader corrected or accepted a slice; else those stay.

        Returns
        -------
        The slices that changed, and how many of the reader's were kept.
        """
        free = [where for where in sorted(masks) if replace or not self.state(*where).is_teaching]
        step = tuple(self._change(t, z, LabelState.ACCEPTED, masks[t, z]) for t, z in free)
        return (self._do(step, f"import {origin}") if step else ()), len(masks) - len(free)

    def _refuse_gap(self, t: int, z: int) -> None:
        if not self.cine.has_image(t, z):
            raise LabelError(f"Slice {z + 1} has no image at phase {t + 1}, so nothing can be drawn there.")

    def _change(self, t: int, z: int, state: LabelState, mask: NDArray[np.uint8] | None = None) -> SliceChange:
        before = SliceContent(self._labels[t, z].copy(), self.state(t, z))
        return SliceChange(t, z, before, SliceContent(before.mask if mask is None else mask, state))

    def _do(self, step: Step, tool: str) -> Sequence[Slice]:
        changed = self._apply(step, tool)
        self._history.push(step)
        return changed

    def _apply(self, step: Step, tool: str) -> Sequence[Slice]:
        self._project.record_many([self._row(change, tool) for change in step])
        for change in step:
            where = change.t, change.z
            self._labels[where] = change.after.mask
            if change.after.state is LabelState.ABSENT:
                self._states.pop(where, None)
            else:
                self._states[where] = change.after.state
        return [(change.t, change.z) for change in step]

    def _row(self, change: SliceChange, tool: str) -> SliceEdit:
        model = self._model_of.get((change.t, change.z), "")
        return SliceEdit(self.study_id, change.t, change.z, change.after.mask, change.after.state, tool, model)
