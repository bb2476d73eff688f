"""Measure a model on labelled cases: Dice, distance and ejection fraction, by one of two named protocols."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND, UNLABELLED, VENTRICLES, Structure
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import GeometryError, InputError, StorageError
from cinema_core.geometry import GridMap, grid_map, interpolation_matrix, scale_frames
from cinema_core.learn.scores import (
    SUMMARY_NAME,
    TABLE_NAME,
    THIRDS,
    CaseScore,
    Protocol,
    Summary,
    summarise,
    table,
)
from cinema_core.learn.windows import labels_on
from cinema_core.measure.agreement import dice, hd95_mm
from cinema_core.measure.volumes import volume_curves
from cinema_core.model_config import mirrors
from cinema_core.models.zoo import LoadedModel, short_axis_grid
from cinema_core.predict.forward import WindowedNetwork, mean_probabilities
from cinema_core.predict.segment import segment_cine
from cinema_core.progress import CancelToken, Progress, no_progress

Labels = NDArray[np.uint8]
Truth = tuple[Labels, Labels, tuple[float, float, float] | None]
"""Drawn and true labels (z, y, x) on one grid, and its spacing (z, y, x) in mm; None if the step is not known."""

REFERENCE_SPACING_MM: Final = (1.0, 1.0, 10.0)
"""Spacing (x, y, z) at which the published evaluation scores the short axis."""


def evaluate(
    cases: Sequence[TrainingCase],
    model: LoadedModel,
    out: Path,
    protocol: Protocol = Protocol.NATIVE,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Summary:
    """Draw every case, score it, and write ``cases.csv`` and ``summary.json``.

    Only voxels with a label are scored. A structure that the truth does not hold has no score; one that the
    model missed has Dice 0 and no distance. Volumes, and with them ejection fractions, need every voxel of a
    frame labelled.

    Parameters
    ----------
    cases
        Frames with their labels. ED and ES of a study are shown to the program together, as in a reading.
    model
        On the device that is to be used.
    out
        Folder; made if absent.

    Raises
    ------
    InputError
        If there is no case.
    CheckpointError
        If the model does not draw the short axis.
    GeometryError
        If ``reference`` is asked for and a study does not know its slice distance, or shows no LV.
    StorageError
        If the results cannot be written.
    Cancelled
        If ``cancel`` was raised.
    """
    if not cases:
        raise InputError("There is no labelled case to evaluate on. Add rows to the case list.")
    draw = {Protocol.NATIVE: _draw_native, Protocol.REFERENCE: _draw_reference}[protocol]
    studies = _studies(cases)
    scores: dict[str, CaseScore] = {}
    for done, study in enumerate(studies):
        progress(done / len(studies), f"Study {done + 1} of {len(studies)}")
        if cancel is not None:
            cancel.raise_if_cancelled()
        for case, found in zip(study, draw(study, model, cancel), strict=True):
            scores[case.case_id] = score_case(case, *found, protocol=protocol)
    ordered = [scores[case.case_id] for case in cases]
    summary = summarise(ordered, protocol)
    _write(out, {TABLE_NAME: table(ordered), SUMMARY_NAME: json.dumps(summary.to_json(), indent=2) + "\n"})
    progress(1.0, f"Evaluated {len(ordered)} cases")
    return summary


def score_case(
    case: TrainingCase,
    drawn: Labels,
    truth: Labels,
    spacing_mm: tuple[float, float, float] | None,
    *,
    protocol: Protocol,
) -> CaseScore:
    """Score one frame.

    Parameters
    ----------
    drawn, truth
        Shape (z, y, x) on one grid; 255 in the truth is not scored.
    spacing_mm
        Along z, y, x; None leaves distances and volumes unknown.
    """
    present = _structures_in(truth)
    whole = spacing_mm is not None and not bool((truth == UNLABELLED).any())

    def known(value: float) -> float | None:
        return None if np.isnan(value) else value

    def volume_ml(labels: Labels, structure: Structure) -> float | None:
        if not whole or spacing_mm is None:
            return None
        geometry = Geometry.from_affine(np.diag([*spacing_mm[::-1], 1.0]), len(labels))
        curves = volume_curves(labels[None], geometry)
        return float((curves.lv_ml if structure is Structure.LV_CAVITY else curves.rv_ml)[0])

    return CaseScore(
        case_id=case.case_id,
        study_id=case.study_id,
        patient=case.patient,
        phase=case.phase,
        protocol=protocol,
        n_slices=len(case.labelled_slices),
        dice={s: known(dice(drawn, truth, s)) if s in present else None for s in FOREGROUND},
        hd95_mm={
            s: known(hd95_mm(drawn, truth, s, spacing_mm)) if s in present and spacing_mm else None for s in FOREGROUND
        },
        drawn_ml={s: volume_ml(drawn, s) for s in VENTRICLES},
        true_ml={s: volume_ml(truth, s) for s in VENTRICLES},
        dice_by_third={
            third: {s: known(dice(drawn[slices], truth[slices], s)) for s in _structures_in(truth[slices])}
            for third, slices in thirds_of(truth).items()
        },
    )


def thirds_of(truth: Labels) -> dict[str, list[int]]:
    """Slices of the basal, middle and apical third of the LV, by :data:`THIRDS`; nothing if it shows on fewer than 3.

    The base is the end at which the labelled heart is larger: a file does not always say which way its stack runs.

    Parameters
    ----------
    truth
        Shape (z, y, x).
    """
    heart = [z for z, plane in enumerate(truth) if _shows_lv(plane)]
    if len(heart) < len(THIRDS):
        return {}
    area = [int(np.isin(truth[z], FOREGROUND).sum()) for z in heart]
    third = max(1, len(heart) // 3)
    if sum(area[:third]) < sum(area[-third:]):
        heart.reverse()
    parts = np.array_split(np.array(heart), len(THIRDS))
    return {name: [int(z) for z in part] for name, part in zip(THIRDS, parts, strict=True)}


def _shows_lv(plane: Labels) -> bool:
    return bool(np.isin(plane, (Structure.LV_CAVITY, Structure.LV_MYOCARDIUM)).any())


def _structures_in(truth: Labels) -> list[Structure]:
    return [structure for structure in FOREGROUND if bool((truth == structure).any())]


def _studies(cases: Sequence[TrainingCase]) -> list[list[TrainingCase]]:
    """Frames of one study and size together: their motion shows where the heart is."""
    studies: dict[tuple[str, tuple[int, ...]], list[TrainingCase]] = {}
    for case in cases:
        studies.setdefault((case.study_id, case.image.shape), []).append(case)
    return list(studies.values())


def _draw_native(study: Sequence[TrainingCase], model: LoadedModel, cancel: CancelToken | None) -> Iterator[Truth]:
    """Whole image in; the program finds the heart; the study's own grid."""
    first = study[0]
    cine = Cine(
        id="sax",
        pixels=np.stack([case.image for case in study]),
        geometry=first.geometry,
        view=View.SAX,
        phase_names=tuple(case.phase or case.case_id for case in study),  # not a whole cycle
    )
    found = segment_cine(cine, model, device=str(model.device), cancel=cancel)
    step = first.geometry.slice_step_mm
    spacing = None if step is None else (step, *first.geometry.pixel_spacing_mm)
    for case, drawn in zip(study, found.labels, strict=True):
        yield drawn, case.labels, spacing


