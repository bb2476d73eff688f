"""The CineMA dock: its panels, and the threads between them and the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal.qt import start_emitting_from_queue
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QFrame, QTabWidget, QVBoxLayout, QWidget

from cinema_app.contours.editor import ContourEditor
from cinema_app.contours.layers import ContourLayers
from cinema_app.corner import CornerText
from cinema_app.downloads import Download
from cinema_app.insertion_points import InsertionPoints
from cinema_app.landmark_layers import LandmarkLayers
from cinema_app.layers import CineLayers
from cinema_app.long_axis import LongAxisViews
from cinema_app.news import Severity
from cinema_app.papillary_preview import PapillaryPreview
from cinema_app.plane_lines import PlaneLines
from cinema_app.predictions import Predictions
from cinema_app.session import Session
from cinema_app.versions import Versions
from cinema_app.widgets.appearance import STYLE
from cinema_app.widgets.export import ExportPanel
from cinema_app.widgets.fitting import Fitting
from cinema_app.widgets.get_model import GetModelPanel
from cinema_app.widgets.import_check import ImportCheck, needs_a_look
from cinema_app.widgets.key_help import KeyHelp, QuestionMark
from cinema_app.widgets.keys import bind_keys, contour_key_actions, key_actions, unbind_keys, view_key_actions
from cinema_app.widgets.long_axis import LongAxisPanel
from cinema_app.widgets.measures import MeasuresPanel
from cinema_app.widgets.opener import Opener
from cinema_app.widgets.player import Player
from cinema_app.widgets.predict import PredictPanel
from cinema_app.widgets.report import ReportPanel
from cinema_app.widgets.review import ReviewPanel
from cinema_app.widgets.segment import SegmentPanel
from cinema_app.widgets.slice_grid import SliceGrid
from cinema_app.widgets.status import StatusPanel
from cinema_app.widgets.study import StudyPanel
from cinema_app.widgets.tour import STYLE as TOUR_STYLE
from cinema_app.widgets.tour import TourStrip
from cinema_app.widgets.train import TrainPanel
from cinema_app.widgets.versions import VersionsPanel
from cinema_app.widgets.view_docks import ViewDock, ViewDocks
from cinema_app.widgets.wheel import Wheel
from cinema_app.widgets.worklist import WorklistPanel
from cinema_app.windowing import Windowing
from cinema_core.anatomy import LabelState
from cinema_core.cine import Cine
from cinema_core.io import Study
from cinema_core.io.worklist import Worklist, WorklistEntry
from cinema_core.learn.settings import FineTuneSettings

if TYPE_CHECKING:
    from napari.components import ViewerModel

WIDTH = 424
"""Narrowest width at which no button's text is cut, without the scroll bar that a small screen needs."""

SLICES_PX = 176
"""Height of the row of small pictures, at which a screen of 768 lines still leaves the image two thirds."""

LONG_AXIS_PX = 184
"""Width of the long-axis views beside it."""

NEWS_EVERY_MS = 20
"""How often the queue is looked at. Without a pause, as psygnal has it by default, one core does nothing else."""


