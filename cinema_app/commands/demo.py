"""``cinema demo``: the whole loop on a synthetic study."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where report, screenshots and model version go. Default: a new folder."),
    ] = None,
    close: Annotated[
        bool, typer.Option("--close", help="Close the window when done, instead of leaving it to you.")
    ] = False,
    budget: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Time for fine-tuning.")] = 60.0,
) -> None:
    """Segment, correct, fine-tune and report a synthetic heart, in a window if there is a display.

    Example: cinema demo --out demo
    """
    from cinema_app.app import has_display
    from cinema_app.demo import DemoResult, InWindow, open_window, play, run_off_screen

    folder = (out or Path(tempfile.mkdtemp(prefix="cinema-demo-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        print(f"  {line}", flush=True)

    def tell(result: DemoResult) -> None:
        ef = "not known" if result.lv_ef_pct is None else f"{result.lv_ef_pct:.0f} %"
        true = "" if result.true_lv_ef_pct is None else f" (the synthetic heart's own: {result.true_lv_ef_pct:.0f} %)"
        print(f"LV ejection fraction {ef}{true}")
        print(f"Report         {result.report}")
        print(f"Model version  {result.model_folder}")
        print(f"Pictures       {', '.join(path.name for path in result.pictures)}")

    if not has_display():
        say("No display: playing without a window")
        tell(run_off_screen(folder, budget, say))
        return
    desktop = open_window(folder)
    try:
        tell(play(InWindow(desktop), folder, budget, say))
    except BaseException:
        desktop.close()
        raise
    if close or not sys.stdout.isatty():
        desktop.close()
    else:
        print("The window is yours; close it to end.")
        desktop.run()
