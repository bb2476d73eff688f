"""The published networks, and strict loading of their weights. Imports torch."""

from __future__ import annotations

from cinema_core.models.checkpoint import ViewSettings, build_model, load_model, view_settings

__all__ = ["ViewSettings", "build_model", "load_model", "view_settings"]
