"""What a config says beyond the published form."""

from __future__ import annotations

from typing import Any

import pytest

from cinema_core.errors import CheckpointError
from cinema_core.model_config import mirrors


def test_a_published_config_sees_the_image_as_it_is() -> None:
    assert mirrors({"model": {}}) == ((),)


def test_mirrors_are_axes_of_x_and_y() -> None:
    assert mirrors({"predict": {"mirrors": [[], [0], [0, 1]]}}) == ((), (0,), (0, 1))


@pytest.mark.parametrize("wrong", [[], 1, [[2]], ["x"], [0]])
def test_other_mirrors_are_refused(wrong: Any) -> None:
    with pytest.raises(CheckpointError, match=r"predict\.mirrors"):
        mirrors({"predict": {"mirrors": wrong}})
