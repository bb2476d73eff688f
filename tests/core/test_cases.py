from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cinema_core.anatomy import UNLABELLED, Structure
from cinema_core.cases import (
    TrainingCase,
    case_set_sha256,
    group_of,
    in_fixed_order,
    load_cases,
    n_labelled_slices,
    under_one_name,
)
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import InputError, LabelError
from cinema_core.io import write_image, write_labels

HEADER = "study,image,labels,patient,phase,slices"
GEOMETRY = Geometry.from_affine(np.diag([1.5, 2.0, 8.0, 1.0]), 4)


def frame(n_phases: int = 1) -> tuple[Cine, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.zeros((n_phases, 4, 20, 16), dtype=np.uint8)
    labels[:, 1:3, 6:12, 4:10] = 3
    return Cine("sax", rng.integers(0, 500, labels.shape).astype(np.int16), GEOMETRY, View.SAX), labels


def case(**changes: Any) -> TrainingCase:
    cine, labels = frame()
    values = {
        "case_id": "a",
        "study_id": "a",
        "patient": "a",
        "image": cine.pixels[0].astype(np.float32),
        "labels": labels[0],
        "geometry": GEOMETRY,
    }
    return TrainingCase(**{**values, **changes})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write image and labels, and a case list with the given lines."""

    def make(*lines: str, header: str = HEADER, n_phases: int = 1, labels: np.ndarray | None = None) -> Path:
        cine, drawn = frame(n_phases)
        write_image(tmp_path / "image.nii.gz", cine)
        write_labels(tmp_path / "labels.nii.gz", drawn if labels is None else labels, cine)
        path = tmp_path / "cases.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return path

    return make


def test_files_are_found_beside_the_list(write: Callable[..., Path]) -> None:
    (found,) = load_cases(write("s1,image.nii.gz,labels.nii.gz,p1,ed,"))
    cine, labels = frame()
    assert (found.case_id, found.study_id, found.patient, found.phase) == ("s1-ed", "s1", "p1", "ed")
    np.testing.assert_array_equal(found.image, cine.pixels[0])
    np.testing.assert_array_equal(found.labels, labels[0])
    assert found.geometry.pixel_spacing_mm == pytest.approx((2.0, 1.5))
    assert found.phase_index is None


def test_slices_that_are_not_named_are_unlabelled(write: Callable[..., Path]) -> None:
    (found,) = load_cases(write("s1,image.nii.gz,labels.nii.gz,,,1;3"))
    assert found.labelled_slices == (1, 3)
    assert (found.labels[[0, 2]] == UNLABELLED).all()
    assert found.patient == "s1"


def test_optional_columns_may_be_absent(write: Callable[..., Path]) -> None:
    (found,) = load_cases(write("s1,image.nii.gz,labels.nii.gz", header="study,image,labels"))
    assert found.labelled_slices == (0, 1, 2, 3)


def test_a_cine_gives_one_case_per_labelled_phase(write: Callable[..., Path]) -> None:
    _, labels = frame(5)
    labels[[0, 2, 4]] = 0  # nobody drew these phases
    found = load_cases(write("s1,image.nii.gz,labels.nii.gz", header="study,image,labels", n_phases=5, labels=labels))
    assert [(c.case_id, c.phase_index) for c in found] == [("s1-phase02", 1), ("s1-phase04", 3)]


def test_cases_of_one_name_are_numbered(write: Callable[..., Path]) -> None:
    line = "s1,image.nii.gz,labels.nii.gz,,,"
    assert [c.case_id for c in load_cases(write(line, line))] == ["s1", "s1-2"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("s1,absent.nii.gz,labels.nii.gz,,,", "absent.nii.gz"),
        ("s1,image.nii.gz,labels.nii.gz,,systole,", "Write ed, es, or nothing"),
        ("s1,image.nii.gz,labels.nii.gz,,,9", "the image has 4 slices, 0 to 3"),
        ("s1,image.nii.gz,labels.nii.gz,,,a;b", "separated by semicolons"),
        ("s1,image.nii.gz,,,,", "labels is empty"),
    ],
)
def test_a_row_that_cannot_be_used_says_line_and_reason(write: Callable[..., Path], line: str, message: str) -> None:
    path = write("s0,image.nii.gz,labels.nii.gz,,,", line)
    with pytest.raises(InputError, match="line 3") as error:
        load_cases(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_rows_are_read_before_anything_is_said(write: Callable[..., Path]) -> None:
    bad = "s1,absent.nii.gz,labels.nii.gz,,,"
    with pytest.raises(InputError) as error:
        load_cases(write(*[bad] * 5))
    assert "line 2" in str(error.value)
    assert "line 4" in str(error.value)
    assert "2 more lines have problems" in str(error.value)


@pytest.mark.parametrize("header", ["study,image", "study,image,labels,pahse"])
def test_a_wrong_header_is_named(write: Callable[..., Path], header: str) -> None:
    with pytest.raises(InputError, match="column"):
        load_cases(write("s1,image.nii.gz,labels.nii.gz", header=header))


def test_an_absent_or_empty_list_is_one_line(tmp_path: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_cases(tmp_path / "none.csv")
    with pytest.raises(InputError, match="no rows"):
        load_cases(write())


def test_labels_of_another_shape_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write("s1,image.nii.gz,labels.nii.gz,,,")
    smaller = Cine("sax", np.zeros((1, 3, 20, 16), np.int16), Geometry.from_affine(np.eye(4), 3), View.SAX)
    write_labels(tmp_path / "labels.nii.gz", np.zeros(smaller.shape, np.uint8), smaller)
    with pytest.raises(InputError, match="Choose the labels that were drawn on this image"):
        load_cases(path)


def test_unknown_label_values_are_refused() -> None:
    labels = case().labels.copy()
    labels[0, 0, 0] = 7
    with pytest.raises(LabelError, match="value 7"):
        case(labels=labels)


def test_labels_and_image_must_have_one_shape() -> None:
    with pytest.raises(LabelError, match="4 x 20 x 15"):
        case(labels=np.zeros((4, 20, 15), np.uint8))


def test_the_heart_is_where_it_was_labelled_else_where_it_was_found() -> None:
    assert case().heart_centre_yx == (8.5, 6.5)
    empty = np.full((4, 20, 16), UNLABELLED, dtype=np.uint8)
    assert case(labels=empty, heart_yx=(3.0, 4.0)).heart_centre_yx == (3.0, 4.0)
    assert case(labels=empty).heart_centre_yx is None


def test_what_is_labelled_is_counted() -> None:
    assert case().structures == {Structure.LV_CAVITY}
    assert n_labelled_slices([case(), case()]) == 8
    assert group_of(case(patient="")) == "a"


def test_the_hash_of_a_label_set_changes_with_any_voxel_and_not_with_the_order() -> None:
    first, second = case(), case(case_id="b", study_id="b")
    assert case_set_sha256([first, second]) == case_set_sha256([second, first])
    labels = first.labels.copy()
    labels[0, 0, 0] = 1
    assert case_set_sha256([replace(first, labels=labels), second]) != case_set_sha256([first, second])


OTHER_GEOMETRIES = [
    Geometry.from_affine(np.diag([1.4, 2.0, 8.0, 1.0]), 4),
    Geometry.from_affine(np.diag([1.5, 2.0, 10.0, 1.0]), 4),
    Geometry(GEOMETRY.planes, single_slice_step_mm=9.0),
    Geometry(GEOMETRY.planes, GEOMETRY.single_slice_step_mm, spacing_is_stated=False),
]


@pytest.mark.parametrize(
    "changes",
    [{"patient": "b"}, {"phase_index": 3}, {"study_id": "b"}, *({"geometry": other} for other in OTHER_GEOMETRIES)],
)
def test_the_hash_of_a_label_set_changes_with_all_that_decides_what_is_learned(changes: dict[str, Any]) -> None:
    assert case_set_sha256([case(**changes)]) != case_set_sha256([case()])


def test_the_hash_of_a_label_set_changes_with_the_heart_around_which_windows_are_cut() -> None:
    labels = case().labels.copy()
    labels[labels == 3] = 0
    here, there = (case(labels=labels, heart_yx=heart) for heart in ((8.0, 6.0), (9.0, 6.0)))
    assert case_set_sha256([here]) != case_set_sha256([there])
    # Where the heart is labelled, nobody asks where it was found.
    assert case_set_sha256([case(heart_yx=(8.0, 6.0))]) == case_set_sha256([case()])


def test_cases_have_one_order_whatever_their_names() -> None:
    halves = [case().labels.copy() for _ in range(2)]
    halves[0][1], halves[1][2] = UNLABELLED, UNLABELLED
    one, two = (
        [case(case_id=name, labels=half) for name, half in zip(names, halves, strict=True)] for names in ("ab", "ba")
    )
    later = case(study_id="0", phase_index=1), case(study_id="0", phase_index=0), case(study_id="0")
    first, second = in_fixed_order([*one, *later]), in_fixed_order([*later, *reversed(two)])
    assert [(c.study_id, c.phase_index) for c in first] == [("0", None), ("0", 0), ("0", 1), ("a", None), ("a", None)]
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(first, second, strict=True))


def test_patients_who_share_images_get_the_name_that_comes_first() -> None:
    def of(patient: str, *images: float) -> list[TrainingCase]:
        return [case(patient=patient, image=np.full((4, 20, 16), value, np.float32)) for value in images]

    cases = [*of("d", 9.0), *of("a", 1.0), *of("b", 2.0, 3.0), *of("c", 1.0, 3.0)]
    found = under_one_name(cases, ["d", "c", "a", "b"])
    assert [c.patient for c in found] == ["d", "c", "c", "c", "c", "c"]
    assert found[0] is cases[0]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(cases, found, strict=True))


def test_real_volumes_with_their_labels_are_cases(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "acdc" / "patient003"
    path = tmp_path / "cases.csv"
    path.write_text(
        f"{HEADER}\np3,{folder}/patient003_frame01.nii.gz,{folder}/patient003_frame01_gt.nii.gz,p3,ed,3;5;6\n",
        encoding="utf-8",
    )
    (found,) = load_cases(path)
    assert found.image.shape[0] == 10
    assert found.labelled_slices == (3, 5, 6)
    assert found.structures == {Structure.RV_CAVITY, Structure.LV_MYOCARDIUM, Structure.LV_CAVITY}
