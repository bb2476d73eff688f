"""Configs in the published form: complete, typed, overridden from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cinema_core.errors import InputError
from cinema_core.model_config import n_outputs, view_settings
from cinema_core.published import PUBLISHED
from cinema_core.tasks import TaskKind, kind_of
from training.datasets.processed import SETS
from training.settings import CONFIGS, Behaviour, read_config

NAMES = sorted(path.stem for path in (CONFIGS / "segmentation").glob("*.yaml"))


def test_there_is_a_config_for_every_published_segmentation() -> None:
    assert NAMES == "acdc_sax emidec_sax mnms2_lax_4c mnms2_sax mnms_sax myops2020_sax rescan_sax".split()


@pytest.mark.parametrize("name", NAMES)
def test_configs_hold_the_published_settings(name: str) -> None:
    config = read_config("segmentation", name)
    train, (view,) = config.train, view_settings(config.model_dump(mode="json")).values()
    assert (train.lr, train.min_lr, train.betas, train.weight_decay) == (1e-3, 1e-5, (0.9, 0.95), 0.05)
    assert (train.layer_decay, train.clip_grad, train.batch_size, train.accumulate) == (0.75, 5.0, 64, 16)
    assert (train.n_epochs, train.eval_interval) == ((320, 8) if name == "rescan_sax" else (4000, 100))
    assert (train.early_stopping.patience, train.early_stopping.min_delta, train.ema_decay) == (5, 1e-4, 0)
    assert view.patch_size == ((256, 256) if "lax" in name else (192, 192, 16))
    assert view.in_chans == (3 if name.startswith("myops") else 1)
    assert config.model.out_chans == {"emidec_sax": 5, "myops2020_sax": 6}.get(name, 4)
    assert config.model.convunetr.dec_chans == (32, 64, 128, 256, 512)
    assert config.behaviour is Behaviour.MENDED
    assert config.data.name in SETS


def test_fields_are_overridden_by_their_dotted_names() -> None:
    asked = ["train.lr=0.0003", "seed=2", "behaviour=published", "data.sax.patch_size=[96, 96, 8]", "model.name=unet"]
    config = read_config("segmentation", "acdc_sax", asked)
    assert (config.train.lr, config.seed, config.model.name) == (0.0003, 2, "unet")
    assert config.behaviour is Behaviour.PUBLISHED
    assert config.view.patch_size == (96, 96, 8)
    assert config.train.min_lr == 1e-5


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.lrr=0.1", "train.lrr: there is no such setting"),
        ("trian.lr=0.1", "trian: there is no such setting"),
        ("train.lr=fast", "train.lr: Input should be a valid number"),
        ("train.lr=-1", "train.lr: Input should be greater than 0"),
        ("train.batch_size=63", "batch_size must be a multiple of batch_size_per_device"),
        ("train.n_warmup_epochs=5000", "n_warmup_epochs must be below n_epochs"),
        ("model.views=lax_4c", "data.lax and transform.lax are needed for the view lax_4c"),
        ("data.sax.patch_size=[48, 64, 3]", "data.sax.patch_size must be multiples of [32, 32, 1]"),
        ("data.sax.spacing=[1, 1]", "data.sax.spacing needs 3 numbers"),
        ("train.lr", "is no setting; write it as train.lr=0.0003"),
        ("train.lr.high=1", "there is no such setting"),
        ("train.lr=[1", "the value is no YAML"),
    ],
)
def test_impossible_settings_are_told_by_name(override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_config("segmentation", "acdc_sax", [override])
    assert told in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    content = yaml.safe_load((CONFIGS / "segmentation" / "acdc_sax.yaml").read_text())
    content["train"]["epochs"] = 3
    content["transform"]["prob"] = 2
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"transform.prob: .*; train.epochs: there is no such setting"):
        read_config("segmentation", str(path))


def test_an_unknown_config_is_told_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no config 'acdc' for segmentation. There are: acdc_sax, "):
        read_config("segmentation", "acdc")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="holds no settings"):
        read_config("segmentation", str(tmp_path / "list.yaml"))


def test_the_published_form_names_no_path_of_this_computer(tmp_path: Path) -> None:
    config = read_config(
        "segmentation", "acdc_sax", [f"data.dir={tmp_path}", f"model.ckpt_path={tmp_path}/mae.safetensors"]
    )
    assert str(tmp_path) not in yaml.safe_dump(config.published_form())


def test_answers_are_those_of_the_published_models() -> None:
    """There is a config for every published model, with as many answers."""
    folders = {Path(model.config).parent for model in PUBLISHED.values()}
    known = {f"{path.parent.name}/{path.stem}" for path in CONFIGS.glob("*/*.yaml")}
    published = {"/".join(folder.parts[-2:]) for folder in folders if folder.parts[0] == "finetuned"}
    assert published <= known
    assert len(published) == 21
    for name in sorted(published):
        task, config_name = name.split("/")
        config = read_config(task, config_name)
        assert config.model.views in config_name
        if task.startswith("landmark"):
            assert n_outputs(config.published_form()) == (3 if task == "landmark_heatmap" else 6)
            assert (config.train.n_epochs, config.train.accumulate) == (400, 2)
            assert (
                kind_of(config.published_form())
                == {3: TaskKind.HEATMAP, 6: TaskKind.COORDINATE}[config.model.out_chans or 0]
            )
        if task.startswith("classification"):
            assert n_outputs(config.published_form()) == len(config.data.classes) > 1
            assert (config.train.early_stopping.metric, config.train.n_epochs) == ("val_mcc", 800)
        if task.startswith("regression"):
            assert n_outputs(config.published_form()) == 1
            assert (config.train.early_stopping.mode, config.data.standard.std > 1) == ("min", True)


@pytest.mark.parametrize(
    ("task", "override", "told"),
    [
        ("segmentation", "model.name=resnet", "model.name of a segmentation is convunetr or unet"),
        ("segmentation", "model.out_chans=null", "a segmentation needs model.out_chans"),
        ("classification_cvd", "model.name=unet", "model.name of a classification is convvit or resnet"),
        ("classification_cvd", "data.pathology=null", "a classification needs data.class_column"),
        ("regression_ef", "data.regression_column=null", "a regression needs data.regression_column"),
        ("landmark_heatmap", "model.out_chans=4", "a landmark_heatmap needs model.out_chans, 3"),
        ("landmark_coordinate", "model.name=convunetr", "model.name of a landmark_coordinate is convvit or resnet"),
        ("regression_ef", "model.n_frames=1", "model.n_frames of a regression is 2"),
        ("regression_ef", "train.early_stopping.mode=max", "looks at the metric val_mae, mode min"),
    ],
)
def test_settings_that_do_not_fit_their_task_are_told(task: str, override: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_config(task, "lax_2c" if task.startswith("landmark") else "acdc_sax", [override])
    assert told in str(caught.value)
