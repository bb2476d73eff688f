"""One small heart for all miniatures of datasets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cinema_core.phantom import PhantomStudy, heart_called, make_phantom


@pytest.fixture(scope="session")
def heart() -> PhantomStudy:
    """5 slices, 3 phases, with the 2- and 4-chamber views."""
    parameters = heart_called("healthy", n_slices=5, slice_step_mm=18.0, n_phases=3, rows=160, columns=176)
    return make_phantom(parameters, seed=3, views=("lax_2c", "lax_4c"))


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    """A command chooses its threads for the whole process, and with them the last digit of sums."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
