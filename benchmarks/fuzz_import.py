"""Open studies that were broken on purpose: ``python -m benchmarks.fuzz_import --cases 5000``.

Half of the cases are synthetic studies with the faults that scanners, archives and anonymisers make; half are real
files with bytes changed, cut or doubled. Whatever is in the files, the importer gives a study that agrees with them or
a :class:`~cinema_core.errors.CinemaError` that says why not. Anything else ends the run: another error, a case that
takes longer than :data:`HANG_S`, a cine that does not agree with its files.
"""

from __future__ import annotations

import argparse
import faulthandler
import gzip
import io
import json
import random
import re
import shutil
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import pydicom
import SimpleITK as sitk
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage

from benchmarks.table import DATA, Figure, print_table
from cinema_core.cine import Cine
from cinema_core.errors import CinemaError
from cinema_core.io import Study, load_study
from cinema_core.io.dicom_headers import read_dataset, tolerant_pydicom
from cinema_core.io.itk_images import is_itk_image

HANG_S: Final = 60.0
"""A case opens a few dozen small files, in a tenth of a second; one that takes this long hangs."""

PLACE_MM: Final = 0.11
"""Positions of one slice's files may differ by a tenth of a millimetre and are one place."""

N_PIXELS: Final = 8

NUMBERS: Final = {entry[4] for entry in DicomDictionary.values() if entry[0] not in ("LO", "SQ")}
"""Attributes that hold something else than free text."""

Images = list[Dataset]
Fault = Callable[[Images, random.Random], Images]


class Disagreement(AssertionError):
    """A cine does not show what its files say."""


# ----------------------------------------------------------------------------------------------- synthetic studies


def clean_study(n_slices: int, n_phases: int, rng: random.Random) -> Images:
    """Make the images of one oblique stack; every pixel of an image holds the image's number."""
    normal = np.array([rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.5, 2.5)])
    normal /= np.linalg.norm(normal)
    x = np.cross([0.0, 1.0, 0.0], normal)
    x /= np.linalg.norm(x)
    y = np.cross(normal, x)
    step, rr = rng.uniform(4, 20), rng.uniform(500, 1200)
    images = []
    for z in range(n_slices):
        for t in range(n_phases):
            image = Dataset()
            image.SOPClassUID = MRImageStorage
            image.SOPInstanceUID = f"1.2.3.{z + 1}.{t + 1}"
            image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.3", "1.2.3.4"
            image.FrameOfReferenceUID = "1.2.3.5"
            image.Modality, image.SeriesNumber = "MR", 7
            image.SeriesDescription = "cine sax"
            image.InstanceNumber = z * n_phases + t + 1
            image.ImagePositionPatient = [round(float(v), 4) for v in z * step * normal - 40 * x - 40 * y]
            image.ImageOrientationPatient = [round(float(v), 6) for v in (*x, *y)]
            image.PixelSpacing = [1.5, 1.5]
            image.SliceThickness = 6
            image.TriggerTime = round(t * rr / n_phases, 2)
            image.NominalInterval = round(rr)
            image.TemporalPositionIdentifier = t + 1
            image.AcquisitionTime = f"10{z:02d}{t:02d}.{t:03d}"
            _set_pixels(image, np.full((N_PIXELS, N_PIXELS), z * n_phases + t + 1, np.uint16))
            images.append(image)
    return images


def _set_pixels(image: Dataset, pixels: np.ndarray[Any, Any]) -> None:
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 8 * pixels.dtype.itemsize
    image.HighBit = image.BitsStored - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.add_new(0x7FE00010, "OW" if pixels.dtype.itemsize == 2 else "OB", pixels.tobytes())


