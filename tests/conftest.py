"""Fixtures that every room shares: where the real data lies, and a small heart whose volumes are known."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub_stand_in import HubStandIn

    from cinema_core.phantom import PhantomStudy

sys.path.insert(0, str(Path(__file__).parent / "stand_ins"))
SHARED = Path(__file__).resolve().parents[2] / "shared"

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # napari reads icons that another process is just writing
    os.environ["XDG_CACHE_HOME"] = str(Path(tempfile.gettempdir()) / f"napari-cinema-tests-{worker}")


def _shared(name: str, what: str) -> Path:
    folder = SHARED / name
    if folder.is_dir():
        return folder
    reason = f"{what} are absent: ../shared/{name}"
    # Where the data must be present, a skip would hide a room.
    if os.environ.get("CINEMA_REQUIRE_SHARED"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def own_identities(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the map of identities of the user who runs the tests out of them."""
    monkeypatch.setenv("CINEMA_IDENTITIES", str(tmp_path_factory.mktemp("identities") / "identities.json"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real studies; the test is skipped where they are absent."""
    return _shared("data", "real studies")


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Folder of the exact expected model outputs; the test is skipped where they are absent."""
    return _shared("golden", "golden outputs")


@pytest.fixture(scope="session")
def phantom_study() -> PhantomStudy:
    """Small synthetic heart: 5 slices, 6 phases."""
    from cinema_core.phantom import HeartParameters, make_phantom

    return make_phantom(HeartParameters(n_slices=5, slice_step_mm=18.0, n_phases=6), seed=7)


@pytest.fixture
def hub(shared_golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A hub on this computer with the three seeds of ``acdc-sax-seg``; pulled models go to a folder of the test."""
    from hub_stand_in import HubStandIn
    from huggingface_hub.utils import close_session

    from cinema_core.published import published

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("cinema_core.cards.local_models_folder", lambda: tmp_path / "models")
    files = {}
    for model in published("acdc-sax-seg"):
        files[model.weights] = (shared_golden / "seg_sax.safetensors").read_bytes()
        files[model.config] = (shared_golden / "seg_sax.yaml").read_bytes()
    close_session()  # a session remembers the proxy it was made with
    with HubStandIn(files).serving() as stand_in:
        monkeypatch.setenv("HF_ENDPOINT", stand_in.endpoint)
        yield stand_in
        close_session()
