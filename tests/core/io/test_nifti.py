"""Labels and images to files and back."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cinema_core.cine import Timing
from cinema_core.errors import InputError, LabelError, StorageError, StudyError
from cinema_core.io import load_study, read_labels, write_image, write_labels
from cinema_core.phantom import PhantomStudy

SUFFIXES = (".nii", ".nii.gz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_image_comes_back_as_it_was(tmp_path: Path, tiny_heart: PhantomStudy, suffix: str) -> None:
    cine = tiny_heart.cine
    path = tmp_path / f"image{suffix}"
    write_image(path, cine)
    again = load_study(path).best("sax")
    assert again.content_sha256 == cine.content_sha256
    assert np.allclose(again.geometry.affine(), cine.geometry.affine(), atol=1e-3)
    assert again.timing.rr_median_ms == pytest.approx(
        cine.n_phases * (cine.timing.trigger_ms[1] - cine.timing.trigger_ms[0])
    )


def test_real_dicom_survives_nifti(tmp_path: Path, shared_data: Path) -> None:
    cine = load_study(shared_data / "bivme_siemens_dicom/dicoms").best("sax")
    path = tmp_path / "siemens.nii.gz"
    write_image(path, cine)
    again = load_study(path).best("sax")
    assert again.content_sha256 == cine.content_sha256
    for mine, theirs in zip(again.geometry.planes, cine.geometry.planes, strict=True):
        assert np.allclose(mine.origin_mm, theirs.origin_mm, atol=0.01)
        assert np.allclose(mine.normal, theirs.normal, atol=1e-4)


def test_labels_come_back_as_they_were(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, tiny_heart.cine)
    assert np.array_equal(read_labels(path, tiny_heart.cine), tiny_heart.labels)


def test_another_library_finds_the_labels_where_the_pixels_are(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    # SimpleITK speaks LPS itself: the point that it gives for a voxel is the cine's own.
    sitk = pytest.importorskip("SimpleITK")
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, tiny_heart.cine)
    image = sitk.ReadImage(str(path))
    plane = tiny_heart.cine.geometry.planes[2]
    assert image.TransformIndexToPhysicalPoint((11, 23, 2, 0))[:3] == pytest.approx(plane.to_world_mm(23, 11), abs=0.01)


def test_file_is_in_nifti_order_and_seconds(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, tiny_heart.cine)
    image = nib.load(path)
    t, z, y, x = tiny_heart.cine.shape
    assert image.shape == (x, y, z, t)
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_xyzt_units() == ("mm", "sec")
    step_ms = tiny_heart.cine.timing.trigger_ms[1] - tiny_heart.cine.timing.trigger_ms[0]
    assert image.header["pixdim"][4] == pytest.approx(step_ms / 1000)


def test_same_labels_are_the_same_file(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for path in paths:
        write_labels(path, tiny_heart.labels, tiny_heart.cine)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_three_dimensional_labels_have_one_phase(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    one = replace(tiny_heart.cine, pixels=tiny_heart.cine.pixels[:1], timing=Timing())
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels[:1], one)
    assert nib.load(path).ndim == 3
    assert read_labels(path).shape == one.shape


def test_labels_of_another_shape_are_refused(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), path)
    with pytest.raises(LabelError, match="1 x 6 x 5 x 4 voxels but the image has 5 x 4"):
        read_labels(path, tiny_heart.cine)


@pytest.mark.parametrize("value", [4, -1, 1.5])
def test_unknown_values_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "strange.nii.gz"
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), value, np.float32), np.eye(4)), path)
    with pytest.raises(LabelError, match="label value"):
        read_labels(path)


def test_unlabelled_is_a_known_value(tmp_path: Path) -> None:
    path = tmp_path / "sparse.nii.gz"
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), 255, np.uint8), np.eye(4)), path)
    assert np.all(read_labels(path) == 255)


def test_labels_that_do_not_fit_are_not_written(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    with pytest.raises(LabelError, match="Nothing was written"):
        write_labels(tmp_path / "labels.nii.gz", tiny_heart.labels[:2], tiny_heart.cine)
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    with pytest.raises(InputError, match=r"End it with \.nii\.gz"):
        write_labels(tmp_path / "labels.png", tiny_heart.labels, tiny_heart.cine)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, tiny_heart: PhantomStudy, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(b"what was there")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match="No space left on device"):
        write_labels(path, tiny_heart.labels, tiny_heart.cine)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.nii.gz"]
    assert path.read_bytes() == b"what was there"


def test_missing_folder_is_said(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    with pytest.raises(StorageError, match="could not be written"):
        write_labels(tmp_path / "absent" / "labels.nii.gz", tiny_heart.labels, tiny_heart.cine)


def test_labels_of_sunnybrook_have_its_grid(tmp_path: Path, shared_data: Path) -> None:
    cine = load_study(shared_data / "sunnybrook_dicom/dicoms/SCD0000101").best("sax")
    labels = np.zeros(cine.shape, np.uint8)
    path = tmp_path / "labels.nii.gz"
    write_labels(path, labels, cine)
    image = nib.load(path)
    assert image.shape == (256, 256, 12, 20)
    ras = (image.affine @ [70, 40, 5, 1])[:3]
    assert ras * [-1, -1, 1] == pytest.approx(cine.geometry.planes[5].to_world_mm(40, 70), abs=1e-3)


@pytest.mark.parametrize("patient", ["SCD0000101", "SCD0000301"])
def test_beat_of_real_dicom_survives_nifti(tmp_path: Path, shared_data: Path, patient: str) -> None:
    cine = load_study(shared_data / "sunnybrook_dicom/dicoms" / patient).best("sax")
    write_image(tmp_path / "image.nii", cine)
    again = load_study(tmp_path / "image.nii").best("sax")
    # Trigger times are whole ms in one of the two; 46 ms x 20 would be 920 of 923.
    assert again.timing.rr_median_ms == pytest.approx(cine.timing.rr_median_ms, rel=1.5e-3)


def test_damaged_byte_in_a_compressed_file_is_found(tmp_path: Path, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "image.nii.gz"
    write_image(path, tiny_heart.cine)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF  # the checksum: the voxels still decompress
    path.write_bytes(bytes(content))
    with pytest.raises(StudyError, match="cut short or damaged"):
        load_study(path)


@pytest.mark.parametrize("lost", [1, 8])
def test_compressed_file_without_its_last_bytes_is_found(tmp_path: Path, tiny_heart: PhantomStudy, lost: int) -> None:
    path = tmp_path / "image.nii.gz"
    write_image(path, tiny_heart.cine)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(StudyError, match="cut short or damaged"):
        load_study(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_voxels_beyond_numbers_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "image.nii"
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), value), np.eye(4)), path)
    with pytest.raises(StudyError, match="120 of 120 voxels are not finite"):
        load_study(path)


def test_interrupted_writing_leaves_nothing(
    tmp_path: Path, tiny_heart: PhantomStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_image(tmp_path / "image.nii.gz", tiny_heart.cine)
    assert list(tmp_path.iterdir()) == []


# The ways in which a header states its geometry, when they do not agree.


def with_header(path: Path, **codes: object) -> Path:
    """Write a small stack whose sform, qform and voxel size are as given."""
    image = nib.Nifti1Image(np.ones((6, 7, 3), np.int16), None)
    image.header.set_zooms((1.5, 1.5, 8.0))
    for name, (affine, code) in codes.items():  # type: ignore[misc]
        getattr(image, f"set_{name}")(affine, code)
    nib.save(image, path)
    return path


PLACED = np.diag([1.5, 1.5, 8.0, 1.0])


def test_sform_and_qform_that_disagree_are_told(tmp_path: Path) -> None:
    elsewhere = PLACED.copy()
    elsewhere[:3, 3] = 0, 0, 30
    path = with_header(tmp_path / "x.nii", qform=(elsewhere, 1), sform=(PLACED, 1))
    (cine,) = load_study(path).cines
    assert any("up to 30 mm apart" in line for line in cine.warnings)
    assert cine.geometry.planes[0].origin_mm.tolist() == [0, 0, 0]


def test_forms_that_agree_are_not_mentioned(tmp_path: Path) -> None:
    (cine,) = load_study(with_header(tmp_path / "x.nii", qform=(PLACED, 1), sform=(PLACED, 2))).cines
    assert not [line for line in cine.warnings if "form" in line or "voxel sizes" in line]


def test_two_voxel_sizes_are_told(tmp_path: Path) -> None:
    path = with_header(tmp_path / "x.nii", sform=(np.diag([1.5, 1.5, 10.0, 1.0]), 1))
    (cine,) = load_study(path).cines
    assert any("two voxel sizes: 1.5 x 1.5 x 10 mm (used) and 1.5 x 1.5 x 8 mm" in line for line in cine.warnings)


def test_file_without_orientation_says_so(tmp_path: Path) -> None:
    path = with_header(tmp_path / "x.nii", qform=(None, 0), sform=(None, 0))
    (cine,) = load_study(path).cines
    assert any("does not say how the heart lies" in line for line in cine.warnings)
