"""``cinema batch``: a whole cohort, over many processes or machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cinema_core.cohort.run import BatchResult


def batch(
    cases: Annotated[Path, typer.Argument(metavar="CASES.csv", help="Studies: study,image[,labels][,phase][,slices].")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="For report.csv, provenance.csv, failures.csv and labels.")],
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="An existing cluster, tcp://HOST:8786. Default: this computer."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="On this computer. Default: one per core.")
    ] = None,
    model: Annotated[str, typer.Option(help="Name, model folder, or .safetensors file.")] = "bundled",
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config of a .safetensors file, if not beside it.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Begin anew where a run is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, for a program.")] = False,
) -> None:
    """Segment and measure many studies, or measure those that have labels: one row each in report.csv.

    provenance.csv has what each row was made from and by which rules.

    Example: cinema batch CASES.csv --out cohort

    Example: cinema batch CASES.csv --out cohort --scheduler tcp://10.0.0.5:8786

    A study without labels is segmented; labels of it go to a folder of their own. A study that fails stops no other;
    failures.csv says why. Run the same command again after a stop, or a kill: what is done stays done, failures are
    tried again. The address of a page that shows the work is printed as it begins.
    """
    from cinema_app.terminal import progress_bar, say_json
    from cinema_core import __version__
    from cinema_core.cohort import read_cohort
    from cinema_core.cohort.journal import JOURNAL_NAME
    from cinema_core.cohort.run import FAILURES_NAME, PROVENANCE_NAME, REPORT_NAME, run_batch
    from cinema_core.cohort.work import BatchSettings
    from cinema_core.errors import CinemaError, InputError, StorageError

    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; results go into a folder. Give another name with --out.")
    if not (out / JOURNAL_NAME).exists() and not overwrite and (out / REPORT_NAME).exists():
        raise InputError(f"{out} holds {REPORT_NAME} of another command. Choose another folder, or use --overwrite.")
    entries = read_cohort(cases.absolute())
    if overwrite:
        try:
            (out / JOURNAL_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{out} cannot be written to: {error.strerror or error}.") from error
    # Processes elsewhere have another working folder.
    settings = BatchSettings(out.absolute(), __version__, _absolute(model), config and config.absolute(), device)
    with progress_bar() as progress:
        result = run_batch(
            entries,
            settings,
            scheduler=scheduler,
            processes=processes,
            progress=progress,
            on_dashboard=lambda address: typer.echo(f"Dashboard: {address}", err=True),
        )
    if as_json:
        say_json(
            {
                "n_studies": len(entries),
                "n_measured": len(result.rows),
                "n_resumed": result.resumed,
                "failures": result.failures_by_kind,
                "seconds": round(result.seconds, 1),
            }
        )
    else:
        _tell(result, len(entries), [out / name for name in (REPORT_NAME, PROVENANCE_NAME, FAILURES_NAME)])
    if result.failures:
        raise CinemaError(
            f"{len(result.failures)} of {len(entries)} studies failed; {out / FAILURES_NAME} says why. The others are "
            f"in {out / REPORT_NAME}."
        )


def _absolute(model: str) -> str:
    """Model file or folder by its whole path; a name stays a name."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _tell(result: BatchResult, n_studies: int, written: list[Path]) -> None:
    from cinema_app.terminal import say, say_table

    before = f", {result.resumed} of them before" if result.resumed else ""
    n_now = len(result.rows) + len(result.failures) - result.resumed
    speed = f" ({n_now / result.seconds:.1f} a second)" if n_now and result.seconds > 0 else ""
    say(f"{len(result.rows)} of {n_studies} studies measured{before}{speed}")
    if result.failures:
        say_table(("Failed", "Because"), [(str(n), kind) for kind, n in result.failures_by_kind.items()])
    for path in written:
        say(str(path))
