"""Published models: pulled from a stand-in of the hub, resumed, refused when they are not what was promised."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cinema_core import cards
from cinema_core.cards import list_models, published_folder, resolve_ensemble, resolve_model
from cinema_core.errors import Cancelled, CheckpointError, CinemaError, DownloadError, InputError, StorageError
from cinema_core.hub import PUBLISHED, REPOSITORY, PublishedModel, add, is_at_hand, published, pull
from cinema_core.progress import CancelToken
from cinema_core.published import families

if TYPE_CHECKING:
    from hub_stand_in import HubStandIn

NAME = "acdc-sax-seg/0"
MODEL = PUBLISHED[NAME]
BY_HAND = (
    rf"save https://huggingface\.co/{REPOSITORY}/resolve/main/{MODEL.weights} and .*config\.yaml.*cinema models add"
)


@pytest.fixture
def brought(shared_golden: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Weights and config as somebody carried them here."""
    folder = tmp_path / "stick"
    folder.mkdir()
    weights = shutil.copyfile(shared_golden / "seg_sax.safetensors", folder / "acdc_sax_0.safetensors")
    return Path(weights), Path(shutil.copyfile(shared_golden / "seg_sax.yaml", folder / "config.yaml"))


@pytest.fixture
def empty_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("cinema_core.cards.local_models_folder", lambda: tmp_path / "models")
    return tmp_path / "models"


def left_behind(models: Path) -> list[str]:
    """Names of what lies among the models, locks left out."""
    return sorted(path.name for path in models.rglob("*") if path.is_file() and path.suffix != ".lock")


class TestNames:
    def test_every_combination_has_three_seeds_beside_the_pretrained_model(self) -> None:
        assert len(PUBLISHED) == 21 * 3 + 1
        assert len(families()) == 21 + 1
        assert all(
            [model.seed for model in seeds] == [0, 1, 2] for name, seeds in families().items() if "-mae" not in name
        )

    @pytest.mark.parametrize(
        ("name", "weights", "config"),
        [
            ("cinema-mae", "pretrained/cinema.safetensors", "pretrained/config.yaml"),
            (
                "mnms2-lax4c-seg/2",
                "finetuned/segmentation/mnms2_lax_4c/mnms2_lax_4c_2.safetensors",
                "finetuned/segmentation/mnms2_lax_4c/config.yaml",
            ),
            (
                "mnms2-lax4c-disease/1",
                "finetuned/classification_cvd/mnms2_lax_4c/mnms2_lax_4c_1.safetensors",
                "finetuned/classification_cvd/mnms2_lax_4c/config.yaml",
            ),
            (
                "acdc-sax-bmi/0",
                "finetuned/regression_bmi/acdc_sax/acdc_sax_0.safetensors",
                "finetuned/regression_bmi/acdc_sax/config.yaml",
            ),
            (
                "lax2c-landmark-heatmap/0",
                "finetuned/landmark_heatmap/lax_2c/lax_2c_0.safetensors",
                "finetuned/landmark_heatmap/lax_2c/config.yaml",
            ),
            (
                "lax4c-landmark-coordinate/0",
                "finetuned/landmark_coordinate/lax_4c/lax_4c_0.safetensors",
                "finetuned/landmark_coordinate/lax_4c/config.yaml",
            ),
        ],
    )
    def test_names_lead_to_the_published_paths(self, name: str, weights: str, config: str) -> None:
        assert (PUBLISHED[name].weights, PUBLISHED[name].config) == (weights, config)

    def test_the_pairs_of_the_table_are_all_there(self) -> None:
        pairs = {(model.task, model.dataset, model.view) for model in PUBLISHED.values()}
        four = {("acdc", "sax"), ("mnms", "sax"), ("mnms2", "sax"), ("mnms2", "lax_4c")}
        expected = {(task, *pair) for task in ("segmentation", "disease", "ef") for pair in four}
        expected |= {
            ("sex", "mnms", "sax"),
            ("age", "mnms", "sax"),
            ("bmi", "acdc", "sax"),
            ("pretrained", "ukb", "all"),
        }
        expected |= {("vendor", "mnms2", "sax"), ("vendor", "mnms2", "lax_4c")}
        expected |= {
            (f"landmark-{form}", "landmark", view)
            for form in ("heatmap", "coordinate")
            for view in ("lax_2c", "lax_4c")
        }
        assert pairs == expected

    def test_a_name_without_seed_means_all_seeds(self) -> None:
        assert [model.name for model in published("acdc-sax-seg")] == [f"acdc-sax-seg/{seed}" for seed in range(3)]
        assert published(NAME) == [MODEL]
        assert isinstance(MODEL, PublishedModel)

    def test_near_names_are_told(self) -> None:
        with pytest.raises(InputError, match=r"called 'acdc-sax-segm'. Did you mean acdc-sax-seg"):
            published("acdc-sax-segm")


