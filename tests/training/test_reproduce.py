"""The page of published tasks names configs and models that there are."""

from __future__ import annotations

import re
from pathlib import Path

from cinema_core.published import PUBLISHED
from training.config_files import CONFIGS
from training.datasets.published import RECIPES
from training.settings import TASKS, read_config

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reproduce.md"
ROW = re.compile(r"^\| (\d+|-) \| `(\w+)` \| `(\w+)` \| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


def test_every_config_has_a_row_with_its_dataset() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    named = {(task, config) for _, task, config, _, _ in rows}
    assert named == {(task, path.stem) for task in TASKS for path in (CONFIGS / task).glob("*.yaml")}
    assert [number for number, *_ in rows] == [*map(str, range(1, 24)), "-"]
    for _, task, config, name, _ in rows:
        assert name in RECIPES
        assert read_config(task, config).data.name == name


def test_every_published_family_has_a_row() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    named = {match for *_, weights in rows for match in re.findall(r"`([a-z0-9-]+-[a-z0-9-]+)`", weights)}
    families = {model.family for model in PUBLISHED.values() if model.task != "pretrained"}
    assert {name for name in named if not name.startswith("--")} == families
