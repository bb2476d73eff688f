"""Segmentations, structured report and PDF of a study that was written as DICOM: read back by highdicom, checked by
dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from scipy.spatial import KDTree

from cinema_core.anatomy import FOREGROUND, UNLABELLED, Structure, outside_of
from cinema_core.cards import ModelCard
from cinema_core.cine import Cine
from cinema_core.errors import GeometryError, InputError, LabelError, StudyError
from cinema_core.io import load_study
from cinema_core.io.contours import import_labels
from cinema_core.io.dicom_headers import tolerant_pydicom
from cinema_core.io.dicom_pdf import encapsulated_pdf
from cinema_core.io.dicom_sc import Capture, patient_orientation, secondary_captures
from cinema_core.io.dicom_seg import DrawnBy, dicom_segmentations
from cinema_core.io.dicom_sources import made_of_images, write_object
from cinema_core.io.dicom_sr import GROUPS, dicom_report
from cinema_core.measure import study_measures
from cinema_core.phantom import PhantomStudy, write_phantom
from cinema_core.report import Approval, Origin, ReportRow, Status, StudyResult, report_row
from cinema_core.report.key_images import key_images

PHASES = {"ED": 0, "ES": 2}
BASIS = {"Method": "area within sub-pixel contours; end slices count by half", "Body surface formula": "DuBois"}
CARD = ModelCard(name="bundled", sha256="ab" * 32)
PDF = b"%PDF-1.4\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF"


@pytest.fixture(scope="module", params=["dicom", "enhanced"])
def cine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, phantom_study: PhantomStudy) -> Cine:
    """The phantom, read from classic and from enhanced DICOM."""
    return load_study(write_phantom(tmp_path_factory.mktemp("study"), phantom_study, request.param)).best()


@pytest.fixture
def result(cine: Cine, phantom_study: PhantomStudy) -> StudyResult:
    measures = study_measures(phantom_study.labels, cine, ed_phase=PHASES["ED"], es_phase=PHASES["ES"])
    origin = Origin("1.2.3", "2026-01-02T03:04:05+00:00", CARD, corrected_slices=2)
    approval = Approval(Status.APPROVED, "Dr Jürgen Lefèvre", "2026-01-02T03:04:05+00:00", "")
    return StudyResult("study-0a1b2c3d", cine, measures, origin, approval)


@pytest.fixture
def row(result: StudyResult) -> ReportRow:
    return report_row(result)


def segmented(cine: Cine, labels: np.ndarray, folder: Path) -> dict[str, Any]:
    """Segmentations as they are read back from files."""
    found = {}
    for name, made in dicom_segmentations(labels, cine, PHASES, DrawnBy("1.2.3", CARD, True)).items():
        write_object(made, folder / f"{name}.dcm")
        with tolerant_pydicom():
            found[name] = hd.seg.segread(folder / f"{name}.dcm")
    return found


def findings(path: Path) -> list[str]:
    """What dciodvfy finds, but for what an archive would need to make a DICOMDIR."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is absent: install dicom3tools")
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith(("Error", "Warning")) and "build DICOMDIR" not in line]


