"""Any sequence of edits, undos, refusals and reopenings against a plain dictionary."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cinema_core.anatomy import LabelState
from cinema_core.errors import LabelError
from cinema_core.project import Project, SliceEdit, study_snapshot, training_slices

N_PHASES, N_SLICES, N_ROWS, N_COLUMNS = 2, 2, 3, 4

slice_indices = st.tuples(st.integers(0, N_PHASES - 1), st.integers(0, N_SLICES - 1))
masks = st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=N_ROWS * N_COLUMNS, max_size=N_ROWS * N_COLUMNS).map(
    lambda values: np.array(values, np.uint8).reshape(N_ROWS, N_COLUMNS)
)


@dataclass(frozen=True)
class Expected:
    row_id: int
    mask: bytes
    state: LabelState
    tool: str


Content = tuple[bytes, LabelState]
Step = tuple[tuple[int, int], int, Content, Content]
"""Where, in which row, what was there before, and after."""


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self.project = Project.open(Path(self._place.name) / "heart.cinema", create=True)
        self.project.add_study("study-1", "a", "image", "sax", (N_PHASES, N_SLICES, N_ROWS, N_COLUMNS), "sax")
        self.histories: dict[tuple[int, int], list[Expected]] = {}
        self.n_rows = 0
        self.taught = False
        self.done: list[Step] = []
        self.undone: list[Step] = []

    def teardown(self) -> None:
        self.project.close()
        self._place.cleanup()

    def _expect(self, where: tuple[int, int], mask: bytes, state: LabelState, tool: str) -> None:
        self.n_rows += 1
        self.taught = self.taught or state.is_teaching
        self.histories.setdefault(where, []).append(Expected(self.n_rows, mask, state, tool))

    def _newest(self, where: tuple[int, int]) -> Content:
        if where not in self.histories:
            return bytes(N_ROWS * N_COLUMNS), LabelState.ABSENT
        newest = self.histories[where][-1]
        return newest.mask, newest.state

    def _edit(self, where: tuple[int, int], mask: np.ndarray, state: LabelState, tool: str) -> SliceEdit:
        return SliceEdit("study-1", *where, mask, state, tool)

    @rule(where=slice_indices, mask=masks)
    def correct(self, where: tuple[int, int], mask: np.ndarray) -> None:
        self.project.record_step("study-1", [self._edit(where, mask, LabelState.CORRECTED, "brush")])
        before = self._newest(where)
        self._expect(where, mask.tobytes(), LabelState.CORRECTED, "brush")
        self.done.append((where, self.n_rows, before, self._newest(where)))
        self.undone.clear()

    @rule(predictions=st.lists(st.tuples(slice_indices, masks), max_size=6))
    def predict(self, predictions: list[tuple[tuple[int, int], np.ndarray]]) -> None:
        self.project.record_many(self._edit(*each, LabelState.PREDICTED, "model") for each in predictions)
        for where, mask in predictions:
            self._expect(where, mask.tobytes(), LabelState.PREDICTED, "model")

    @precondition(lambda self: self.histories)
    @rule(data=st.data())
    def accept(self, data: st.DataObject) -> None:
        where = data.draw(st.sampled_from(sorted(self.histories)))
        mask = self.project.slices("study-1")[where].mask
        self.project.record(self._edit(where, mask, LabelState.ACCEPTED, "accept"))
        self._expect(where, self.histories[where][-1].mask, LabelState.ACCEPTED, "accept")

    @precondition(lambda self: self.done)
    @rule()
    def undo(self) -> None:
        where, row_id, before, _ = step = self.done.pop()
        self.undone.append(step)
        self.project.undo("study-1")
        drawn_since = any(row.tool == "model" for row in self.histories[where] if row.row_id > row_id)
        self._expect(where, *(self._newest(where) if drawn_since else before), "undo")

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self) -> None:
        where, _, _, after = self.undone.pop()
        before = self._newest(where)
        self.project.redo("study-1")
        self._expect(where, *after, "redo")
        self.done.append((where, self.n_rows, before, after))

    @rule(where=slice_indices)
    def clear(self, where: tuple[int, int]) -> None:
        empty = np.zeros((N_ROWS, N_COLUMNS), np.uint8)
        self.project.record(self._edit(where, empty, LabelState.ABSENT, "clear"))
        self._expect(where, empty.tobytes(), LabelState.ABSENT, "clear")

    @rule(where=slice_indices, mask=masks)
    def refuse_a_batch(self, where: tuple[int, int], mask: np.ndarray) -> None:
        good = self._edit(where, mask, LabelState.CORRECTED, "brush")
        bad = self._edit((N_PHASES, 0), mask, LabelState.CORRECTED, "brush")
        with pytest.raises(LabelError):
            self.project.record_many([good, bad])

    @rule()
    def reopen(self) -> None:
        self.project.close()
        self.project = Project.open(self.project.folder)

    @invariant()
    def every_history_is_complete(self) -> None:
        assert self.project.journal_position() == self.n_rows
        for where, expected in self.histories.items():
            rows = self.project.history("study-1", *where)
            assert [Expected(row.row_id, row.mask.tobytes(), row.state, row.tool) for row in rows] == expected
            assert [row.parent_id for row in rows] == [None, *(row.row_id for row in expected[:-1])]

    @invariant()
    def the_newest_row_counts(self) -> None:
        newest = {where: history[-1] for where, history in self.histories.items()}
        assert {w: row.row_id for w, row in self.project.slices("study-1").items()} == {
            where: row.row_id for where, row in newest.items()
        }
        assert self.project.states("study-1") == {where: row.state for where, row in newest.items()}
        teaching = {where for where, row in newest.items() if row.state.is_teaching}
        assert {(row.t, row.z) for row in training_slices(self.project)} == teaching

    @invariant()
    def the_snapshot_agrees(self) -> None:
        snapshot = study_snapshot(self.project, "study-1")
        for where, history in self.histories.items():
            assert snapshot.labels[where].tobytes() == history[-1].mask

    @invariant()
    def the_fold_is_decided_by_the_first_teaching_slice(self) -> None:
        assert self.project.ledger() == ({"study-1": 0} if self.taught else {})


JournalMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestJournal = JournalMachine.TestCase
