"""Measure what a project keeps of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinema_core.cine import Cine
    from cinema_core.measure import VentricularFunction
    from cinema_core.project import StudySnapshot


def measure_snapshot(snapshot: StudySnapshot, cine: Cine) -> VentricularFunction:
    """Measure the phases that are labelled completely, with ED and ES as they were chosen.

    Raises
    ------
    InputError
        If the study cannot be measured as it is.
    """
    from cinema_core.cine import View
    from cinema_core.errors import PhaseError, StudyError
    from cinema_core.measure import ventricular_function

    if cine.view is not View.SAX:
        raise StudyError(f"Volumes come from the short axis; this is a cine of the view {cine.view.value}.")
    if not snapshot.labelled_phases:
        raise PhaseError("No phase has labels on all of its slices. Segment or draw the missing ones.")
    chosen = snapshot.phases
    return ventricular_function(
        snapshot.labels,
        cine,
        phases=snapshot.labelled_phases,
        ed_phase=chosen.ed_phase if chosen else None,
        es_phase=chosen.es_phase if chosen else None,
        rv_ed_phase=chosen.rv_ed_phase if chosen else None,
        rv_es_phase=chosen.rv_es_phase if chosen else None,
    )
