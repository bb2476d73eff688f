"""Segment a cine: find the heart, go to the model's grid, ask the network, come back to the study's own slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core.anatomy import FOREGROUND
from cinema_core.cards import BUNDLED, ModelCard
from cinema_core.cine import Cine, Geometry, View
from cinema_core.errors import PhaseError, StudyError
from cinema_core.geometry import GridMap, grid_map, scale_frames
from cinema_core.localise import find_heart
from cinema_core.measure.volumes import VolumeCurves, volume_curves
from cinema_core.mirror_answers import MirrorAnswers
from cinema_core.model_config import mirrors
from cinema_core.models import zoo
from cinema_core.models.ensemble import Ensemble
from cinema_core.models.zoo import LoadedModel, ViewSettings, short_axis_grid
from cinema_core.predict.disagreement import compare_mirrors
from cinema_core.predict.forward import WindowedNetwork, all_probabilities
from cinema_core.predict.postprocess import label_frame
from cinema_core.predict.uncertainty import doubt
from cinema_core.progress import CancelToken, Progress, no_progress

SAX: Final = View.SAX.value

FORWARD_STARTS_AT: Final = 0.05
"""Share of the progress bar for loading the model and finding the heart."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a model drew on a cine.

    Attributes
    ----------
    labels
        uint8, shape (t, z, y, x), on the study's own grid; 0 on phases that were not segmented.
    uncertainty
        float32, shape (t, z), 0 (sure) to 1; NaN on phases that were not segmented.
    structure_uncertainty
        The same over RV, myocardium and LV alone, shape (t, z, 3).
    mirrors
        How differently the model drew the mirror images. None of a model that is shown none.
    phases
        Frames that were segmented, from 0, ascending.
    geometry
        Planes of the study's own grid.
    card
        The model.
    phases_with_gaps
        Phases in which a slice has no image; its labels are 0, so these phases have no volume.
    """

    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    structure_uncertainty: NDArray[np.float32]
    mirrors: MirrorAnswers | None
    phases: tuple[int, ...]
    geometry: Geometry
    card: ModelCard
    phases_with_gaps: tuple[int, ...] = ()

    @cached_property
    def volumes(self) -> VolumeCurves:
        """Volumes of every segmented phase that has all its slices; NaN elsewhere.

        Raises
        ------
        GeometryError
            If the distance between slices is not known.
        """
        whole = [t for t in self.phases if t not in self.phases_with_gaps]
        return volume_curves(self.labels, self.geometry, whole)


def segment_cine(
    cine: Cine,
    model: str | Path | LoadedModel = BUNDLED,
    device: str = "auto",
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
    phases: Iterable[int] | None = None,
    project_models: Path | None = None,
) -> Segmentation:
    """Draw RV, myocardium and LV on every slice of the phases.

    The heart is found by its motion and cut out at the model's spacing. A model that looks at one slice at a
    time is shown the study's own slices; one that looks at a stack gets it resampled to the slice distance it
    knows. Probabilities, not labels, are brought back, so that borders fall between pixels where they should.

    Parameters
    ----------
    cine
        Short-axis cine.
    model
        Name, folder or file (see :func:`cinema_core.cards.resolve_model`), or a model that is loaded already; that
        one is moved to the device.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    phases
        Frames to segment, from 0; None for all.
    project_models
        Folder of the project's versions, for their names.

    Raises
    ------
    StudyError
        If the cine is not a short axis, or holds values that are no numbers.
    PhaseError
        If a phase lies outside the cine.
    CheckpointError
        If the model cannot be loaded, or does not segment the short axis.
    Cancelled
        If ``cancel`` was raised; it is looked at before each batch.
    """
    chosen = _checked_phases(cine, phases)
    _check_cine(cine, chosen)
    progress(0.0, "Loading the model")
    loaded = model if isinstance(model, LoadedModel) else zoo.load(model, device=device, project_models=project_models)
    grid = short_axis_grid(loaded)
    loaded.network.to(zoo.choose_device(device)).eval()

    progress(FORWARD_STARTS_AT / 2, "Finding the heart")
    shown = cine.for_model()
    to_grid = grid_about_heart(shown, grid)
    frames = scale_frames(shown.pixels[list(chosen)])  # (phases, z, y, x)

    def on_batch(share: float) -> None:
        if cancel is not None:
            cancel.raise_if_cancelled()
        n_done = int(share * len(chosen))
        fraction = FORWARD_STARTS_AT + (1 - FORWARD_STARTS_AT) * share
        progress(fraction, f"Segmenting phase {n_done + 1} of {len(chosen)}")

    labels = np.zeros(cine.shape, dtype=np.uint8)
    uncertainty = np.full(cine.shape[:2], np.nan, dtype=np.float32)
    by_structure = np.full((*cine.shape[:2], len(FOREGROUND)), np.nan, dtype=np.float32)
    spacing = cine.geometry.pixel_spacing_mm
    compared = MirrorAnswers.unknown(*cine.shape[:2])
    per_pixel = grid.spacing_mm[0] * grid.spacing_mm[1] / (spacing[0] * spacing[1])  # areas on the cine's own grid
    members = loaded.network.networks if isinstance(loaded.network, Ensemble) else [loaded.network]
    shown_as = mirrors(loaded.config)
    is_mirrored = len(set(shown_as)) > 1
    networks = [
        WindowedNetwork(member, SAX, grid.patch_size[2], mirrored) for mirrored in shown_as for member in members
    ]
    found = all_probabilities(networks, to_grid.to_model(frames), on_batch)
    for t, frame, of_networks in zip(chosen, frames, found, strict=True):
        if not frame.any():  # one grey all over: there is nothing to see, whatever the network makes of it
            uncertainty[t] = by_structure[t] = compared.values[t] = 0
            continue
        answers = _mean_of_members(of_networks, len(members))
        probabilities = to_grid.to_native(np.mean(answers, axis=0))  # (c, z, y, x)
        labels[t] = label_frame(probabilities, spacing)
        uncertainty[t], by_structure[t] = doubt(probabilities, spacing[0] * spacing[1])
        if is_mirrored:
            compared.values[t] = _on_own_slices(to_grid.from_z @ compare_mirrors(answers), per_pixel)
    if cine.apex_first:
        labels, uncertainty = labels[:, ::-1].copy(), uncertainty[:, ::-1].copy()
        by_structure, compared = by_structure[:, ::-1].copy(), MirrorAnswers(compared.values[:, ::-1].copy())
    for where in cine.missing:
        labels[where], uncertainty[where], by_structure[where], compared.values[where] = 0, np.nan, np.nan, np.nan
    for z in range(cine.n_slices):
        rows, columns = cine.image_extent(z)
        labels[:, z, rows:], labels[:, z, :, columns:] = 0, 0
    progress(1.0, f"Segmented {len(chosen)} phases")
    return Segmentation(
        labels,
        uncertainty,
        by_structure,
        compared if is_mirrored else None,
        chosen,
        cine.geometry,
        loaded.card,
        cine.phases_with_gaps,
    )


def _on_own_slices(compared: NDArray[np.floating], per_pixel: float) -> NDArray[np.floating]:
    """Bring a comparison (z, 3) from pixels of the model to those of the cine; between slices weights may overshoot."""
    disagreement, spreads = compared[:, :1], compared[:, 1:]
    return np.concatenate([np.clip(disagreement, 0, 1), np.maximum(spreads, 0) * per_pixel], axis=1)


def _mean_of_members(found: Sequence[NDArray[np.float32]], n_members: int) -> list[NDArray[np.float32]]:
    """Mean over an ensemble's members of what they say to each mirror image, those of one image next to each other."""
    if n_members == 1:
        return list(found)
    return [np.mean(found[k : k + n_members], axis=0) for k in range(0, len(found), n_members)]