def _some(images: Images, rng: random.Random) -> Images:
    return rng.sample(images, rng.randint(1, max(1, len(images) // 3)))


def _slices(images: Images) -> list[Images]:
    """Images by what they say of their slice."""
    slices: dict[str, Images] = {}
    for image in images:
        slices.setdefault(str(image.get("ImagePositionPatient")), []).append(image)
    return list(slices.values())


def _copy(image: Dataset) -> Dataset:
    copy = Dataset()
    copy.update(image)
    return copy


def drop_images(images: Images, rng: random.Random) -> Images:
    """Lose images here and there."""
    lost = _some(images, rng)
    return [image for image in images if not any(image is one for one in lost)]


def drop_slice(images: Images, rng: random.Random) -> Images:
    """Lose a slice."""
    lost = rng.choice(_slices(images))
    return [image for image in images if not any(image is one for one in lost)]


def copy_images(images: Images, rng: random.Random) -> Images:
    """Put files there twice."""
    return [*images, *(_copy(image) for image in _some(images, rng))]


def repeat_slice(images: Images, rng: random.Random) -> Images:
    """Repeat a breath-hold: later series, other UIDs, the same place."""
    again = [_copy(image) for image in rng.choice(_slices(images))]
    for image in again:
        image.SOPInstanceUID = f"{image.get('SOPInstanceUID', '1.9')}.9"
        image.SeriesInstanceUID, image.SeriesNumber = "1.2.3.99", 12
    return [*images, *again]


def series_of_slices(images: Images, rng: random.Random) -> Images:
    """Make a series of every slice."""
    for z, slice_ in enumerate(_slices(images)):
        for image in slice_:
            image.SeriesInstanceUID, image.SeriesNumber = f"1.2.3.4.{z + 1}", 7 + z
    return images


def series_of_phases(images: Images, rng: random.Random) -> Images:
    """Make a series of every phase."""
    for image in images:
        image.SeriesInstanceUID = f"1.2.3.4.{image.get('TemporalPositionIdentifier', 1)}"
    return images


def frame_of_reference_per_file(images: Images, rng: random.Random) -> Images:
    """Give every file a frame of reference of its own."""
    for k, image in enumerate(images):
        image.FrameOfReferenceUID = f"1.2.4.{k + 1}"
    return images


def rounded_orientation(images: Images, rng: random.Random) -> Images:
    """Round some orientation strings."""
    for image in _some(images, rng):
        if "ImageOrientationPatient" in image:
            image.ImageOrientationPatient = [f"{float(v):.4f}" for v in image.ImageOrientationPatient]
    return images


def tilted_slice(images: Images, rng: random.Random) -> Images:
    """Tilt a slice against the others."""
    angle = np.deg2rad(rng.uniform(0.5, 20))
    for image in rng.choice(_slices(images)):
        if "ImageOrientationPatient" in image:
            x, y = (
                np.array(image.ImageOrientationPatient[:3], float),
                np.array(image.ImageOrientationPatient[3:], float),
            )
            image.ImageOrientationPatient = [
                round(float(v), 6) for v in (*x, *(np.cos(angle) * y + np.sin(angle) * np.cross(x, y)))
            ]
    return images


def moved_slice(images: Images, rng: random.Random) -> Images:
    """Move a slice from where its neighbours make believe."""
    move = [rng.uniform(-15, 15) for _ in range(3)]
    for image in rng.choice(_slices(images)):
        if "ImagePositionPatient" in image:
            image.ImagePositionPatient = [
                round(float(a) + b, 3) for a, b in zip(image.ImagePositionPatient, move, strict=True)
            ]
    return images


def other_matrix(images: Images, rng: random.Random) -> Images:
    """Give a slice another matrix."""
    shape = rng.randint(4, 12), rng.randint(4, 12)
    for image in rng.choice(_slices(images)):
        _set_pixels(image, np.full(shape, _number_of(image), np.uint16))
    return images


def other_spacing(images: Images, rng: random.Random) -> Images:
    """Give a slice another pixel spacing."""
    spacing = [rng.choice([0.7, 1.5, 1.52, 2.5]), rng.choice([0.7, 1.5, 1.52, 2.5])]
    for image in rng.choice(_slices(images)):
        image.PixelSpacing = spacing
    return images


def odd_trigger_times(images: Images, rng: random.Random) -> Images:
    """Make trigger times absent, all zero, Philips' scan times, shifted between slices, or not numbers."""
    kind = rng.choice(["absent", "zero", "scan time", "shifted", "words", "some absent", "negative"])
    for k, image in enumerate(images):
        if kind == "absent" or (kind == "some absent" and rng.random() < 0.3):
            image.pop("TriggerTime", None)
            continue
        value = {
            "zero": "0",
            "scan time": str(308000 * (k % 5)),
            "shifted": str(float(image.get("TriggerTime") or 0) + 7 * (k % 3)) if _is_number(image) else "0",
            "words": "abc",
            "negative": str(-k),
        }.get(kind, "0")
        set_text(image, "TriggerTime", value)
    return images


def _is_number(image: Dataset) -> bool:
    try:
        float(image.get("TriggerTime") or 0)
    except (TypeError, ValueError):
        return False
    return True


def odd_beats(images: Images, rng: random.Random) -> Images:
    """State lengths of the beat that are not believable, or differ from slice to slice."""
    for slice_ in _slices(images):
        rr = rng.choice(["0", "1", "50000", "650", "910", "-4", "x"])
        for image in slice_:
            set_text(image, "NominalInterval", rr)
            if rng.random() < 0.1:
                image.HeartRate = rng.choice(["0", "60", "9999"])
    return images


def random_numbers(images: Images, rng: random.Random) -> Images:
    """Give the instances random numbers."""
    numbers = [rng.randint(0, 50) for _ in images]
    for image, number in zip(images, numbers, strict=True):
        image.InstanceNumber = number
    return images


def missing_attributes(images: Images, rng: random.Random) -> Images:
    """Leave attributes out in some or all files."""
    names = rng.sample(
        [
            "ImagePositionPatient",
            "ImageOrientationPatient",
            "PixelSpacing",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "SOPInstanceUID",
            "SOPClassUID",
            "InstanceNumber",
            "SeriesNumber",
            "SeriesDescription",
            "TemporalPositionIdentifier",
            "AcquisitionTime",
            "NominalInterval",
            "Modality",
            "PhotometricInterpretation",
            "SamplesPerPixel",
            "PixelRepresentation",
            "BitsStored",
            "Rows",
        ],
        rng.randint(1, 4),
    )
    for image in images if rng.random() < 0.5 else _some(images, rng):
        for name in names:
            image.pop(name, None)
    return images


def odd_values(images: Images, rng: random.Random) -> Images:
    """Write values that cannot be."""
    name, value = rng.choice(
        [
            ("ImagePositionPatient", ["1e9", "0", "0"]),
            ("ImagePositionPatient", ["nan", "0", "0"]),
            ("ImagePositionPatient", ["1", "2"]),
            ("ImagePositionPatient", "a"),
            ("ImageOrientationPatient", ["0"] * 6),
            ("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"]),
            ("ImageOrientationPatient", ["1", "0", "0", "0", "1"]),
            ("ImageOrientationPatient", ["inf", "0", "0", "0", "1", "0"]),
            ("PixelSpacing", ["0", "0"]),
            ("PixelSpacing", ["-1", "1"]),
            ("PixelSpacing", ["nan", "1"]),
            ("PixelSpacing", "1.5"),
            ("PixelSpacing", ["1000", "1000"]),
            ("RescaleSlope", "0"),
            ("RescaleSlope", "nan"),
            ("RescaleSlope", "1e38"),
            ("RescaleIntercept", "x"),
            ("NumberOfFrames", "3"),
            ("NumberOfFrames", "0"),
            ("NumberOfFrames", "-1"),
            ("NumberOfFrames", "100000"),
            ("PatientAge", "old"),
            ("PatientSize", "170"),
            ("AcquisitionTime", "99:99"),
            ("SeriesNumber", "1.5"),
            ("SeriesNumber", "99999999999"),
            ("InstanceNumber", "x"),
            ("Modality", "CT"),
            ("PhotometricInterpretation", "RGB"),
            ("TemporalPositionIdentifier", "x"),
        ]
    )
    for image in images if rng.random() < 0.3 else _some(images, rng):
        set_text(image, name, value)
    return images


def set_text(image: Dataset, name: str, value: str | Sequence[str]) -> None:
    """Set an attribute to any text, also where a number belongs: it is written without saying what it is."""
    image[name] = pydicom.DataElement(name, "LO", value)


def _number_of(image: Dataset) -> int:
    return int(image.InstanceNumber) if str(image.get("InstanceNumber", "")).isdigit() else 1


def odd_pixel_numbers(images: Images, rng: random.Random) -> Images:
    """State bits and sizes that do not fit the pixels."""
    name = rng.choice(["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"])
    value = rng.choice([0, 1, 7, 8, 12, 16, 32, 64, 8193, 65535])
    for image in images if rng.random() < 0.3 else _some(images, rng):
        setattr(image, name, value)
    return images


def rescaled(images: Images, rng: random.Random) -> Images:
    """Store numbers that are meant otherwise: rescaled, inverted, signed, of 8 bits."""
    kind = rng.choice(["rescale", "inverse", "signed", "bytes", "shape"])
    for k, image in enumerate(images):
        if kind == "rescale":
            image.RescaleSlope, image.RescaleIntercept = "2.5", str(-3 * (k % 2))
        elif kind == "inverse":
            image.PhotometricInterpretation = "MONOCHROME1"
        elif kind == "shape":
            image.PresentationLUTShape = "INVERSE"
        else:
            dtype = np.int16 if kind == "signed" else np.uint8
            _set_pixels(image, np.full((N_PIXELS, N_PIXELS), k % 100 - (50 if kind == "signed" else 0), dtype))
    return images


def second_study(images: Images, rng: random.Random) -> Images:
    """Mix in images of another examination."""
    for image in _some(images, rng):
        image.StudyInstanceUID = "1.2.77"
    return images


def other_planes(images: Images, rng: random.Random) -> Images:
    """Turn slices into planes across the stack: long axes, by names true or false."""
    slices = _slices(images)
    for slice_ in rng.sample(slices, min(len(slices), rng.randint(1, 3))):
        name = rng.choice(["4CH", "2CH", "3ch lvot", "RVOT", "", "T1 map"])
        for image in slice_:
            image.SeriesDescription = name
            if "ImageOrientationPatient" in image:
                x = [float(v) for v in image.ImageOrientationPatient]
                image.ImageOrientationPatient = [*x[3:], *[float(v) for v in -np.cross(x[:3], x[3:])]]
    return images


def maps(images: Images, rng: random.Random) -> Images:
    """Make maps: images that differ in inversion or echo time."""
    name = rng.choice(["InversionTime", "EchoTime"])
    for k, image in enumerate(images):
        setattr(image, name, str(20 * k))
    return images


FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        drop_images,
        drop_slice,
        copy_images,
        repeat_slice,
        series_of_slices,
        series_of_phases,
        frame_of_reference_per_file,
        rounded_orientation,
        tilted_slice,
        moved_slice,
        other_matrix,
        other_spacing,
        odd_trigger_times,
        odd_beats,
        random_numbers,
        missing_attributes,
        odd_values,
        odd_pixel_numbers,
        rescaled,
        second_study,
        other_planes,
        maps,
    )
}

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
    """Make text of all that stands where :func:`set_text` wrote; a later fault may have put a number there."""
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
    data = _copy(images[0])
    data.SOPClassUID = EnhancedMRImageStorage
    first = [image for image in images if len(image.PixelData) == len(images[0].PixelData)]
    frames = []
    for image in first:
        group = Dataset()
        group.PlanePositionSequence = [_item(image, "ImagePositionPatient")]
        group.PlaneOrientationSequence = [_item(image, "ImageOrientationPatient")]
        group.PixelMeasuresSequence = [_item(image, "PixelSpacing")]
        beat = Dataset()
        if _is_number(image) and "TriggerTime" in image:
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


