"""Life and death of the engine's process, with simple work instead of torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import psutil
import pytest
from engine_practice import Count, Echo, Exit, Ignore, Obey, Raise, Report, Signal

from cinema_core.engine.client import EngineClient, Job, JobState
from cinema_core.errors import Cancelled, EngineError

WAIT_S = 60.0

Listen = Callable[[Job], Any]
Blocks = Callable[..., set[str]]

MEGABYTES = np.ones((4, 1024, 1024), np.uint8)


def engine_pids() -> list[int]:
    return [p.pid for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def gone(pid: int) -> bool:
    """Wait for the end of a process that is not our own child: waiting for one would take its exit code away."""
    try:
        psutil.Process(pid).wait(WAIT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


# ---------------------------------------------------------------- work that goes well


def test_making_a_client_starts_nothing(client: EngineClient) -> None:
    assert not client.alive
    assert engine_pids() == []


def test_large_array_goes_and_comes_back_exactly(client: EngineClient) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (20, 10, 128, 128)).astype(np.uint16)
    found = client.submit(Echo(pixels)).result(WAIT_S)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


def test_jobs_share_one_process_and_leave_no_memory(client: EngineClient) -> None:
    jobs = [client.submit(Echo(np.full(1000, k))) for k in range(50)]
    assert [int(job.result(WAIT_S)[0]) for job in jobs] == list(range(50))
    assert len(engine_pids()) == 1


def test_second_job_waits_for_the_first(client: EngineClient, listen: Listen) -> None:
    first, second = client.submit(Obey()), client.submit(Echo("second"))
    listen(first).until("progressed")
    assert (first.state, second.state) == (JobState.RUNNING, JobState.QUEUED)
    first.cancel()
    assert second.result(WAIT_S) == "second"
    assert (first.state, second.state) == (JobState.CANCELLED, JobState.DONE)


def test_events_come_in_order_and_end_once(client: EngineClient, listen: Listen) -> None:
    blocker = client.submit(Obey())
    job = client.submit(Report(1000))
    heard = listen(job)
    blocker.cancel()
    heard.until("finished")
    *progress, end = heard.news
    assert end == ("finished", "reported")
    assert {kind for kind, *_ in progress} == {"progressed"}
    fractions = [fraction for _, fraction, _ in progress]
    assert fractions == sorted(fractions)


def test_fast_progress_is_thinned_but_the_last_word_arrives(client: EngineClient, listen: Listen) -> None:
    blocker = client.submit(Obey())
    heard = listen(client.submit(Report(5000)))
    blocker.cancel()
    heard.until("finished")
    assert len(heard.news) < 1000
    assert heard.news[-2] == ("progressed", 1.0, "step 5000")


def test_start_ahead_gives_a_process_that_the_first_job_uses(client: EngineClient) -> None:
    client.start()
    assert client.submit(Echo("hello")).result(WAIT_S) == "hello"
    assert len(engine_pids()) == 1


def test_start_ahead_warms_up_before_there_is_a_job(
    make_client: Callable[..., EngineClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as telephone:
        telephone.settimeout(WAIT_S)
        monkeypatch.setenv("PRACTICE_PORT", str(telephone.getsockname()[1]))
        make_client("engine_practice:CallingTasks").start()
        caller, _ = telephone.accept()
        caller.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl+C to the whole console")
def test_engine_ignores_ctrl_c(client: EngineClient) -> None:
    client.submit(Echo(None)).result(WAIT_S)
    (pid,) = engine_pids()
    os.kill(pid, signal.SIGINT)
    assert client.submit(Echo("still here")).result(WAIT_S) == "still here"
    assert engine_pids() == [pid]


# ---------------------------------------------------------------- cancel


def test_cancel_stops_work_that_looks_and_keeps_the_process(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Obey())
    heard = listen(job)
    pid = int(heard.until("progressed")[2])
    job.cancel()
    heard.until("cancelled")
    assert job.state is JobState.CANCELLED
    with pytest.raises(Cancelled, match="nothing was changed"):
        job.result(WAIT_S)
    client.submit(Echo(None)).result(WAIT_S)
    assert engine_pids() == [pid]


def test_cancel_ends_the_process_of_work_that_does_not_look(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Ignore())
    heard = listen(job)
    pid = int(heard.until("progressed")[2])
    job.cancel()
    heard.until("cancelled")
    assert not psutil.pid_exists(pid)
    assert client.submit(Echo("next")).result(WAIT_S) == "next"


def test_job_cancelled_in_the_queue_ends_while_the_first_works(client: EngineClient, listen: Listen) -> None:
    first, second = client.submit(Obey()), client.submit(Echo("never"))
    heard = listen(second)
    second.cancel()
    heard.until("cancelled")
    assert first.state is JobState.RUNNING
    first.cancel()


def test_cancel_after_the_end_changes_nothing(client: EngineClient) -> None:
    job = client.submit(Echo(1))
    job.result(WAIT_S)
    job.cancel()
    assert client.submit(Echo(2)).result(WAIT_S) == 2
    assert job.state is JobState.DONE


# ---------------------------------------------------------------- pause


def rests(heard: Any) -> bool:
    """Whether no progress comes any more, once the last steps have arrived."""
    for _ in range(100):
        try:
            heard.next(timeout_s=0.3)
        except Empty:
            return True
    return False


def test_paused_work_waits_and_goes_on_where_it_was(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Count())
    heard = listen(job)
    heard.until("progressed")
    job.pause()
    assert rests(heard)
    before = int(heard.news[-1][2].split()[1])
    assert job.state is JobState.RUNNING
    job.resume()
    assert int(heard.until("progressed")[2].split()[1]) > before
    job.cancel()
    heard.until("cancelled")


def test_cancel_works_while_paused_and_keeps_the_process(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Count())
    heard = listen(job)
    pid = int(heard.until("progressed")[2].split()[0])
    job.pause()
    assert rests(heard)
    job.cancel()
    heard.until("cancelled")
    client.submit(Echo(None)).result(WAIT_S)
    assert engine_pids() == [pid]


def test_a_process_that_is_killed_while_paused_fails_the_job_and_says_so(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Count())
    heard = listen(job)
    pid = int(heard.until("progressed")[2].split()[0])
    job.pause()
    assert rests(heard)
    assert not job.engine_died
    psutil.Process(pid).kill()
    assert "model are unchanged" in heard.until("failed")[1]
    assert job.engine_died


def test_a_job_that_is_paused_in_the_queue_waits_when_its_turn_comes(client: EngineClient, listen: Listen) -> None:
    first, second = client.submit(Obey()), client.submit(Count())
    heard = listen(second)
    second.pause()
    first.cancel()
    assert rests(heard)
    second.resume()
    heard.until("progressed")
    second.cancel()
    heard.until("cancelled")


# ---------------------------------------------------------------- failures


def test_error_meant_for_the_reader_comes_word_by_word(client: EngineClient, listen: Listen) -> None:
    blocker, job = client.submit(Obey()), client.submit(Raise("cinema"))
    heard = listen(job)
    blocker.cancel()
    assert heard.until("failed") == ("failed", "The weights do not fit. Choose others.")
    with pytest.raises(EngineError, match="Choose others"):
        job.result(WAIT_S)


def test_unforeseen_error_is_one_line_and_keeps_the_process(client: EngineClient) -> None:
    client.submit(Echo(None)).result(WAIT_S)
    before = engine_pids()
    with pytest.raises(EngineError, match=r"while practising \(ValueError: .* is not a number\)\. Your labels") as told:
        client.submit(Raise("value")).result(WAIT_S)
    assert "\n" not in str(told.value)
    assert engine_pids() == before


@pytest.mark.parametrize("kind", ["memory", "gpu", "cublas", "cpu"])
def test_out_of_memory_is_told_and_gives_all_memory_back(client: EngineClient, kind: str) -> None:
    client.submit(Echo(None)).result(WAIT_S)
    (pid,) = engine_pids()
    with pytest.raises(EngineError, match=r"Memory ran out while practising.*unchanged.*Close other programs"):
        client.submit(Raise(kind)).result(WAIT_S)
    assert not psutil.pid_exists(pid)
    assert client.submit(Echo("next")).result(WAIT_S) == "next"


def test_exit_of_the_process_fails_the_job_and_the_next_one_works(client: EngineClient) -> None:
    job = client.submit(Exit(3))
    with pytest.raises(EngineError, match=r"ended unexpectedly while practising \(exit code 3\).*unchanged"):
        job.result(WAIT_S)
    assert job.state is JobState.FAILED
    assert client.submit(Echo("next")).result(WAIT_S) == "next"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("name", "says"), [("SIGKILL", "most likely because memory ran out"), ("SIGSEGV", "SIGSEGV")])
def test_killed_process_says_how_it_ended(client: EngineClient, name: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        client.submit(Signal(name)).result(WAIT_S)


def test_process_that_died_while_idle_is_replaced(client: EngineClient) -> None:
    client.submit(Echo(None)).result(WAIT_S)
    (engine,) = (child for child in multiprocessing.active_children() if child.name == "cinema-engine")
    engine.kill()
    engine.join(WAIT_S)
    assert client.submit(Echo("next")).result(WAIT_S) == "next"


def test_engine_that_cannot_warm_up_tells_it_with_the_first_job(make_client: Callable[..., EngineClient]) -> None:
    client = make_client("engine_practice:ColdTasks")
    with pytest.raises(EngineError, match="ImportError: torch is damaged"):
        client.submit(Echo(None)).result(WAIT_S)


def test_engine_without_tasks_fails_the_job(make_client: Callable[..., EngineClient], capfd: Any) -> None:
    with pytest.raises(EngineError, match="ended unexpectedly"):
        make_client("engine_practice:NoTasks").submit(Echo(None)).result(WAIT_S)


def test_request_that_cannot_be_sent_fails_and_the_next_one_works(client: EngineClient) -> None:
    with pytest.raises(EngineError, match="could not be started or reached"):
        client.submit(Echo(lambda: None)).result(WAIT_S)
    assert client.submit(Echo("next")).result(WAIT_S) == "next"


def test_failing_listener_does_not_stop_the_queue(client: EngineClient) -> None:
    def fail(_: object) -> None:
        raise ValueError("a listener's fault")

    blocker, job = client.submit(Obey()), client.submit(Echo(1))
    job.events.finished.connect(fail)
    blocker.cancel()
    assert client.submit(Echo(2)).result(WAIT_S) == 2


def test_result_does_not_wait_for_ever(client: EngineClient) -> None:
    job = client.submit(Obey())
    with pytest.raises(TimeoutError, match="still practising"):
        job.result(0.01)
    job.cancel()


def test_log_names_the_error_but_not_its_text(client: EngineClient, log_folder: Path) -> None:
    with pytest.raises(EngineError):
        client.submit(Raise("value")).result(WAIT_S)
    client.close()
    text = (log_folder / "engine.log").read_text(encoding="utf-8")
    assert "ValueError at engine_practice.py" in text
    assert "Doe" not in text


# ---------------------------------------------------------------- shared memory


def test_memory_is_free_when_the_outcome_is_there(client: EngineClient, blocks: Blocks) -> None:
    client.submit(Echo(MEGABYTES)).result(WAIT_S)
    assert blocks() == set()


def test_memory_of_a_request_is_free_while_the_engine_works(
    client: EngineClient, listen: Listen, blocks: Blocks
) -> None:
    job = client.submit(Ignore(MEGABYTES))
    listen(job).until("progressed")
    assert blocks() == set()
    job.cancel()


def test_memory_is_free_after_a_crash(client: EngineClient, blocks: Blocks) -> None:
    with pytest.raises(EngineError, match="exit code 3"):
        client.submit(Exit(3, MEGABYTES)).result(WAIT_S)
    client.submit(Echo("next")).result(WAIT_S)
    assert blocks() == set()


def test_memory_is_free_after_a_crash_between_outcome_and_news(
    make_client: Callable[..., EngineClient], blocks: Blocks
) -> None:
    client = make_client("engine_practice:LostReplyTasks")
    with pytest.raises(EngineError, match="exit code 5"):
        client.submit(Echo(MEGABYTES)).result(WAIT_S)
    client.close()
    assert blocks() == set()


def test_memory_is_free_after_a_close_while_the_engine_warms_up(
    make_client: Callable[..., EngineClient], blocks: Blocks, capfd: Any
) -> None:
    client = make_client("engine_practice:EndlessTasks")
    job = client.submit(Echo(MEGABYTES))
    client.close()
    assert job.state is JobState.CANCELLED
    assert blocks() == set()


# ---------------------------------------------------------------- the end


def test_close_ends_the_process_in_the_middle_of_work(client: EngineClient, listen: Listen) -> None:
    running, waiting = client.submit(Ignore()), client.submit(Echo(None))
    pid = int(listen(running).until("progressed")[2])
    client.close()
    assert not psutil.pid_exists(pid)
    assert (running.state, waiting.state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert not client.alive
    assert "cinema-engine-client" not in {thread.name for thread in threading.enumerate()}


def test_closed_client_refuses_work_and_may_be_closed_again(client: EngineClient) -> None:
    client.close()
    client.close()
    with pytest.raises(EngineError, match="was closed"):
        client.submit(Echo(None))


def test_client_may_be_closed_by_a_listener(client: EngineClient, listen: Listen) -> None:
    job = client.submit(Obey())
    job.events.progressed.connect(lambda *_: client.close())
    heard = listen(job)
    heard.until("cancelled")


def test_client_that_is_closed_while_it_starts_leaves_nothing(client: EngineClient) -> None:
    client.start()
    client.close()
    assert engine_pids() == []


BUSY_WINDOW = """
        client = EngineClient("engine_practice:PracticeTasks", log)
        client.submit(Ignore()).events.progressed.connect(lambda _, pid: print(pid, flush=True))
        sys.stdin.read()
