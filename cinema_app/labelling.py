"""The labels of one cine, slice by slice: what is drawn, how far it was looked at, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.measure import Insertions
from cinema_core.mirror_answers import MirrorAnswers
from cinema_core.project import MODEL_TOOL, InsertionEdit, PhaseChoice, Project, Restored, SliceEdit, SliceLabel

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
        self._labels = np.zeros(cine.shape, np.uint8)
        self._states: dict[Slice, LabelState] = {}
        self._model_of: dict[Slice, str] = {}
        self._insertions: dict[int, Insertions] = {}
        self._n_done = self._n_undone = 0

    def load(self) -> None:
        """Take the newest label of every slice from the journal, and the steps that Undo can take back."""
        self._show(self._project.slices(self.study_id).values())
        self._insertions = self._project.insertions(self.study_id)
        if not self._project.read_only:
            self._n_done, self._n_undone = self._project.open_steps(self.study_id)

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

    @property
    def insertions(self) -> Mapping[int, Insertions]:
        """Where the RV meets the LV at end-diastole, by slice; of those slices alone where the reader set it."""
        return self._insertions

    def models(self) -> list[str]:
        """Hash of the model that each labelled slice came or started from."""
        return list(self._model_of.values())

    # ---------------------------------------------------------------- edits; each returns the slices that changed

    def correct(
        self, t: int, z: int, mask: NDArray[np.integer[Any]], tool: str, moved_points: int | None = None
    ) -> Sequence[Slice]:
        """Take the reader's label of one slice; nothing is done if it is the same.

        Parameters
        ----------
        moved_points
            Control points of a contour that the hand moved; None for what was not made with a contour.
        """
        return self._take({(t, z): mask}, LabelState.CORRECTED, tool, moved_points=moved_points)

    def correct_many(
        self, masks: Mapping[Slice, NDArray[np.integer[Any]]], tool: str, choice: PhaseChoice | None = None
    ) -> Sequence[Slice]:
        """Take the reader's labels of several slices, and a choice of ED and ES; one undo takes it all back."""
        return self._take(masks, LabelState.CORRECTED, tool, choice)

    def fill(self, masks: Mapping[Slice, NDArray[np.integer[Any]]], tool: str) -> Sequence[Slice]:
        """Take labels that were carried over from other slices; one undo takes them all back.

        They are predicted, as the model's are: nobody looked at them on the images where they now lie, so nothing is
        learned from them and they wait to be checked.
        """
        return self._take(masks, LabelState.PREDICTED, tool)

    def _take(
        self,
        masks: Mapping[Slice, NDArray[np.integer[Any]]],
        state: LabelState,
        tool: str,
        choice: PhaseChoice | None = None,
        moved_points: int | None = None,
    ) -> Sequence[Slice]:
        # First: the layer reports a slice also when it was only looked at.
        drawn = {where: np.array(mask, dtype=np.uint8) for where, mask in masks.items()}
        drawn = {where: mask for where, mask in drawn.items() if not np.array_equal(mask, self._labels[where])}
        for where in drawn:
            self._refuse_gap(*where)
        edits = [self._edit(where, state, tool, mask) for where, mask in drawn.items()]
        return self._do([replace(edit, moved_points=moved_points) for edit in edits], choice)

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
        return self._do([self._edit((t, z), LabelState.PREDICTED, "revert", drawn)])

    def accept(self, slices: Iterable[Slice], choice: PhaseChoice | None = None) -> Sequence[Slice]:
        """Vouch for slices as they are, and for a choice of ED and ES; one undo takes both back."""
        wanted = list(slices)
        for where in wanted:
            self._refuse_gap(*where)
        new = [where for where in wanted if self.state(*where) is not LabelState.ACCEPTED]
        return self._do([self._edit(where, LabelState.ACCEPTED, "accept") for where in new], choice)

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to take back, of this or an earlier session."""
        return self._n_done > 0

    @property
    def can_redo(self) -> bool:
        """Whether an edit was taken back and can be done again."""
        return self._n_undone > 0

    def undo(self, proposal: PhaseChoice | None = None) -> Restored:
        """Take back the last edit, or the last choice of ED and ES; ``proposal`` holds if that was the first one."""
        restored = self._project.undo(self.study_id, proposal)
        return self._show_restored(restored, -1)

    def redo(self) -> Restored:
        """Do again what was taken back last."""
        return self._show_restored(self._project.redo(self.study_id), +1)

    def choose_phases(self, choice: PhaseChoice) -> None:
        """Keep the reader's ED and ES; :meth:`undo` takes it back."""
        self._do([], choice)

    def set_insertions(self, z: int, points: Insertions | None) -> None:
        """Keep where the reader saw the RV meet the LV on a slice, None for as it is found; :meth:`undo` undoes it."""
        edit = InsertionEdit(z, points)
        self._project.record_step(self.study_id, [], insertions=edit)
        self._n_done, self._n_undone = self._n_done + 1, 0
        self._show_insertions(edit)

    def take_prediction(
        self,
        labels: NDArray[np.uint8],
        phases: Iterable[int],
        model_sha256: str,
        uncertainty: NDArray[np.float32] | None = None,
        mirrors: MirrorAnswers | None = None,
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
        mirrors
            How differently it drew mirror images, kept in the same way; None if it was shown none.
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
                    None if mirrors is None else mirrors.at(t, z),
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
        edits = [self._edit(where, LabelState.ACCEPTED, f"import {origin}", masks[where]) for where in free]
        return self._do(edits), len(masks) - len(free)

    def _refuse_gap(self, t: int, z: int) -> None:
        if not self.cine.has_image(t, z):
            raise LabelError(f"Slice {z + 1} has no image at phase {t + 1}, so nothing can be drawn there.")

    def _edit(self, where: Slice, state: LabelState, tool: str, mask: NDArray[np.uint8] | None = None) -> SliceEdit:
        drawn = self._labels[where] if mask is None else mask
        return SliceEdit(self.study_id, *where, drawn, state, tool, self._model_of.get(where, ""))

    def _do(self, edits: Sequence[SliceEdit], choice: PhaseChoice | None = None) -> Sequence[Slice]:
        if not edits and choice is None:
            return ()
        self._project.record_step(self.study_id, edits, choice)
        self._n_done, self._n_undone = self._n_done + 1, 0
        return self._show(edits)

    def _show_restored(self, restored: Restored | None, by: int) -> Restored:
        if restored is None:
            return Restored()
        self._n_done, self._n_undone = self._n_done + by, self._n_undone - by
        self._show(restored.labels)
        if restored.insertions is not None:
            self._show_insertions(restored.insertions)
        return restored

    def _show_insertions(self, edit: InsertionEdit) -> None:
        # A new dictionary: what was measured by the old one may still ask it.
        others = {z: points for z, points in self._insertions.items() if z != edit.z}
        self._insertions = others if edit.points is None else others | {edit.z: edit.points}

    def _show(self, labels: Iterable[SliceEdit | SliceLabel]) -> Sequence[Slice]:
        changed = []
        for label in labels:
            where = label.t, label.z
            changed.append(where)
            self._labels[where] = label.mask
            self._model_of[where] = label.model_sha256
            if label.state is LabelState.ABSENT:
                self._states.pop(where, None)
            else:
                self._states[where] = label.state
        return changed