def _draw_reference(study: Sequence[TrainingCase], model: LoadedModel, cancel: CancelToken | None) -> Iterator[Truth]:
    """As published: at 1 x 1 x 10 mm, cropped at the true LV of ED, without post-processing.

    A model of other pixels is shown the same crop at its own, and its answer is brought back to be scored.
    """
    grid = short_axis_grid(model)
    own_size = (grid.patch_size[0], grid.patch_size[1])
    columns, rows = (
        round(n * own / reference)
        for n, own, reference in zip(own_size, grid.spacing_mm, REFERENCE_SPACING_MM, strict=False)
    )
    to_grid = _grid_at_true_lv(study, (columns, rows))
    network = model.network.eval()
    networks = [WindowedNetwork(network, View.SAX.value, grid.patch_size[2], axes) for axes in mirrors(model.config)]
    cropped = to_grid.to_model(np.stack([case.image for case in study]))  # (t, x, y, z)
    frames = scale_frames(cropped)

    def on_batch(_share: float) -> None:
        if cancel is not None:
            cancel.raise_if_cancelled()

    own_frames = _of_size(frames, own_size)
    for case, probabilities in zip(study, mean_probabilities(networks, own_frames, on_batch), strict=True):
        drawn = _of_size(probabilities, (columns, rows)).argmax(axis=0).astype(np.uint8)  # (x, y, z)
        truth = labels_on(to_grid, case.labels)
        yield drawn.transpose(2, 1, 0), truth.transpose(2, 1, 0), REFERENCE_SPACING_MM[::-1]


