"""Cases for the importer as files: synthetic studies in every form of storage, and real files with changed bytes."""

from __future__ import annotations

import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pydicom
import SimpleITK as sitk
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from benchmarks.fuzz_faults import FAULTS, Images, clean_study, copy_of, trigger_is_number
from benchmarks.table import DATA

NUMBERS: Final = {entry[4] for entry in DicomDictionary.values() if entry[0] not in ("LO", "SQ")}
"""Attributes that hold something else than free text."""

KINDS: Final = ("folder", "zip", "files", "enhanced", "compressed")
"""How a synthetic study is stored."""


def write_case(
    folder: Path, kind: str, faults: Sequence[str], n_slices: int, n_phases: int, rng: random.Random
) -> Path | list[Path]:
    """Write one synthetic study; return what is opened."""
    images = clean_study(n_slices, n_phases, rng)
    for name in faults:
        if images:
            images = FAULTS[name](images, rng)
    rng.shuffle(images)
    if kind == "enhanced":
        blobs = [("enhanced.dcm", _encoded(enhanced(images)))] if images else []
    else:
        blobs = [
            (f"{k:04d}{rng.choice(['', '.dcm', '.ima'])}", _encoded(_stored(i, kind))) for k, i in enumerate(images)
        ]
    blobs += rng.choice([[], [], [], [("notes.txt", b"not an image")], [("empty.dcm", b"")]])
    if kind == "zip":
        with zipfile.ZipFile(folder / "study.zip", "w") as archive:
            for name, blob in blobs:
                archive.writestr(f"disc/{name}", blob)
        return folder / "study.zip"
    for name, blob in blobs:
        (folder / name).write_bytes(blob)
    return [folder / name for name, _ in blobs] if kind == "files" else folder


def _stored(image: Dataset, kind: str) -> Dataset:
    if kind != "compressed":
        return image
    image.file_meta = _meta(image)
    try:
        image.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    except Exception:  # what cannot be compressed is stored as it is
        image.file_meta = _meta(image)
    return image


def _meta(image: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    untyped = any(not e.tag.is_private and e.VR == "LO" and e.keyword in NUMBERS for e in image)
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if untyped else ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = image.get("SOPClassUID", MRImageStorage)
    meta.MediaStorageSOPInstanceUID = image.get("SOPInstanceUID", "1.2")
    return meta


def _as_text(image: Dataset) -> None:
    """Make text of all that stands where a fault set text; a later one may have put a number there."""
    for element in image:
        if element.VR == "SQ":
            for item in element.value:
                _as_text(item)
        elif element.VR == "LO" and element.keyword in NUMBERS:
            many = isinstance(element.value, (list, pydicom.multival.MultiValue))
            element.value = [str(value) for value in element.value] if many else str(element.value)


def _encoded(image: Dataset) -> bytes:
    _as_text(image)
    if not hasattr(image, "file_meta"):
        image.file_meta = _meta(image)
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def enhanced(images: Images) -> Dataset:
    """Put images into one multi-frame object, in the order in which they come."""
    data = copy_of(images[0])
    data.SOPClassUID = EnhancedMRImageStorage
    first = [image for image in images if len(image.PixelData) == len(images[0].PixelData)]
    frames = []
    for image in first:
        group = Dataset()
        group.PlanePositionSequence = [_item(image, "ImagePositionPatient")]
        group.PlaneOrientationSequence = [_item(image, "ImageOrientationPatient")]
        group.PixelMeasuresSequence = [_item(image, "PixelSpacing")]
        beat = Dataset()
        if trigger_is_number(image) and "TriggerTime" in image:
            beat.NominalCardiacTriggerDelayTime = float(image.TriggerTime or 0)
        group.CardiacSynchronizationSequence = [beat]
        frames.append(group)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "TriggerTime"):
        data.pop(name, None)
    data.PerFrameFunctionalGroupsSequence = frames
    if "NumberOfFrames" not in data:
        data.NumberOfFrames = len(first)
    data.PixelData = b"".join(image.PixelData for image in first)
    return data


def _item(image: Dataset, name: str) -> Dataset:
    item = Dataset()
    if name in image:
        item[name] = image[name]
    return item


def real_sets() -> dict[str, list[tuple[str, bytes]]]:
    """Small sets of real files that are opened together, as names and bytes, by name of the set."""
    sets = {name: [(path.name, path.read_bytes()) for path in paths] for name, paths in _real_paths().items()}
    # Damage to compressed bytes is found at once; what unpacked ones do is another question.
    sets |= {
        f"{name}, unpacked": [(file.removesuffix(".gz"), gzip.decompress(blob)) for file, blob in files]
        for name, files in sets.items()
        if files[0][0].endswith(".gz")
    }
    sets |= {
        f"{name} as {suffix}": _as_itk(files[0][1], suffix)
        for name, files in sets.items()
        for suffix in (".mha", ".nrrd")
        if files[0][0].endswith(".nii")
    }
    return sets


def _real_paths() -> dict[str, list[Path]]:
    sunnybrook = sorted((DATA / "sunnybrook_dicom/dicoms/SCD0000101").rglob("*.dcm"))
    siemens = sorted(path for path in (DATA / "bivme_siemens_dicom/dicoms").rglob("*") if path.is_file())
    acdc = sorted((DATA / "acdc").glob("*/patient*_frame*.nii.gz"))
    four_d = [path for path in sorted(DATA.rglob("*.nii.gz")) if "gt" not in path.name and path not in acdc]
    multi = [path for path in sorted(DATA.rglob("*.dcm")) if "sunnybrook" not in str(path) and path not in siemens]
    sets = {
        "sunnybrook": sunnybrook[:12],
        "siemens": siemens[:6] + siemens[100:106],
        "acdc": [path for path in acdc if "_gt" not in path.name][:1],
        "multi-frame": multi[:1],
        "nifti": sorted(four_d, key=lambda path: path.stat().st_size)[:1],
    }
    return {name: files for name, files in sets.items() if files}


def _as_itk(nifti: bytes, suffix: str) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.nii").write_bytes(nifti)
        sitk.WriteImage(sitk.ReadImage(str(Path(folder) / "x.nii")), str(Path(folder) / f"x{suffix}"))
        return [(f"x{suffix}", (Path(folder) / f"x{suffix}").read_bytes())]


def mutate(blob: bytes, rng: random.Random) -> bytes:
    """Change, cut, double or blank bytes; headers more often than pixels."""
    data = bytearray(blob)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if not data:
            break
        at = rng.randrange(min(len(data), rng.choice([348, 2000, 6000, len(data)])))
        kind = rng.choice(["bit", "byte", "blank", "cut", "double", "remove", "digits"])
        length = rng.choice([1, 2, 4, 16, 256])
        if kind == "bit":
            data[at] ^= 1 << rng.randrange(8)
        elif kind == "byte":
            data[at] = rng.randrange(256)
        elif kind == "blank":
            data[at : at + length] = bytes([rng.choice([0, 255])]) * len(data[at : at + length])
        elif kind == "cut" and rng.random() < 0.3:
            del data[at:]
        elif kind == "double":
            data[at:at] = data[at : at + length]
        elif kind == "remove":
            del data[at : at + length]
        elif kind == "digits":
            data[at : at + 2] = rng.choice([b"0", b"9", b"-", b"e", b"\\"]) * len(data[at : at + 2])
    return bytes(data)
