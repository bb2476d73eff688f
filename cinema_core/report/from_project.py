"""The result of a study in a project: the same labels, choices and approval give the same result at any time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cinema_core import __version__
from cinema_core.cards import ModelCard
from cinema_core.cine import Cine, View
from cinema_core.errors import PhaseError, StudyError
from cinema_core.measure.study_measures import StudyMeasures, study_measures
from cinema_core.project.export import StudySnapshot
from cinema_core.project.records import ApprovalRecord, EditSince
from cinema_core.report.result import Approval, Origin, Status, StudyResult, import_rules

NOT_AT_HAND: Final = "no longer at hand"
"""In place of the name of a model that is neither in the project nor on this computer."""


def project_result(
    snapshot: StudySnapshot,
    cine: Cine,
    cards: Sequence[ModelCard],
    *,
    notes: Iterable[str] = (),
    created_utc: str,
) -> StudyResult:
    """Measure a study of a project as its readers left it.

    Parameters
    ----------
    snapshot
        From :func:`~cinema_core.project.study_snapshot`.
    cine
        That the labels were drawn on.
    cards
        Of all models at hand, to name the one that drew the labels.
    notes
        Of the importer.
    created_utc
        ISO 8601; nothing else in the result changes from one time to the next.

    Raises
    ------
    StudyError
        If the cine is no short axis.
    PhaseError
        If no phase has a label on each slice.
    """
    measures = snapshot_measures(snapshot, cine)
    origin = Origin(
        software_version=__version__,
        created_utc=created_utc,
        card=_card(snapshot, cards),
        corrected_slices=snapshot.corrected_slices,
        accepted_slices=snapshot.accepted_slices,
        journal_position=snapshot.journal_position,
        import_rules=import_rules(notes, cine),
    )
    reported = _reported_phases(measures)
    return StudyResult(snapshot.study.study_id, cine, measures, origin, approval_state(snapshot.approval, reported))


def approval_state(record: ApprovalRecord | None, phases: tuple[int | None, ...]) -> Approval:
    """Whether an approval holds for what is reported now, and if not, why.

    Parameters
    ----------
    record
        Last approval; None if there was none.
    phases
        ED and ES of the LV, then of the RV, that are reported now.
    """
    if record is None:
        return Approval()
    when = datetime.fromisoformat(record.utc).strftime("%Y-%m-%d %H:%M UTC")
    was = f"{record.reader} approved on {when}"
    if record.edits:
        return Approval(reason=f"{was}; since then {_edits_in_words(record.edits)}. Approve again.")
    if record.phases != phases:
        return Approval(reason=f"{was}; since then other phases are ED or ES. Approve again.")
    if record.insertions_changed:
        return Approval(reason=f"{was}; since then insertion points of the RV were moved. Approve again.")
    if record.choices_changed:
        return Approval(reason=f"{was}; since then the person's data or the rules were changed. Approve again.")
    return Approval(Status.APPROVED, record.reader, record.utc, "")


def unread_uncertainty(
    uncertainty: NDArray[np.floating] | None, read: Iterable[tuple[int, int]]
) -> NDArray[np.floating] | None:
    """How unsure the model was, shape (t, z); NaN on the slices that a reader vouched for."""
    if uncertainty is None:
        return None
    unread = uncertainty.copy()
    for where in read:
        unread[where] = np.nan
    return unread


def snapshot_measures(snapshot: StudySnapshot, cine: Cine) -> StudyMeasures:
    """Measure the phases that are labelled completely, with ED and ES as they were chosen.

    Raises
    ------
    StudyError
        If the cine is no short axis.
    PhaseError
        If no phase has a label on each slice.
    """
    if cine.view is not View.SAX:
        raise StudyError(f"Volumes come from the short axis; this is a cine of the view {cine.view.value}.")
    if not snapshot.labelled_phases:
        raise PhaseError("No phase has labels on all of its slices. Segment or draw the missing ones.")
    chosen = snapshot.phases
    return study_measures(
        snapshot.labels,
        cine,
        phases=snapshot.labelled_phases,
        ed_phase=chosen.ed_phase if chosen else None,
        es_phase=chosen.es_phase if chosen else None,
        rv_ed_phase=chosen.rv_ed_phase if chosen else None,
        rv_es_phase=chosen.rv_es_phase if chosen else None,
        choices=snapshot.choices,
        uncertainty=unread_uncertainty(
            snapshot.uncertainty, (where for where, state in snapshot.states.items() if state.is_teaching)
        ),
        insertions=snapshot.insertions,
    )


def _reported_phases(measures: StudyMeasures) -> tuple[int | None, ...]:
    function = measures.function
    return function.ed_phase, function.es_phase, function.rv_ed_phase, function.rv_es_phase


def _edits_in_words(edits: Sequence[EditSince]) -> str:
    last = edits[-1]
    where = f"slice {last.z + 1} of phase {last.t + 1}"
    who = f" by {last.reader}" if last.reader else ""
    if len(edits) == 1:
        return f"{where} was edited{who}"
    return f"{len(edits)} slices were edited, last {where}{who}"


def _card(snapshot: StudySnapshot, cards: Sequence[ModelCard]) -> ModelCard | None:
    """Card of the weights that most labels came or started from; None if a hand drew all."""
    if not snapshot.label_models:
        return None
    sha256 = snapshot.label_models[0]
    # A model that was removed drew all the same; its hash is what is left of it.
    return next((card for card in cards if card.sha256 == sha256), ModelCard(name=NOT_AT_HAND, sha256=sha256))