# ------------------------------------------------------------------------------------------------ mutated real files


def real_sets() -> dict[str, list[Path]]:
    """Small sets of real files that are opened together, by name."""
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


# --------------------------------------------------------------------------------------------------- what must hold


def run_case(places: Path | list[Path]) -> Counter[str]:
    """Open a case and compare what comes with the files.

    Returns
    -------
    How it ended: ``opened`` or the reason of the refusal, and the reasons for which files were left out.

    Raises
    ------
    Disagreement
        If a cine does not show what its files say.
    Exception
        Whatever the importer raised that is no :class:`CinemaError`: a crash.
    """
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    outcome: Counter[str] = Counter()
    try:
        study = load_study(places)
    except CinemaError as error:
        text = str(error)
        if "\n" in text or len(text) < 20:
            raise Disagreement(f"an error that does not explain: {text!r}") from error
        outcome[f"refused: {_reason(text, places)}"] += 1
        return outcome
    finally:
        faulthandler.cancel_dump_traceback_later()
    outcome["opened"] += 1
    if study.report.refused:
        outcome["opened, with files left out"] += 1
    for file in study.report.refused:
        outcome[f"file: {_reason(file.reason, places)}"] += 1
    agree(study)
    return outcome


def agree(study: Study) -> None:
    """Compare every cine of a study with its files, read another way; raise :class:`Disagreement` if they differ."""
    json.dumps(study.to_json(), allow_nan=False)
    for cine in study.cines:
        if not np.isfinite(cine.pixels).all():
            raise Disagreement(f"{cine.id}: pixels that are not numbers")
        if cine.geometry.spacing_is_stated and cine.n_slices > 1 and not np.all(np.diff(cine.geometry.positions_mm)):
            raise Disagreement(f"{cine.id}: two slices at one place")
        (_agree_dicom if cine.sources else _agree_nifti)(cine, study.path)


