"""The command as a whole: help, exit codes, one line for what goes wrong."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from cinema_app import cli
from cinema_core.errors import CinemaError, InputError

COMMANDS = (
    "gui",
    "demo",
    "inspect",
    "segment",
    "measure",
    "compare",
    "batch",
    "finetune",
    "evaluate",
    "export",
    "suggest",
    "models",
    "doctor",
)
LEAVES = [(name,) for name in COMMANDS if name != "models"] + [
    ("models", name) for name in ("list", "pull", "add", "show")
]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make ``cinema inspect`` end in an error."""

    def fail_with(error: BaseException) -> None:
        def load_studies(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("cinema_core.io.load_studies", load_studies)

    return fail_with


@pytest.fixture(autouse=True)
def _log_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path)
    monkeypatch.delenv("CINEMA_DEBUG", raising=False)
    yield
    for logger in map(logging.getLogger, ("cinema_app", "cinema_core")):
        for handler in [h for h in logger.handlers if isinstance(h, logging.FileHandler)]:
            logger.removeHandler(handler)
            handler.close()


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f" {name} " in told for name in COMMANDS)


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_every_command_shows_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--help"]) == 0
    assert f"Example: cinema {' '.join(command)}" in capsys.readouterr().out


def test_without_a_command_the_window_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    monkeypatch.setattr(cli, "gui", lambda: opened.append("window"))
    assert cli.run([]) == 0
    assert opened == ["window"]


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    from cinema_core import __version__

    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"napari-cinema {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "No such command 'nonsense'. See: cinema --help"),
        (["inspect"], "Missing argument 'PATH'. See: cinema inspect --help"),
        (["segment", "x", "--out", "y", "--phases", "3"], "See: cinema segment --help"),
        (["models"], "Missing command. See: cinema models --help"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == 2
    output = capsys.readouterr()
    assert told in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


@pytest.mark.parametrize(
    ("error", "code"), [(InputError("What\nand  where."), 2), (CinemaError("What\nand  where."), 1)]
)
def test_our_errors_are_one_line_with_their_exit_code(
    error: CinemaError, code: int, failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(error)
    assert cli.run(["inspect", "x"]) == code
    assert capsys.readouterr().err == "cinema: What and where.\n"


def test_ctrl_c_exits_130(failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]) -> None:
    failing(KeyboardInterrupt())
    assert cli.run(["inspect", "x"]) == 130
    error = capsys.readouterr().err
    assert error.strip().startswith("cinema: Stopped by Ctrl+C")
    assert len(error.strip().splitlines()) == 1


def test_unexpected_error_is_one_line_that_names_the_log(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failing(ValueError("of Mrs Example"))
    assert cli.run(["inspect", "x"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "cinema.log") in error


def test_log_keeps_the_traceback_without_the_message(failing: Callable[[BaseException], None], tmp_path: Path) -> None:
    failing(ValueError("of Mrs Example"))
    cli.run(["inspect", "x"])
    logged = (tmp_path / "cinema.log").read_text(encoding="utf-8")
    assert "load_studies" in logged
    assert "ValueError" in logged
    assert "Example" not in logged


def test_debugging_shows_the_traceback(
    failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CINEMA_DEBUG", "1")
    failing(ValueError("deep down"))
    with pytest.raises(ValueError, match="deep down"):
        cli.run(["inspect", "x"])


def test_full_memory_says_what_to_do(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(MemoryError())
    assert cli.run(["inspect", "x"]) == 1
    assert "not enough memory" in capsys.readouterr().err


def test_help_loads_neither_torch_nor_napari_nor_qt() -> None:
    code = (
        "import sys\nfrom cinema_app import cli\ncli.run(['segment', '--help'])\n"
        "print([name for name in ('torch', 'napari', 'qtpy', 'PySide6', 'numpy', 'pydicom') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_app_is_a_typer_app() -> None:
    assert isinstance(cli.app, typer.Typer)
