"""Settings and figures of many kinds, as the JSON that the project's tables keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def json_text(value: Mapping[str, Any]) -> str:
    """JSON of settings or figures, as the tables keep it.

    Raises
    ------
    TypeError
        If a value is neither plain, nor a NumPy number, nor a path.
    """
    return json.dumps(dict(value), default=_plain, ensure_ascii=False)


def _plain(value: object) -> object:
    """JSON for what figures and settings are made of beside plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} cannot be kept in a project")
