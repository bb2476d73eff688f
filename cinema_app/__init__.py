"""The napari-cinema desktop and the ``cinema`` command. Never imports torch."""