@pytest.mark.parametrize("name", PHASES)
def test_every_labelled_voxel_lies_where_it_was_drawn(
    name: str, cine: Cine, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    seg = segmented(cine, phantom_study.labels, tmp_path)[name]
    volume = seg.get_volume(combine_segments=True)  # (slice, row, column)
    for number in seg.segment_numbers:
        structure = next(s for s in FOREGROUND if s.display_name == seg.get_segment_description(number).segment_label)
        index = np.argwhere(volume.array == number)
        found = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        drawn = np.argwhere(phantom_study.labels[PHASES[name]] == structure)
        expected = np.array([cine.geometry.planes[z].to_world_mm(y, x) for z, y, x in drawn])
        assert len(found) == len(expected) > 0
        assert KDTree(found).query(expected)[0].max() < 0.01


def test_segments_refer_to_the_images_of_their_phase(cine: Cine, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    for name in segmented(cine, phantom_study.labels, tmp_path):
        of_phase = {
            (source.sop_instance_uid, source.frame) for (t, _), source in cine.sources.items() if t == PHASES[name]
        }
        read = import_labels(tmp_path / f"{name}.dcm", cine)
        assert {t for t, _ in read.masks} == {PHASES[name]}
        assert read.unmatched == 0
        for (t, z), mask in read.masks.items():
            np.testing.assert_array_equal(mask, phantom_study.labels[t, z])
            assert (cine.sources[t, z].sop_instance_uid, cine.sources[t, z].frame) in of_phase
        assert set(import_labels(tmp_path / f"{name}.dcm", cine).masks) >= {
            (PHASES[name], z) for z in range(cine.n_slices) if phantom_study.labels[PHASES[name], z].any()
        }


def test_segmentations_are_one_series_of_the_study(cine: Cine, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    ed, es = segmented(cine, phantom_study.labels, tmp_path).values()
    source = pydicom.dcmread(cine.sources[0, 0].path, stop_before_pixels=True)
    for seg in (ed, es):
        assert seg.StudyInstanceUID == source.StudyInstanceUID
        assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert seg.ContentQualification == "RESEARCH"
    assert ed.SeriesInstanceUID == es.SeriesInstanceUID
    assert ed.SOPInstanceUID != es.SOPInstanceUID
    assert (ed.ContentLabel, es.ContentLabel) == ("ED", "ES")


def test_segments_say_what_they_are_and_who_drew(cine: Cine, phantom_study: PhantomStudy) -> None:
    for origin, kind in (
        (DrawnBy("1", CARD, True), "SEMIAUTOMATIC"),
        (DrawnBy("1", CARD), "AUTOMATIC"),
        (DrawnBy("1"), "MANUAL"),
    ):
        seg = dicom_segmentations(phantom_study.labels, cine, {"ED": 0}, origin)["ED"]
        segments = [seg.get_segment_description(number) for number in seg.segment_numbers]
        assert {s.segmented_property_type.value for s in segments} == {s.snomed_ct for s in FOREGROUND}
        assert {s.algorithm_type.value for s in segments} == {kind}
        if origin.card is not None:
            [algorithm] = segments[0].SegmentationAlgorithmIdentificationSequence
            assert (algorithm.AlgorithmName, CARD.sha256 in str(algorithm.AlgorithmParameters)) == ("bundled", True)


def test_structures_that_nobody_drew_are_no_segments(cine: Cine, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    labels = phantom_study.labels.copy()
    labels[labels != Structure.LV_CAVITY] = outside_of([Structure.LV_CAVITY])
    seg = segmented(cine, labels, tmp_path)["ED"]
    assert [seg.get_segment_description(n).segment_label for n in seg.segment_numbers] == ["LV cavity"]


def test_a_phase_of_one_structure_shows_that_one_alone(cine: Cine, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    labels = phantom_study.labels.copy()
    made = dicom_segmentations(labels, cine, {"ED": 0, "RV ED": 1}, DrawnBy("1"), {"RV ED": Structure.RV_CAVITY})
    write_object(made["RV ED"], tmp_path / "rv.dcm")
    assert (made["RV ED"].ContentLabel, made["RV ED"].SeriesInstanceUID) == ("RV ED", made["ED"].SeriesInstanceUID)
    read = import_labels(tmp_path / "rv.dcm", cine)
    assert {t for t, _ in read.masks} == {1}
    for (t, z), mask in read.masks.items():
        np.testing.assert_array_equal(mask == Structure.RV_CAVITY, labels[t, z] == Structure.RV_CAVITY)
        assert not np.isin(mask, (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM)).any()
    assert findings(tmp_path / "rv.dcm") == []
    np.testing.assert_array_equal(labels, phantom_study.labels)


def test_dciodvfy_finds_nothing_in_segmentations(cine: Cine, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    segmented(cine, phantom_study.labels, tmp_path)
    assert findings(tmp_path / "ED.dcm") == []
    assert findings(tmp_path / "ES.dcm") == []


def test_report_has_every_value_of_the_table(cine: Cine, row: ReportRow, tmp_path: Path) -> None:
    dicom_report(row, cine, BASIS).save_as(tmp_path / "sr.dcm")
    report = hd.sr.srread(tmp_path / "sr.dcm")
    groups = report.content.get_image_measurement_groups()
    found = {m.name.value: (float(m.value), m.unit.value) for group in groups for m in group.get_measurements()}
    expected = {
        one.name.value: (round(value, 2), one.unit.value)
        for _, _, measures, _ in GROUPS
        for one in measures
        if (value := getattr(row, one.column)) is not None
    }
    assert found == expected
    assert found["8811-2"] == (round(row.lv_ef_pct or 0, 2), "%")
    assert len(found) == 20


def test_report_says_how_it_was_measured_and_by_whom(cine: Cine, row: ReportRow, tmp_path: Path) -> None:
    dicom_report(row, cine, BASIS).save_as(tmp_path / "sr.dcm")
    text = " ".join(str(element.value) for element in pydicom.dcmread(tmp_path / "sr.dcm").iterall())
    for said in (
        row.convention,
        *(f"{name}: {text}" for name, text in BASIS.items()),
        CARD.sha256,
        "Model: bundled",
        "es_phase: 3",
        "Research use only",
        "Jürgen Lefèvre",
    ):
        assert said in text


def test_measures_refer_to_the_images_of_their_own_ventricle(cine: Cine, row: ReportRow, tmp_path: Path) -> None:
    dicom_report(replace(row, rv_ed_phase=2, rv_es_phase=4), cine, BASIS).save_as(tmp_path / "sr.dcm")
    where = {(str(source.sop_instance_uid), source.frame): t for (t, _), source in cine.sources.items()}
    read_at = {}
    for group in hd.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups():
        images = [image.ReferencedSOPSequence[0] for image in group.source_images]
        frames = [int(image.get("ReferencedFrameNumber", 1)) - 1 for image in images]
        read_at[group.tracking_identifier] = {
            where[str(image.ReferencedSOPInstanceUID), k] for image, k in zip(images, frames, strict=True)
        }
    assert read_at == {
        "LV function": {0, 2},
        "LV myocardium": {0},
        "RV function": {1, 3},
        "Heart rate and body surface": {0, 2},
    }


def test_report_is_final_only_if_approved_and_never_verified(cine: Cine, row: ReportRow) -> None:
    approved, draft = (
        dicom_report(row, cine, BASIS),
        dicom_report(replace(row, status="draft", reader=""), cine, BASIS),
    )
    assert (approved.CompletionFlag, approved.PreliminaryFlag) == ("COMPLETE", "FINAL")
    assert (draft.CompletionFlag, draft.PreliminaryFlag) == ("PARTIAL", "PRELIMINARY")
    assert approved.VerificationFlag == draft.VerificationFlag == "UNVERIFIED"


def test_what_is_not_known_is_left_out_of_the_report(cine: Cine, row: ReportRow, tmp_path: Path) -> None:
    dicom_report(replace(row, cardiac_output_l_min=None, lv_edvi_ml_m2=None), cine, BASIS).save_as(tmp_path / "sr.dcm")
    groups = hd.sr.srread(tmp_path / "sr.dcm").content.get_image_measurement_groups()
    names = {m.name.value for group in groups for m in group.get_measurements()}
    assert not names & {"82799009", "lv_edvi"}


def test_dciodvfy_finds_only_our_own_codes_in_the_report(cine: Cine, row: ReportRow, tmp_path: Path) -> None:
    dicom_report(row, cine, BASIS).save_as(tmp_path / "sr.dcm")
    assert {line.partition("<")[2].partition(">")[0] for line in findings(tmp_path / "sr.dcm")} <= {"99CINEMA"}


def test_nothing_measured_is_no_report(cine: Cine, row: ReportRow) -> None:
    nothing = {one.column: None for _, _, measures, _ in GROUPS for one in measures}
    with pytest.raises(LabelError, match="nothing to report"):
        dicom_report(replace(row, **nothing), cine, BASIS)  # type: ignore[arg-type]


def test_pdf_comes_back_byte_by_byte(cine: Cine, tmp_path: Path) -> None:
    document = encapsulated_pdf(PDF, cine, "1.2.3")
    document.save_as(tmp_path / "pdf.dcm")
    read = pydicom.dcmread(tmp_path / "pdf.dcm")
    assert read.EncapsulatedDocument[: read.EncapsulatedDocumentLength] == PDF
    assert len(PDF) % 2 == 1  # padded to even length, and cut again by its length
    assert read.BurnedInAnnotation == "YES"
    assert findings(tmp_path / "pdf.dcm") == []


def test_what_is_no_pdf_is_refused(cine: Cine) -> None:
    with pytest.raises(InputError, match="not a PDF"):
        encapsulated_pdf(b"<html>", cine, "1.2.3")


def test_key_images_come_back_and_refer_to_what_they_show(
    cine: Cine, result: StudyResult, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    shown = key_images(result, phantom_study.labels)
    captures = [Capture(np.asarray(one.captioned("DRAFT")), one.t, one.z, one.title) for one in shown]
    made = secondary_captures(captures, cine, "1.2.3")
    assert [one.t for one in captures] == [0, 0, 0, 2, 2, 2]
    assert len({one.SeriesInstanceUID for one in made}) == 1 and len({one.SOPInstanceUID for one in made}) == 6
    source_study = pydicom.dcmread(cine.sources[0, 0].path, stop_before_pixels=True).StudyInstanceUID
    for number, (capture, one) in enumerate(zip(captures, made, strict=True), start=1):
        write_object(one, tmp_path / f"{number}.dcm")
        read = pydicom.dcmread(tmp_path / f"{number}.dcm")
        np.testing.assert_array_equal(read.pixel_array, capture.pixels)
        source = cine.sources[capture.t, capture.z]
        [reference] = read.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.sop_instance_uid
        assert int(reference.get("ReferencedFrameNumber", 1)) == source.frame + 1
        assert (read.StudyInstanceUID, read.InstanceNumber) == (source_study, number)
        assert (read.BurnedInAnnotation, read.ImageComments) == ("NO", capture.description)
        assert "PixelSpacing" not in read  # nobody should measure on it
        assert findings(tmp_path / f"{number}.dcm") == []


def test_a_caption_stands_below_the_picture(result: StudyResult, phantom_study: PhantomStudy) -> None:
    image = key_images(result, phantom_study.labels)[0]
    alone = np.asarray(image.captioned("DRAFT. Research use only."))
    height, width = image.picture.height, image.picture.width
    left = (alone.shape[1] - width) // 2
    np.testing.assert_array_equal(alone[:height, left : left + width], np.asarray(image.picture))
    assert alone[height:].max() == 255


def test_letters_say_where_rows_and_columns_lead(cine: Cine) -> None:
    found = {patient_orientation(plane) for plane in cine.geometry.planes}
    assert len(found) == 1
    for letter, direction in zip(
        found.pop(), (cine.geometry.planes[0].x_direction, cine.geometry.planes[0].y_direction), strict=True
    ):
        towards = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
        cosines = {name: float(np.dot(direction, axis)) for name, axis in towards.items()}
        assert letter == max(cosines, key=lambda name: cosines[name])


def test_no_key_image_is_said(cine: Cine) -> None:
    with pytest.raises(LabelError, match="no key image"):
        secondary_captures([], cine, "1.2.3")


def test_names_in_another_alphabet_stay_readable(phantom_study: PhantomStudy, tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, phantom_study, "dicom")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        image.SpecificCharacterSet = "ISO_IR 100"
        image.PatientName = "Müller^Jürgen"
        image.save_as(path)
    cine = load_study(folder).best()
    segmented(cine, phantom_study.labels, tmp_path)
    assert pydicom.dcmread(tmp_path / "ED.dcm").PatientName == "Müller^Jürgen"
    encapsulated_pdf(PDF, cine, "1").save_as(tmp_path / "pdf.dcm")
    assert pydicom.dcmread(tmp_path / "pdf.dcm").PatientName == "Müller^Jürgen"


def test_images_in_an_archive_are_found_again(phantom_study: PhantomStudy, tmp_path: Path) -> None:
    folder = write_phantom(tmp_path / "study", phantom_study, "dicom")
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", folder)
    cine = load_study(Path(archive)).best()
    assert set(segmented(cine, phantom_study.labels, tmp_path)) == set(PHASES)


def test_a_cine_that_is_no_dicom_is_refused(phantom_study: PhantomStudy) -> None:
    with pytest.raises(StudyError, match="not read from DICOM"):
        dicom_segmentations(phantom_study.labels, phantom_study.cine, PHASES, DrawnBy("1"))


def test_images_that_are_gone_are_named(phantom_study: PhantomStudy, tmp_path: Path) -> None:
    folder = write_phantom(tmp_path, phantom_study, "dicom")
    cine = load_study(folder).best()
    cine.sources[2, 1].path.unlink()
    with pytest.raises(StudyError, match=r"There is no file or folder .*IM\d+\.dcm"):
        dicom_segmentations(phantom_study.labels, cine, PHASES, DrawnBy("1"))


@pytest.mark.parametrize("value", [0, UNLABELLED])
def test_a_phase_that_is_not_drawn_is_refused(value: int, cine: Cine, phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    labels[PHASES["ES"]] = value
    with pytest.raises(LabelError, match="ES has no structure"):
        dicom_segmentations(labels, cine, PHASES, DrawnBy("1"))


def test_slices_of_different_frames_of_reference_are_refused(cine: Cine, phantom_study: PhantomStudy) -> None:
    moved = replace(cine, frames_of_reference=("1.2.3.1",) * 2 + ("1.2.3.2",) * 3)
    with pytest.raises(GeometryError, match="frames of reference"):
        dicom_segmentations(phantom_study.labels, moved, PHASES, DrawnBy("1"))


def test_slices_of_different_size_are_refused(cine: Cine, phantom_study: PhantomStudy) -> None:
    sizes = ((192, 192),) * 4 + ((180, 192),)
    with pytest.raises(GeometryError, match="different size"):
        dicom_segmentations(phantom_study.labels, replace(cine, slice_sizes=sizes), PHASES, DrawnBy("1"))


def test_one_series_per_slice_is_referred_to_as_such(shared_data: Path, tmp_path: Path) -> None:
    cine = load_study(shared_data / "bivme_siemens_dicom").best()
    labels = np.zeros(cine.shape, np.uint8)
    labels[..., 40:60, 40:60] = Structure.LV_CAVITY
    seg = segmented(cine, labels, tmp_path)["ED"]
    read = import_labels(tmp_path / "ED.dcm", cine)
    assert len(read.masks) == cine.n_slices
    for (t, z), mask in read.masks.items():
        np.testing.assert_array_equal(mask == Structure.LV_CAVITY, labels[t, z] == Structure.LV_CAVITY)
    sources = [pydicom.dcmread(cine.sources[0, z].path, stop_before_pixels=True) for z in range(cine.n_slices)]
    referenced = {
        (series.SeriesInstanceUID, image.ReferencedSOPInstanceUID)
        for series in seg.ReferencedSeriesSequence
        for image in series.ReferencedInstanceSequence
    }
    assert referenced == {(source.SeriesInstanceUID, source.SOPInstanceUID) for source in sources}
    assert len({series for series, _ in referenced}) == cine.n_slices


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDate", "20120000"), ("PatientBirthDate", "1960"), ("StudyTime", "25"), ("PatientSex", "U")],
)
def test_what_no_object_may_repeat_is_left_empty(
    keyword: str, value: str, tmp_path: Path, phantom_study: PhantomStudy
) -> None:
    folder = write_phantom(tmp_path / "images", phantom_study, "dicom")
    for path in folder.iterdir():
        with tolerant_pydicom():
            image = pydicom.dcmread(path)
            image[keyword].value = value
            image.save_as(path)
    cine = load_study(folder).best()
    for made in dicom_segmentations(phantom_study.labels, cine, PHASES, DrawnBy("1")).values():
        assert made[keyword].value in ("", None)
        assert made.PatientID == image.PatientID


def test_images_that_carry_no_object_are_refused_without_naming_anybody(cine: Cine) -> None:
    with pytest.raises(StudyError, match=r"cannot carry this DICOM object \(ValueError\)") as refused:
        with made_of_images(cine):
            raise ValueError("Doe^John is no name")
    assert "Doe" not in str(refused.value)
