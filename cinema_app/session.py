"""What a window opens once: the project that keeps the work, the engine that computes, the reading."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import platformdirs

from cinema_app.reading import Reading
from cinema_core.engine.client import EngineClient
from cinema_core.project import Project


def default_project_folder() -> Path:
    """Where labels are kept if the reader names no project: the user's own data folder, never beside the images."""
    return platformdirs.user_data_path("napari-cinema") / "Projects" / "default.cinema"


class Session:
    """Owns project and engine; whoever opens a session closes it."""

    def __init__(self, project: Project, engine: EngineClient) -> None:
        self.project = project
        self.engine = engine
        self.reading = Reading(project, engine)

    @classmethod
    def open(cls, project_folder: Path | None = None, reader: str = "") -> Self:
        """Open the project, making it if there is none. The engine's process starts with its first work.

        Raises
        ------
        ProjectError, StorageError
            If the project cannot be opened or made.
        """
        folder = project_folder or default_project_folder()
        return cls(Project.open(folder, create=True, reader=reader), EngineClient())

    def close(self) -> None:
        """End the engine's process and let go of the project; a second call does nothing."""
        self.reading.learning.close_down()
        self.engine.close()
        self.project.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
