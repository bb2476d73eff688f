"""Contours from elsewhere: Sunnybrook, cvi42, DICOM SEG, NIfTI."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from cinema_core.anatomy import Structure, outside_of
from cinema_core.cine import Cine
from cinema_core.errors import LabelError
from cinema_core.io import load_study, write_labels
from cinema_core.io.contours import import_labels
from cinema_core.io.contours.imported import rasterise
from cinema_core.measure import ventricular_function
from cinema_core.phantom import PhantomStudy

RV, MYO, LV = Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY

PATIENTS = [("SCD0000101", "SC-HF-I-1"), ("SCD0000301", "SC-HF-I-4")]


def shoelace_px(points: NDArray[np.float64]) -> float:
    """Area of a polygon by the surveyor's formula."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def independent_volumes_ml(dicoms: Path, contours: Path, kind: str) -> list[float]:
    """Volumes from the text files and the headers alone, the largest first: polygon areas times distance of slices."""
    areas_mm2: dict[int, dict[float, float]] = {}
    positions = set()
    for path in dicoms.glob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        normal = np.cross(header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:])
        position = round(float(np.dot(normal, header.ImagePositionPatient)), 1)
        positions.add(position)
        for file in contours.rglob(f"IM-0001-{int(path.stem):04d}-{kind}-manual.txt"):
            phase = (int(path.stem) - 1) % 20
            area = shoelace_px(np.loadtxt(file)) * float(np.prod([float(v) for v in header.PixelSpacing]))
            areas_mm2.setdefault(phase, {})[position] = area
    step_mm = float(np.median(np.diff(sorted(positions))))
    return sorted((sum(areas.values()) * step_mm / 1000 for areas in areas_mm2.values()), reverse=True)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(("patient", "original"), PATIENTS)
def test_volumes_of_sunnybrook_contours_are_those_of_their_polygons(
    shared_data: Path, patient: str, original: str
) -> None:
    dicoms = shared_data / "sunnybrook_dicom/dicoms" / patient
    contours = shared_data / "sunnybrook_dicom/contourfiles" / original
    cine = load_study(dicoms).best("sax")
    function = measured(import_labels(contours, cine).masks, cine)
    edv_ml, esv_ml = independent_volumes_ml(dicoms, contours, "icontour")
    assert function.lv_edv_ml == pytest.approx(edv_ml, rel=0.02)
    assert function.lv_esv_ml == pytest.approx(esv_ml, rel=0.02)
    (epi_ml,) = independent_volumes_ml(dicoms, contours, "ocontour")
    assert function.lv_mass_g == pytest.approx(1.05 * (epi_ml - edv_ml), rel=0.04)
    assert function.rv_edv_ml is None  # nobody drew it: neither a volume nor zero


def measured(masks, cine: Cine):  # type: ignore[no-untyped-def]
    labels = np.zeros(cine.shape, np.uint8)
    for where, mask in masks.items():
        labels[where] = mask
    phases = sorted({t for t, _ in masks})
    whole = [t for t in phases if all((t, z) in masks for z in range(cine.n_slices))]
    return ventricular_function(labels, cine, phases=whole)


def test_what_was_not_drawn_is_not_background(shared_data: Path) -> None:
    folder = shared_data / "sunnybrook_dicom"
    cine = load_study(folder / "dicoms/SCD0000101").best("sax")
    found = import_labels(folder / "contourfiles/SC-HF-I-1", cine)
    # Image 59 has both contours (ED), 48 the endocardium only (ES); both are slice 3 of the stack.
    numbers = {int(source.path.stem): where for where, source in cine.sources.items()}
    assert set(np.unique(found.masks[numbers[59]])) == {MYO, LV, outside_of({LV, MYO})}
    assert set(np.unique(found.masks[numbers[48]])) == {LV, outside_of({LV})}


def test_papillary_contours_are_listed_and_not_used(shared_data: Path) -> None:
    folder = shared_data / "sunnybrook_dicom"
    files = list((folder / "contourfiles/SC-HF-I-4").rglob("*-p*contour-manual.txt"))
    found = import_labels(folder / "contourfiles/SC-HF-I-4", load_study(folder / "dicoms/SCD0000301").best("sax"))
    assert sum(found.unknown_names.values()) == len(files)


