"""The enhanced MR object that we write: as other programs read it, and as our own importer does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cinema_core.cine import Cine, Geometry
from cinema_core.errors import GeometryError, InputError, StorageError
from cinema_core.io import load_study, write_enhanced_dicom
from cinema_core.phantom import PhantomStudy


def test_every_frame_says_where_and_when_it_was_taken(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    cine = tiny_heart.cine
    data = pydicom.dcmread(write_enhanced_dicom(cine, tmp_path / "sax.dcm", patient_id="A"))
    assert data.SOPClassUID.name == "Enhanced MR Image Storage"
    assert int(data.NumberOfFrames) == cine.n_phases * cine.n_slices == len(data.PerFrameFunctionalGroupsSequence)
    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        z, t = divmod(number, cine.n_phases)
        plane, trigger_ms = cine.geometry.planes[z], cine.timing.trigger_ms
        assert trigger_ms is not None
        np.testing.assert_allclose(group.PlanePositionSequence[0].ImagePositionPatient, plane.origin_mm, atol=1e-4)
        np.testing.assert_allclose(group.PixelMeasuresSequence[0].PixelSpacing, plane.spacing_mm)
        beat = group.CardiacSynchronizationSequence[0]
        assert beat.NominalCardiacTriggerDelayTime == pytest.approx(trigger_ms[t])
        assert beat.RRIntervalTimeNominal == cine.timing.rr_ms[z]
        assert list(group.FrameContentSequence[0].DimensionIndexValues) == [z + 1, t + 1]
    np.testing.assert_array_equal(
        data.pixel_array.reshape(cine.pixels.swapaxes(0, 1).shape), cine.pixels.swapaxes(0, 1)
    )


def test_fractions_come_back_within_half_a_step(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    cine = replace(tiny_heart.cine, pixels=(tiny_heart.cine.pixels / 7.0).astype(np.float32))
    read = load_study(write_enhanced_dicom(cine, tmp_path / "sax.dcm", patient_id="A")).best("sax")
    np.testing.assert_allclose(read.pixels, cine.pixels, atol=float(np.ptp(cine.pixels)) / 65535)


def test_missing_images_are_left_out_and_stay_missing(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    cine = replace(tiny_heart.cine, missing=frozenset({(1, 0)}))
    path = write_enhanced_dicom(cine, tmp_path / "sax.dcm", patient_id="A")
    assert int(pydicom.dcmread(path).NumberOfFrames) == cine.n_phases * cine.n_slices - 1


def test_same_cine_is_the_same_object_and_names_nobody(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    first, again = (
        pydicom.dcmread(write_enhanced_dicom(tiny_heart.cine, tmp_path / name, patient_id="A")) for name in ("a", "b")
    )
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert str(first.PatientName) == str(first.PatientBirthDate) == str(first.StudyDate) == ""
    assert first.PatientID == "A"


def test_what_cannot_be_written_is_refused(tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    cine: Cine = tiny_heart.cine
    with pytest.raises(GeometryError, match="states no spacing"):
        lost = replace(cine, geometry=Geometry.without_spacing(cine.n_slices))
        write_enhanced_dicom(lost, tmp_path / "a.dcm", patient_id="A")
    rows, columns = cine.pixels.shape[2:]
    with pytest.raises(InputError, match="different numbers of rows"):
        sizes = ((rows, columns),) * (cine.n_slices - 1) + ((rows - 2, columns),)
        write_enhanced_dicom(replace(cine, slice_sizes=sizes), tmp_path / "a.dcm", patient_id="A")
    (tmp_path / "there.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="exists already"):
        write_enhanced_dicom(cine, tmp_path / "there.dcm", patient_id="A")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="could not be written"):
        write_enhanced_dicom(cine, tmp_path / "file" / "a.dcm", patient_id="A")
