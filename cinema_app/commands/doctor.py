"""``cinema doctor``: what this computer can do, and how to mend what is missing."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Check display, graphics, torch, memory, disk and the bundled model; ends with 1 if something must be mended.

    Example: cinema doctor
    """
    from cinema_app.checkup import Health, check_up
    from cinema_app.terminal import progress_bar, say, say_json, say_table

    with progress_bar() as progress:
        findings = check_up(progress)
    healthy = all(finding.health is not Health.FAIL for finding in findings)
    if as_json:
        say_json({"ok": healthy, "checks": [finding.to_json() for finding in findings]})
    else:
        say_table(("", "What", "Found"), [(finding.health, finding.name, finding.found) for finding in findings])
        for finding in findings:
            if finding.mend:
                say(f"{finding.name}: {finding.mend}")
    if not healthy:
        raise typer.Exit(1)
