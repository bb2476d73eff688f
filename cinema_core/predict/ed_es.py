"""Find end-diastole and end-systole of a cine without segmenting all of it."""

from __future__ import annotations

from pathlib import Path

from cinema_core.anatomy import Structure
from cinema_core.cards import BUNDLED
from cinema_core.cine import Cine
from cinema_core.errors import PhaseError
from cinema_core.models.zoo import LoadedModel
from cinema_core.predict.segment import segment_cine
from cinema_core.progress import CancelToken, Progress, no_progress


def find_ed_es(
    cine: Cine,
    model: str | Path | LoadedModel = BUNDLED,
    device: str = "auto",
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> tuple[int, int]:
    """Phases in which the LV cavity is largest and smallest; named phases are taken by their names.

    Only the middle third of the slices is segmented: there every phase shows a whole ring, and base and apex,
    which move through their planes, say little about when the cavity is smallest. With a model that looks at one
    slice at a time this costs a third of segmenting everything.

    Parameters
    ----------
    cine
        Short-axis cine, or a pair.
    model, device
        As for :func:`~cinema_core.predict.segment.segment_cine`.

    Returns
    -------
    tuple of int
        ED and ES, frame indices from 0.

    Raises
    ------
    PhaseError
        If there is one phase only, or no LV cavity that changes was found.
    """
    if {"ed", "es"} <= set(cine.phase_names):
        return cine.phase_names.index("ed"), cine.phase_names.index("es")
    if cine.n_phases < 2:
        raise PhaseError(
            f"The cine {cine.id} has one phase; ED and ES need two. Choose a cine, or give a pair of files."
        )
    whole = [t for t in range(cine.n_phases) if t not in cine.phases_with_gaps]
    if len(whole) < 2:
        raise PhaseError(f"The cine {cine.id} has images missing at all phases but {len(whole)}. Copy the study again.")
    found = segment_cine(_middle_third(cine), model, device, progress, cancel, whole)
    cavity_px = (found.labels[whole] == Structure.LV_CAVITY).sum(axis=(1, 2, 3))  # (t, z, y, x) -> (t,)
    ed, es = whole[int(cavity_px.argmax())], whole[int(cavity_px.argmin())]
    if ed == es or cavity_px.min() == 0:
        raise PhaseError(
            f"ED and ES of the cine {cine.id} were not found: the model sees no LV cavity on "
            f"{int((cavity_px == 0).sum())} of {len(whole)} phases. Segment all phases and set them by hand."
        )
    return ed, es


def study_ed_es(
    cine: Cine,
    sax: Cine | None,
    device: str = "auto",
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> tuple[int, int]:
    """ED and ES of any cine: those of the short axis, carried to a long-axis cine by their share of the cycle.

    Parameters
    ----------
    cine
        The cine that is to be looked at.
    sax
        Short-axis cine of the same study, if there is one; it may be ``cine`` itself.

    Raises
    ------
    PhaseError
        If there is nothing to find them by.
    """
    if {"ed", "es"} <= set(cine.phase_names):
        return cine.phase_names.index("ed"), cine.phase_names.index("es")
    if sax is None or sax.n_phases < 2 or cine.n_phases < 2:
        raise PhaseError(
            f"ED and ES of the cine {cine.id} are found on a short-axis cine of the same study, and there is none. "
            "Say which phases they are with --ed-phase and --es-phase."
        )
    found = find_ed_es(sax, device=device, progress=progress, cancel=cancel)
    if cine is sax:
        return found
    ed, es = (round(t / sax.n_phases * cine.n_phases) % cine.n_phases for t in found)
    return ed, es


def _middle_third(cine: Cine) -> Cine:
    first = cine.n_slices // 3
    chosen = slice(first, max(first + 1, cine.n_slices - first))
    return cine.of_slices(chosen)
