"""The napari-cinema desktop and the ``cinema`` command. Never imports torch."""

from __future__ import annotations

import os

# psygnal writes the local variables of a failing callback into its error text: patient data would reach the log.
os.environ.setdefault("PSYGNAL_HIDE_LOCALS", "1")