def _agree_nifti(cine: Cine, path: Path) -> None:
    files = [path] if path.is_file() else sorted(path.iterdir())
    if is_itk_image(files[0]):
        image = sitk.ReadImage(str(files[0]))
        for z in range(cine.n_slices):
            index = (0, 0, z, 0)[: image.GetDimension()]
            place = np.array(image.TransformIndexToPhysicalPoint(index)[:3])
            if not np.allclose(cine.geometry.planes[z].origin_mm, place, atol=1e-2, rtol=1e-5):
                raise Disagreement(f"{cine.id}: slice {z + 1} does not lie where its file says")
        return
    affine = np.asarray(nib.load(files[0]).affine, dtype=np.float64)
    for z in range(cine.n_slices):
        expected = affine @ [0, 0, z, 1]
        found = cine.geometry.planes[z].origin_mm * [-1, -1, 1]
        if not np.allclose(found, expected[:3], atol=1e-2, rtol=1e-5):
            raise Disagreement(f"{cine.id}: slice {z + 1} lies at {found}, not at {expected[:3]}")


def _agree_dicom(cine: Cine, path: Path) -> None:
    opened: dict[Path, Dataset] = {}
    triggers: dict[int, list[float]] = {}
    for t in range(cine.n_phases):
        for z in range(cine.n_slices):
            source = cine.sources.get((t, z))
            if (source is None) != ((t, z) in cine.missing):
                raise Disagreement(f"{cine.id}: an image without a file, or a file without an image")
            if source is None:
                if cine.pixels[t, z].any():
                    raise Disagreement(f"{cine.id}: pixels where there is no image")
                continue
            if source.path not in opened:
                opened[source.path] = _read(source.path)
            data = opened[source.path]
            _agree_image(cine, t, z, data, source.frame)
            if "TriggerTime" in data and cine.timing.order_rule == "trigger time":
                triggers.setdefault(z, []).append(float(data.TriggerTime))
    for z, times in triggers.items():
        # Of a slice with fewer phases the first may show again at the end: it is the nearest in the cycle.
        descents = [t for t in range(1, len(times)) if times[t] < times[t - 1]]
        if len(descents) > 1 or (descents and times[-1] > times[0]):
            raise Disagreement(f"{cine.id}: phases of slice {z + 1} are not in the order of their trigger times")


