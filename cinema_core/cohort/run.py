"""A cohort over many processes or machines, through dask.distributed."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from cinema_core.cohort.entries import CohortEntry
from cinema_core.cohort.journal import open_journal
from cinema_core.cohort.work import (
    LABELS_FOLDER,
    PROCESS_ENDED,
    BatchSettings,
    Outcome,
    ProvenanceRow,
    work_on,
)
from cinema_core.errors import EngineError, InputError
from cinema_core.process import keep_freed_memory
from cinema_core.progress import Progress, no_progress
from cinema_core.report import ReportRow, write_report
from cinema_core.report.table import write_rows

REPORT_NAME: Final = "report.csv"
PROVENANCE_NAME: Final = "provenance.csv"
FAILURES_NAME: Final = "failures.csv"

WAITING_PER_PROCESS: Final = 4
"""Studies that lie ready for each process; more would only fill the scheduler of a cohort of a hundred thousand."""

CONNECT_S: Final = 15
"""How long an existing cluster is waited for."""


QUIET_WORKERS: Final = {"distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms"}
"""Workers look a hundred times a second at what they are doing; that costs more than it tells here."""


@dataclass(frozen=True)
class FailureRow:
    """A study that has no row in the report."""

    study_id: str
    kind: str
    reason: str


@dataclass(frozen=True)
class BatchResult:
    """What became of a cohort.

    Attributes
    ----------
    rows
        Of the report, in the order of the list.
    failures
        Studies without a row.
    resumed
        Rows that an earlier run had made.
    seconds
        This run took, from the first study handed out to the last that came back.
    """

    rows: tuple[ReportRow, ...]
    failures: tuple[FailureRow, ...]
    resumed: int
    seconds: float

    @property
    def failures_by_kind(self) -> dict[str, int]:
        """How many failed for which reason, the most frequent first."""
        return dict(Counter(row.kind for row in self.failures).most_common())


def run_batch(
    entries: list[CohortEntry],
    settings: BatchSettings,
    *,
    scheduler: str | None = None,
    processes: int | None = None,
    progress: Progress = no_progress,
    on_dashboard: Callable[[str], None] = lambda _: None,
) -> BatchResult:
    """Work on every study and write ``report.csv``, ``provenance.csv`` and ``failures.csv``.

    A study that fails, or kills its process, stops no other. What is done is in the journal at once: a run that was
    killed is gone on with by running it again; only failures and studies whose files changed are worked on again.

    Parameters
    ----------
    scheduler
        Address of an existing cluster, ``tcp://HOST:8786``; its workers must have this program and see all paths.
        None for a cluster on this computer.
    processes
        Of the cluster on this computer; None for one per core.
    on_dashboard
        Told the address at which a browser shows the cluster at work.

    Raises
    ------
    InputError
        If the folder holds another run, or the cluster cannot be reached.
    EngineError
        If the cluster went away.
    StorageError
        If results cannot be written.
    """
    with open_journal(entries, settings) as journal:
        done = dict(journal.done)
        to_do = [entry for entry in entries if entry.study not in done]
        failures: dict[str, FailureRow] = {}
        began = time.monotonic()
        if to_do:
            if any(not entry.labels for entry in to_do):
                (settings.out / LABELS_FOLDER).mkdir(exist_ok=True)
            with _client(scheduler, processes) as client:
                on_dashboard(client.dashboard_link)
                began = time.monotonic()
                for entry, outcome in _outcomes(client, to_do, settings):
                    journal.append(entry, outcome)
                    if outcome.row is not None:
                        done[entry.study] = outcome
                    else:
                        failures[entry.study] = FailureRow(entry.study, outcome.kind, outcome.reason)
                    progress((len(done) + len(failures)) / len(entries), _said(done, failures, entries))
        seconds = time.monotonic() - began
    outcomes = [done[entry.study] for entry in entries if entry.study in done]
    rows = tuple(outcome.row for outcome in outcomes if outcome.row is not None)
    failed = tuple(failures[entry.study] for entry in entries if entry.study in failures)
    write_report(settings.out / REPORT_NAME, rows)
    origins = [outcome.provenance for outcome in outcomes if outcome.provenance is not None]
    write_rows(settings.out / PROVENANCE_NAME, ProvenanceRow, origins)
    write_rows(settings.out / FAILURES_NAME, FailureRow, failed)
    return BatchResult(rows, failed, len(entries) - len(to_do), seconds)


def _said(done: dict[str, Any], failures: dict[str, Any], entries: list[CohortEntry]) -> str:
    failed = f", {len(failures)} failed" if failures else ""
    return f"{len(done) + len(failures)} of {len(entries)} studies{failed}"


def _outcomes(
    client: Any, entries: list[CohortEntry], settings: BatchSettings
) -> Iterator[tuple[CohortEntry, Outcome]]:
    """Hand out studies and give back what becomes of them, in the order in which they end."""
    from distributed import as_completed

    left = iter(entries)
    n_processes = max(1, sum(client.nthreads().values()))
    entry_of: dict[str, CohortEntry] = {}

    def submit(entry: CohortEntry) -> Any:
        future = client.submit(work_on, entry, settings, pure=False)
        entry_of[future.key] = entry
        return future

    ending = as_completed([submit(entry) for entry in islice(left, WAITING_PER_PROCESS * n_processes)])
    for future in ending:
        entry = entry_of.pop(future.key)
        yield entry, _outcome(client, future, entry)
        following = next(left, None)
        if following is not None:
            ending.add(submit(following))


def _outcome(client: Any, future: Any, entry: CohortEntry) -> Outcome:
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if client.status != "running":
        raise EngineError("The cluster went away. Run the same command again: what is done stays done.")
    # work_on answers whatever Python can catch: what is left is a process that died, several times over.
    reason = "The process that worked on it ended: a full memory, or a crash."
    return Outcome(entry.study, kind=PROCESS_ENDED, reason=reason)


@contextmanager
def _same_environment() -> Iterator[None]:
    """Take back what dask sets for its workers, one thread each: later processes would compute with one thread too."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _client(scheduler: str | None, processes: int | None) -> Iterator[Any]:
    """Connect to a cluster, or start one on this computer that only this computer can reach."""
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise InputError(
                f"No cluster answers at {scheduler}. Check the address, tcp://HOST:8786, and that it runs."
            ) from error
        with client:
            if not client.nthreads():
                raise InputError(f"The cluster at {scheduler} has no workers. Start some: dask worker {scheduler}")
            yield client
        return
    with (
        _same_environment(),
        dask.config.set(QUIET_WORKERS),
        LocalCluster(
            n_workers=processes,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(keep_freed_memory)  # these processes do nothing else
        yield client
