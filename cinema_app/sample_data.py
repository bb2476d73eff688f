"""Sample data: synthetic hearts, so that the program can be tried without a patient."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import platformdirs

SAMPLE_ADDRESS: Final = "cinema://sample/synthetic-heart"
"""What the sample-data menu opens (see ``napari.yaml``): like a file, but made on first use. Another heart than the
healthy one is named after it: ``cinema://sample/synthetic-heart/dilated``."""

SAMPLE_SEED: Final = 11

EDITION: Final = 2
"""Counts up when the same parameters give other images, so that no older ones are opened from the cache."""


def is_sample(address: str) -> bool:
    """Whether this is the address of a synthetic heart, as opposed to a path."""
    return address == SAMPLE_ADDRESS or address.startswith(f"{SAMPLE_ADDRESS}/")


def heart_at(address: str) -> str:
    """Name of the heart at an address, see :data:`cinema_core.phantom.HEARTS`."""
    return address.removeprefix(SAMPLE_ADDRESS).strip("/").replace("-", " ") or "healthy"


def synthetic_heart(folder: Path | None = None, heart: str = "healthy") -> Path:
    """Make the files of a synthetic study once; returns the DICOM folder, which ``load_study`` opens.

    The study has a short-axis stack and the three long-axis views.

    Parameters
    ----------
    folder
        Where to put them; None for the user's cache.
    heart
        Name of the heart, see :data:`cinema_core.phantom.HEARTS`.

    Raises
    ------
    InputError
        If there is no heart of this name.
    """
    from cinema_core.phantom import LONG_AXIS, heart_called, make_phantom, write_phantom

    parameters = heart_called(heart)
    cache = platformdirs.user_cache_path("napari-cinema") / "synthetic-hearts"
    folder = folder or cache / f"{heart.replace(' ', '-')}-{EDITION}"
    if not folder.is_dir():
        # Written beside and renamed, so that a folder that is there is complete.
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            study = make_phantom(parameters, seed=SAMPLE_SEED, views=LONG_AXIS)
            write_phantom(Path(partial) / "study", study, kind="dicom")
            (Path(partial) / "study").rename(folder)
    return folder / "dicom"