def _read(path: Path) -> Dataset:
    for parent in path.parents:
        if parent.suffix == ".zip":
            with zipfile.ZipFile(parent) as archive:
                stream = io.BytesIO(archive.read(path.relative_to(parent).as_posix()))
            break
    else:
        stream = io.BytesIO(path.read_bytes())
    with tolerant_pydicom():
        return read_dataset(stream)


def _agree_image(cine: Cine, t: int, z: int, data: Dataset, frame: int) -> None:
    plane, where = cine.geometry.planes[z], f"{cine.id}: slice {z + 1}, phase {t + 1}"
    rows, columns = cine.image_extent(z)
    if (rows, columns) != (int(data.Rows), int(data.Columns)):
        raise Disagreement(f"{where}: {rows} x {columns} is not the size of the file")
    groups = data.get("PerFrameFunctionalGroupsSequence") or []
    group = groups[frame] if frame < len(groups) and len(groups[frame]) else None
    with tolerant_pydicom():
        if not cine.geometry.spacing_is_stated:
            if group is None and "PixelSpacing" in data and "ImagePositionPatient" in data:
                raise Disagreement(f"{where}: geometry that the file states is lost")
        else:
            position = group.PlanePositionSequence[0] if group is not None else data
            orientation = group.PlaneOrientationSequence[0] if group is not None else data
            measures = group.PixelMeasuresSequence[0] if group is not None else data
            stated = np.array([float(v) for v in position.ImagePositionPatient])
            axes = np.array([float(v) for v in orientation.ImageOrientationPatient])
            if np.linalg.norm(stated - plane.origin_mm) > PLACE_MM:
                raise Disagreement(f"{where}: lies at {plane.origin_mm}, not at {stated}")
            angles = [axes[:3] @ plane.x_direction, axes[3:] @ plane.y_direction]
            if min(angles) < 0.95 * np.cos(np.deg2rad(2.0)):
                raise Disagreement(f"{where}: turned against its file")
            if not np.allclose([float(v) for v in measures.PixelSpacing], plane.spacing_mm, atol=2e-3):
                raise Disagreement(f"{where}: spacing {plane.spacing_mm} is not that of the file")
        stored = data.pixel_array
        stored = stored[frame] if stored.ndim == 3 else stored
        if data.get("PhotometricInterpretation") == "MONOCHROME1" or data.get("PresentationLUTShape") == "INVERSE":
            return  # inversion has tests of its own
        meant = stored * float(data.get("RescaleSlope") or 1) + float(data.get("RescaleIntercept") or 0)
    if not np.allclose(cine.pixels[t, z, :rows, :columns], meant.astype(np.float32), rtol=1e-5):
        raise Disagreement(f"{where}: pixels are not those of the file")