@pytest.fixture
def cine(dicom_folder: Path) -> Cine:
    return load_study(dicom_folder).best("sax")


def sunnybrook_file(folder: Path, text: str, number: int = 7) -> Path:
    path = folder / f"IM-0001-{number:04d}-icontour-manual.txt"
    path.write_text(text, encoding="utf-8")
    return path


BAD_CONTOURS = {
    "no numbers": ("a b\nc d\n", "no list of x and y"),
    "one point": ("50 50\n", "1 points encloses nothing"),
    "not finite": ("50 50\nnan 60\n60 60\n", "points that are no numbers"),
    "elsewhere": ("500 500\n510 500\n510 510\n", "outside of the image"),
    "one column": ("50\n60\n70\n", "no list of x and y"),
}


@pytest.mark.parametrize("name", BAD_CONTOURS)
def test_contour_that_is_none_is_refused_with_its_reason(tmp_path: Path, cine: Cine, name: str) -> None:
    text, reason = BAD_CONTOURS[name]
    with pytest.raises(LabelError, match=reason):
        import_labels(sunnybrook_file(tmp_path, text), cine)


def test_one_bad_contour_spoils_no_other(tmp_path: Path, cine: Cine) -> None:
    sunnybrook_file(tmp_path, "50 50\n", number=1)
    sunnybrook_file(tmp_path, "50 50\n70 50\n70 70\n50 70\n", number=2)
    found = import_labels(tmp_path, cine)
    assert (found.n_contours, len(found.refused)) == (1, 1)


def test_contours_of_another_patient_are_refused(tmp_path: Path, cine: Cine) -> None:
    with pytest.raises(LabelError, match="other numbers"):
        import_labels(sunnybrook_file(tmp_path, "50 50\n70 50\n70 70\n", number=999), cine)


@pytest.mark.parametrize("centre", [(30.0, 40.0), (30.5, 40.25)])
def test_rasterised_circle_has_its_area_and_place(centre: tuple[float, float]) -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    mask = rasterise(np.stack([centre[0] + 20 * np.sin(angle), centre[1] + 20 * np.cos(angle)], axis=1), (64, 80))
    assert mask.sum() == pytest.approx(np.pi * 400, rel=0.01)
    assert np.argwhere(mask).mean(axis=0) == pytest.approx(centre, abs=0.05)


# ------------------------------------------------------------------------------------------------ cvi42

SPACES = " ".join(
    f'xmlns:{name}="http://www.circlecvi.com/cvi42/Workspace/{path}"'
    for name, path in (("Hash", "Hash/"), ("Workspace", ""), ("List", "List/"), ("Point", "Point/"))
)


def contour_xml(name: str, points_xy: list[tuple[float, float]], resolution: int = 4) -> str:
    listed = "".join(f"<List:item><Point:x>{x}</Point:x><Point:y>{y}</Point:y></List:item>" for x, y in points_xy)
    return (
        f'<Hash:item Hash:key="{name}"><Hash:item Hash:key="Points">{listed}</Hash:item>'
        f'<Hash:item Hash:key="SubpixelResolution">{resolution}</Hash:item></Hash:item>'
    )


def workspace(path: Path, images: dict[str, str], head: str = "") -> Path:
    states = "".join(
        f'<Hash:item Hash:key={quoteattr(uid)}><Hash:item Hash:key="Contours">{contours}</Hash:item></Hash:item>'
        for uid, contours in images.items()
    )
    path.write_text(
        f'<?xml version="1.0"?>{head}<Hash:item {SPACES}><Hash:item Hash:key="StudyMapStates"><List:item>'
        f'<Hash:item Hash:key="ImageStates">{states}</Hash:item></List:item></Hash:item>'
        '<Hash:item Hash:key="OwnerUserName">DOE^JANE</Hash:item></Hash:item>',
        encoding="utf-8",
    )
    return path


