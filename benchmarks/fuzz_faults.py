"""Synthetic studies and the faults that scanners, archives and anonymisers make in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

N_PIXELS: Final = 8

Images = list[Dataset]
Fault = Callable[[Images, random.Random], Images]


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


def copy_of(image: Dataset) -> Dataset:
    """Copy the attributes of an image, to change those of one."""
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
    return [*images, *(copy_of(image) for image in _some(images, rng))]


def repeat_slice(images: Images, rng: random.Random) -> Images:
    """Repeat a breath-hold: later series, other UIDs, the same place."""
    again = [copy_of(image) for image in rng.choice(_slices(images))]
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
            "shifted": str(float(image.get("TriggerTime") or 0) + 7 * (k % 3)) if trigger_is_number(image) else "0",
            "words": "abc",
            "negative": str(-k),
        }.get(kind, "0")
        set_text(image, "TriggerTime", value)
    return images


def trigger_is_number(image: Dataset) -> bool:
    """Whether the trigger time of an image is a number, or absent."""
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
