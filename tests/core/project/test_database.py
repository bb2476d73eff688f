"""What the journal survives: kills, full disks, second windows, damage, protected folders, newer programs."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from cinema_core.errors import CinemaError, ProjectError, StorageError
from cinema_core.project import Project, SliceEdit
from cinema_core.project.masks import pack

MakeEdit = Callable[..., SliceEdit]

WRITER = """
import sys
import numpy as np
from cinema_core.anatomy import LabelState
from cinema_core.project import Project, SliceEdit

rng = np.random.default_rng(int(sys.argv[2]))
with Project.open(sys.argv[1]) as project:
    assert not project.read_only, project.read_only_reason
    n = project.journal_position()
    while True:
        size = int(rng.choice([1, 1, 1, 20]))
        batch = []
        for k in range(n, n + size):
            y, x = np.mgrid[:64, :48]
            mask = ((y * 31 + x * 17 + k * 7) % 4).astype(np.uint8)
            tool = f"batch {n} {size}"
            batch.append(SliceEdit("study-1", k % 4, k % 3, mask, LabelState.CORRECTED, tool, str(k)))
        project.record_many(batch)
        n += size
        print(n, flush=True)
"""


def _start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def _kill_while_writing(folder: Path, seed: int) -> int:
    """Rows that a writer had acknowledged when it was killed in full swing."""
    with _start(WRITER, folder, seed) as writer:
        assert writer.stdout is not None
        for _ in range(random.Random(seed).randint(1, 40)):
            line = writer.stdout.readline()
            assert line, "the writer ended by itself"
        writer.kill()  # SIGKILL; it was running ahead of what was read
        return int([line, *writer.stdout.readlines()][-1])


def test_ten_kills_lose_nothing_that_was_acknowledged(folder: Path) -> None:
    with Project.open(folder, create=True) as project:
        project.add_study("study-1", "a" * 64, folder.parent / "image", "sax", (4, 3, 64, 48), "sax")
    y, x = np.mgrid[:64, :48]
    for seed in range(10):
        acknowledged = _kill_while_writing(folder, seed)
        with Project.open(folder) as project:
            assert not project.read_only
            rows = [row for t in range(4) for z in range(3) for row in project.history("study-1", t, z)]
        rows.sort(key=lambda row: row.row_id)
        assert len(rows) >= acknowledged
        assert [int(row.model_sha256) for row in rows] == list(range(len(rows)))
        for k, row in enumerate(rows):
            np.testing.assert_array_equal(row.mask, (y * 31 + x * 17 + k * 7) % 4)
        _, start, size = rows[-1].tool.split()
        assert int(start) + int(size) == len(rows), "half a batch was kept"


def test_a_child_of_a_killed_program_does_not_keep_the_lock(folder: Path) -> None:
    script = """
import subprocess, sys
from cinema_core.project import Project
project = Project.open(sys.argv[1], create=True)
sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print(sleeper.pid, flush=True)
sleeper.wait()
"""
    with _start(script, folder) as program:
        assert program.stdout is not None
        sleeper = psutil.Process(int(program.stdout.readline()))
        try:
            program.kill()
            program.wait()
            assert sleeper.is_running()
            with Project.open(folder) as project:
                assert not project.read_only
        finally:
            sleeper.kill()


def test_an_unfinished_creation_is_finished_the_next_time(folder: Path) -> None:
    folder.mkdir()
    (folder / "project.sqlite").touch()  # what a kill before the first commit leaves
    (folder / "project.lock").touch()
    with pytest.raises(ProjectError, match="is empty"):
        Project.open(folder)
    with Project.open(folder, create=True) as project:
        assert project.studies() == []


def test_every_commit_waits_for_the_disk(project: Project) -> None:
    # No test can pull the plug: synchronous=FULL (2) in WAL mode is what SQLite asks for.
    with project._database.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_the_second_window_may_look_and_sees_new_edits(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    with Project.open(project.folder) as second:
        assert second.read_only
        assert "being edited in another window" in second.read_only_reason
        assert len(second.slices("study-1")) == 1
        project.record(edit(z=1))
        assert len(second.slices("study-1")) == 2


@pytest.mark.parametrize(
    "write",
    [
        lambda project, edit: project.record(edit),
        lambda project, edit: project.assign_fold("p"),
        lambda project, edit: project.log_event("note"),
        lambda project, edit: project.set_current_model("v1"),
    ],
)
def test_the_second_window_cannot_write(project: Project, edit: MakeEdit, write: Callable[..., object]) -> None:
    with Project.open(project.folder) as second:
        with pytest.raises(ProjectError, match="Nothing was saved: the project is being edited"):
            write(second, edit())
    assert project.journal_position() == 0


def test_another_process_may_look_while_this_one_edits(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    script = """
import sys
from cinema_core.project import Project
with Project.open(sys.argv[1]) as project:
    print(project.read_only, project.journal_position())
