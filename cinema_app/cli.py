"""The ``cinema`` command: one file per command in ``cinema_app/commands``, one handler for all that goes wrong."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from cinema_app.commands.batch import batch
from cinema_app.commands.compare import compare
from cinema_app.commands.convert import convert
from cinema_app.commands.deidentify import deidentify
from cinema_app.commands.demo import demo
from cinema_app.commands.doctor import doctor
from cinema_app.commands.evaluate import evaluate
from cinema_app.commands.export import export
from cinema_app.commands.finetune import finetune
from cinema_app.commands.gui import gui
from cinema_app.commands.import_labels import import_labels
from cinema_app.commands.inspect import inspect
from cinema_app.commands.measure import measure
from cinema_app.commands.models import models
from cinema_app.commands.predict import predict
from cinema_app.commands.segment import segment
from cinema_app.commands.suggest import suggest
from cinema_app.commands.whois import whois
from cinema_app.commands.worklist import worklist
from cinema_core import __version__
from cinema_core.errors import CinemaError

log = logging.getLogger(__name__)

USAGE_MISTAKE = 2
FAILURE = 1
STOPPED = 130
"""128 + SIGINT, as shells count."""

app = typer.Typer(
    name="cinema",
    add_completion=False,
    rich_markup_mode="markdown",  # the default keeps the line breaks of the source
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: tuple[Callable[..., Any], ...] = (
    gui,
    demo,
    inspect,
    worklist,
    import_labels,
    convert,
    deidentify,
    whois,
    segment,
    predict,
    measure,
    compare,
    batch,
    finetune,
    evaluate,
    export,
    suggest,
    doctor,
)
for _command in COMMANDS:
    app.command()(_command)
app.add_typer(models, name="models")


@app.callback(invoke_without_command=True)
def cinema(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """Read cine cardiac MR: segment, correct, teach the model, report ejection fraction.

    Without a command the window opens, as with: cinema gui
    """
    if version:
        print(f"napari-cinema {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        gui()


def main() -> None:
    """Run the command that the terminal gave, and end with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A pipe on Windows may not know every sign that a table or a file name has.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; what goes wrong becomes one line on standard error.

    Returns
    -------
    0 if all went well, 2 after a mistake in what was given, 1 after a failure, 130 after Ctrl+C.
    """
    try:
        ended_with = typer.main.get_command(app).main(list(arguments), prog_name="cinema", standalone_mode=False)
        code = ended_with if isinstance(ended_with, int) else 0
        return _stopped() if code == STOPPED else code  # typer turns Ctrl+C within a command into this
    except KeyboardInterrupt:
        return _stopped()
    except CinemaError as error:
        if _debugging():
            raise
        _complain(str(error))
        return error.exit_code
    except typer.Abort:
        _complain("Stopped.")
        return FAILURE
    except Exception as error:
        if _debugging():
            raise
        return _usage_mistake(error) or _unexpected(error)


def _stopped() -> int:
    _complain("Stopped by Ctrl+C; files that were not complete yet were not written.")
    return STOPPED


def _usage_mistake(error: Exception) -> int | None:
    """Answer wrong arguments; None if it is another error."""
    # By its method, not its class: typer 0.15 raises click's errors, later versions raise their own.
    tell = getattr(error, "format_message", None)
    if tell is None:
        return None
    context = getattr(error, "ctx", None)
    name = context.command_path if context is not None else "cinema"
    _complain(f"{tell().rstrip('.')}. See: {name} --help")
    return USAGE_MISTAKE


def _unexpected(error: Exception) -> int:
    """Say in one line what nobody foresaw; the traceback goes to the log."""
    # torch says it in three ways: by a class that is not loaded here, by words, and by Python's own error.
    of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    if of_torch or isinstance(error, MemoryError):
        _complain("There is not enough memory for this. Close other programs, or use --device cpu.")
        return FAILURE
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    _complain(f"Something went wrong inside the program ({what}). {_keep_traceback(error)}")
    return FAILURE


def _keep_traceback(error: Exception) -> str:
    """Write the traceback to the log; returns where it lies, for the reader."""
    try:
        from cinema_app.app import log_to_file

        path = log_to_file()
    except (OSError, ImportError):  # no folder for it, or a broken installation
        return "Set CINEMA_DEBUG=1 to see the traceback."
    # Without its message: that may hold a path, and a path a patient's name.
    log.error("%s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return f"The traceback is in {path}."


def _debugging() -> bool:
    return os.environ.get("CINEMA_DEBUG", "") not in ("", "0")


def _complain(line: str) -> None:
    print("cinema: " + " ".join(line.split()), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