def _reason(text: str, places: Path | list[Path]) -> str:
    """Reason without names and numbers, so that equal ones count together."""
    folder = places if isinstance(places, Path) else places[0].parent if places else Path(tempfile.gettempdir())
    text = text.replace(str(folder), "PATH").replace(tempfile.gettempdir(), "TMP")
    text = re.sub(r"(PATH|TMP)[^\s:,]*", "PATH", text)
    text = re.sub(r"study-[0-9a-f]+.*", "...", text)
    # What a library says of damaged bytes is in brackets or behind a colon, and differs every time.
    text = re.sub(r"\((Error|CRC|File|Compressed|[A-Za-z ]*header)[^)]*\)?.*", "(...)", text)
    return re.sub(r"-?\d+(\.\d+)?(e[+-]?\d+)?", "N", text).split(". ")[0][:110]


# --------------------------------------------------------------------------------------------------------- the run


def run_synthetic(n_cases: int, *, repeatable: bool, count: Counter[str]) -> None:
    """Run synthetic cases that hypothesis draws, and count how they end."""

    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        derandomize=repeatable,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        kind=st.sampled_from(KINDS),
        faults=st.lists(st.sampled_from(sorted(FAULTS)), max_size=4),
        n_slices=st.integers(1, 6),
        n_phases=st.integers(1, 6),
        seed=st.integers(0, 2**32),
    )
    def case(kind: str, faults: list[str], n_slices: int, n_phases: int, seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder, tolerant_pydicom():
            places = write_case(Path(folder), kind, faults, n_slices, n_phases, random.Random(seed))
            count.update(run_case(places))

    case()


def run_mutated(n_cases: int, seed: int, count: Counter[str]) -> None:
    """Run cases of real files with changed bytes, and count how they end."""
    sets = {name: [_real_file(path) for path in paths] for name, paths in real_sets().items()}
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
    for k in range(n_cases):
        rng = random.Random(f"{seed}/{k}")
        name = rng.choice(sorted(sets))
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            victims = set(rng.sample(range(len(sets[name])), rng.randint(1, min(3, len(sets[name])))))
            for n, (file, blob) in enumerate(sets[name]):
                (folder / file).write_bytes(mutate(blob, rng) if n in victims else blob)
            try:
                count.update(run_case(folder / sets[name][0][0] if len(sets[name]) == 1 else folder))
            except Exception as error:
                kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / "case"
                shutil.copytree(folder, kept)
                error.add_note(f"Case {k} of seed {seed} ({name}); its files are kept in {kept}.")
                raise


def _as_itk(nifti: bytes, suffix: str) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.nii").write_bytes(nifti)
        sitk.WriteImage(sitk.ReadImage(str(Path(folder) / "x.nii")), str(Path(folder) / f"x{suffix}"))
        return [(f"x{suffix}", (Path(folder) / f"x{suffix}").read_bytes())]


def _real_file(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def main() -> None:
    """Run the cases and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    synthetic: Counter[str] = Counter()
    mutated: Counter[str] = Counter()
    run_synthetic(arguments.cases // 2, repeatable=False, count=synthetic)
    run_mutated(arguments.cases - arguments.cases // 2, arguments.seed, mutated)
    figures = [
        Figure(f"{name}: {outcome}", str(n))
        for name, counts in (("synthetic", synthetic), ("mutated", mutated))
        for outcome, n in counts.most_common()
    ]
    print_table(
        f"{arguments.cases} broken studies, no crash, no hang, no wrong geometry ({time.perf_counter() - start:.0f} s)",
        figures,
    )


if __name__ == "__main__":
    main()
