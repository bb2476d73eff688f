"""The table that every benchmark prints: figure, measured, target, and what it ran on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real studies; nothing of them is kept."""


@dataclass(frozen=True)
class Figure:
    """One measured number beside what it should be."""

    name: str
    measured: str
    target: str = ""


def processor() -> str:
    """Name and core count of the processor, as the operating system tells it."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores"


def print_table(title: str, figures: Sequence[Figure]) -> None:
    """Print the figures of one benchmark with the machine's kind."""
    table = Table(title=f"{title}\n{processor()}, {platform.system()}, Python {platform.python_version()}")
    for column in ("Figure", "Measured", "Target"):
        table.add_column(column)
    for figure in figures:
        table.add_row(figure.name, figure.measured, figure.target)
    Console().print(table)
