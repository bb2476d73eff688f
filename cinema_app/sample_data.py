"""Sample data: a synthetic heart, so that the program can be tried without a patient."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import platformdirs

SAMPLE_ADDRESS: Final = "cinema://sample/synthetic-heart"
"""What the sample-data menu opens (see ``napari.yaml``): like a file, but made on first use."""

SAMPLE_SEED: Final = 11


def synthetic_heart(folder: Path | None = None) -> Path:
    """Make the files of the synthetic study once; returns the DICOM folder, which ``load_study`` opens.

    Parameters
    ----------
    folder
        Where to put them; None for the user's cache.
    """
    from cinema_core.phantom import make_phantom, write_phantom

    folder = folder or platformdirs.user_cache_path("napari-cinema") / "synthetic-heart"
    if not folder.is_dir():
        # Written beside and renamed, so that a folder that is there is complete.
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
            write_phantom(Path(partial) / "study", make_phantom(seed=SAMPLE_SEED), kind="dicom")
            (Path(partial) / "study").rename(folder)
    return folder / "dicom"
