"""Spline contours on the viewed slice: hit-testing, nudge, interpolation, propagation.

Still empty: until the contour tool is built, labels are corrected with the brush (:mod:`cinema_app.layers`).
"""
