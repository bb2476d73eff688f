"""Read a pickle of arrays and plain values, and refuse everything else: a pickle can run any program."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

from cinema_core.errors import StudyError

_NUMPY: Final = ("numpy._core", "numpy.core")
"""Where arrays say that they are rebuilt; numpy 2 and numpy 1."""

ALLOWED: Final = frozenset(
    {
        *((f"{core}.multiarray", name) for core in _NUMPY for name in ("_reconstruct", "scalar")),
        *((f"{core}.numeric", "_frombuffer") for core in _NUMPY),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),  # bytes of an old pickle
        ("collections", "OrderedDict"),
    }
)
"""What a pickle of arrays names. None of it opens a file, imports a module or runs given code."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return super().find_class(module, name)


def read_arrays(path: Path) -> Any:
    """Read a pickle of arrays, numbers, text, lists and mappings.

    Raises
    ------
    StudyError
        If it is missing, damaged, or holds anything else; nothing of that is run.
    """
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except FileNotFoundError:
        raise StudyError(f"{path.name} is missing. Copy the folder again.") from None
    except MemoryError as error:
        raise StudyError(f"{path.name} asks for more memory than there is. Copy it again.") from error
    except Exception as error:  # what a damaged pickle raises is not documented, it may be anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(f"{path.name} is no pickle of arrays that can be read safely: {reason}.") from error
