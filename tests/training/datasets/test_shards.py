"""Shards of cines: the same samples as from the folder, every study once, what is wrong with them."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from processed_datasets import disc_heart, small_pretraining, write_cines

from cinema_core.errors import InputError, StorageError, StudyError
from cinema_core.model_config import ALL_VIEWS
from training import shards
from training.datasets import shards as packing
from training.datasets.cines import CineStudy, MaskedCines, files_by_study, find_studies, packed_studies
from training.datasets.shards import Packed, write_shards
from training.distributed import Processes
from training.epochs import Plan, portion


@pytest.fixture
def cines(tmp_path: Path) -> Path:
    """Five studies with all views, and one with the short axis alone."""
    folder = tmp_path / "cines"
    write_cines(folder / "visits", 5)
    write_cines(folder / "1.2.840", 1, views=("sax",))  # a dot ends a name in WebDataset
    return folder


@pytest.fixture
def packed(cines: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    write_shards(files_by_study(cines, ALL_VIEWS), folder, per_shard=2)
    return folder


@pytest.mark.parametrize("unpack", [False, True])
def test_shards_give_the_samples_of_the_folder(cines: Path, tmp_path: Path, unpack: bool) -> None:
    n_shards = write_shards(files_by_study(cines, ALL_VIEWS), tmp_path / "shards", per_shard=2, unpack=unpack)
    assert n_shards == 3
    config = small_pretraining(cines)
    studies = find_studies(cines, config.data.views)
    same = packed_studies(tmp_path / "shards", config.data.views)
    assert [study.name for study in same] == [study.name for study in studies]
    assert len(packed_studies(tmp_path / "shards", ("sax",))) == 6
    from_files, from_shards = MaskedCines(studies, config), MaskedCines(same, config)
    for index in (0, 3, 7, 14):  # of several epochs
        for part, other in zip(from_files[index], from_shards[index], strict=True):
            assert torch.equal(part, other)


def test_a_shard_is_a_tar_file_as_webdataset_reads_it(cines: Path, packed: Path) -> None:
    names = []
    for path in sorted(packed.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                key, _, ending = member.name.partition(".")
                if ending == "json":
                    names.append(json.load(content)["study"])
                    continue
                view = ending.removesuffix(".nii.gz")
                source = cines / names[-1] / f"{names[-1].rpartition('/')[2]}_{view}_t.nii.gz"
                assert content.read() == source.read_bytes()
                assert int(key) == len(names) - 1  # side by side under one key
    assert names == ["1.2.840/000", *(f"visits/00{k}" for k in range(5))]


def test_every_study_is_learned_once_per_epoch_over_all_processes(packed: Path) -> None:
    config = small_pretraining(packed, "data.dir=null", f"data.shards={packed}", "train.batch_size_per_device=1")
    studies = packed_studies(packed, config.data.views)
    plan = Plan(len(studies), config)
    for epoch in range(2):
        learned = []
        for rank in range(2):
            processes = Processes()
            processes.rank, processes.size = rank, 2
            for step in range(epoch * plan.per_epoch, (epoch + 1) * plan.per_epoch):
                batches = plan.batches(step)
                own = portion(len(batches), processes)
                for place, share in zip(own.places, own.shares, strict=True):
                    learned += [index % len(studies) for index in batches[place] if share]
        assert sorted(learned) == list(range(5))


def test_a_stopped_packing_goes_on_and_writes_only_what_is_not_there(
    cines: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, out, whole = files_by_study(cines, ALL_VIEWS), tmp_path / "again", packing._write_shard

    def full(shard: Path, first: int, *given: object) -> object:
        if first == 2:
            (shard.parent / f".partial-{shard.name}").write_bytes(b"half a")
            raise StorageError("no room")
        return whole(shard, first, *given)  # type: ignore[arg-type]

    with monkeypatch.context() as filled:
        filled.setattr(packing, "_write_shard", full)
        with pytest.raises(StorageError):
            write_shards(found, out, per_shard=2)
    with pytest.raises(InputError, match=r"2 of 3 shards in .* are missing, the first is cines-00001.tar"):
        packed_studies(out, ("sax",))
    before = (out / "cines-00000.tar").stat().st_mtime_ns
    write_shards(found, out, per_shard=2)
    assert (out / "cines-00000.tar").stat().st_mtime_ns == before
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in packed.iterdir())
    for path in packed.glob("*.tar"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_a_changed_study_is_packed_anew_and_other_studies_need_another_folder(cines: Path, packed: Path) -> None:
    changed = cines / "visits" / "004" / "004_sax_t.nii.gz"
    nib.save(nib.Nifti1Image(disc_heart(9)[0], np.diag([1.0, 1.0, 10.0, 1.0])), changed)
    old = {path.name: path.read_bytes() for path in packed.glob("*.tar")}
    write_shards(files_by_study(cines, ALL_VIEWS), packed, per_shard=2)
    assert [name for name, content in old.items() if (packed / name).read_bytes() != content] == ["cines-00002.tar"]
    write_cines(cines / "more", 1)
    with pytest.raises(InputError, match=r"cines-00000.json belongs to shards of other studies"):
        write_shards(files_by_study(cines, ALL_VIEWS), packed, per_shard=2)


def test_a_shard_that_is_cut_gone_or_anothers_is_named(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no shards \(cines-\*.tar"):
        packed_studies(tmp_path / "none", ("sax",))
    shard, index = packed / "cines-00001.tar", packed / "cines-00001.json"
    content, told = shard.read_bytes(), index.read_text()
    shard.write_bytes(content[:-700])
    with pytest.raises(InputError, match=rf"cines-00001.tar has {len(content) - 700} bytes, {len(content)} were"):
        packed_studies(packed, ("sax",))
    shard.unlink()
    with pytest.raises(InputError, match=r"cines-00001.tar has 0 bytes"):
        packed_studies(packed, ("sax",))
    index.write_text("{}")
    with pytest.raises(InputError, match=r"cines-00001.json is no index of a shard"):
        packed_studies(packed, ("sax",))
    index.write_text(told.replace(json.loads(told)["whole"], "another"))
    with pytest.raises(InputError, match="holds shards of several cohorts"):
        packed_studies(packed, ("sax",))


def test_damage_within_a_shard_is_told_with_shard_and_study_where_it_is_read(packed: Path) -> None:
    study = next(study for study in packed_studies(packed, ALL_VIEWS) if study.name == "visits/002")
    place = study.files["lax_2c"]
    assert isinstance(place, Packed)
    config = small_pretraining(packed)

    def damaged(first: int, n: int) -> str:
        content = bytearray(place.shard.read_bytes())
        whole = bytes(content)
        content[first : first + n] = b"\xff" * n
        place.shard.write_bytes(content)
        with pytest.raises(StudyError) as caught:
            MaskedCines([CineStudy(study.name, study.files)], config)[0]
        place.shard.write_bytes(whole)
        return str(caught.value)

    where = f"{place.name} (study visits/002) in the shard {place.shard}"
    assert f"{where} is not where its index says" in damaged(place.at, 512)  # the header of the file
    assert f"{where} is cut short or damaged" in damaged(place.at + 512, 200)  # what it holds
    os.truncate(place.shard, place.at + 512 + 100)  # while the training runs
    with pytest.raises(StudyError, match=r"lax_2c.nii.gz \(study visits/002\) in the shard .*cines-00001.tar is cut"):
        MaskedCines([study], config)[0]


def test_damaged_files_are_not_packed(cines: Path, tmp_path: Path) -> None:
    bad = cines / "visits" / "001" / "001_lax_3c_t.nii.gz"
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(StudyError, match=r"001_lax_3c_t.nii.gz is cut short, damaged or no NIfTI image"):
        write_shards(files_by_study(cines, ALL_VIEWS), tmp_path / "shards")
    bad.unlink()
    plain = bad.with_name("001_lax_3c_t.nii")
    nib.save(nib.Nifti1Image(disc_heart(1)[0], np.eye(4)), plain)
    plain.write_bytes(plain.read_bytes()[:-20])
    with pytest.raises(StudyError, match=r"001_lax_3c_t.nii is cut short. Prepare it again"):
        write_shards(files_by_study(cines, ALL_VIEWS), tmp_path / "shards")
    assert not list((tmp_path / "shards").iterdir())


def test_the_command_says_what_to_pretrain_with(
    cines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--cines", str(cines), "--out", str(tmp_path / "shards"), "--studies", "4", "--unpack"]
    assert shards.main(asked) == 0
    assert f"6 studies are in 2 shards. Pretrain with data.shards={tmp_path / 'shards'}." in capsys.readouterr().out
    assert shards.main([*asked, "--studies", "0"]) == 2
    assert "1 or more studies" in capsys.readouterr().err
    assert shards.main(["--cines", str(tmp_path / "none"), "--out", str(tmp_path / "shards")]) == 2
    assert "There is no folder" in capsys.readouterr().err
