"""The open reading as a row of the report."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import cinema_core
from cinema_core.anatomy import LabelState
from cinema_core.cards import ModelCard
from cinema_core.errors import InputError
from cinema_core.report import ReportRow, report_row

if TYPE_CHECKING:
    from cinema_app.reading import Reading


def report_of(reading: Reading) -> ReportRow:
    """Make the report's row from a reading as it is now.

    Raises
    ------
    InputError
        If nothing is measured yet.
    """
    function = reading.measure()
    if function is None or reading.study is None:
        raise InputError("There is nothing to report yet. Segment the cine first.")
    return report_row(
        reading.study.id,
        reading.cine,
        function,
        reader=reading.project.reader,
        status="approved" if reading.is_approved and reading.project.reader else "draft",
        corrected_slices=len(reading.slices_in(LabelState.CORRECTED)),
        accepted_slices=len(reading.slices_in(LabelState.ACCEPTED)),
        card=card_of_labels(reading),
        software_version=cinema_core.__version__,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def card_of_labels(reading: Reading) -> ModelCard:
    """Card of the model that drew most of the labels: it may have been replaced since."""
    drawn = Counter(sha for sha in reading.models_of_slices() if sha)
    by_sha = {card.sha256: card for card in reading.models()}
    for sha, _ in drawn.most_common():
        if sha in by_sha:
            return by_sha[sha]
    return reading.model_card
