"""Segmenting and fine-tuning by the engine: the same as in one's own process."""

from __future__ import annotations

import io
import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import threadpoolctl
import torch
import yaml

from benchmarks.faults import TINY
from cinema_core.anatomy import UNLABELLED
from cinema_core.answers import ClassAnswer, Landmarks
from cinema_core.cards import ModelCard, write_model_folder
from cinema_core.cases import TrainingCase
from cinema_core.cine import Cine, Geometry, View
from cinema_core.engine.client import TORCH_TASKS, EngineClient
from cinema_core.engine.messages import (
    FineTuneOutcome,
    FineTuneRequest,
    ImportModelRequest,
    PredictRequest,
    Request,
    SegmentOutcome,
    SegmentRequest,
)
from cinema_core.engine.tasks import TorchTasks
from cinema_core.errors import Cancelled, CheckpointError, EngineError
from cinema_core.incoming import look_at
from cinema_core.learn import FineTuneSettings
from cinema_core.learn.finetune import finetune
from cinema_core.models import build_model, zoo
from cinema_core.phantom import PhantomStudy
from cinema_core.predict import segment_cine
from cinema_core.progress import CancelToken

WAIT_S = 120.0


class Silent:
    """A report that nobody reads."""

    def __call__(self, fraction: float, message: str, /) -> None: ...

    def planned(self, steps: int, /) -> None: ...

    def learned(self, run: int, loss: float, /) -> None: ...


SILENT = Silent()


def write_tiny_model(folder: Path, seed: int, **config: object) -> ModelCard:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = safetensors.torch.save(build_model(TINY).state_dict())
    config_text = yaml.safe_dump({**TINY, **config})
    return write_model_folder(folder, weights, config_text, ModelCard(name=folder.name, sha256=""))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Folder with the model ``tiny``."""
    write_tiny_model(tmp_path / "models" / "tiny", seed=0)
    return tmp_path / "models"


@pytest.fixture
def case(phantom_study: PhantomStudy) -> TrainingCase:
    """One phase of the phantom, with labels on two slices."""
    labels = phantom_study.labels[0].copy()
    labels[[0, 3, 4]] = UNLABELLED
    image = phantom_study.cine.pixels[0].astype(np.float32)
    return TrainingCase("a-0", "a", "a", image, labels, phantom_study.cine.geometry, phase_index=0)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineClient]:
    """One for all tests: it takes seconds to load torch."""
    with EngineClient(TORCH_TASKS, tmp_path_factory.mktemp("log")) as engine:
        engine.start()
        yield engine


@pytest.fixture
def computing_as_the_engine_does() -> Iterator[None]:
    """Threads of BLAS decide the order of sums, and so the last digit; see :mod:`cinema_core.process`."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield


@pytest.mark.usefixtures("computing_as_the_engine_does")
def test_engine_draws_what_the_same_function_draws_here(
    engine: EngineClient, models: Path, phantom_study: PhantomStudy
) -> None:
    job = engine.segment(phantom_study.cine, model="tiny", project_models=models, device="cpu", phases=[4, 1])
    expected = segment_cine(phantom_study.cine, "tiny", "cpu", phases=[4, 1], project_models=models)
    found: SegmentOutcome = job.result(WAIT_S)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.uncertainty, expected.uncertainty)
    assert found.mirrors is None and expected.mirrors is None  # shown no mirror images
    assert (found.phases, found.card) == (expected.phases, expected.card)
    assert found.labels.any()


def test_engine_takes_in_a_model(engine: EngineClient, models: Path, tmp_path: Path) -> None:
    incoming = look_at(models / "tiny" / "weights.safetensors", models / "tiny" / "config.yaml")
    card: ModelCard = engine.submit(ImportModelRequest(incoming, "clinic", tmp_path / "clinic")).result(WAIT_S)
    assert zoo.load(tmp_path / "clinic").card == card
    assert (card.name, card.kind) == ("clinic", "imported")


@pytest.mark.usefixtures("computing_as_the_engine_does")
def test_engine_brings_back_how_differently_mirror_images_were_drawn(
    engine: EngineClient, models: Path, phantom_study: PhantomStudy
) -> None:
    write_tiny_model(models / "mirrored", seed=0, predict={"mirrors": [[], [0]]})
    job = engine.segment(phantom_study.cine, model="mirrored", project_models=models, device="cpu", phases=[1])
    expected = segment_cine(phantom_study.cine, "mirrored", "cpu", phases=[1], project_models=models)
    found: SegmentOutcome = job.result(WAIT_S)
    assert found.mirrors is not None and expected.mirrors is not None and found.mirrors.disagreement[1].any()
    np.testing.assert_array_equal(found.mirrors.values, expected.mirrors.values)


