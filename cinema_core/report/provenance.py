"""What a result was made from, so that it can be made again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from cinema_core.cards import ModelCard
from cinema_core.cine import Cine


def provenance(
    study_id: str,
    cine: Cine,
    *,
    card: ModelCard | None,
    settings: Mapping[str, Any],
    software_version: str,
    created_utc: str,
) -> dict[str, Any]:
    """Plain values for ``provenance.json``: input by its content, model by its hash, settings, versions. No names.

    Parameters
    ----------
    settings
        What was asked for: phases, device and the like.
    """
    return {
        "study_id": study_id,
        "cine": {"id": cine.id, "shape_tzyx": list(cine.shape), "content_sha256": cine.content_sha256},
        "model": {"name": card.name, "sha256": card.sha256, "kind": card.kind} if card else None,
        "settings": dict(settings),
        "software": {"napari-cinema": software_version, "python": platform.python_version()},
        "created_utc": created_utc,
    }
