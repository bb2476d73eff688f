"""De-identified copies and the map of identities: nothing that names someone gets out."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from cinema_core.cine import View
from cinema_core.errors import StorageError
from cinema_core.io import load_study
from cinema_core.io.deidentify import DeidentifiedCopy, Rules, copy_study
from cinema_core.io.dicom import find_studies
from cinema_core.io.files import listed
from cinema_core.io.identities import Identities
from cinema_core.progress import no_progress

RULES = Rules(b"k" * 32)

SECRETS = (
    "MUSTERMANN",
    "Z-4711",
    "19481231",
    "CHARITE",
    "BRINKMANN",
    "20231105",
    "SECRETWORD",
    "1.2.276.0.99",
    "101112",
)
"""Every one of them stands somewhere in the files that are copied."""


def named(folder: Path) -> Path:
    """Write a person into every file of a study, in the places where scanners and archives do."""
    for k, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID = "MUSTERMANN^ERIKA", "Z-4711"
        data.PatientBirthDate = "19481231"
        data.PatientSex, data.PatientAge, data.PatientSize, data.PatientWeight = "F", "074Y", 1.71, 68
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20231105"
        data.StudyTime = data.AcquisitionTime = "101112"
        data.AcquisitionDateTime = "20231105101112"
        data.InstitutionName, data.ReferringPhysicianName = "CHARITE", "BRINKMANN^DR"
        data.StudyDescription = data.ImageComments = "MUSTERMANN for SECRETWORD"
        data.SeriesDescription = "cine sax SECRETWORD"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.276.0.99.1", "1.2.276.0.99.2"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.276.0.99.3.{k + 1}"
        data.FrameOfReferenceUID = "1.2.276.0.99.4"
        private = data.private_block(0x0021, "SIEMENS SECRETWORD", create=True)
        private.add_new(0x10, "LO", "MUSTERMANN")
        item = Dataset()
        item.PersonName = "BRINKMANN^DR"
        item.ReferencedSOPInstanceUID = "1.2.276.0.99.3.1"
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        item.add_new(0x00080081, "ST", "CHARITE street")
        data.ReferencedImageSequence = [item]
        data.add_new(0x00081032, "SQ", [item])
        data.add_new(0x60000010, "US", 8)
        data.add_new(0x60003000, "OW", b"MUSTERMANN")
        data.add_new(0x00091001, "LO", "SECRETWORD")
        data.file_meta.SourceApplicationEntityTitle = "CHARITE"
        data.preamble = b"MUSTERMANN".ljust(128, b"\0")
        data.save_as(path)
    return folder


@pytest.fixture
def person(dicom_folder: Path) -> Path:
    return named(dicom_folder)


def copied(folder: Path, out: Path, rules: Rules = RULES) -> DeidentifiedCopy:
    with listed(folder) as listing:
        (study,), _ = find_studies(listing.files, no_progress)
        return copy_study(study, out, rules)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("shift_dates", [False, True])
def test_no_secret_is_in_any_byte_of_the_copy(person: Path, tmp_path: Path, shift_dates: bool) -> None:
    first = next(iter(sorted(person.iterdir()))).read_bytes()
    assert all(secret.encode() in first for secret in SECRETS)
    copy = copied(person, tmp_path / "copy", Rules(b"k" * 32, shift_dates))
    # Times of day stay where dates are only moved: they are what keeps the series of one day in order.
    secrets = SECRETS[:-1] if shift_dates else SECRETS
    for path in copy.files:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content]
        assert not [secret for secret in secrets if secret in path.name]


def test_copy_shows_the_same_cine(person: Path, tmp_path: Path) -> None:
    before = load_study(person)
    copy = copied(person, tmp_path / "copy")
    after = load_study(tmp_path / "copy")
    assert after.id == copy.study != before.id
    (old,), (new,) = before.cines, after.cines
    assert new.content_sha256 == old.content_sha256
    np.testing.assert_allclose(new.geometry.affine(), old.geometry.affine(), atol=1e-6)
    assert new.timing == old.timing
    assert new.view is View.SAX


def test_pixel_data_is_copied_byte_by_byte(person: Path, tmp_path: Path) -> None:
    copy = copied(person, tmp_path / "copy")
    for old, new in zip(sorted(person.iterdir()), copy.files, strict=True):
        assert pydicom.dcmread(new).PixelData == pydicom.dcmread(old).PixelData


def test_compressed_pixels_stay_compressed(person: Path, tmp_path: Path) -> None:
    for path in person.iterdir():
        data = pydicom.dcmread(path)
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(path)
    copy = copied(person, tmp_path / "copy")
    old, new = pydicom.dcmread(min(person.iterdir())), pydicom.dcmread(copy.files[0])
    assert new.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    assert new.PixelData == old.PixelData


def test_originals_are_not_touched(person: Path, tmp_path: Path) -> None:
    before = hashes(person)
    copied(person, tmp_path / "copy")
    assert hashes(person) == before


def test_uids_still_fit_together(person: Path, tmp_path: Path) -> None:
    images = [pydicom.dcmread(path) for path in copied(person, tmp_path / "copy").files]
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert all(image.SOPInstanceUID == image.file_meta.MediaStorageSOPInstanceUID for image in images)
    assert images[0].SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"


def test_same_key_makes_the_same_copy_and_another_key_another(person: Path, tmp_path: Path) -> None:
    first, again = copied(person, tmp_path / "1"), copied(person, tmp_path / "2")
    other = copied(person, tmp_path / "3", Rules(b"x" * 32))
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2")
    assert first.study == again.study != other.study


def test_shifted_dates_keep_their_distance(person: Path, tmp_path: Path) -> None:
    rules = Rules(b"k" * 32, shift_dates=True)
    path = sorted(person.iterdir())[0]
    data = pydicom.dcmread(path)
    data.AcquisitionDate = "20231201"  # 26 days after the study's
    data.save_as(path)
    image = pydicom.dcmread(copied(person, tmp_path / "copy", rules).files[0])
    day = np.datetime64(f"{image.StudyDate[:4]}-{image.StudyDate[4:6]}-{image.StudyDate[6:]}")
    later = np.datetime64(f"{image.AcquisitionDate[:4]}-{image.AcquisitionDate[4:6]}-{image.AcquisitionDate[6:]}")
    assert later - day == np.timedelta64(26, "D")
    assert day < np.datetime64("2023-11-05")
    assert image.PatientBirthDate == ""
    assert image.LongitudinalTemporalInformationModified == "MODIFIED"


def test_characteristics_stay_on_request_only(person: Path, tmp_path: Path) -> None:
    plain = load_study(copied(person, tmp_path / "plain").files[0].parent).cines[0].patient
    kept = load_study(copied(person, tmp_path / "kept", Rules(b"k" * 32, keep_characteristics=True)).files[0].parent)
    assert (plain.sex, plain.height_m, plain.weight_kg) == (None, None, None)
    assert (kept.cines[0].patient.sex, kept.cines[0].patient.height_m) == ("F", 1.71)


def test_burnt_in_text_is_not_given_away(person: Path, tmp_path: Path) -> None:
    path = sorted(person.iterdir())[2]
    data = pydicom.dcmread(path)
    data.BurnedInAnnotation = "YES"
    data.save_as(path)
    copy = copied(person, tmp_path / "copy")
    assert [file.path for file in copy.refused] == [str(path)]
    assert "burnt" in copy.refused[0].reason


def test_real_studies_come_back_the_same(shared_data: Path, tmp_path: Path) -> None:
    for name in ("bivme_siemens_dicom/dicoms", "sunnybrook_dicom/dicoms/SCD0000101"):
        before = load_study(shared_data / name)
        copied(shared_data / name, tmp_path / name)
        after = load_study(tmp_path / name)
        assert [cine.content_sha256 for cine in after.cines] == [cine.content_sha256 for cine in before.cines]
        assert [cine.id for cine in after.cines] == [cine.id for cine in before.cines]
        assert all(new.timing == old.timing for new, old in zip(after.cines, before.cines, strict=True))


# The map of identities.


def test_map_knows_whose_study_it_was(person: Path, tmp_path: Path) -> None:
    identities = Identities(tmp_path / "map.json")
    study = load_study(person)
    identities.remember(study)
    found = Identities(tmp_path / "map.json").find(study.id)
    assert found is not None
    assert (found.patient_name, found.patient_id, found.study_date) == ("MUSTERMANN^ERIKA", "Z-4711", "20231105")


def test_map_forgets(person: Path, tmp_path: Path) -> None:
    identities = Identities(tmp_path / "map.json")
    study = load_study(person)
    identities.remember(study)
    assert identities.forget(study.id)
    assert "MUSTERMANN" not in (tmp_path / "map.json").read_text(encoding="utf-8")


def test_key_stays(tmp_path: Path) -> None:
    assert Identities(tmp_path / "map.json").key == Identities(tmp_path / "map.json").key
    assert Identities(tmp_path / "map.json").key != Identities(tmp_path / "other.json").key


def test_damaged_map_is_not_replaced(person: Path, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text("{broken", encoding="utf-8")
    with pytest.raises(StorageError, match="Move it away"):
        Identities(tmp_path / "map.json").remember(load_study(person))
    assert (tmp_path / "map.json").read_text(encoding="utf-8") == "{broken"


def test_switched_off_keeps_nobody(person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CINEMA_IDENTITIES", "off")
    monkeypatch.chdir(tmp_path)
    study = load_study(person)
    identities = Identities()
    identities.remember(study)
    assert identities.find(study.id) is None
    assert len(identities.key) == 32
    assert not (tmp_path / "off").exists()


def _remember_twenty(path: Path, who: int) -> None:
    for k in range(20):
        Identities(path).remember_copy(f"study-{who}", f"copy-{who}-{k}")


def test_two_programs_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.starmap(_remember_twenty, [(tmp_path / "map.json", 1), (tmp_path / "map.json", 2)])
    identities = Identities(tmp_path / "map.json")
    assert all(identities.find(f"copy-{who}-{k}") for who in (1, 2) for k in range(20))
