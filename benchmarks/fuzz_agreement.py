"""What must hold when a broken study is opened: it agrees with its files, or an error says why it was refused."""

from __future__ import annotations

import faulthandler
import io
import json
import re
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Final

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset

from cinema_core.cine import Cine
from cinema_core.errors import CinemaError
from cinema_core.io import Study, load_study
from cinema_core.io.dicom_headers import read_dataset, tolerant_pydicom
from cinema_core.io.itk_images import is_itk_image

HANG_S: Final = 60.0
"""A case opens a few dozen small files, in a tenth of a second; one that takes this long hangs."""

PLACE_MM: Final = 0.11
"""Positions of one slice's files may differ by a tenth of a millimetre and are one place."""


class Disagreement(AssertionError):
    """A cine does not show what its files say."""


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