def _of_size(stacks: NDArray[np.float32], size_xy: tuple[int, int]) -> NDArray[np.float32]:
    """Interpolate stacks (n, x, y, z) to other pixels of the same field, linearly."""
    for axis, size in enumerate(size_xy, start=1):
        n_from = stacks.shape[axis]
        if size != n_from:
            at = (np.arange(size) + 0.5) * n_from / size - 0.5
            matrix = interpolation_matrix(n_from, at, edge="hold")  # (to, from)
            stacks = np.moveaxis(np.tensordot(matrix, stacks, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(stacks)


def _grid_at_true_lv(study: Sequence[TrainingCase], size_xy: tuple[int, int]) -> GridMap:
    """Centre the window on the bounding box of the LV at ED (or on the first frame), within the image."""
    case = next((case for case in study if case.phase == "ed"), study[0])
    _, rows, columns = np.nonzero(case.labels == Structure.LV_CAVITY)
    if not rows.size:
        raise GeometryError(
            f"{case.case_id} shows no LV to crop at, as the protocol `reference` does. Use the protocol `native`."
        )
    if case.geometry.slice_step_mm is None:
        raise GeometryError(
            f"{case.case_id} does not know its slice distance, which the protocol `reference` resamples to 10 mm. "
            "Use the protocol `native`."
        )
    centre = (
        _window_centre(rows, case.image.shape[1], case.geometry.pixel_spacing_mm[0], size_xy[1]),
        _window_centre(columns, case.image.shape[2], case.geometry.pixel_spacing_mm[1], size_xy[0]),
    )
    return grid_map(case.geometry, case.image.shape, centre, REFERENCE_SPACING_MM, size_xy, keep_slices=False)


def _window_centre(inside: NDArray[np.intp], n_pixels: int, pixel_mm: float, window_mm: float) -> float:
    """Middle of the structure, moved so that the window stays within an image that is large enough."""
    middle = (float(inside.min()) + float(inside.max())) / 2
    half = (window_mm - 1) / 2 / pixel_mm
    if 2 * half > n_pixels - 1:
        return (n_pixels - 1) / 2
    return min(max(middle, half), n_pixels - 1 - half)


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all files or none."""
    partial: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / f".{name}.{uuid4().hex[:8]}"
            partial[path] = folder / name
            path.write_text(text, encoding="utf-8")
        for path, final in partial.items():
            os.replace(path, final)
    except OSError as error:
        for path in partial:
            path.unlink(missing_ok=True)
        raise StorageError(
            f"The evaluation could not be written to {folder}: {error.strerror or error}. "
            "Free some space or choose another folder."
        ) from error
