"""The whole loop on a real study in a real window, through a kill."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

SCRIPT = Path(__file__).with_name("first_light_script.py")
BUNDLED = Path(__file__).resolve().parents[2] / "resources" / "models" / "bundled" / "weights.safetensors"


class Played:
    """One run of the script."""

    def __init__(self, part: str, study: Path, project: Path, out: Path) -> None:
        out.mkdir()
        self._told = out / "told.json"
        self._log = (out / "log.txt").open("w", encoding="utf-8")
        environment = {**os.environ, "NAPARI_CONFIG": str(out / "napari.yaml")}
        command = [sys.executable, str(SCRIPT), part, str(study), str(project), str(out)]
        self.process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=subprocess.STDOUT)

    def told(self, limit_s: float) -> dict[str, Any]:
        end = time.monotonic() + limit_s
        while not self._told.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                pytest.fail(Path(self._log.name).read_text(encoding="utf-8")[-4000:])
            time.sleep(0.2)
        told: dict[str, Any] = json.loads(self._told.read_text(encoding="utf-8"))
        return told

    def close(self) -> None:
        """Kill it as hard as the system can; its children must notice by themselves."""
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_loop_on_a_sunnybrook_study_survives_a_kill(shared_data: Path, tmp_path: Path) -> None:
    if not BUNDLED.is_file():
        pytest.skip("the bundled model is absent: resources/models/bundled")
    study, project = shared_data / "sunnybrook_dicom" / "dicoms" / "SCD0000101", tmp_path / "reading.cinema"

    first = Played("read", study, project, tmp_path / "first")
    try:
        told = first.told(400)
        children = psutil.Process(first.process.pid).children(recursive=True)
    finally:
        first.close()

    assert told["shape"] == [20, 12, 256, 256]
    assert told["segmented_phases"] == 20
    assert told["painted_pixels"] > 20
    assert (told["state_after_painting"], told["state_after_accepting"]) == ("corrected", "accepted")
    assert "before" in told["said_after_fine_tuning"] and "after" in told["said_after_fine_tuning"]
    assert not told["keep_for_all"]
    assert told["model"] == "v001"
    with (tmp_path / "first" / "report.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["lv_edv_ml"]) > 0
    assert row["accepted_slices"] == "1"

    # The engine dies with its window, even one that was killed.
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []

    second = Played("find", study, project, tmp_path / "second")
    try:
        found = second.told(120)
    finally:
        second.close()
    assert found["mask"] == found["shown"] == told["mask"]
    assert found["corrected"] == told["corrected"] == [[0, 5]]
    assert found["model"] == "v001"
    assert "1 corrected or accepted" in found["said"]
