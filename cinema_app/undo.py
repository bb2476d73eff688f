"""What Undo takes back: label edits as values that know where they were made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import LabelState


@dataclass(frozen=True, eq=False)
class SliceContent:
    """Label of one slice: mask uint8 (y, x), and how far it has been looked at."""

    mask: NDArray[np.uint8]
    state: LabelState


@dataclass(frozen=True, eq=False)
class SliceChange:
    """One slice before and after an edit."""

    t: int
    z: int
    before: SliceContent
    after: SliceContent

    def reversed(self) -> SliceChange:
        """Return the change that takes this one back."""
        return SliceChange(self.t, self.z, before=self.after, after=self.before)


Step = tuple[SliceChange, ...]
"""What one press of Undo takes back: all slices that one action of the reader changed."""


class EditHistory:
    """Steps that can be taken back and done again, the latest last."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back and can be done again."""
        return bool(self._undone)

    def push(self, step: Step) -> None:
        """Remember a new step; what had been undone before it can no longer be done again."""
        self._done.append(step)
        self._undone.clear()

    def peek_undo(self) -> Step:
        """Return the changes that lead back before the last step, in the order to apply them."""
        return tuple(change.reversed() for change in reversed(self._done[-1]))

    def peek_redo(self) -> Step:
        """Return the changes of the step that was undone last."""
        return self._undone[-1]

    def undone(self) -> None:
        """Note that the last step was taken back."""
        self._undone.append(self._done.pop())

    def redone(self) -> None:
        """Note that the step undone last was done again."""
        self._done.append(self._undone.pop())