class TestPull:
    def test_a_pulled_model_is_found_listed_and_loads(self, hub: HubStandIn) -> None:
        from cinema_core.models import zoo

        (files,) = pull(NAME)
        assert files.weights == published_folder() / "acdc-sax-seg" / "0" / "weights.safetensors"
        assert files.weights.read_bytes() == hub.files[MODEL.weights]
        assert resolve_model(NAME) == files
        assert [card.name for card in list_models()] == ["bundled", "bundled-mae", NAME]
        assert zoo.load(NAME).card.name == NAME

    def test_its_card_tells_where_it_is_from(self, hub: HubStandIn) -> None:
        from hub_stand_in import COMMIT

        card = pull(NAME)[0].card
        assert (card.kind, card.licence) == ("published", "MIT")
        assert card.trained_on == ["UK Biobank (pretraining)", "ACDC"]
        assert card.recipe["repository"] == REPOSITORY
        assert (card.recipe["revision"], card.recipe["path"]) == (COMMIT, MODEL.weights)
        assert card.recipe["sha256"] == card.sha256 == cards.file_sha256(pull(NAME)[0].weights)

    def test_nothing_but_the_model_is_left(self, hub: HubStandIn, tmp_path: Path) -> None:
        pull(NAME)
        assert left_behind(tmp_path / "models") == ["card.json", "config.yaml", "weights.safetensors"]

    def test_one_that_is_here_needs_no_network(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        first = pull(NAME)
        hub.asked.clear()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert pull(NAME) == first
        assert hub.asked == []

    def test_one_that_was_damaged_here_is_pulled_again(self, hub: HubStandIn) -> None:
        (files,) = pull(NAME)
        files.weights.write_bytes(b"damaged")
        with pytest.raises(CheckpointError, match=r"not those of its card.*cinema models pull acdc-sax-seg/0"):
            resolve_model(NAME)
        pull(NAME)
        assert resolve_model(NAME).weights.read_bytes() == hub.files[MODEL.weights]

    @pytest.mark.parametrize("lost", ["weights.safetensors", "config.yaml"])
    def test_one_of_which_a_file_is_lost_is_pulled_again(self, lost: str, hub: HubStandIn) -> None:
        folder = pull(NAME)[0].weights.parent
        (folder / lost).unlink()
        with pytest.raises(CheckpointError, match=rf"has no {lost}.*cinema models pull acdc-sax-seg/0"):
            resolve_model(NAME)
        pull(NAME)
        assert resolve_model(NAME).weights.parent == folder

    def test_a_name_without_seed_pulls_all_seeds(self, hub: HubStandIn) -> None:
        assert [files.card.name for files in pull("acdc-sax-seg")] == [f"acdc-sax-seg/{seed}" for seed in range(3)]

    def test_progress_rises_to_one(self, hub: HubStandIn) -> None:
        told: list[tuple[float, str]] = []
        pull(NAME, lambda fraction, message: told.append((fraction, message)))
        fractions = [fraction for fraction, _ in told]
        assert fractions == sorted(fractions)
        assert len(set(fractions)) > 3
        assert told[-1] == (1.0, f"{NAME} is ready")
        assert any(message == f"Downloading {NAME}: 2 of 2 MB" for _, message in told)

    def test_the_token_of_the_environment_is_sent_and_nothing_is_told_of_this_computer(
        self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_reader")
        pull(NAME)
        assert {headers.get("authorization") for headers in hub.headers} == {"Bearer hf_of_the_reader"}
        assert all("torch" not in headers["user-agent"] for headers in hub.headers)
        assert {path for _, path, _ in hub.asked} == {MODEL.weights, MODEL.config}  # no other address is asked

    def test_a_file_on_another_host_is_fetched_without_the_token(
        self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_reader")
        hub.redirects, hub.cut_after = True, [500_000]
        pull(NAME)
        told = {(host, headers.get("authorization")) for host, headers in zip(hub.hosts, hub.headers, strict=True)}
        assert told == {("127.0.0.1", "Bearer hf_of_the_reader"), ("localhost", None)}
        assert resolve_model(NAME).weights.read_bytes() == hub.files[MODEL.weights]

    def test_weights_and_config_are_of_one_commit(self, hub: HubStandIn) -> None:
        from hub_stand_in import COMMIT

        pull(NAME, revision="v1")
        assert hub.revisions[0] == "v1"
        assert set(hub.revisions[1:]) == {COMMIT}

    def test_an_endpoint_that_is_given_is_used(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.invalid")
        assert pull(NAME, endpoint=hub.endpoint + "/")[0].card.name == NAME


class TestInterrupted:
    def test_a_dropped_connection_is_taken_up_again_at_once(self, hub: HubStandIn) -> None:
        hub.cut_after = [500_000, 300_000]
        pull(NAME)
        spans = hub.gets()
        assert spans[0] == ""
        assert len(spans) == 3
        starts = [int(span.removeprefix("bytes=").rstrip("-")) for span in spans[1:]]
        assert 0 < starts[0] <= 500_000
        assert starts[0] < starts[1] <= 800_000
        assert resolve_model(NAME).weights.read_bytes() == hub.files[MODEL.weights]

    def test_a_line_that_stays_dead_says_so_and_the_next_pull_goes_on(self, hub: HubStandIn, tmp_path: Path) -> None:
        hub.cut_after = [500_000, 0]
        with pytest.raises(DownloadError, match=rf"broke after 0\.5 of 1\.6 MB.*run the same command again.*{BY_HAND}"):
            pull(NAME)
        assert not is_at_hand(NAME)
        with pytest.raises(CheckpointError, match="not on this computer yet"):
            resolve_model(NAME)
        assert [card.name for card in list_models()] == ["bundled", "bundled-mae"]
        hub.asked.clear()
        pull(NAME)
        (span,) = hub.gets()
        assert int(span.removeprefix("bytes=").rstrip("-")) > 0
        assert resolve_model(NAME).weights.read_bytes() == hub.files[MODEL.weights]
        assert left_behind(tmp_path / "models") == ["card.json", "config.yaml", "weights.safetensors"]

    def test_cancelled_it_stops_and_the_next_pull_goes_on(self, hub: HubStandIn) -> None:
        cancel = CancelToken()

        def stop_midway(fraction: float, message: str, /) -> None:
            if fraction > 0.3:
                cancel.cancel()

        with pytest.raises(Cancelled):
            pull(NAME, stop_midway, cancel)
        assert not is_at_hand(NAME)
        hub.asked.clear()
        pull(NAME)
        (span,) = hub.gets()
        assert int(span.removeprefix("bytes=").rstrip("-")) > 0.2 * len(hub.files[MODEL.weights])

    def test_a_server_that_knows_no_ranges_starts_anew(self, hub: HubStandIn) -> None:
        hub.cut_after = [500_000]
        hub.ignores_ranges = True
        pull(NAME)
        assert resolve_model(NAME).weights.read_bytes() == hub.files[MODEL.weights]

    def test_a_newer_version_does_not_go_on_from_an_older_part(self, hub: HubStandIn) -> None:
        hub.cut_after = [500_000, 0]
        with pytest.raises(DownloadError):
            pull(NAME)
        newer = hub.files[MODEL.weights][:-4] + b"\0\0\0\0"
        hub.files[MODEL.weights] = newer
        hub.asked.clear()
        pull(NAME)
        assert hub.gets() == [""]
        assert resolve_model(NAME).weights.read_bytes() == newer


class TestRefused:
    def test_tampered_weights_are_refused_and_removed(self, hub: HubStandIn, tmp_path: Path) -> None:
        hub.tampered = True
        with pytest.raises(DownloadError, match=rf"damaged or changed on its way: checksum .*was removed.*{BY_HAND}"):
            pull(NAME)
        assert not is_at_hand(NAME)
        assert not [name for name in left_behind(tmp_path / "models") if len(name) > 64]  # named by sha256
        hub.tampered = False
        pull(NAME)

    def test_a_tampered_config_is_refused(self, hub: HubStandIn) -> None:
        hub.tampered, hub.tampers_with = True, ".yaml"
        with pytest.raises(DownloadError, match=r"config\.yaml was damaged"):
            pull(NAME)

    def test_a_damaged_part_from_before_is_refused_once(self, hub: HubStandIn, tmp_path: Path) -> None:
        hub.cut_after = [500_000, 0]
        with pytest.raises(DownloadError):
            pull(NAME)
        (part,) = [path for path in (tmp_path / "models").rglob("*.part") if len(path.stem) == 64]
        part.write_bytes(b"\0" * part.stat().st_size)
        with pytest.raises(DownloadError, match="damaged or changed"):
            pull(NAME)
        pull(NAME)

    def test_a_part_that_grew_too_long_is_refused_once(self, hub: HubStandIn, tmp_path: Path) -> None:
        hub.cut_after = [500_000, 0]
        with pytest.raises(DownloadError):
            pull(NAME)
        (part,) = [path for path in (tmp_path / "models").rglob("*.part") if len(path.stem) == 64]
        part.write_bytes(hub.files[MODEL.weights] + b"more")
        with pytest.raises(DownloadError, match="damaged or changed"):
            pull(NAME)
        pull(NAME)

    @pytest.mark.parametrize("content", [pickle.dumps({"weights": [1.0]}), b"PK\x03\x04 as torch saves"])
    def test_a_pickle_on_the_hub_is_refused(self, content: bytes, hub: HubStandIn, tmp_path: Path) -> None:
        hub.files[MODEL.weights] = content
        with pytest.raises(CheckpointError, match=rf"^{MODEL.weights} is a pickle.*docker run --network none"):
            pull(NAME)
        assert not is_at_hand(NAME)
        assert not [name for name in left_behind(tmp_path / "models") if len(name) > 64]  # named by sha256

    def test_what_is_no_safetensors_file_is_refused(self, hub: HubStandIn) -> None:
        hub.files[MODEL.weights] = hub.files[MODEL.weights][:-1000]
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            pull(NAME)

    def test_what_is_no_config_is_refused(self, hub: HubStandIn) -> None:
        hub.files[MODEL.config] = b"task: segmentation\n"
        with pytest.raises(CheckpointError, match=rf"The config {MODEL.config} has no section `model`"):
            pull(NAME)

    @pytest.mark.parametrize("lost", [MODEL.weights, MODEL.config])
    def test_weights_without_config_and_the_reverse_leave_nothing(self, lost: str, hub: HubStandIn) -> None:
        del hub.files[lost]
        with pytest.raises(DownloadError, match=rf"There is no {lost} of {REPOSITORY}.*HTTP 404.*{BY_HAND}"):
            pull(NAME)
        assert not published_folder().exists()

    @pytest.mark.parametrize(
        ("status", "told"),
        [
            (401, "refuses access .*HTTP 401.*HF_TOKEN"),
            (403, "refuses access .*HTTP 403.*HF_TOKEN"),
            (404, "There is no .*HTTP 404.*--revision"),
            (407, "The proxy cannot be used.*HTTPS_PROXY"),
            (418, "HTTP 418"),
            (429, "too many requests.*Wait some minutes"),
            (500, "in trouble .*HTTP 500.*Try again later"),
            (503, "in trouble .*HTTP 503.*Try again later"),
        ],
    )
    def test_each_refusal_says_what_to_do_and_how_by_hand(self, status: int, told: str, hub: HubStandIn) -> None:
        hub.status = status
        with pytest.raises(DownloadError, match=f"{told}.*{BY_HAND}") as caught:
            pull(NAME)
        assert "\n" not in str(caught.value)

    def test_a_hub_that_describes_but_does_not_deliver(self, hub: HubStandIn) -> None:
        hub.status_of_downloads = 503
        with pytest.raises(DownloadError, match=f"in trouble .*HTTP 503.*{BY_HAND}"):
            pull(NAME)

    def test_offline_says_how_to_bring_it_by_hand(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(DownloadError, match=f"HF_HUB_OFFLINE is set.*Unset it.*{BY_HAND}"):
            pull(NAME)
        assert hub.asked == []

    def test_offline_as_the_library_read_it_counts_too(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
            pull(NAME)

    def test_no_network_says_what_to_check(self, hub: HubStandIn) -> None:
        with socket.socket() as taken:  # bound, and nobody listens
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(DownloadError, match=f"cannot be reached .*Check the network.*HTTPS_PROXY.*{BY_HAND}"):
                pull(NAME, endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}")

    @pytest.mark.parametrize("proxy", ["gopher://proxy.example", "socks5://proxy.example:1080", "http://h:port"])
    def test_a_proxy_that_cannot_be_used(self, proxy: str, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("ALL_PROXY", proxy)
        with pytest.raises(DownloadError, match=f"The proxy cannot be used.*HTTPS_PROXY=.*{BY_HAND}"):
            pull(NAME, endpoint="http://hub.example")

    def test_a_proxy_that_nobody_answers_at_is_named(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as taken:  # bound, and nobody listens
            taken.bind(("127.0.0.1", 0))
            monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{taken.getsockname()[1]}")
            with pytest.raises(DownloadError, match=f"cannot be reached .*check the proxy too.*{BY_HAND}"):
                pull(NAME, endpoint="http://hub.example")

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            ("ProxyError", "The proxy cannot be used: 403 Forbidden.*HTTPS_PROXY"),
            ("ReadTimeout", "did not answer in time.*HF_HUB_DOWNLOAD_TIMEOUT"),
            ("ConnectTimeout", "did not answer in time"),
        ],
    )
    def test_trouble_on_the_way(self, error: str, told: str, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        import httpx2

        def fail(*_: Any, **__: Any) -> None:
            raise getattr(httpx2, error)("403 Forbidden")

        monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", fail)
        with pytest.raises(DownloadError, match=f"{told}.*{BY_HAND}"):
            pull(NAME)

    def test_an_untrusted_certificate_names_the_setting(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        import httpx2

        def fail(*_: Any, **__: Any) -> None:
            raise httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate in chain")

        monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", fail)
        with pytest.raises(DownloadError, match=r"does not trust.*SSL_CERT_FILE"):
            pull(NAME)

    def test_a_log_in_page_is_not_taken_for_the_hub(self, hub: HubStandIn) -> None:
        hub.no_commit = True
        with pytest.raises(DownloadError, match=r"does not answer as a Hugging Face hub.*HF_ENDPOINT.*log-in page"):
            pull(NAME)

    @pytest.mark.parametrize("endpoint", ["ftp://hub.example", "hub.example", "http://hub.example:port"])
    def test_an_endpoint_that_is_no_address(self, endpoint: str, hub: HubStandIn) -> None:
        with pytest.raises(DownloadError, match="HF_ENDPOINT"):
            pull(NAME, endpoint=endpoint)

    def test_a_second_program_that_pulls_the_same_is_refused(self, hub: HubStandIn, tmp_path: Path) -> None:
        from filelock import FileLock

        staging = tmp_path / "models" / ".pulling"
        staging.mkdir(parents=True)
        with (
            FileLock(staging / "acdc-sax-seg--0.lock"),
            pytest.raises(StorageError, match="Another program is pulling"),
        ):
            pull(NAME)


class TestDisk:
    def test_too_little_room_is_said_before_anything_comes(
        self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(".")._replace(free=1_000_000)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(StorageError, match=r"There is no room for .* MB are free. Make room"):
            pull(NAME)
        assert hub.gets(".yaml") == hub.gets() == []

    @pytest.mark.parametrize(
        ("number", "told"),
        [
            (errno.ENOSPC, "No space left on device. Make room"),
            (errno.EACCES, "Permission denied. Give yourself the right to write there"),
            (errno.EROFS, "Read-only file system. Give yourself the right"),
        ],
    )
    def test_a_disk_that_refuses_leaves_no_model(
        self, number: int, told: str, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_descriptor: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match=told):
            pull(NAME)
        monkeypatch.undo()
        assert not (cards.local_models_folder() / "published" / "acdc-sax-seg").exists()

    def test_a_models_folder_that_may_not_be_made(self, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(StorageError, match=r"The models folder .* could not be written: Permission denied"):
            pull(NAME)


class TestEnsemble:
    def test_it_takes_the_seeds_that_are_here_in_order(self, hub: HubStandIn) -> None:
        pull("acdc-sax-seg/2")
        pull("acdc-sax-seg/0")
        assert [files.card.name for files in resolve_ensemble("acdc-sax-seg")] == ["acdc-sax-seg/0", "acdc-sax-seg/2"]

    def test_one_name_is_one_model(self, hub: HubStandIn) -> None:
        pull(NAME)
        assert resolve_ensemble(NAME) == [resolve_model(NAME)]
        assert resolve_ensemble("bundled") == [resolve_model("bundled")]

    def test_without_any_seed_the_command_is_told(self, empty_models: Path) -> None:
        with pytest.raises(CheckpointError, match=r"3 seeds, none .*cinema models pull acdc-sax-seg`.*models add"):
            resolve_ensemble("acdc-sax-seg")

    def test_one_model_is_not_several(self, hub: HubStandIn) -> None:
        pull(NAME)
        with pytest.raises(CheckpointError, match=r"stands for 3 models.*that is here: acdc-sax-seg/0"):
            resolve_model("acdc-sax-seg")


def test_a_published_model_that_is_not_here_tells_both_ways(empty_models: Path) -> None:
    with pytest.raises(
        CheckpointError, match=rf"cinema models pull acdc-sax-seg/0`.*{BY_HAND} .*--name acdc-sax-seg/0"
    ):
        resolve_model(NAME)


@pytest.mark.usefixtures("empty_models")
class TestAdd:
    def test_an_added_model_is_found_by_its_name(self, brought: tuple[Path, Path]) -> None:
        files = add(*brought, "our-hospital")
        assert resolve_model("our-hospital") == files
        assert files.weights.read_bytes() == brought[0].read_bytes()
        assert [(card.name, card.kind) for card in list_models()][2:] == [("our-hospital", "local")]

    def test_without_a_name_it_is_called_as_its_file(self, brought: tuple[Path, Path]) -> None:
        assert add(*brought).card.name == "acdc_sax_0"

    def test_in_a_model_folder_it_is_called_as_the_folder(self, brought: tuple[Path, Path]) -> None:
        weights = brought[0].rename(brought[0].with_name("weights.safetensors"))
        assert add(weights, brought[1]).card.name == "stick"

    def test_a_card_comes_along_with_its_lineage(self, brought: tuple[Path, Path]) -> None:
        weights = brought[0].rename(brought[0].with_name("weights.safetensors"))
        card = cards.ModelCard(name="v002", sha256=cards.file_sha256(weights), lineage={"scope": "this study only"})
        cards.write_card(weights.parent, card)
        found = add(weights, brought[1], "clinic").card
        assert (found.name, found.kind, found.lineage["scope"]) == ("clinic", "imported", "this study only")

    def test_a_card_of_other_weights_is_refused(self, brought: tuple[Path, Path]) -> None:
        weights = brought[0].rename(brought[0].with_name("weights.safetensors"))
        cards.write_card(weights.parent, cards.ModelCard(name="v002", sha256="ab"))
        with pytest.raises(CheckpointError, match="not what the card beside it is of"):
            add(weights, brought[1], "clinic")

    def test_a_published_one_goes_where_a_pull_puts_it(
        self, brought: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = add(*brought, NAME)
        assert files.weights.parent == published_folder() / "acdc-sax-seg" / "0"
        assert (files.card.kind, files.card.licence) == ("published", "MIT")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert pull(NAME) == [resolve_model(NAME)]

    def test_a_config_of_another_view_is_refused(self, brought: tuple[Path, Path]) -> None:
        with pytest.raises(
            CheckpointError, match=r"config\.yaml is of a model for sax; mnms2-lax4c-seg/0 takes lax_4c"
        ):
            add(*brought, "mnms2-lax4c-seg/0")

    def test_an_existing_name_is_not_replaced(self, brought: tuple[Path, Path]) -> None:
        add(*brought, NAME)
        with pytest.raises(InputError, match="There is a model acdc-sax-seg/0 already"):
            add(*brought, NAME)

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("acdc-sax-seg", "stands for several published models"),
            ("bundled", "program's own name"),
            ("published", "program's own name"),
            ("../elsewhere", "is no model name"),
            ("acdc-sax-seg/7", "is no model name"),
        ],
    )
    def test_names_that_cannot_be_given(self, name: str, told: str, brought: tuple[Path, Path]) -> None:
        with pytest.raises(InputError, match=told):
            add(*brought, name)

    def test_a_pickle_is_refused_with_a_way_to_convert_it(self, brought: tuple[Path, Path], tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
                return (Path.touch, (tmp_path / "it-ran",))

        path = tmp_path / "model.pt"
        path.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(
            CheckpointError, match=r"can run any program.*--network none.*weights_only=True.*'model\.saf"
        ):
            add(path, brought[1])
        assert not (tmp_path / "it-ran").exists()

    def test_a_half_copied_file_is_refused(self, brought: tuple[Path, Path]) -> None:
        whole = brought[0].read_bytes()
        brought[0].write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match=r"acdc_sax_0\.safetensors is not a whole safetensors file"):
            add(*brought)
        assert list_models()[2:] == []

    def test_a_file_without_tensors_is_refused(self, brought: tuple[Path, Path]) -> None:
        brought[0].write_bytes((2).to_bytes(8, "little") + b"{}")
        with pytest.raises(CheckpointError, match="holds no tensors"):
            add(*brought)

    @pytest.mark.parametrize(("k", "told"), [(0, "The weights .* are not there"), (1, "The config .* is not there")])
    def test_weights_without_config_and_the_reverse(self, k: int, told: str, brought: tuple[Path, Path]) -> None:
        brought[k].unlink()
        with pytest.raises(CheckpointError, match=told):
            add(*brought)

    @pytest.mark.parametrize("content", ["", "[1, 2]", "task: segmentation", "model: convunetr", "{", "\x00"])
    def test_what_is_no_config_is_refused(self, content: str, brought: tuple[Path, Path]) -> None:
        brought[1].write_text(content, encoding="utf-8")
        with pytest.raises(CheckpointError, match="The config"):
            add(*brought)

    def test_a_full_disk_leaves_nothing(
        self, brought: tuple[Path, Path], empty_models: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shutil, "copyfile", full)
        with pytest.raises(StorageError, match="No space left on device"):
            add(*brought, "mine")
        assert left_behind(empty_models) == []


def test_every_error_of_the_hub_is_ours() -> None:
    assert issubclass(DownloadError, CinemaError)
    assert DownloadError.exit_code == 1


def test_published_configs_name_the_view_as_the_table_does(shared_golden: Path) -> None:
    # ``add`` compares them; the golden configs have the published form.
    views = yaml.safe_load((shared_golden / "seg_lax_4c.yaml").read_text(encoding="utf-8"))["model"]["views"]
    assert views in ("lax_4c", [PUBLISHED["mnms2-lax4c-seg/0"].view])


def test_a_card_is_readable_by_other_programs(hub: HubStandIn) -> None:
    folder = pull(NAME)[0].weights.parent
    assert json.loads((folder / "card.json").read_text(encoding="utf-8"))["name"] == NAME
