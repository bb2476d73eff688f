"""Results of a study in a project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cinema_core.anatomy import LabelState
from cinema_core.cards import ModelCard
from cinema_core.phantom import PhantomStudy
from cinema_core.project import StudyRecord, StudySnapshot
from cinema_core.report.from_project import NOT_AT_HAND, project_result

OTHER = ModelCard(name="other", sha256="o" * 64)


@pytest.fixture
def record(phantom_study: PhantomStudy) -> StudyRecord:
    cine, shape = phantom_study.cine, phantom_study.labels.shape
    return StudyRecord("study-1", "study-1", cine.content_sha256, Path("x"), cine.id, shape, cine.view, "2026-01-02")


def drawn_by(study: PhantomStudy, record: StudyRecord, *hashes: str) -> StudySnapshot:
    states = dict.fromkeys(np.ndindex(study.labels.shape[:2]), LabelState.PREDICTED)
    return StudySnapshot(record, study.labels, states, None, "model", hashes, 1)


def test_a_model_that_was_removed_is_still_what_drew(phantom_study: PhantomStudy, record: StudyRecord) -> None:
    cine = phantom_study.cine
    for hashes, expected in (
        (("g" * 64, OTHER.sha256), (NOT_AT_HAND, "g" * 64)),
        ((OTHER.sha256, "g" * 64), ("other", OTHER.sha256)),
    ):
        card = project_result(
            drawn_by(phantom_study, record, *hashes), cine, [OTHER], created_utc="2026-01-02T03:04:05+00:00"
        ).origin.card
        assert card is not None
        assert (card.name, card.sha256) == expected
    by_hand = project_result(drawn_by(phantom_study, record), cine, [OTHER], created_utc="2026-01-02T03:04:05+00:00")
    assert by_hand.origin.card is None