"""
    with _start(script, project.folder) as other:
        assert other.communicate()[0].split() == ["True", "1"]
    assert project.record(edit()) == 2


def test_a_project_in_use_is_opened_to_read_even_where_one_would_be_made(project: Project) -> None:
    with Project.open(project.folder, create=True) as second:
        assert second.read_only


def test_the_next_window_edits_once_the_first_is_closed(project: Project, edit: MakeEdit) -> None:
    project.close()
    with Project.open(project.folder) as second:
        assert not second.read_only
        assert second.read_only_reason == ""
        assert second.record(edit()) == 1


def test_an_onlooker_sees_one_state_through_several_calls(project: Project, edit: MakeEdit) -> None:
    with Project.open(project.folder) as second, second.unchanging():
        assert second.journal_position() == 0
        project.record(edit())
        assert second.slices("study-1") == {}


def test_a_closed_project_says_so(project: Project, edit: MakeEdit) -> None:
    project.close()
    project.close()
    with pytest.raises(ProjectError, match="is closed"):
        project.record(edit())
    with pytest.raises(ProjectError, match="is closed"):
        project.studies()


def test_edits_from_several_threads_all_arrive(project: Project, edit: MakeEdit) -> None:
    def work() -> None:
        for _ in range(20):
            project.record(edit())
            project.states("study-1")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert project.journal_position() == 80


def _noise(edit: MakeEdit, seed: int) -> SliceEdit:
    """A slice that does not compress, so that a limit on the file's size is reached soon."""
    return SliceEdit(
        "study-2", 0, 0, np.random.default_rng(seed).integers(0, 4, (256, 256), np.uint8), edit().state, "brush"
    )


def _record_until_refused(project: Project, edit: MakeEdit) -> int:
    for count in range(1000):
        try:
            project.record(_noise(edit, count))
        except StorageError:
            return count
    raise AssertionError("the limit was never reached")


def test_a_full_disk_loses_nothing_and_the_project_goes_on_afterwards(project: Project, edit: MakeEdit) -> None:
    project.add_study("study-2", "b" * 64, "image-2", "sax", (1, 1, 256, 256), "sax")
    # SQLite's own limit raises the very error of a full disk.
    with project._database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 100")
    saved = _record_until_refused(project, edit)
    assert saved > 3
    with pytest.raises(StorageError, match=r"the disk is full\. Free some space .* everything before it was"):
        project.record_many([_noise(edit, seed) for seed in range(5)])
    assert project.journal_position() == saved
    with project._database.reading() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    assert project.record(_noise(edit, 0)) > saved
    history = project.history("study-2", 0, 0)
    for seed, label in zip([*range(saved), 0], history, strict=True):
        np.testing.assert_array_equal(label.mask, _noise(edit, seed).mask)


