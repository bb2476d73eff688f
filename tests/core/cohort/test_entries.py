"""Case lists by studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cinema_core.cohort import drawn_phases, read_cohort
from cinema_core.errors import InputError, LabelError, StudyError
from cinema_core.io import write_image, write_labels
from cinema_core.phantom import PhantomStudy


def written(folder: Path, *lines: str, head: str = "study,image,labels,phase,slices") -> Path:
    path = folder / "cases.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def test_a_study_is_a_line_or_a_pair(tmp_path: Path) -> None:
    found = read_cohort(written(tmp_path, "a,a.nii,al.nii,,", "b,be.nii,,ed,", "c,c.nii,,,", "b,bs.nii,,ES,"))
    assert [(one.study, [p.name for p in one.images], [p.name for p in one.labels]) for one in found] == [
        ("a", ["a.nii"], ["al.nii"]),
        ("b", ["be.nii", "bs.nii"], []),
        ("c", ["c.nii"], []),
    ]


def test_labels_need_no_column(tmp_path: Path) -> None:
    [found] = read_cohort(written(tmp_path, "a,a.nii", head="study,image"))
    assert found.labels == ()


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("a,a.nii,,,", "a,b.nii,,,"), "line 3: study 'a' stands in the list twice"),
        (("a,a.nii,,ed,",), "line 2: study 'a' has the phases ed"),
        (("a,a.nii,,ed,", "a,b.nii,,mid,"), "has the phases ed, mid"),
        (("a,,,,",), "line 2: image is empty"),
        (("a,a.nii,l.nii,ed,", "a,b.nii,,es,"), "has labels of one phase only"),
        (("a,a.nii,l.nii,ed,1", "a,b.nii,l.nii,es,2"), "name different slices"),
    ],
)
def test_lines_that_make_no_study_are_named(lines: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        read_cohort(written(tmp_path, *lines))


def test_labelled_lists_need_labels_on_every_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: labels is empty"):
        read_cohort(written(tmp_path, "a,a.nii,l.nii,,", "b,b.nii,,,"), labelled=True)


def test_with_labels_the_grid_is_that_of_the_whole_image(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    write_image(tmp_path / "a.nii.gz", phantom_study.cine)
    write_labels(tmp_path / "l.nii.gz", phantom_study.labels, phantom_study.cine)
    [labelled, other] = read_cohort(written(tmp_path, "a,a.nii.gz,l.nii.gz,,", "b,a.nii.gz,,,"))
    header, whole = labelled.open_cine(), other.open_cine()
    assert header.shape == whole.shape == phantom_study.cine.shape
    assert (header.timing, header.view, header.patient) == (whole.timing, whole.view, whole.patient)
    np.testing.assert_array_equal(header.geometry.affine(), whole.geometry.affine())
    assert not header.pixels.any() and whole.pixels.any()
    np.testing.assert_array_equal(labelled.read_labels(header), phantom_study.labels)


def test_an_image_of_one_slice_is_no_short_axis(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    cut = phantom_study.cine.of_slices(slice(2, 3))
    write_labels(tmp_path / "a.nii.gz", phantom_study.labels[:, 2:3], cut)
    [entry] = read_cohort(written(tmp_path, "a,a.nii.gz,a.nii.gz,,"))
    with pytest.raises(StudyError, match="no short-axis"):
        entry.open_cine()


def test_slices_that_are_not_named_are_unlabelled(tmp_path: Path, phantom_study: PhantomStudy) -> None:
    write_image(tmp_path / "a.nii.gz", phantom_study.cine)
    write_labels(tmp_path / "l.nii.gz", phantom_study.labels, phantom_study.cine)
    [entry] = read_cohort(written(tmp_path, "a,a.nii.gz,l.nii.gz,,1;2"))
    labels = entry.read_labels(entry.open_cine())
    assert (labels[:, [0, 3, 4]] == 255).all()
    with pytest.raises(LabelError, match="No phase of the labels is drawn completely"):
        drawn_phases(labels)