@pytest.mark.usefixtures("computing_as_the_engine_does")
def test_engine_learns_what_the_same_function_learns_here(
    engine: EngineClient, models: Path, case: TrainingCase, tmp_path: Path
) -> None:
    settings = FineTuneSettings(steps=2, device="cpu")
    out = tmp_path / "engine"
    job = engine.finetune([case], base="tiny", settings=settings, out=out, name="v001", project_models=models)
    told: list[int] = []
    job.events.learned.connect(lambda run, loss: told.append(run))
    expected = finetune([case], zoo.load("tiny", project_models=models), settings, tmp_path / "here", "v001")
    found: FineTuneOutcome = job.result(WAIT_S)
    assert found.folder == out / "v001"
    assert job.steps == 2
    assert told == [1, 1]  # one patient: nothing is held out, so there is one run
    assert (found.folder / "weights.safetensors").is_file()
    assert found.card.sha256 == expected.card.sha256
    assert found.before == expected.before.to_json()
    assert (found.worse, found.validation) == (expected.worse, str(expected.validation))
    assert {(c.study_id, c.t, c.z) for c in found.changed} == {("a", 0, 1), ("a", 0, 2)}
    for change in found.changed:
        assert change.image.shape == change.truth.shape == change.before.shape == change.after.shape
        assert {1, 2, 3} <= set(np.unique(change.truth))


def test_model_that_is_not_there_is_named(engine: EngineClient, models: Path, phantom_study: PhantomStudy) -> None:
    job = engine.segment(phantom_study.cine, model="v009", project_models=models)
    with pytest.raises(EngineError, match="There is no model 'v009'"):
        job.result(WAIT_S)


def test_misspelt_setting_is_refused_before_anything_is_sent(
    make_client: Callable[..., EngineClient], tmp_path: Path
) -> None:
    client = make_client(TORCH_TASKS)
    with pytest.raises(ValueError, match="stepz"):
        client.finetune([], base="tiny", settings={"stepz": 3}, out=tmp_path, name="v001")
    assert not client.alive