"""

WARMING_WINDOW = """
        client = EngineClient("engine_practice:EndlessTasks", log)  # it prints its number itself
        client.submit(Echo(bytes(2**22)))
        sys.stdin.read()
"""

FULL_WINDOW = """
        with EngineClient("engine_practice:PracticeTasks", log) as client:
            client.submit(Echo(bytes(2**22))).result(60)
            for trouble in (Exit(3, bytes(2**22)), Raise("memory"), Raise("value")):
                try:
                    client.submit(trouble).result(60)
                except EngineError:
                    print("failed", flush=True)
            job = client.submit(Ignore(bytes(2**22)))
            job.events.progressed.connect(lambda *_: job.cancel())
            try:
                job.result(60)
            except Cancelled:
                print("cancelled", flush=True)
            client.submit(Ignore(bytes(2**22)))
"""

PROGRAM = """
    import sys
    from pathlib import Path

    sys.path.insert(0, {here!r})
    from engine_practice import Count, Echo, Exit, Ignore, Raise

    from cinema_core.engine.client import EngineClient
    from cinema_core.errors import Cancelled, EngineError

    if __name__ == "__main__":
        log = Path({log!r})
"""


@pytest.fixture
def window(tmp_path: Path, log_folder: Path) -> Iterator[Callable[[str], Any]]:
    """Start a program of its own that has an engine."""
    with ExitStack() as programs:

        def start(work: str) -> Any:
            script = tmp_path / "window.py"
            text = PROGRAM.format(here=str(Path(__file__).parent), log=str(log_folder)) + work
            script.write_text(textwrap.dedent(text), encoding="utf-8")
            program = subprocess.Popen(
                [sys.executable, "-W", "error", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            programs.enter_context(program)
            programs.callback(program.kill)
            return program

        yield start


@pytest.mark.parametrize("work", [BUSY_WINDOW, WARMING_WINDOW], ids=["busy", "warming"])
def test_engine_dies_with_a_window_that_was_killed(window: Callable[[str], Any], work: str, blocks: Blocks) -> None:
    program = window(work)
    pid = int(program.stdout.readline())
    family = [child.pid for child in psutil.Process(program.pid).children()]  # Python's keeper of shared memory too
    program.kill()
    assert pid in family
    assert all(gone(member) for member in family)
    assert blocks(program.pid) == set()


def test_engine_dies_with_a_window_that_ends_without_closing(window: Callable[[str], Any]) -> None:
    program = window(BUSY_WINDOW)
    pid = int(program.stdout.readline())
    _, errors = program.communicate("", timeout=WAIT_S)
    assert gone(pid)
    assert (program.returncode, errors) == (0, "")


def test_nobody_complains_of_lost_memory_at_the_end_of_a_troubled_day(window: Callable[[str], Any]) -> None:
    words, errors = window(FULL_WINDOW).communicate("", timeout=WAIT_S)
    assert words.split() == ["failed", "failed", "failed", "cancelled"]
    assert errors == ""
