"""The published model is offered in the window, and comes from the hub without holding anything up."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QApplication, QMessageBox

from cinema_app.downloads import OFFERED, Download
from cinema_app.news import Severity
from cinema_app.widgets.workspace import Workspace
from cinema_core.cards import resolve_model
from cinema_core.hub import is_at_hand

if TYPE_CHECKING:
    from hub_stand_in import HubStandIn


@pytest.fixture
def window(hub: HubStandIn, workspace: Workspace) -> Workspace:  # the hub first: it sets where models lie
    return workspace


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[QMessageBox.StandardButton], list[str]]:
    """Answer the question, and see what it says."""

    def give(button: QMessageBox.StandardButton) -> list[str]:
        asked: list[str] = []

        def question(parent: Any, title: str, text: str) -> QMessageBox.StandardButton:
            asked.append(text)
            return button

        monkeypatch.setattr(QMessageBox, "question", question)
        return asked

    return give


def test_yes_fetches_the_model_and_puts_it_in_the_list(
    window: Workspace, answer: Any, qtbot: Any, notices: list[Any]
) -> None:
    asked = answer(QMessageBox.StandardButton.Yes)
    assert window.get_model.get.isVisible()
    window.get_model.get.click()
    assert "About 510 MB" in asked[0]
    assert "Nothing of your studies is sent" in asked[0]
    qtbot.waitUntil(lambda: any("is here" in notice.text for notice in notices), timeout=20000)
    assert resolve_model(OFFERED).card.kind == "published"
    assert not window.get_model.isVisible()
    models = window.segment._models
    assert OFFERED in [models.itemText(k) for k in range(models.count())]
    assert window.reading.model == "bundled"  # nothing changes under the reader's hands


def test_no_fetches_nothing(window: Workspace, answer: Any, hub: HubStandIn) -> None:
    answer(QMessageBox.StandardButton.No)
    window.get_model.get.click()
    assert not window.download.running
    assert hub.gets() == []
    assert window.get_model.get.isVisible()


def test_without_the_hub_the_offer_stays_and_says_what_to_do(
    window: Workspace, answer: Any, qtbot: Any, notices: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    answer(QMessageBox.StandardButton.Yes)
    window.get_model.get.click()
    qtbot.waitUntil(lambda: any(notice.severity is Severity.WARNING for notice in notices), timeout=20000)
    assert "cinema models add" in notices[-1].text
    QApplication.processEvents()
    assert window.get_model.get.isVisible()
    assert not is_at_hand(OFFERED)


def test_a_fault_is_told_too(monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("cinema_app.downloads.pull", broken)
    download, heard = Download(), []
    download.ended.connect(heard.append)
    download.start(OFFERED)
    qtbot.waitUntil(lambda: bool(heard), timeout=5000)
    assert "fault in the program" in heard[0]


def test_closing_stops_the_download(window: Workspace) -> None:
    window.close_session()
    assert window.download._cancel.cancelled
