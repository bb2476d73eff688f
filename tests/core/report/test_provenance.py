"""Where a result comes from: by content, not by name."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cinema_core.cards import ModelCard
from cinema_core.cine import Patient
from cinema_core.phantom import PhantomStudy
from cinema_core.report import provenance

CARD = ModelCard(name="reader-1", sha256="f" * 64, kind="project")


@pytest.fixture
def found(phantom_study: PhantomStudy) -> dict[str, Any]:
    cine = replace(phantom_study.cine, patient=Patient("F", 71.0, 1.62, 58.5))
    settings = {"phases": "all", "device": "cpu"}
    return provenance("study-1", cine, card=CARD, settings=settings, software_version="1.2.3", created_utc="2026-01-02")


def test_input_and_model_are_known_by_their_content(found: dict[str, Any], phantom_study: PhantomStudy) -> None:
    assert found["cine"]["content_sha256"] == phantom_study.cine.content_sha256
    assert found["model"] == {"name": "reader-1", "sha256": "f" * 64, "kind": "project"}


def test_other_pixels_are_another_input(found: dict[str, Any], phantom_study: PhantomStudy) -> None:
    pixels = np.asarray(phantom_study.cine.pixels).copy()
    pixels[0, 0, 0, 0] += 1
    cine = replace(phantom_study.cine, pixels=pixels)
    other = provenance("study-1", cine, card=CARD, settings={}, software_version="1.2.3", created_utc="2026-01-02")
    assert other["cine"]["content_sha256"] != found["cine"]["content_sha256"]


def test_it_can_be_written_as_json_and_read_back(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found)) == found


def test_what_was_asked_for_and_which_versions_did_it(found: dict[str, Any]) -> None:
    assert found["settings"] == {"phases": "all", "device": "cpu"}
    assert found["software"]["napari-cinema"] == "1.2.3"
    assert found["software"]["numpy"] == np.__version__
    assert "papillary" in found["convention"]


def test_nothing_of_the_patient_is_told(found: dict[str, Any]) -> None:
    text = json.dumps(found)
    assert not [value for value in ("71.0", "1.62", "58.5", "sex", "weight") if value in text]


def test_labels_drawn_by_hand_name_no_model(phantom_study: PhantomStudy) -> None:
    found = provenance(
        "study-1", phantom_study.cine, card=None, settings={}, software_version="1", created_utc="2026-01-02"
    )
    assert found["model"] is None


def test_the_version_of_torch_is_told_without_torch() -> None:
    program = "import sys, cinema_core.report, cinema_core.measure.agreement; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
