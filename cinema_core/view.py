"""Standard imaging planes; imports nothing, so that a command that only names them starts at once."""

from __future__ import annotations

from enum import StrEnum


class View(StrEnum):
    """Standard imaging plane of a cine."""

    SAX = "sax"
    LAX_2C = "lax_2c"
    LAX_3C = "lax_3c"
    LAX_4C = "lax_4c"
    OTHER = "other"

    @property
    def display_name(self) -> str:
        """Name as shown to the reader."""
        return {
            View.SAX: "Short axis",
            View.LAX_2C: "2-chamber",
            View.LAX_3C: "3-chamber",
            View.LAX_4C: "4-chamber",
            View.OTHER: "Other view",
        }[self]
