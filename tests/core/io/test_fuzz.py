"""Studies broken on purpose: 200 of the cases that ``python -m benchmarks.fuzz_import`` runs by the thousand."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz_agreement import Disagreement, agree, run_case
from benchmarks.fuzz_cases import KINDS, write_case
from benchmarks.fuzz_faults import FAULTS, clean_study
from benchmarks.fuzz_import import run_mutated, run_synthetic
from cinema_core.cine import Geometry, Plane
from cinema_core.io import load_study


def test_synthetic_studies_never_crash_nor_lie() -> None:
    count: Counter[str] = Counter()
    run_synthetic(100, repeatable=True, count=count)
    assert count["opened"] > 20
    assert sum(n for outcome, n in count.items() if outcome.startswith("refused")) > 5


def test_mutated_real_files_never_crash_nor_lie(shared_data: Path) -> None:
    count: Counter[str] = Counter()
    run_mutated(100, seed=1, count=count)
    assert count["opened"] > 20
    assert sum(n for outcome, n in count.items() if outcome.startswith("refused")) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_study_without_faults_opens_whole(tmp_path: Path, kind: str) -> None:
    places = write_case(tmp_path, kind, [], 4, 5, random.Random(3))
    study = load_study(places)
    agree(study)
    assert [cine.shape for cine in study.cines] == [(5, 4, 8, 8)]
    assert not study.cines[0].missing


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_changes_something(fault: str) -> None:
    changed = 0
    for seed in range(20):
        clean, broken = (clean_study(4, 5, random.Random(7)) for _ in range(2))
        changed += FAULTS[fault](broken, random.Random(seed)) != clean
    assert changed > 5


# The comparison itself: it must see a lie.


def test_wrong_place_is_seen(tmp_path: Path) -> None:
    study = load_study(write_case(tmp_path, "folder", [], 4, 3, random.Random(3)))
    (cine,) = study.cines
    planes = tuple(
        Plane(plane.origin_mm + np.array([0, 0, 2.0 * z]), plane.x_direction, plane.y_direction, plane.spacing_mm)
        for z, plane in enumerate(cine.geometry.planes)
    )
    with pytest.raises(Disagreement, match="lies at"):
        agree(replace(study, cines=(replace(cine, geometry=Geometry(planes)),)))


def test_wrong_order_of_phases_is_seen(tmp_path: Path) -> None:
    study = load_study(write_case(tmp_path, "folder", [], 3, 4, random.Random(3)))
    (cine,) = study.cines
    order = [0, 2, 1, 3]
    shuffled = replace(
        cine,
        pixels=np.ascontiguousarray(cine.pixels[order]),
        sources={(t, z): cine.sources[order[t], z] for t, z in cine.sources},
    )
    with pytest.raises(Disagreement, match="not in the order of their trigger times"):
        agree(replace(study, cines=(shuffled,)))


def test_wrong_pixels_are_seen(tmp_path: Path) -> None:
    study = load_study(write_case(tmp_path, "folder", [], 3, 4, random.Random(3)))
    (cine,) = study.cines
    with pytest.raises(Disagreement, match="pixels"):
        agree(replace(study, cines=(replace(cine, pixels=cine.pixels[::-1]),)))


def test_other_errors_are_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("benchmarks.fuzz_agreement.load_study", broken)
    with pytest.raises(ZeroDivisionError):
        run_case(write_case(tmp_path, "folder", [], 3, 4, random.Random(3)))
