"""Pickles of arrays are read, everything else in a pickle is refused before it runs."""

from __future__ import annotations

import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from cinema_core.errors import StudyError
from training.datasets.safe_pickle import read_arrays


class Hostile:
    """Runs a command when it is opened."""

    def __init__(self, run: object, *arguments: object) -> None:
        self._run = run, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._run  # type: ignore[return-value]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values_come_back(tmp_path: Path, protocol: int) -> None:
    content = OrderedDict(
        image_voxels=np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        PixelSpacing=[1.25, np.float64(1.5)],
        name="sax",
        turned=np.asfortranarray(np.eye(3)),
    )
    path = tmp_path / "SAX.pickle"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_arrays(path)
    np.testing.assert_array_equal(found["image_voxels"], content["image_voxels"])
    np.testing.assert_array_equal(found["turned"], np.eye(3))
    assert found["PixelSpacing"] == [1.25, 1.5]
    assert found["name"] == "sax"


@pytest.mark.parametrize(
    ("run", "named"),
    [
        (os.system, "system"),
        (subprocess.check_output, "subprocess"),
        (eval, "eval"),
        (getattr, "getattr"),
        (open, "open"),
    ],
)
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, run: object, named: str) -> None:
    trace = tmp_path / "it-ran"
    commands = {"eval": f"open({str(trace)!r}, 'w')", "open": str(trace)}
    arguments = (commands.get(named, f"touch {trace}"), *(("w",) if named == "open" else ()))
    path = tmp_path / "SAX.pickle"
    path.write_bytes(pickle.dumps({"image_voxels": np.ones(3), "trap": Hostile(run, *arguments)}))
    with pytest.raises(StudyError, match=rf"SAX.pickle is no pickle of arrays.*{named}"):
        read_arrays(path)
    assert not trace.exists()


def test_nothing_is_reached_through_an_allowed_module(tmp_path: Path) -> None:
    for text in (b"cnumpy\nload\n(S'/etc/passwd'\ntR.", b"cnumpy\ndtype.type\n.", b"ccollections\nabc\n."):
        path = tmp_path / "SAX.pickle"
        path.write_bytes(text)
        with pytest.raises(StudyError, match="which is no array"):
            read_arrays(path)


def test_damaged_and_missing_pickles_are_told(tmp_path: Path) -> None:
    path = tmp_path / "2C.pickle"
    with pytest.raises(StudyError, match=r"2C\.pickle is missing"):
        read_arrays(path)
    path.write_bytes(pickle.dumps(np.ones(1000))[:500])
    with pytest.raises(StudyError, match=r"2C\.pickle is no pickle"):
        read_arrays(path)
    path.write_bytes(b"no pickle")
    with pytest.raises(StudyError, match=r"2C\.pickle is no pickle"):
        read_arrays(path)
