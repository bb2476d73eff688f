"""Pictures of an evaluation: what is in them, and which there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cinema_core.errors import InputError
from training.figures import check_figure, draw_bland_altman, draw_boxes, draw_evaluation

pytest.importorskip("matplotlib", reason="Matplotlib is absent: pip install 'napari-cinema[training]'")


def shown(path: Path, text: str) -> bool:
    return f"<!-- {text} -->" in path.read_text(encoding="utf-8")


def test_bland_altman_shows_bias_and_limits(tmp_path: Path) -> None:
    true = np.array([50.0, 60.0, 40.0, 55.0])
    draw_bland_altman(tmp_path / "ef.svg", true, true + np.array([1.0, 3.0, 1.0, 3.0]), "LV ejection fraction (%)")
    spread = 1.96 * np.std([1, 3, 1, 3], ddof=1)
    for height in (2.0, 2 - spread, 2 + spread):
        text = f"{height:+.1f}".replace("-", "−")
        assert shown(tmp_path / "ef.svg", text) or shown(tmp_path / "ef.svg", f"{height:+.1f}")


def test_boxes_show_each_structure_with_the_cases_that_have_it(tmp_path: Path) -> None:
    rows = [
        {"patient": f"p{k}", "pid": f"p{k}", "phase": "ed", "dice_mean": 0.8, "dice_rv": rv, "dice_lv": 0.9}
        for k, rv in enumerate((0.7, 0.8, float("nan")))
    ]
    draw_boxes(tmp_path / "dice.svg", rows)
    text = (tmp_path / "dice.svg").read_text()
    assert all(f"<!-- {name} -->" in text for name in ("rv", "lv", "n = 2", "n = 3", "Dice"))
    assert "<!-- mean -->" not in text


def test_an_evaluation_without_volumes_has_no_ejection_fraction_to_draw(tmp_path: Path) -> None:
    row = {"patient": "p", "pid": "p", "phase": "", "dice_mean": 0.8, "dice_scar": 0.8}
    assert draw_evaluation(tmp_path, {"metrics.csv": [row]}) == [tmp_path / "dice.png"]
    assert draw_evaluation(tmp_path, {"metrics.csv": [{"patient": "p", "pid": "p", "distance_mm_mean": 3.0}]}) == []
    heart = {f"{kind}_{side}_ef_pct": 50.0 for kind in ("true", "predicted") for side in ("lv", "rv")}
    names = draw_evaluation(tmp_path, {"metrics.csv": [row], "ef_metrics.csv": [heart, heart]})
    assert [path.name for path in names] == ["dice.png", "bland_altman_lv_ef.png", "bland_altman_rv_ef.png"]
    assert all(path.stat().st_size > 1000 for path in names)


def test_other_files_are_no_figures() -> None:
    with pytest.raises(InputError, match=r"its name ends with .png, .svg, .pdf"):
        check_figure(Path("figure.gif"))