def grid_about_heart(cine: Cine, grid: ViewSettings) -> GridMap:
    """Map between a cine and the grid of a model, centred on the heart that is found by its motion."""
    _, n_slices, rows, columns = cine.shape
    x_mm, y_mm, z_mm = grid.spacing_mm
    return grid_map(
        cine.geometry,
        (n_slices, rows, columns),
        find_heart(cine).centre_yx,
        (x_mm, y_mm, z_mm),
        (grid.patch_size[0], grid.patch_size[1]),
        keep_slices=grid.patch_size[2] == 1,
    )


def _checked_phases(cine: Cine, phases: Iterable[int] | None) -> tuple[int, ...]:
    if phases is None:
        return tuple(range(cine.n_phases))
    chosen = tuple(sorted({int(t) for t in phases}))
    outside = [t for t in chosen if not 0 <= t < cine.n_phases]
    if outside or not chosen:
        asked = f"Phase {outside[0] + 1} was asked for" if outside else "No phase was asked for"
        raise PhaseError(f"{asked}; the cine {cine.id} has phases 1 to {cine.n_phases}. Choose among those.")
    return chosen


def _check_cine(cine: Cine, phases: tuple[int, ...]) -> None:
    if cine.view is not View.SAX:
        raise StudyError(
            f"The cine {cine.id} is taken as {cine.view.display_name.lower()}; only the short axis can be segmented. "
            "Choose the short-axis cine, or set its view if it was misjudged."
        )
    for t in phases:
        if not np.isfinite(cine.pixels[t]).all():
            raise StudyError(
                f"Phase {t + 1} of the cine {cine.id} holds values that are no numbers (NaN or infinite). "
                "Export the study again."
            )