SQUARE = [(160.0, 120.0), (239.0, 120.0), (239.0, 199.0), (160.0, 199.0)]
"""Parts 160 to 239 and 120 to 199 of four to a pixel: columns 40 to 59, rows 30 to 49."""


def test_cvi42_contours_attach_by_uid(tmp_path: Path, cine: Cine) -> None:
    uid = cine.sources[2, 1].sop_instance_uid
    wide = [
        (x + dx * 40, y + dy * 40)
        for (x, y), (dx, dy) in zip(SQUARE, [(-1, -1), (1, -1), (1, 1), (-1, 1)], strict=True)
    ]
    path = workspace(
        tmp_path / "w.cvi42wsx",
        {
            uid: contour_xml("saendocardialContour", SQUARE)
            + contour_xml("saepicardialContour", wide)
            + contour_xml("saReferenceMyoContour0001", SQUARE)
            + contour_xml("saendocardialOpenContour", SQUARE),
            "1.2.3.4": contour_xml("saendocardialContour", SQUARE),
        },
    )
    found = import_labels(path, cine)
    assert (found.origin, found.n_contours, found.unmatched) == ("cvi42", 2, 1)
    assert found.unknown_names == {"saReferenceMyoContour": 1}
    assert [file.reason for file in found.refused] == ["saendocardialOpenContour: an open contour encloses nothing"]
    expected = np.zeros(cine.shape[2:], bool)
    expected[30:50, 40:60] = True
    assert np.array_equal(found.masks[2, 1] == LV, expected)
    assert (found.masks[2, 1] == MYO).sum() == 40 * 40 - 20 * 20
    assert "JANE" not in str(found.to_json())


def test_cvi42_right_ventricle_makes_the_slice_whole(tmp_path: Path, cine: Cine) -> None:
    uid = cine.sources[0, 0].sop_instance_uid
    beside = [(x + 200, y) for x, y in SQUARE]
    drawn = contour_xml("saendocardialContour", SQUARE) + contour_xml("saepicardialContour", SQUARE)
    path = workspace(tmp_path / "w.cvi42wsx", {uid: drawn + contour_xml("sarvendocardialContour", beside)})
    mask = import_labels(path, cine).masks[0, 0]
    assert set(np.unique(mask)) == {Structure.BACKGROUND, RV, LV}


def test_cvi42_of_another_study_is_refused(tmp_path: Path, cine: Cine) -> None:
    path = workspace(tmp_path / "w.cvi42wsx", {"1.2.3": contour_xml("saendocardialContour", SQUARE)})
    with pytest.raises(LabelError, match="no contour of the cine sax"):
        import_labels(path, cine)


def test_xml_with_entities_is_not_read(tmp_path: Path, cine: Cine) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    path = workspace(tmp_path / "w.cvi42wsx", {"1": "&b;"}, head=bomb)
    with pytest.raises(LabelError, match="XML entities"):
        import_labels(path, cine)


def test_workspace_that_is_too_large_is_not_read(tmp_path: Path, cine: Cine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cinema_core.io.contours.cvi42.MAX_BYTES", 100)
    path = workspace(tmp_path / "w.cvi42wsx", {"1": ""})
    with pytest.raises(LabelError, match="MB large"):
        import_labels(path, cine)


@pytest.mark.parametrize("text", ["", "no xml", "<a><b></a>", "\x00\x01"])
def test_broken_workspace_is_refused(tmp_path: Path, cine: Cine, text: str) -> None:
    path = tmp_path / "w.cvi42wsx"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match="not a cvi42 workspace"):
        import_labels(path, cine)


def test_binary_workspace_says_what_to_do(tmp_path: Path, cine: Cine) -> None:
    path = tmp_path / "w.cvi42ws"
    path.write_bytes(b"\x00\x01")
    with pytest.raises(LabelError, match=r"Save the workspace as \.cvi42wsx"):
        import_labels(path, cine)


# ------------------------------------------------------------------------------------------------ DICOM SEG


