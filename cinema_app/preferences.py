"""The plugin's page in napari's Preferences: what a reader chose for this computer, kept beside napari's settings."""

from __future__ import annotations

from typing import Any, Final

PLUGIN: Final = "napari-cinema"


def preferences() -> Any:
    """Return the settings declared under ``configurations`` in ``napari.yaml``; what is set is saved at once."""
    from napari.settings import get_plugin_settings

    return get_plugin_settings(PLUGIN)
