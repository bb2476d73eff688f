"""The walls: who may import whom, and what an installed copy carries."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def modules_loaded_by(statement: str) -> set[str]:
    """Names in ``sys.modules`` after a statement ran in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import cinema_core",
        "import cinema_core.io, cinema_core.measure, cinema_core.report, cinema_core.project, cinema_core.phantom",
        "import cinema_core.engine.client, cinema_core.cards, cinema_core.cases, cinema_core.localise",
        "import cinema_core.hub",
        "import cinema_app.cli",
    ],
)
def test_plain_rooms_do_not_load_torch(statement: str) -> None:
    assert "torch" not in modules_loaded_by(statement)


def test_knowing_what_is_published_does_not_load_the_hub_library() -> None:
    loaded = modules_loaded_by("import cinema_core.hub, cinema_core.cards")
    assert not loaded & {"huggingface_hub", "httpx2", "hf_xet"}


def test_window_does_not_load_torch() -> None:
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "cinema_app").rglob("*.py")
        if path.name != "__init__.py"
    )
    loaded = modules_loaded_by("\n".join(f"import {name}" for name in names))
    assert "napari" in loaded
    assert "torch" not in loaded


def test_core_does_not_load_the_window() -> None:
    loaded = modules_loaded_by("import cinema_core.predict, cinema_core.learn, cinema_core.engine.server")
    assert not loaded & {"napari", "qtpy", "PySide6", "cinema_app"}


def test_installed_manifest_is_the_one_at_the_root() -> None:
    installed = importlib.resources.files("cinema_app") / "napari.yaml"
    assert yaml.safe_load(installed.read_text(encoding="utf-8")) == yaml.safe_load(
        (ROOT / "napari.yaml").read_text(encoding="utf-8")
    )


def test_napari_finds_the_plugin() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-cinema")
    assert manifest.contributions.widgets
    assert manifest.contributions.readers
    assert manifest.contributions.sample_data


def test_version_is_the_one_of_the_distribution() -> None:
    import cinema_core

    assert importlib.metadata.version("napari-cinema") == cinema_core.__version__


@pytest.mark.parametrize("name", ["bundled", "bundled-mae"])
def test_bundled_models_fit_in_the_wheel(name: str) -> None:
    weights = ROOT / "resources" / "models" / name / "weights.safetensors"
    assert weights.stat().st_size <= 16 * 2**20


def test_no_test_data_is_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    suffixes = (".dcm", ".nii", ".nii.gz", ".ima", ".h5", ".mha")
    assert [name for name in tracked if name.lower().endswith(suffixes)] == []
