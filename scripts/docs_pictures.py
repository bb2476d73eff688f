"""Make the pictures of README and guide again: play the demo in a window and keep its screenshots.

Example: xvfb-run -a -s "-screen 0 1400x870x24" python scripts/docs_pictures.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
OUT = "results"
NAMES = {"segment-again": "read"}


def main() -> None:
    """Play, then write ``docs/images/NAME.png``."""
    with tempfile.TemporaryDirectory() as folder:
        # A window size that somebody's napari remembers would change every picture.
        environment = {**os.environ, "NAPARI_CONFIG": str(Path(folder) / "napari.yaml")}
        # Run there with a relative name: the picture of the export shows where the report went.
        command = [sys.executable, "-m", "cinema_app.cli", "demo", "--out", OUT, "--close", *sys.argv[1:]]
        subprocess.run(command, check=True, env=environment, cwd=folder)
        PICTURES.mkdir(parents=True, exist_ok=True)
        for path in sorted((Path(folder) / OUT).glob("*.png")):
            name = path.stem.split("-", 1)[1]
            with Image.open(path) as picture:
                picture.convert("RGB").save(PICTURES / f"{NAMES.get(name, name)}.png", optimize=True)


if __name__ == "__main__":
    main()