# ---------------------------------------------------------------- without a process


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Names of the models that were loaded."""
    made: list[Any] = []
    load = zoo.load

    def counted(name: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(zoo, "load", counted)
    return made


def request_of(phantom: PhantomStudy, models: Path) -> SegmentRequest:
    return SegmentRequest(phantom.cine, "tiny", models, "cpu", (0,))


def test_model_is_loaded_once_for_many_requests(loads: list[Any], models: Path, phantom_study: PhantomStudy) -> None:
    tasks = TorchTasks()
    for _ in range(3):
        tasks.run(request_of(phantom_study, models), SILENT, CancelToken())
    assert loads == ["tiny"]


def test_model_that_changed_under_its_name_is_loaded_again(
    loads: list[Any], models: Path, phantom_study: PhantomStudy
) -> None:
    tasks = TorchTasks()
    tasks.run(request_of(phantom_study, models), SILENT, CancelToken())
    card = write_tiny_model(models / "tiny", seed=1)
    outcome = tasks.run(request_of(phantom_study, models), SILENT, CancelToken())
    assert loads == ["tiny", "tiny"]
    assert outcome.card.sha256 == card.sha256


def test_segmenting_stops_when_asked(models: Path, phantom_study: PhantomStudy) -> None:
    token = CancelToken()
    with pytest.raises(Cancelled):
        TorchTasks().run(request_of(phantom_study, models), lambda *_: token.cancel(), token)


def packages_named_in(value: object) -> set[str]:
    """Packages that are imported where a value arrives."""
    named = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            named.add(module.split(".")[0])
            return super().find_class(module, name)

    Reader(io.BytesIO(pickle.dumps(value, protocol=5))).load()
    return named


def predict_request(task: str, name: str, cine: Cine, shared_golden: Path, folder: Path) -> PredictRequest:
    """Ask a network of the golden files, put into a model folder."""
    model = folder / name
    model.mkdir()
    shutil.copyfile(shared_golden / f"{name}.safetensors", model / "weights.safetensors")
    shutil.copyfile(shared_golden / f"{name}.yaml", model / "config.yaml")
    phases = {str(cine.view): (0, 2)} if task == "disease" else {}
    return PredictRequest(task, {str(cine.view): cine}, (name,), phases, folder, "cpu")


def four_chamber() -> Cine:
    pixels = np.random.default_rng(0).uniform(size=(3, 1, 40, 50)).astype(np.float32)
    return Cine("four", pixels, Geometry.from_affine(np.eye(4), 1), View.LAX_4C)


def test_published_tasks_are_answered(phantom_study: PhantomStudy, shared_golden: Path, tmp_path: Path) -> None:
    tasks, token = TorchTasks(), CancelToken()
    disease = predict_request("disease", "clf_sax", phantom_study.cine, shared_golden, tmp_path)
    answer = tasks.run(disease, SILENT, token)
    assert isinstance(answer, ClassAnswer)
    assert answer.classes == ("DCM", "HCM", "MINF", "NOR", "RV")
    points = predict_request("landmarks-heatmap", "landmark_heatmap_lax_4c", four_chamber(), shared_golden, tmp_path)
    found = tasks.run(points, SILENT, token)
    assert isinstance(found, Landmarks)
    assert found.points_yx.shape == (3, 3, 2)
    for outcome in (answer, found):
        assert packages_named_in(outcome) <= {"cinema_core", "numpy", "pathlib"}


def test_a_model_of_another_question_is_refused(
    phantom_study: PhantomStudy, shared_golden: Path, tmp_path: Path
) -> None:
    request = predict_request("disease", "clf_sax", phantom_study.cine, shared_golden, tmp_path)
    with pytest.raises(CheckpointError, match="answers 'pathology'; sex needs"):
        TorchTasks().run(replace(request, task="sex"), SILENT, CancelToken())


@pytest.mark.parametrize("kind", ["segmented", "fine-tuned"])
def test_outcome_does_not_bring_torch_into_the_window(
    kind: str, models: Path, phantom_study: PhantomStudy, case: TrainingCase, tmp_path: Path
) -> None:
    settings = FineTuneSettings(steps=1, device="cpu")
    request = {
        "segmented": request_of(phantom_study, models),
        "fine-tuned": FineTuneRequest((case,), "tiny", settings, tmp_path / "out", "v001", models),
    }[kind]
    outcome = TorchTasks().run(request, SILENT, CancelToken())
    assert packages_named_in(outcome) <= {"cinema_core", "numpy", "pathlib"}


def test_a_base_that_has_no_room_on_the_gpu_is_loaded_beside_it(
    models: Path, case: TrainingCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    asked: list[str] = []
    true_load = zoo.load

    class Heard(Silent):
        def __call__(self, fraction: float, message: str, /) -> None:
            told.append(message)

    def load(name: Any, *, device: str, project_models: Path | None) -> Any:
        asked.append(device)
        if device != "cpu":
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED")
        return true_load(name, device=device, project_models=project_models)

    monkeypatch.setattr(zoo, "load", load)
    monkeypatch.setattr(zoo, "choose_device", lambda name: torch.device("cuda" if name == "auto" else name))
    # The training itself stays here: this test has no GPU to train on.
    monkeypatch.setattr("cinema_core.learn.finetune.choose_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr("cinema_core.learn.bench.choose_device", lambda _: torch.device("cpu"))
    request = FineTuneRequest((case,), "tiny", FineTuneSettings(steps=1), tmp_path / "out", "v001", models)
    outcome = TorchTasks().run(request, Heard(), CancelToken())
    assert isinstance(outcome, FineTuneOutcome)
    assert asked == ["auto", "cpu"]
    assert told[:2] == [
        "Loading the model",
        "Memory of the GPU was too small for the model: loading it for the processor",
    ]


def test_a_base_that_has_no_room_at_all_is_not_tried_again(
    loads: list[Any], models: Path, case: TrainingCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        loads.append("again")
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(zoo, "load", full)
    settings = FineTuneSettings(steps=1, device="cpu")
    request = FineTuneRequest((case,), "tiny", settings, tmp_path / "out", "v001", models)
    with pytest.raises(RuntimeError, match="allocate"):
        TorchTasks().run(request, SILENT, CancelToken())
    assert loads == ["again"]


def test_unknown_request_is_an_error() -> None:
    with pytest.raises(TypeError, match="does not know Request"):
        TorchTasks().run(Request(), SILENT, CancelToken())