def test_a_write_error_of_the_system_loses_nothing_and_the_project_goes_on(project: Project, edit: MakeEdit) -> None:
    resource = pytest.importorskip("resource", reason="file size limits exist on POSIX only")
    project.add_study("study-2", "b" * 64, "image-2", "sax", (1, 1, 256, 256), "sax")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # Python ignores SIGXFSZ: the write itself fails
    try:
        saved = _record_until_refused(project, edit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert saved > 3
    project.record(_noise(edit, 0))
    project.close()
    with Project.open(project.folder) as again:
        assert len(again.history("study-2", 0, 0)) == saved + 1


def test_a_newer_project_is_left_alone(project: Project) -> None:
    project.close()
    path = project.folder / "project.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ProjectError, match=r"newer napari-cinema \(format 99, .* Update"):
        Project.open(project.folder)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_kept(folder: Path) -> None:
    folder.mkdir()
    path = folder / "project.sqlite"
    path.write_text("these are my notes\n" * 1000, encoding="utf-8")
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(ProjectError, match="not a project database, or it is damaged"):
            Project.open(folder, create=create)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "project.sqlite") as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    with pytest.raises(ProjectError, match="of another program"):
        Project.open(folder, create=True)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_cut_off_database_is_refused(project: Project, edit: MakeEdit, keep: float) -> None:
    project.add_study("study-2", "b" * 64, "image-2", "sax", (1, 1, 256, 256), "sax")
    project.record_many([_noise(edit, seed) for seed in range(5)])
    project.close()
    path = project.folder / "project.sqlite"
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(ProjectError, match=r"damaged.*backup"):
        Project.open(project.folder)


def test_damage_is_found_before_anything_is_written_on_top(project: Project, edit: MakeEdit) -> None:
    project.record(edit())
    project.close()
    path = project.folder / "project.sqlite"
    with sqlite3.connect(path) as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'journal_by_slice'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(ProjectError, match=r"damaged.*backup"):
        Project.open(project.folder)
    assert path.read_bytes() == content


def test_a_damaged_mask_is_named_not_shown(project: Project, edit: MakeEdit) -> None:
    project.add_study("study-2", "b" * 64, "image-2", "sax", (1, 1, 256, 256), "sax")
    project.record(_noise(edit, 0))
    project.close()
    path = project.folder / "project.sqlite"
    content = bytearray(path.read_bytes())
    content[content.index(pack(_noise(edit, 0).mask)[5000:5100])] ^= 0xFF  # SQLite itself keeps no checksum
    path.write_bytes(content)
    with Project.open(project.folder) as again:
        with pytest.raises(ProjectError, match=r"Row 1 of the table journal of project\.sqlite .* is damaged"):
            again.slices("study-2")


@pytest.mark.parametrize("make", [lambda folder: None, lambda folder: folder.mkdir(), lambda folder: folder.touch()])
def test_a_place_without_a_project_is_refused(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder)
    with pytest.raises(ProjectError, match=r"no project in .* Choose a folder NAME\.cinema"):
        Project.open(folder)
    assert not (folder / "project.lock").exists()


def test_no_project_is_made_among_other_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "letter.txt").touch()
    with pytest.raises(ProjectError, match="holds other files"):
        Project.open(folder, create=True)
    assert [entry.name for entry in folder.iterdir()] == ["letter.txt"]


def test_no_project_is_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made"):
        Project.open(tmp_path / "file" / "heart.cinema", create=True)


def test_a_folder_may_have_any_name(tmp_path: Path, edit: MakeEdit) -> None:
    folder = tmp_path / "Müller #1 100% & co.cinema"
    with Project.open(folder, create=True):
        pass
    with Project.open(folder) as project, Project.open(folder) as second:
        assert (project.read_only, second.read_only) == (False, True)
    assert (folder / "project.sqlite").is_file()


@contextmanager
def _without_root() -> Iterator[None]:
    """Permissions do not bind root, as which tests run in containers."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def protected(project: Project, edit: MakeEdit) -> Iterator[Callable[[bool], Path]]:
    """Copy of a project with one edit in a folder that may not be written, closed cleanly or not."""
    if os.name == "nt":
        pytest.skip("folders cannot be protected by mode on Windows")
    place = Path(tempfile.mkdtemp())  # not below tmp_path, which only its owner may enter
    copy = place / "heart.cinema"

    def make(clean: bool) -> Path:
        project.record(edit(value=2))
        if clean:
            project.close()
        copy.mkdir()
        for name in ("project.sqlite", "project.sqlite-wal"):
            if (project.folder / name).exists():
                shutil.copyfile(project.folder / name, copy / name)
                (copy / name).chmod(0o444)
        copy.chmod(0o555)
        place.chmod(0o755)
        return copy

    yield make
    copy.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "killed"])
def test_a_protected_folder_is_opened_to_read(protected: Callable[[bool], Path], edit: MakeEdit, clean: bool) -> None:
    copy = protected(clean)
    with _without_root():
        with Project.open(copy) as project:
            assert "folder may not be written" in project.read_only_reason
            assert project.slices("study-1")[0, 0].mask.max() == 2
            with pytest.raises(ProjectError, match="Nothing was saved"):
                project.record(edit())


def test_a_protected_file_in_an_open_folder_is_opened_to_read(
    protected: Callable[[bool], Path], edit: MakeEdit
) -> None:
    copy = protected(True)
    copy.chmod(0o777)
    with _without_root(), Project.open(copy) as project:
        assert "file is protected against writing" in project.read_only_reason
        assert project.slices("study-1")[0, 0].mask.max() == 2


def test_no_project_is_made_in_a_protected_folder(protected: Callable[[bool], Path]) -> None:
    copy = protected(True)
    with _without_root(), pytest.raises(StorageError, match="cannot be made"):
        Project.open(copy / "new.cinema", create=True)


def test_errors_are_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "project.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(CinemaError) as caught:
        Project.open(folder)
    assert "\n" not in str(caught.value)
