"""Cines without labels: which studies are found, and what a masked autoencoder is shown of them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from processed_datasets import small_pretraining, write_cines

from cinema_core.errors import GeometryError, InputError, StudyError
from training.datasets.cines import MaskedCines, find_studies, n_tokens, read_phase, split_studies


def save(path: Path, pixels: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0, 10.0)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(pixels, np.diag([*spacing, 1.0])), path)
    return path


def test_studies_are_found_under_both_names_at_any_depth(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_cines(tmp_path / "train", 2)
    for view in ("sax", "lax_2c", "lax_3c", "lax_4c"):
        save(tmp_path / "biobank" / "123_2" / f"123_2_{view}.nii", np.zeros((4, 4, 1), dtype=np.uint8))
    save(tmp_path / "lacks" / "sax_t.nii.gz", np.zeros((4, 4, 1), dtype=np.uint8))
    save(tmp_path / "train" / "000" / "000_sax_ed_gt.nii.gz", np.zeros((4, 4, 1), dtype=np.uint8))
    with caplog.at_level("INFO"):
        studies = find_studies(tmp_path, ("sax", "lax_2c", "lax_3c", "lax_4c"))
    assert [study.name for study in studies] == ["biobank/123_2", "train/000", "train/001"]
    assert [study.person for study in studies] == ["123", "train/000", "train/001"]
    assert list(studies[0].files) == ["sax", "lax_2c", "lax_3c", "lax_4c"]
    assert "1 of 4 studies lack a view" in caplog.text
    assert len(find_studies(tmp_path, ("sax",))) == 4
    with pytest.raises(InputError, match="There is no folder"):
        find_studies(tmp_path / "none", ("sax",))
    with pytest.raises(InputError, match=r"None of 1 studies .* has all of sax, lax_2c"):
        find_studies(tmp_path / "lacks", ("sax", "lax_2c"))
    save(tmp_path / "lacks" / "sax.nii.gz", np.zeros((4, 4, 1), dtype=np.uint8))
    with pytest.raises(InputError, match="two files of sax"):
        find_studies(tmp_path, ("sax",))


def test_all_visits_of_a_person_are_on_one_side_whoever_else_is_there(tmp_path: Path) -> None:
    for k in range(60):
        save(tmp_path / f"{k}_{k % 2}" / "sax.nii", np.zeros((4, 4, 1), dtype=np.uint8))
        save(tmp_path / f"{k}_{k % 2 + 2}" / "sax.nii", np.zeros((4, 4, 1), dtype=np.uint8))
    studies = find_studies(tmp_path, ("sax",))
    teaching, validating = split_studies(studies, 0.3)
    assert len(teaching) + len(validating) == 120
    assert 20 <= len(validating) <= 52
    assert not {study.person for study in teaching} & {study.person for study in validating}
    assert split_studies(studies[:40], 0.3)[1] == [study for study in studies[:40] if study in validating]
    assert split_studies(studies, 0.0)[1] == []


def test_one_phase_in_all_views_is_shown_and_follows_from_the_index(tmp_path: Path) -> None:
    write_cines(tmp_path, 2)
    config = small_pretraining(tmp_path)
    cines = MaskedCines(find_studies(tmp_path, config.data.views), config)
    item, again = cines[5], MaskedCines(cines.studies, config)[5]
    assert [tuple(part.shape) for part in item[:4]] == [(1, 32, 32, 2), *[(1, 32, 32)] * 3]
    assert [tuple(part.shape) for part in item[4:]] == [(n_tokens(config, view),) for view in config.data.views]
    assert all(torch.equal(part, other) for part, other in zip(item, again, strict=True))
    assert not torch.equal(item[0], cines[7][0])  # the same study in another epoch
    assert all(0 <= float(part.min()) and float(part.max()) == 1 for part in item[:4])


def test_the_phases_of_an_epoch_are_drawn_and_only_one_is_read(tmp_path: Path) -> None:
    pixels = np.arange(8, dtype=np.uint8) * np.ones((32, 32, 2, 1), dtype=np.uint8)  # phase t is t everywhere
    config = small_pretraining(tmp_path, "data.views=[sax]")
    for name in ("a_sax.nii", "b_sax.nii.gz"):
        path = save(tmp_path / name, pixels)
        shown = {float(read_phase(path, at, config, "sax").mean()) for at in (0.0, 0.49, 0.999)}
        assert shown == {0.0, 3.0, 7.0}


def test_smaller_images_are_padded_at_the_end_and_larger_ones_cut(tmp_path: Path) -> None:
    save(tmp_path / "s" / "sax.nii", np.arange(1, 21 * 40 * 3 + 1, dtype=np.float32).reshape(21, 40, 3))
    config = small_pretraining(tmp_path, "data.views=[sax]", "transform.prob=0")
    image = MaskedCines(find_studies(tmp_path, ("sax",)), config)[0][0]
    assert tuple(image.shape) == (1, 32, 32, 2)
    assert float(image[0, 21:].max()) == 0
    assert (image[0, 1:21] > 0).all()


def test_the_long_axis_views_are_zoomed_alike(tmp_path: Path) -> None:
    disc = (np.hypot(*np.mgrid[-16:16, -16:16]) < 10).astype(np.uint8)[..., None]
    for view in ("lax_2c", "lax_3c"):
        save(tmp_path / "s" / f"{view}.nii", disc)
    config = small_pretraining(tmp_path, "data.views=[lax_2c, lax_3c]", "transform.prob=1", "transform.zoom=[0.7, 1.3]")
    cines = MaskedCines(find_studies(tmp_path, config.data.views), config)
    areas = []
    for index in range(6):
        first, second = cines[index][:2]
        assert torch.equal(first, second)
        areas.append(float((first > 0.5).sum()))
    assert max(areas) > 1.3 * min(areas)


def test_what_is_no_prepared_cine_is_told_with_its_file(tmp_path: Path) -> None:
    config = small_pretraining(tmp_path)
    cut = save(tmp_path / "cut_sax.nii.gz", np.random.default_rng(0).integers(0, 255, (32, 32, 2, 9), dtype=np.uint8))
    cut.write_bytes(cut.read_bytes()[:4000])
    with pytest.raises(StudyError, match=r"cut_sax.nii.gz is cut short or damaged"):
        read_phase(cut, 0.9, config, "sax")
    coarse = save(tmp_path / "coarse_sax.nii", np.zeros((8, 8, 2), dtype=np.uint8), (1.4, 1.4, 10.0))
    with pytest.raises(GeometryError, match=r"1.4 x 1.4 x 10 mm, the config says 1 x 1 x 10"):
        read_phase(coarse, 0.0, config, "sax")
    thick = save(tmp_path / "lax_2c.nii", np.zeros((8, 8, 2), dtype=np.uint8))
    with pytest.raises(GeometryError, match="has 2 slices; a long-axis view has one"):
        read_phase(thick, 0.0, config, "lax_2c")
    holes = save(tmp_path / "holes_sax.nii", np.full((8, 8, 2), np.nan, dtype=np.float32))
    with pytest.raises(StudyError, match="no numbers"):
        read_phase(holes, 0.0, config, "sax")
