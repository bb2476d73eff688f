"""The real studies in ``../shared/data``: what each holds, and the trap in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """What a reader must find; figures are from the files themselves and the data's own README."""

    path: str
    trap: str
    n_slices: int
    n_phases: int
    rows: int
    columns: int
    pixel_spacing_mm: float
    slice_step_mm: float
    rr_ms: tuple[float, float] | None
    """Shortest and longest beat of the slices."""
    order_rule: str
    n_cines: int = 1


REFERENCES = (
    Reference(
        "sunnybrook_dicom/dicoms/SCD0000101",
        "every file has its own FrameOfReferenceUID; illegal UIDs and dates; file order 1, 10, 100",
        12, 20, 256, 256, 1.367188, 10.0, (731, 800), "trigger time",
    ),
    Reference(
        "sunnybrook_dicom/dicoms/SCD0000301",
        "two orientation strings in one series; steps differ by 0.01 mm",
        10, 20, 256, 256, 1.2891, 8.0, (923, 923), "trigger time",
    ),
    Reference(
        "bivme_siemens_dicom/dicoms",
        "one series per slice; SliceThickness 6 mm but step 17.7 mm; no SpacingBetweenSlices; RR differs",
        6, 25, 208, 256, 1.40625, 17.7, (776, 863), "trigger time", n_cines=11 - 6 + 1,
    ),
    Reference(
        "acdc/patient003",
        "ED and ES only; labels and scribbles lie beside the frames",
        10, 2, 256, 256, 1.5625, 10.0, None, "file order",
    ),
    Reference(
        "mnms2_001/001_SA_ED.nii.gz",
        "one phase, doubles, units not stated",
        12, 1, 256, 256, 1.4844, 10.0, None, "file order",
    ),
)  # fmt: skip
