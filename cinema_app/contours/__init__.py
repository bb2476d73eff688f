"""Smooth contours on the viewed slice, from plain geometry up to the layers that show them.

``curve`` is one contour and what a hand does to it, ``fitting`` makes it from a label or a stroke, ``drawing`` keeps
the contours of a slice and its label as one, ``interpolation`` fills slices in between,
``propagation`` follows the heart's motion. ``editor`` is the tool
without a window, ``layers`` its place in napari.
"""