class Workspace(QWidget):
    """All panels for one viewer, around one session.

    Parameters
    ----------
    session
        Owned from now on: :meth:`close_session` ends it.
    device
        What the engine computes on, for the standing line.
    finetune_settings
        Settings that differ from the usual ones.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        device: str = "",
        finetune_settings: FineTuneSettings | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.import_check: ImportCheck | None = None
        self.key_help: KeyHelp | None = None
        self.is_closed = False
        self._was_docked = False
        self.reading = session.reading
        # News from the engine comes from another thread and waits in a queue until Qt asks for it.
        start_emitting_from_queue(NEWS_EVERY_MS)
        self.layers = CineLayers(viewer, self.reading)
        self.contour_editor = ContourEditor(self.reading)
        self.contours = ContourLayers(viewer, self.reading, self.contour_editor, self.layers)
        self.predictions = Predictions(self.reading)
        self.landmarks = LandmarkLayers(viewer, self.reading, self.predictions, self.layers)
        self.long_axis_views = LongAxisViews(self.reading)
        self.plane_lines = PlaneLines(viewer, self.reading, self.layers, self.long_axis_views)
        self.papillary_preview = PapillaryPreview(viewer, self.reading, self.layers, self.contours)
        self.insertion_points = InsertionPoints(viewer, self.reading, self.layers, self.contours)
        self.windowing = Windowing(viewer, self.layers)
        self.corner = CornerText(viewer, self.reading, self.layers, self.windowing)
        self.player = Player(self.reading, self.layers, self)
        self.download = Download()
        self._build(device, finetune_settings)
        self._actions = key_actions(self.reading, self.layers, self.contours, self.player, self.review)
        self._contour_actions = contour_key_actions(self.contours, self.contour_editor)
        bind_keys(viewer, self.reading, self._actions)
        self._wheel = Wheel(viewer, self.layers)
        view_actions = view_key_actions(self.layers, self.windowing, self.review, self.long_axis, self._toggle_view)
        bind_keys(viewer, self.reading, view_actions)
        self._actions.update(view_actions)
        self._bind_layers()
        self.reading.events.cine_changed.connect(self._bind_layers)
        self.reading.events.images_missing.connect(self.opener.offer_to_find)
        self.contours.in_hand_changed.connect(self._bind_contours)
        if self.reading.project.read_only:
            self.reading.notify(self.reading.project.read_only_reason, Severity.WARNING)

    def _build(self, device: str, finetune_settings: FineTuneSettings | None) -> None:
        self.study = StudyPanel(self.reading, self.open, self.check_import)
        self.worklist = WorklistPanel(self.reading, self.open_entry)
        self.status = StatusPanel(self.reading, device)
        self.opener = Opener(self.reading, self.status, self._show_study, self._show_worklist, self)
        self.opener.started.connect(self.player.stop)
        self.get_model = GetModelPanel(self.reading, self.download)
        self.segment = SegmentPanel(self.reading, self.get_model)
        self.review = ReviewPanel(
            self.reading, self.layers, self.contours, self.contour_editor, self.player, self.opener.open_kept
        )
        self.measures = MeasuresPanel(self.reading, self.layers)
        self.train = TrainPanel(self.reading, finetune_settings)
        self.versions = VersionsPanel(self.reading, Versions(self.reading))
        self.predict = PredictPanel(self.reading, self.predictions, self.layers)
        self.report = ReportPanel(self.reading, self.layers, self.papillary_preview, self.insertion_points)
        self.export = ExportPanel(self.reading)
        self.slices = SliceGrid(self.reading, self.layers)
        self.long_axis = LongAxisPanel(self.reading, self.layers, self.long_axis_views, self.plane_lines)
        self.views: ViewDocks | None = None
        self.tabs = QTabWidget()
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tabs.tabBar().setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._tab_panels: tuple[tuple[QWidget, ...], ...] = (
            (self.segment, self.review),
            (self.train, self.versions),
            (self.predict,),
            (self.report,),
            (self.export,),
        )
        for panels, title in zip(self._tab_panels, ("Read", "Fine-tune", "Predict", "Report", "Export"), strict=True):
            self.tabs.addTab(_column(*panels), title)
        self.tabs.currentChanged.connect(self._fit_tabs)
        self._fit_tabs()
        content = _column(self.study, self.worklist, self.tabs)
        scroll = Fitting()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        self.review.suggested.connect(lambda: scroll.reveal(self.review.last_line))  # below the fold of a small screen
        targets = (
            self.study.open_folder,
            self.segment.segment,
            self.review.next,
            self.train.finetune,
            self.export.export,
        )
        self.tour = TourStrip(self.reading, targets, self.show_tab, scroll.reveal)
        self.status.add_help("First steps", "The five steps of a reading, in a line above", self.tour.open_again)
        self.status.add_help("Keys", "All keys (?)", self.show_keys)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 0, 4, 2)
        layout.setSpacing(4)
        layout.addWidget(self.tour)
        layout.addWidget(scroll)
        # Below what scrolls: volumes and ejection fraction stay in sight on the smallest screen.
        layout.addWidget(self.measures, 1)
        layout.addWidget(self.status)
        self.setMinimumWidth(WIDTH + scroll.verticalScrollBar().sizeHint().width())
        self.setStyleSheet(STYLE + TOUR_STYLE)

    def _fit_tabs(self) -> None:
        """Give the tabs the height of the one on show; Qt would take that of the tallest."""
        for k, panels in enumerate(self._tab_panels):
            for panel in panels:
                panel.setVisible(k == self.tabs.currentIndex())

    def _bind_layers(self) -> None:
        for layer in (self.layers.image, self.layers.labels):
            if layer is not None:
                bind_keys(layer, self.reading, self._actions)

    def dock_views(self) -> None:
        """Add the panels beside the image to the window."""
        reading = self.reading
        slices = ViewDock(
            self.slices, "Slices", "slices", "bottom", SLICES_PX, lambda: reading.is_open and reading.cine.n_slices > 1
        )
        long_axis = ViewDock(
            self.long_axis, "Long axis", "long_axis", "left", LONG_AXIS_PX, lambda: self.long_axis.has_content
        )
        self.views = ViewDocks(self._viewer, reading, (slices, long_axis))
        self._question_mark = QuestionMark(self._viewer.window._qt_viewer.canvas.native, self.show_keys, self)

    def _toggle_view(self, setting: str) -> None:
        if self.views is not None:
            self.views.toggle(setting)

    def show_keys(self) -> None:
        """Show all keys, beside the window; a second call takes them away."""
        if self.key_help is not None and self.key_help.isVisible():
            self.key_help.close()
            return
        self.key_help = KeyHelp(self.window())
        self.key_help.show()

    def _bind_contours(self) -> None:
        if self.contours.shapes is not None:
            bind_keys(self.contours.shapes, self.reading, self._actions | self._contour_actions)

    def show_tab(self, name: str) -> None:
        """Bring a tab to the front by its title."""
        titles = [self.tabs.tabText(k) for k in range(self.tabs.count())]
        self.tabs.setCurrentIndex(titles.index(name))

    # ---------------------------------------------------------------- opening

    def open(self, path: Path | str) -> None:
        """Read a study in another thread and show it when it is there."""
        self.opener.open(path)

    def open_entry(self, entry: WorklistEntry) -> None:
        """Read a study of the worklist."""
        self.opener.open(entry.path, entry.study or None, lambda: self.worklist.remember(entry, self.reading.study_id))

    @property
    def is_opening(self) -> bool:
        """Whether a study is being read."""
        return self.opener.is_busy

    def check_import(self) -> None:
        """Show how the open study was imported, beside the window."""
        study = self.reading.study
        if study is None:
            return
        if self.import_check is not None:
            self.import_check.close()
        choices = self.reading.project.import_choices(study.id)
        self.import_check = ImportCheck(
            study, choices, lambda chosen: self.opener.import_again(study, chosen), self.reading.cine.id, self.window()
        )
        self.import_check.show()

    def _show_worklist(self, found: Worklist) -> None:
        self.worklist.show_worklist(found)
        self.reading.notify(f"{len(found.entries)} studies found. Choose one in the list.")

    def _show_study(self, study: Study, cine: Cine | None = None) -> None:
        known = {record.study_id for record in self.reading.project.studies()}
        self.reading.show(study, cine)
        # Once, before anything is measured: a reader who has looked is not asked again.
        if self.reading.study_id not in known and needs_a_look(study, self.reading.cine):
            self.check_import()
        self._session.engine.start()  # loads torch while the reader looks
        self.tabs.setCurrentIndex(0)
        kept = len(self.reading.slices_in(LabelState.CORRECTED, LabelState.ACCEPTED))
        words = f" Your {kept} corrected or accepted slices are back." if kept else ""
        if self.reading.learning.interrupted is not None:
            words += " A fine-tuning was interrupted: see the tab Fine-tune."
        self.reading.notify(f"Opened {study.id}: {len(study.cines)} cine{'s' if len(study.cines) > 1 else ''}.{words}")

    # ---------------------------------------------------------------- closing

    def changeEvent(self, event: QEvent) -> None:
        """Let go of everything when the dock's cross took the panel out of the window."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange:
            if self._was_docked and self.parent() is None:
                self.close_session()
                unbind_keys(self._viewer, self._actions)
                self._wheel.close()
                self.windowing.close()
                self.plane_lines.close()
                self.papillary_preview.close()
                self.insertion_points.close()
                if self.views is not None:
                    self.views.close()
                self.landmarks.close()
                self.contours.close()
                self.layers.close()
            self._was_docked = self.parent() is not None

    def close_session(self) -> None:
        """Stop the work and let go of project and engine; a second call does nothing."""
        self.is_closed = True
        self.player.stop()
        for beside in (self.import_check, self.key_help):
            if beside is not None:
                beside.close()
        self.status.stop_reading_files()
        self.train.close_down()
        self.review.contour_tools.following.close()
        self.review.leading.close()
        self.download.cancel()
        self._session.close()


def _column(*widgets: QWidget) -> QWidget:
    made = QWidget()
    layout = QVBoxLayout(made)
    layout.setContentsMargins(4, 6, 4, 4)
    layout.setSpacing(8)
    for widget in widgets:
        layout.addWidget(widget)
    return made