def segmentation(images: list[Path], masks: dict[Structure, NDArray[np.bool_]], path: Path) -> Path:
    """Write a binary segmentation of some images with highdicom."""
    sources = [pydicom.dcmread(image) for image in images]
    described = [
        hd.seg.SegmentDescription(
            segment_number=k + 1,
            segment_label=structure.display_name,
            segmented_property_category=hd.sr.CodedConcept("123037004", "SCT", "Anatomical Structure"),
            segmented_property_type=hd.sr.CodedConcept(structure.snomed_ct, "SCT", structure.display_name),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for k, structure in enumerate(masks)
    ]
    hd.seg.Segmentation(
        source_images=sources,
        pixel_array=np.stack(list(masks.values()), axis=-1),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=100,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
    ).save_as(path)
    return path


def test_dicom_seg_comes_back(dicom_folder: Path, tmp_path: Path, cine: Cine, tiny_heart: PhantomStudy) -> None:
    truth = tiny_heart.labels[0]
    images = [cine.sources[0, z].path for z in range(cine.n_slices)]
    path = segmentation(images, {s: truth == s for s in (RV, MYO, LV)}, tmp_path / "seg.dcm")
    found = import_labels(path, cine)
    assert found.origin == "dicom-seg"
    for z in range(cine.n_slices):
        if truth[z].any():  # slices without any structure need no frame
            assert np.array_equal(found.masks[0, z], truth[z])


def test_dicom_seg_of_the_lv_alone_leaves_the_rest_open(tmp_path: Path, cine: Cine, tiny_heart: PhantomStudy) -> None:
    z = int((tiny_heart.labels[0] == LV).sum(axis=(1, 2)).argmax())
    path = segmentation([cine.sources[0, z].path], {LV: tiny_heart.labels[0, z : z + 1] == LV}, tmp_path / "seg.dcm")
    mask = import_labels(path, cine).masks[0, z]
    assert set(np.unique(mask)) == {LV, outside_of({LV})}


def test_dicom_seg_of_other_images_is_refused(
    tmp_path: Path, cine: Cine, dicom_folder: Path, tiny_heart: PhantomStudy
) -> None:
    image = pydicom.dcmread(cine.sources[0, 0].path)
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.save_as(tmp_path / "other.dcm")
    path = segmentation([tmp_path / "other.dcm"], {LV: np.ones((1, *cine.shape[2:]), bool)}, tmp_path / "seg.dcm")
    with pytest.raises(LabelError, match="not made on the images"):
        import_labels(path, cine)


# ------------------------------------------------------------------------------------------------ NIfTI


def test_nifti_labels_need_their_order(tmp_path: Path, cine: Cine, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, cine)
    with pytest.raises(LabelError, match="--label-order"):
        import_labels(path, cine)
    found = import_labels(path, cine, label_order="acdc")
    for where, mask in found.masks.items():
        assert np.array_equal(mask, tiny_heart.labels[where])
    swapped = import_labels(path, cine, label_order="mnms2").masks
    assert all(np.array_equal(mask == LV, tiny_heart.labels[where] == RV) for where, mask in swapped.items())


def test_nifti_labels_of_another_place_are_refused(tmp_path: Path, cine: Cine, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, cine)
    image = nib.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 5
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), path)
    with pytest.raises(LabelError, match=r"5\.0 mm from the cine"):
        import_labels(path, cine, label_order="acdc")


def test_three_dimensional_labels_need_their_phase(tmp_path: Path, cine: Cine, tiny_heart: PhantomStudy) -> None:
    path = tmp_path / "labels.nii.gz"
    write_labels(path, tiny_heart.labels, cine)
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[..., 2], image.affine), path)
    with pytest.raises(LabelError, match="--phase"):
        import_labels(path, cine, label_order="acdc")
    assert {t for t, _ in import_labels(path, cine, label_order="acdc", phase=2).masks} == {2}


def test_unknown_label_value_is_refused(tmp_path: Path, cine: Cine) -> None:
    image = nib.Nifti1Image(np.full(cine.shape[:0:-1], 7, np.uint8), np.diag([-1, -1, 1, 1]) @ cine.geometry.affine())
    nib.save(image, tmp_path / "labels.nii.gz")
    with pytest.raises(LabelError, match="label value 7"):
        import_labels(tmp_path / "labels.nii.gz", cine, label_order="acdc", phase=0)
