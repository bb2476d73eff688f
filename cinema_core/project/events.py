"""What happened in a project beside its labels, in its tables: appended, and read back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from cinema_core.project.documents import json_text
from cinema_core.project.journal import journal_position
from cinema_core.project.records import Event


def append_event(rows: sqlite3.Connection, kind: str, detail: Mapping[str, Any], utc: str) -> None:
    """Append an event at the journal's present position."""
    rows.execute(
        "INSERT INTO event (kind, detail, journal_position, utc) VALUES (?, ?, ?, ?)",
        (kind, json_text(detail), journal_position(rows), utc),
    )


def read_events(rows: sqlite3.Connection) -> list[Event]:
    """Everything that was logged, oldest first."""
    found = rows.execute("SELECT * FROM event ORDER BY event_id")
    return [Event(**{**dict(row), "detail": json.loads(row["detail"])}) for row in found]
