"""What vendors, archives and anonymisers do to a study: each fault written into files, one by one.

The faults are those of dcm2niix issues 372, 395, 408, 499, 529 and 830, minc-tools 84, OHIF 50, 2346 and 3895, and
platipy 208.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import gdcm
import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, generate_uid

from cinema_core.cine import Cine, View
from cinema_core.errors import PhaseError, StudyError
from cinema_core.io import load_study
from cinema_core.measure import ventricular_function
from cinema_core.phantom import HeartParameters, PhantomStudy, make_phantom, write_phantom

Edit = Callable[[pydicom.FileDataset, int], None]


def edit(folder: Path, change: Edit) -> None:
    """Change every file, given its index; files are slice by slice, phase by phase."""
    for k, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(data, k)
        data.save_as(path)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def same_cine(found: Cine, truth: Cine) -> None:
    np.testing.assert_array_equal(found.pixels, truth.pixels)
    for plane, expected in zip(found.geometry.planes, truth.geometry.planes, strict=True):
        np.testing.assert_allclose(plane.origin_mm, expected.origin_mm, atol=1e-3)
    assert found.timing.trigger_ms == pytest.approx(truth.timing.trigger_ms, abs=0.01)


# ------------------------------------------------------------------------------------------------ where files lie


def test_zip_is_read_without_unpacking(dicom_folder: Path, tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files_of(dicom_folder):
            archive.write(path, f"../disc/{path.stem}")  # a member's name leads nowhere
    before = sorted(tmp_path.rglob("*"))
    same_cine(load_study(tmp_path / "study.zip").best("sax"), tiny_heart.cine)
    assert sorted(tmp_path.rglob("*")) == before


def test_zip_bomb_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.dcm", b"\0" * (64 << 20))
    with pytest.raises(StudyError, match="would grow to 64 MB"):
        load_study(tmp_path / "bomb.zip")


def test_damaged_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(StudyError, match="not a zip archive that can be opened"):
        load_study(tmp_path / "study.zip")


def test_dicomdir_names_the_files(dicom_folder: Path, tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    disc = FileSet()
    for path in files_of(dicom_folder):
        data = pydicom.dcmread(path)
        data.StudyDate, data.StudyTime, data.StudyID = "20200101", "101010", "1"
        disc.add(data)
    disc.write(tmp_path / "disc")
    disc._stage["t"].cleanup()  # pydicom leaves that to the garbage collector
    (tmp_path / "disc" / "stray").write_bytes(b"not named in the directory")
    study = load_study(tmp_path / "disc" / "DICOMDIR")
    same_cine(study.best("sax"), tiny_heart.cine)
    assert not study.report.refused


def test_list_of_files_is_a_study(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    paths = files_of(dicom_folder)
    random.Random(2).shuffle(paths)
    same_cine(load_study(paths).best("sax"), tiny_heart.cine)


def test_part_of_the_files_is_what_is_read(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    n_phases = tiny_heart.cine.n_phases
    (cine,) = load_study(files_of(dicom_folder)[: 3 * n_phases]).cines
    np.testing.assert_array_equal(cine.pixels, tiny_heart.cine.pixels[:, :3])


# --------------------------------------------------------------------------------------------------- how they are coded


@pytest.mark.parametrize(
    "syntax",
    [
        gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        gdcm.TransferSyntax.JPEGLosslessProcess14,
        gdcm.TransferSyntax.JPEGLSLossless,
        gdcm.TransferSyntax.JPEG2000Lossless,
        gdcm.TransferSyntax.RLELossless,
        gdcm.TransferSyntax.DeflatedExplicitVRLittleEndian,
        gdcm.TransferSyntax.ImplicitVRLittleEndian,
    ],
    ids=lambda syntax: gdcm.TransferSyntax.GetTSString(syntax),
)
def test_transfer_syntax_is_decoded(dicom_folder: Path, tiny_heart: PhantomStudy, syntax: int) -> None:
    for path in files_of(dicom_folder):
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(str(path))
        assert writer.Write()
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == gdcm.TransferSyntax.GetTSString(syntax)
    same_cine(load_study(dicom_folder).best("sax"), tiny_heart.cine)


def test_files_without_preamble_and_meta_are_read(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    for path in files_of(dicom_folder):
        data = pydicom.dcmread(path)
        bare = pydicom.Dataset()
        bare.update(data)
        pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    same_cine(load_study(dicom_folder).best("sax"), tiny_heart.cine)


def test_signed_pixels_keep_their_sign(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        data.PixelData = (data.pixel_array.astype(np.int16) - 500).tobytes()
        data.PixelRepresentation = 1

    edit(dicom_folder, change)
    np.testing.assert_array_equal(
        load_study(dicom_folder).best("sax").pixels, tiny_heart.cine.pixels.astype(np.int16) - 500
    )


def test_eight_bits_are_read(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, _: int) -> None:
        pixels = (data.pixel_array % 251).astype(np.uint8)
        data.BitsAllocated = data.BitsStored = 8
        data.HighBit, data.PixelRepresentation = 7, 0
        data.add_new(0x7FE00010, "OB", pixels.tobytes())

    edit(dicom_folder, change)
    np.testing.assert_array_equal(load_study(dicom_folder).best("sax").pixels, tiny_heart.cine.pixels % 251)


@pytest.mark.parametrize("sop_class", [CTImageStorage, "1.2.3.4", None])
def test_wrong_sop_class_does_not_matter(dicom_folder: Path, tiny_heart: PhantomStudy, sop_class: str | None) -> None:
    for path in files_of(dicom_folder):
        data = pydicom.dcmread(path)
        if sop_class is None:
            del data.SOPClassUID
        else:
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
        data.save_as(path)
    same_cine(load_study(dicom_folder).best("sax"), tiny_heart.cine)


# -------------------------------------------------------------------------------------------------- multi-frame objects


def test_legacy_converted_object_of_highdicom_is_the_same_cine(
    dicom_folder: Path, tiny_heart: PhantomStudy, tmp_path: Path
) -> None:
    images = [pydicom.dcmread(path) for path in files_of(dicom_folder)]
    for image in images:
        image.StudyDate, image.StudyTime, image.AccessionNumber = "20200101", "101010", ""
        image.PatientBirthDate = ""
        image.Manufacturer = "M"
    converted = highdicom.legacy.LegacyConvertedEnhancedMRImage(images, generate_uid(), 1, generate_uid(), 1)
    converted.save_as(tmp_path / "converted.dcm")
    same_cine(load_study(tmp_path / "converted.dcm").best("sax"), tiny_heart.cine)


def enhanced_of(folder: Path, order: list[int]) -> pydicom.Dataset:
    """One enhanced object of the files of a study, its frames in some order."""
    images = [pydicom.dcmread(path) for path in files_of(folder)]
    data = pydicom.dcmread(files_of(folder)[0])
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    shared, frames = pydicom.Dataset(), []
    for keyword, sequence in (("PixelSpacing", "PixelMeasuresSequence"),):
        item = pydicom.Dataset()
        item[keyword] = images[0][keyword]
        setattr(shared, sequence, [item])
    for k in order:
        frame = pydicom.Dataset()
        for keyword, sequence in (
            ("ImagePositionPatient", "PlanePositionSequence"),
            ("ImageOrientationPatient", "PlaneOrientationSequence"),
        ):
            item = pydicom.Dataset()
            item[keyword] = images[k][keyword]
            setattr(frame, sequence, [item])
        beat = pydicom.Dataset()
        beat.NominalCardiacTriggerDelayTime = float(images[k].TriggerTime)
        beat.RRIntervalTimeNominal = 900.0
        frame.CardiacSynchronizationSequence = [beat]
        value = pydicom.Dataset()
        # Each frame has its own slope, as Philips writes it.
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = str(1 + k % 2), "0", "US"
        frame.PixelValueTransformationSequence = [value]
        frames.append(frame)
    for keyword in (
        "PixelSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "TriggerTime",
        "NominalInterval",
    ):
        if keyword in data:
            del data[keyword]
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    data.NumberOfFrames = len(order)
    data.PixelData = b"".join((images[k].pixel_array // (1 + k % 2)).astype("<i2").tobytes() for k in order)
    return data


def test_frames_in_random_order_find_their_places(dicom_folder: Path, tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    order = list(range(len(files_of(dicom_folder))))
    random.Random(5).shuffle(order)
    enhanced_of(dicom_folder, order).save_as(tmp_path / "enhanced.dcm")
    cine = load_study(tmp_path / "enhanced.dcm").best("sax")
    n_phases = tiny_heart.cine.n_phases
    for t in range(n_phases):
        for z in range(tiny_heart.cine.n_slices):
            slope = 1 + (z * n_phases + t) % 2
            expected = tiny_heart.cine.pixels[t, z] // slope * slope
            np.testing.assert_array_equal(cine.pixels[t, z], expected)
    assert cine.timing.rr_ms == pytest.approx((900.0,) * cine.n_slices)


def test_enhanced_object_that_places_some_frames_only_is_refused(dicom_folder: Path, tmp_path: Path) -> None:
    data = enhanced_of(dicom_folder, list(range(len(files_of(dicom_folder)))))
    del data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    data.save_as(tmp_path / "enhanced.dcm")
    with pytest.raises(StudyError, match="some of its frames do not say where they lie"):
        load_study(tmp_path / "enhanced.dcm")


@pytest.mark.parametrize("n_frames", ["0", "-1", "1000000"])
def test_impossible_number_of_frames_is_refused(dicom_folder: Path, tmp_path: Path, n_frames: str) -> None:
    path = files_of(dicom_folder)[0]
    data = pydicom.dcmread(path)
    data.NumberOfFrames = n_frames
    data.save_as(tmp_path / "one.dcm")
    if n_frames == "0":
        assert load_study(tmp_path / "one.dcm").cines[0].n_phases == 1  # written for "not multi-frame"
    else:
        with pytest.raises(StudyError, match=r"damaged|cut short"):
            load_study(tmp_path / "one.dcm")


# ------------------------------------------------------------------------------------------------------------- slices


def test_slices_out_of_order_are_put_in_order(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        data.InstanceNumber = (k * 7) % 20 + 1
        data.SliceLocation = random.Random(k).uniform(-50, 50)  # of no use, and not used

    edit(dicom_folder, change)
    same_cine(load_study(dicom_folder).best("sax"), tiny_heart.cine)


def test_orientation_that_differs_by_rounding_is_one(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        if k % 2:
            data.ImageOrientationPatient = [f"{float(v):.4f}" for v in data.ImageOrientationPatient]

    edit(dicom_folder, change)
    (cine,) = load_study(dicom_folder).cines
    assert cine.n_slices == tiny_heart.cine.n_slices


def test_tilted_slice_is_not_put_into_the_stack(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    n_phases = tiny_heart.cine.n_phases

    def change(data: pydicom.FileDataset, k: int) -> None:
        if k // n_phases == 3:
            x, y = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
            tilted = np.cos(0.2) * y + np.sin(0.2) * np.cross(x, y)  # 11 degrees
            data.ImageOrientationPatient = [f"{v:.6f}" for v in (*x, *tilted)]

    edit(dicom_folder, change)
    study = load_study(dicom_folder)
    assert sorted(cine.n_slices for cine in study.cines) == [1, 3]
    assert next(cine for cine in study.cines if cine.n_slices == 1).view is not View.LAX_4C


def test_irregular_step_counts_each_slice_half_way(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    n_phases = tiny_heart.cine.n_phases

    def change(data: pydicom.FileDataset, k: int) -> None:
        if k // n_phases == 3:
            normal = tiny_heart.cine.geometry.planes[0].normal
            shift = 11.0 * normal * np.sign(np.diff(tiny_heart.cine.geometry.positions_mm)[0])
            moved = np.array(data.ImagePositionPatient, float) + shift
            data.ImagePositionPatient = [f"{v:.5f}" for v in moved]

    edit(dicom_folder, change)
    cine = load_study(dicom_folder).best("sax")
    assert not cine.geometry.is_regular
    assert np.abs(np.diff(cine.geometry.positions_mm)).tolist() == pytest.approx([22, 22, 33], abs=0.01)
    assert cine.geometry.slice_extent_mm() == pytest.approx([22, 22, 27.5, 33], abs=0.01)
    assert any("a slice may be missing" in line for line in cine.warnings)


def test_repeat_within_one_series_is_told_apart(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    n_phases = tiny_heart.cine.n_phases
    for k, path in enumerate(files_of(dicom_folder)[:n_phases]):
        data = pydicom.dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k + 1}"
        data.InstanceNumber = 500 + k
        data.PixelData = (data.pixel_array + 1).astype("<i2").tobytes()
        data.save_as(path.with_name(f"z{path.name}"))
    study = load_study(dicom_folder)
    (cine,) = study.cines
    assert cine.shape == tiny_heart.cine.shape
    (repeat,) = study.report.repeats["sax"]
    assert (repeat.z, len(repeat.takes)) == (0, 2)


# ------------------------------------------------------------------------------------------------------------- phases


def without_triggers(data: pydicom.FileDataset, _: int) -> None:
    del data.TriggerTime


def zero_triggers(data: pydicom.FileDataset, _: int) -> None:
    data.TriggerTime = 0


def keep_all(data: pydicom.FileDataset, _: int) -> None:
    return


@pytest.mark.parametrize(
    ("change", "rule"),
    [(keep_all, "trigger time"), (zero_triggers, "temporal position"), (without_triggers, "temporal position")],
)
@pytest.mark.parametrize("lost", [0, 2, 4])
def test_missing_phase_stays_missing(
    dicom_folder: Path, tiny_heart: PhantomStudy, change: Edit, rule: str, lost: int
) -> None:
    edit(dicom_folder, change)
    n_phases = tiny_heart.cine.n_phases
    files_of(dicom_folder)[2 * n_phases + lost].unlink()
    cine = load_study(dicom_folder).best("sax")
    assert cine.timing.order_rule == rule
    assert cine.missing == {(lost, 2)}
    assert not cine.pixels[lost, 2].any()
    present = [t for t in range(n_phases) if t != lost]
    np.testing.assert_array_equal(cine.pixels[present], tiny_heart.cine.pixels[present])


def test_phase_with_a_gap_cannot_be_ed_or_es(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    files_of(dicom_folder)[2 * tiny_heart.cine.n_phases + 1].unlink()
    cine = load_study(dicom_folder).best("sax")
    with pytest.raises(PhaseError, match="phase 2"):
        ventricular_function(tiny_heart.labels, cine, ed_phase=1, es_phase=3)


def test_aborted_slice_with_other_phases_shows_its_nearest_images(dicom_folder: Path, tiny_heart: PhantomStudy) -> None:
    """Three phases over the whole beat where the others have five: nothing is lost, nothing is computed."""
    n_phases = tiny_heart.cine.n_phases
    paths = files_of(dicom_folder)[2 * n_phases : 3 * n_phases]
    for path in paths[3:]:
        path.unlink()
    for k, path in enumerate(paths[:3]):
        data = pydicom.dcmread(path)
        data.TriggerTime = f"{k * 300.0}"
        data.save_as(path)
    cine = load_study(dicom_folder).best("sax")
    assert not cine.missing
    originals = {tiny_heart.cine.pixels[t, 2].tobytes() for t in range(3)}
    assert {cine.pixels[t, 2].tobytes() for t in range(n_phases)} == originals
    assert any("none was computed" in line for line in cine.warnings)


def test_implicit_enhanced_object_is_read(dicom_folder: Path, tiny_heart: PhantomStudy, tmp_path: Path) -> None:
    data = enhanced_of(dicom_folder, list(range(len(files_of(dicom_folder)))))
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    bare = pydicom.Dataset()
    bare.update(data)
    bare.file_meta = data.file_meta
    bare.save_as(tmp_path / "enhanced.dcm", implicit_vr=True, little_endian=True, enforce_file_format=True)
    assert load_study(tmp_path / "enhanced.dcm").best("sax").shape == tiny_heart.cine.shape


# ------------------------------------------------------------------------------ what is no cine, and is left out


@pytest.mark.parametrize(("attribute", "step", "words"), [("InversionTime", 120, "a map"), ("EchoTime", 3, "a map")])
def test_maps_are_left_out_with_a_note(
    dicom_folder: Path, tiny_heart: PhantomStudy, attribute: str, step: float, words: str
) -> None:
    n_phases = tiny_heart.cine.n_phases
    for k, path in enumerate(files_of(dicom_folder)[:n_phases]):
        data = pydicom.dcmread(path)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{k + 1}"
        data.SeriesInstanceUID = "1.2.9"
        x = data.ImageOrientationPatient
        data.ImageOrientationPatient = [*x[3:], *[-float(v) for v in x[:3]]]
        setattr(data, attribute, str(step * k))
        data.save_as(path.with_name(f"map{path.name}"))
    study = load_study(dicom_folder)
    assert len(study.cines) == 1
    assert any(words in note for note in study.report.notes)


def test_study_of_maps_only_says_so(dicom_folder: Path) -> None:
    def change(data: pydicom.FileDataset, k: int) -> None:
        data.InversionTime = str(100 * k)

    edit(dicom_folder, change)
    with pytest.raises(StudyError, match=r"no beating heart: .*a map"):
        load_study(dicom_folder)


@pytest.mark.parametrize("change", [keep_all, zero_triggers])
def test_one_whole_slice_tells_what_the_others_lack(tmp_path: Path, change: Edit) -> None:
    """Each of three slices lacks another phase, the fourth none: the gaps are gaps, and nothing is moved."""
    heart = make_phantom(HeartParameters(n_slices=4, slice_step_mm=22.0, n_phases=8), seed=3)
    folder = write_phantom(tmp_path / "heart", heart, kind="dicom")
    edit(folder, change)
    paths = files_of(folder)
    lost = [(2, 0), (5, 1), (0, 2)]
    for t, z in lost:
        paths[z * 8 + t].unlink()
    cine = load_study(folder).best("sax")
    assert cine.missing == set(lost)
    for t in range(8):
        for z in range(4):
            if (t, z) not in lost:
                np.testing.assert_array_equal(cine.pixels[t, z], heart.cine.pixels[t, z])


def test_slice_with_twice_the_phases_sets_no_measure(tmp_path: Path) -> None:
    heart = make_phantom(HeartParameters(n_slices=4, slice_step_mm=22.0, n_phases=8), seed=3)
    folder = write_phantom(tmp_path / "heart", heart, kind="dicom")
    for k, path in enumerate(files_of(folder)):
        if k >= 8 and k % 2:
            path.unlink()  # three of four slices have every second phase
    assert load_study(folder).best("sax").n_phases == 4
